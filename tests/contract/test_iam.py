"""IAM: the roles that SDKs ask for before they start a job."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


@pytest.fixture
def role(client):
    iam = client("iam")
    name = f"contract-{uuid.uuid4().hex[:8]}"
    made = iam.create_role(
        RoleName=name,
        Path="/service-role/",
        AssumeRolePolicyDocument=json.dumps(TRUST),
        Description="runs jobs & more",
        Tags=[{"Key": "team", "Value": "ml"}],
    )
    yield made["Role"]
    try:
        iam.delete_role(RoleName=name)
    except iam.exceptions.NoSuchEntityException:
        pass


@pytest.mark.parametrize("name", ["strata", "SageMakerRole"])
def test_default_roles_trust_sagemaker(client, name):
    role = client("iam").get_role(RoleName=name)["Role"]
    assert role["Arn"].endswith(f":role/{name}")
    services = [statement["Principal"].get("Service") for statement in role["AssumeRolePolicyDocument"]["Statement"]]
    assert "sagemaker.amazonaws.com" in services


def test_a_role_comes_back_as_it_was_made(client, role):
    seen = client("iam").get_role(RoleName=role["RoleName"])["Role"]
    assert seen["Arn"] == f"arn:aws:iam::123456789012:role/service-role/{role['RoleName']}"
    assert seen["AssumeRolePolicyDocument"] == TRUST
    assert seen["Description"] == "runs jobs & more"
    assert seen["MaxSessionDuration"] == 3600
    assert seen["Tags"] == [{"Key": "team", "Value": "ml"}]
    assert seen["RoleId"] == role["RoleId"] and seen["RoleId"].startswith("AROA")
    assert seen["CreateDate"] == role["CreateDate"]


def test_roles_are_listed_in_pages(client, role):
    pages = list(client("iam").get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 1}))
    assert len(pages) >= 3
    names = [role["RoleName"] for page in pages for role in page["Roles"]]
    assert names == sorted(names, key=str.lower) and len(set(names)) == len(names)
    assert {"strata", "SageMakerRole", role["RoleName"]} <= set(names)
    of_path = client("iam").list_roles(PathPrefix="/service-role/")["Roles"]
    assert role["RoleName"] in [role["RoleName"] for role in of_path]


def test_a_new_role_can_be_assumed_until_it_is_deleted(client, role):
    assert client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"]
    client("iam").delete_role(RoleName=role["RoleName"])
    refused("AccessDenied", client("sts").assume_role, RoleArn=role["Arn"], RoleSessionName="me")
    message = refused("NoSuchEntity", client("iam").get_role, RoleName=role["RoleName"])
    assert message == f"The role with name {role['RoleName']} cannot be found."


def test_a_name_is_taken_once(client, role):
    document = json.dumps(TRUST)
    taken = role["RoleName"].upper()
    refused("EntityAlreadyExists", client("iam").create_role, RoleName=taken, AssumeRolePolicyDocument=document)


def test_a_spoilt_trust_policy_is_refused(client):
    refused("MalformedPolicyDocument", client("iam").create_role, RoleName="x", AssumeRolePolicyDocument="{")


def test_known_roles_may_do_everything(client, role):
    reply = client("iam").simulate_principal_policy(
        PolicySourceArn=role["Arn"], ActionNames=["sagemaker:CreateTrainingJob", "s3:GetObject"]
    )
    decisions = {result["EvalActionName"]: result["EvalDecision"] for result in reply["EvaluationResults"]}
    assert decisions == {"sagemaker:CreateTrainingJob": "allowed", "s3:GetObject": "allowed"}


def test_nothing_is_said_of_missing_roles(client):
    refused(
        "NoSuchEntity",
        client("iam").simulate_principal_policy,
        PolicySourceArn="arn:aws:iam::123456789012:role/none",
        ActionNames=["s3:GetObject"],
    )


def test_policies_are_refused_with_a_way_out(client):
    with pytest.raises(ClientError) as error:
        client("iam").attach_role_policy(RoleName="strata", PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    assert "leave the call out" in str(error.value)
