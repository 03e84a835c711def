"""Lists: pages without gaps or repeats, order, filters; name clashes, delete rules, tags."""

from datetime import datetime, timedelta, timezone

import pytest
from jobs import IMAGES, ROLE, channel, config, deploy, finished, fresh, model, refused, start, training_job

TINY = {"objective": "binary:logistic", "num_round": 1}
ARN = "arn:aws:sagemaker:us-east-1:123456789012"


class Kind:
    """One sort of resource under its List operation."""

    def __init__(self, operation, items, name, sort_keys):
        self.operation, self.items, self.name, self.sort_keys = operation, items, name, sort_keys


KINDS = {
    "training jobs": Kind("list_training_jobs", "TrainingJobSummaries", "TrainingJobName", ["Name", "CreationTime", "Status"]),
    "models": Kind("list_models", "Models", "ModelName", ["Name", "CreationTime"]),
    "configs": Kind("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", ["Name", "CreationTime"]),
    "endpoints": Kind("list_endpoints", "Endpoints", "EndpointName", ["Name", "CreationTime", "Status"]),
}


@pytest.fixture(scope="module")
def seven(sm, bucket, trained):
    """Seven of each kind under one prefix, made in an order that is not the alphabetical one."""
    prefix = fresh("seven")
    names = [f"{prefix}-{letter}" for letter in "dbgafce"]
    uri = trained["xgboost"]["ModelArtifacts"]["S3ModelArtifacts"]
    for name in names:
        start(sm, bucket, "xgboost", "wine", name=name, objective="multi:softmax", num_class=3, num_round=1)
        model(sm, "xgboost", uri, name)
        config(sm, {"only": (name, 1)}, name)
        sm.create_endpoint(EndpointName=name, EndpointConfigName=name)
    for name in names:
        assert finished(sm, name)["TrainingJobStatus"] == "Completed"
        sm.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    yield prefix, names
    for name in names:
        sm.delete_endpoint(EndpointName=name)


def listed(sm, kind, **arguments):
    """All names, page by page."""
    names, pages = [], 0
    while True:
        page = getattr(sm, kind.operation)(**arguments)
        pages += 1
        names += [item[kind.name] for item in page[kind.items]]
        if "NextToken" not in page:
            return names, pages
        arguments["NextToken"] = page["NextToken"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_pages_have_no_gaps_and_no_repeats(sm, seven, kind):
    prefix, names = seven
    found, pages = listed(sm, kind, NameContains=prefix, MaxResults=3, SortBy="Name", SortOrder="Ascending")
    assert found == sorted(names) and pages == 3


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_newest_first_unless_asked_otherwise(sm, seven, kind):
    prefix, names = seven
    assert listed(sm, kind, NameContains=prefix, SortBy="CreationTime", SortOrder="Descending")[0] == names[::-1]
    assert listed(sm, kind, NameContains=prefix, SortBy="CreationTime", SortOrder="Ascending", MaxResults=2)[0] == names


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_names_in_both_orders(sm, seven, kind):
    prefix, names = seven
    up = listed(sm, kind, NameContains=prefix, SortBy="Name", SortOrder="Ascending", MaxResults=5)[0]
    down = listed(sm, kind, NameContains=prefix, SortBy="Name", SortOrder="Descending", MaxResults=5)[0]
    assert up == sorted(names) and down == up[::-1]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_filters_by_name_and_time(sm, seven, kind):
    prefix, names = seven
    assert listed(sm, kind, NameContains=f"{prefix}-c")[0] == [f"{prefix}-c"]
    assert listed(sm, kind, NameContains=fresh("nobody"))[0] == []
    hour = timedelta(hours=1)
    now = datetime.now(timezone.utc)
    assert listed(sm, kind, NameContains=prefix, CreationTimeAfter=now + hour)[0] == []
    assert listed(sm, kind, NameContains=prefix, CreationTimeBefore=now - hour)[0] == []
    both = listed(sm, kind, NameContains=prefix, CreationTimeAfter=now - hour, CreationTimeBefore=now + hour)[0]
    assert sorted(both) == sorted(names)


@pytest.mark.parametrize("kind, good, other", [("training jobs", "Completed", "Failed"), ("endpoints", "InService", "Failed")])
def test_filters_by_status(sm, seven, kind, good, other):
    prefix, names = seven
    assert sorted(listed(sm, KINDS[kind], NameContains=prefix, StatusEquals=good)[0]) == sorted(names)
    assert listed(sm, KINDS[kind], NameContains=prefix, StatusEquals=other)[0] == []


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_false_token_is_refused(sm, kind):
    refused("ValidationException", getattr(sm, kind.operation), NextToken="not-one-of-ours")


def test_ten_a_page_unless_asked_otherwise(sm, seven, trained):
    prefix, names = seven
    uri = trained["xgboost"]["ModelArtifacts"]["S3ModelArtifacts"]
    more = [model(sm, "xgboost", uri, f"{prefix}-more-{i}") for i in range(5)]
    page = sm.list_models(NameContains=prefix)
    assert len(page["Models"]) == 10 and "NextToken" in page
    for name in more:
        sm.delete_model(ModelName=name)


def test_summaries_carry_what_the_console_shows(sm, seven):
    prefix, _ = seven
    name = f"{prefix}-a"
    (job,) = sm.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
    assert job["TrainingJobArn"] == f"{ARN}:training-job/{name}" and job["TrainingJobStatus"] == "Completed"
    assert job["CreationTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
    (endpoint,) = sm.list_endpoints(NameContains=name)["Endpoints"]
    assert endpoint["EndpointArn"] == f"{ARN}:endpoint/{name}" and endpoint["EndpointStatus"] == "InService"
    (made,) = sm.list_models(NameContains=name)["Models"]
    assert made["ModelArn"] == f"{ARN}:model/{name}"


def test_names_are_taken_once(sm, bucket, seven, trained):
    prefix, _ = seven
    name = f"{prefix}-a"
    message = refused(
        "ResourceInUse", sm.create_training_job, status=400,
        **training_job(name, "xgboost", [channel("train", f"s3://{bucket}/wine/train.csv")], f"s3://{bucket}/o", TINY),
    )
    assert f"{ARN}:training-job/{name}" in message
    container = {"Image": IMAGES["xgboost"], "ModelDataUrl": trained["xgboost"]["ModelArtifacts"]["S3ModelArtifacts"]}
    message = refused("ValidationException", sm.create_model, ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    assert message == f'Cannot create already existing model "{ARN}:model/{name}".'
    message = refused("ValidationException", lambda: config(sm, {"only": (name, 1)}, name))
    assert message == f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/{name}".'
    message = refused("ValidationException", sm.create_endpoint, EndpointName=name, EndpointConfigName=name)
    assert message == f'Cannot create already existing endpoint "{ARN}:endpoint/{name}".'


def test_missing_things_are_named(sm):
    assert refused("ValidationException", sm.describe_model, ModelName="nobody") == f'Could not find model "{ARN}:model/nobody".'
    assert refused("ValidationException", sm.delete_model, ModelName="nobody") == f'Could not find model "{ARN}:model/nobody".'
    assert refused("ValidationException", sm.describe_endpoint, EndpointName="nobody") == f'Could not find endpoint "{ARN}:endpoint/nobody".'
    assert refused("ValidationException", sm.delete_endpoint, EndpointName="nobody") == f'Could not find endpoint "{ARN}:endpoint/nobody".'
    missing = f'Could not find endpoint configuration "{ARN}:endpoint-config/nobody".'
    assert refused("ValidationException", sm.describe_endpoint_config, EndpointConfigName="nobody") == missing
    assert refused("ValidationException", sm.describe_training_job, TrainingJobName="nobody") == "Requested resource not found."
    assert refused("ValidationException", sm.stop_training_job, TrainingJobName="nobody") == "Requested resource not found."


def test_a_deleted_model_still_serves(sm, runtime, trained, held_out):
    """Deleting model and configuration leaves the endpoint as it is, as on AWS."""
    from jobs import ask

    made = model(sm, "xgboost", trained["xgboost"]["ModelArtifacts"]["S3ModelArtifacts"])
    name = deploy(sm, {"only": (made, 1)})
    settings = sm.describe_endpoint(EndpointName=name)["EndpointConfigName"]
    sm.delete_model(ModelName=made)
    sm.delete_endpoint_config(EndpointConfigName=settings)
    assert ask(runtime, name, held_out[0][1])[1] == "only"
    sm.delete_endpoint(EndpointName=name)


def test_a_finished_job_can_be_deleted_and_its_name_used_again(sm, bucket):
    name = start(sm, bucket, "xgboost", "wine", objective="multi:softmax", num_class=3, num_round=1)
    assert finished(sm, name)["TrainingJobStatus"] == "Completed"
    sm.delete_training_job(TrainingJobName=name)
    refused("ValidationException", sm.describe_training_job, TrainingJobName=name)
    start(sm, bucket, "xgboost", "wine", name=name, objective="multi:softmax", num_class=3, num_round=1)
    assert finished(sm, name)["TrainingJobStatus"] == "Completed"


def test_a_running_job_cannot_be_deleted(sm, bucket):
    name = start(sm, bucket, "xgboost", "digits", objective="multi:softmax", num_class=10, num_round=100_000)
    refused("ResourceInUse", sm.delete_training_job, TrainingJobName=name)
    sm.stop_training_job(TrainingJobName=name)
    finished(sm, name)


def test_describe_echoes_what_was_said(sm, bucket):
    tags = [{"Key": "team", "Value": "ml"}]
    more = {
        "Tags": tags, "EnableNetworkIsolation": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 321},
    }
    name = start(sm, bucket, "xgboost", "wine", more=more, objective="multi:softmax", num_class=3, num_round=1)
    job = finished(sm, name)
    assert job["HyperParameters"] == {"objective": "multi:softmax", "num_class": "3", "num_round": "1"}
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 321}
    assert job["EnableNetworkIsolation"] is True and job["RoleArn"] == ROLE
    assert job["InputDataConfig"][0]["ChannelName"] == "train"
    assert job["ResourceConfig"]["InstanceType"] == "ml.m5.large"
    assert "Tags" not in job and sm.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"] == tags


def test_absent_structures_stay_absent(sm, endpoint, trained, models):
    """Strict clients break on an empty `VpcConfig` or `DataCaptureConfig`."""
    assert not {"VpcConfig", "CheckpointConfig", "FailureReason"} & set(trained["xgboost"])
    assert not {"VpcConfig", "Containers"} & set(sm.describe_model(ModelName=models["xgboost"]))
    described = sm.describe_endpoint(EndpointName=endpoint)
    assert not {"DataCaptureConfig", "FailureReason", "PendingDeploymentSummary"} & set(described)


def test_tags_on_everything(sm, models, endpoint, trained):
    settings = sm.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
    arns = [
        trained["xgboost"]["TrainingJobArn"], f"{ARN}:model/{models['xgboost']}", f"{ARN}:endpoint/{endpoint}",
        f"{ARN}:endpoint-config/{settings}",
    ]
    for arn in arns:
        sm.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "ä/2"}])
        sm.add_tags(ResourceArn=arn, Tags=[{"Key": "a", "Value": "3"}])
        tags = {tag["Key"]: tag["Value"] for tag in sm.list_tags(ResourceArn=arn)["Tags"]}
        assert tags == {"a": "3", "b": "ä/2"}
        sm.delete_tags(ResourceArn=arn, TagKeys=["a", "b", "never-there"])
        assert sm.list_tags(ResourceArn=arn)["Tags"] == []


def test_tags_have_limits(sm, models):
    arn = f"{ARN}:model/{models['xgboost']}"
    refused("ValidationException", sm.add_tags, ResourceArn=arn, Tags=[{"Key": f"k{i}", "Value": ""} for i in range(51)])
    refused("ValidationException", sm.add_tags, ResourceArn=arn, Tags=[{"Key": "aws:mine", "Value": ""}])
    refused("ValidationException", sm.add_tags, ResourceArn=f"{ARN}:model/nobody", Tags=[{"Key": "k", "Value": ""}])
    assert sm.list_tags(ResourceArn=arn)["Tags"] == []
