"""STS: who is calling, and temporary credentials that really work."""

import datetime

import boto3
import pytest
from botocore.exceptions import ClientError

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/strata"


def signed_by(cloud, credentials, service="sts"):
    """A client that signs with temporary credentials."""
    return boto3.client(
        service,
        endpoint_url=cloud.url,
        region_name=cloud.region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def test_the_root_key_is_the_account(client):
    who = client("sts").get_caller_identity()
    assert who["Account"] == ACCOUNT
    assert who["UserId"] == ACCOUNT
    assert who["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"


def test_an_assumed_role_calls_in_its_own_name(cloud, client):
    reply = client("sts").assume_role(RoleArn=ROLE, RoleSessionName="contract")
    credentials = reply["Credentials"]
    left = credentials["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(minutes=58) < left <= datetime.timedelta(hours=1)
    who = signed_by(cloud, credentials).get_caller_identity()
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/strata/contract"
    assert who["Arn"] == reply["AssumedRoleUser"]["Arn"]
    assert who["UserId"] == reply["AssumedRoleUser"]["AssumedRoleId"]


def test_temporary_credentials_work_for_other_services(cloud, client):
    credentials = client("sts").assume_role(RoleArn=ROLE, RoleSessionName="other")["Credentials"]
    groups = signed_by(cloud, credentials, "logs").describe_log_groups(limit=1)
    assert "logGroups" in groups


def test_a_role_of_a_role_lasts_an_hour_at_most(cloud, client):
    first = client("sts").assume_role(RoleArn=ROLE, RoleSessionName="one", DurationSeconds=43200)
    second = signed_by(cloud, first["Credentials"])
    assert second.assume_role(RoleArn=ROLE, RoleSessionName="two")["Credentials"]
    refused("ValidationError", second.assume_role, RoleArn=ROLE, RoleSessionName="two", DurationSeconds=7200)


def test_a_false_session_token_is_refused(cloud, client):
    credentials = dict(client("sts").assume_role(RoleArn=ROLE, RoleSessionName="false")["Credentials"])
    credentials["SessionToken"] = credentials["SessionToken"][::-1]
    refused("InvalidClientTokenId", signed_by(cloud, credentials).get_caller_identity)


def test_missing_and_foreign_roles_cannot_be_assumed(client):
    sts = client("sts")
    for role in [f"arn:aws:iam::{ACCOUNT}:role/none", "arn:aws:iam::999999999999:role/strata"]:
        message = refused("AccessDenied", sts.assume_role, RoleArn=role, RoleSessionName="me")
        assert "is not authorized to perform: sts:AssumeRole on resource: " + role in message


def test_what_would_narrow_a_session_is_refused(client):
    sts = client("sts")
    message = refused("ValidationError", sts.assume_role, RoleArn=ROLE, RoleSessionName="me", Policy="{}")
    assert "Policy" in message
    refused("ValidationError", sts.assume_role, RoleArn=ROLE, RoleSessionName="me", DurationSeconds=43201)


def test_session_tokens_are_for_lasting_keys(cloud, client):
    credentials = client("sts").get_session_token()["Credentials"]
    own = signed_by(cloud, credentials)
    assert own.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    refused("AccessDenied", own.get_session_token)
