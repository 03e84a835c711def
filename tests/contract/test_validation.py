"""Validation from the service model, in AWS's words."""

import pytest
from jobs import IMAGES, ROLE, channel, fresh, refused, training_job


@pytest.fixture(scope="module")
def raw(cloud):
    """A client that sends what botocore itself would refuse."""
    return cloud.client("sagemaker", validate=False)


def job(**members):
    base = training_job(fresh("job"), "xgboost", [channel("train", "s3://b/k")], "s3://b/out", {"num_round": 1})
    return {key: value for key, value in (base | members).items() if value is not None}


@pytest.mark.parametrize("arguments, problem", [
    (job(TrainingJobName="my_job"),
     "Value 'my_job' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression "
     "pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"),
    (job(TrainingJobName="x" * 64),
     f"Value '{'x' * 64}' at 'trainingJobName' failed to satisfy constraint: Member must have length less than or equal to 63"),
    (job(RoleArn=None), "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
    (job(AlgorithmSpecification={"TrainingImage": IMAGES["xgboost"], "TrainingInputMode": "Stream"}),
     "Value 'Stream' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: Member must satisfy "
     "enum value set: [Pipe, File, FastFile]"),
    (job(InputDataConfig=[channel("train", "s3://b/k"), channel("no good", "s3://b/k")]),
     "Value 'no good' at 'inputDataConfig.2.member.channelName' failed to satisfy constraint: Member must satisfy "
     "regular expression pattern: [A-Za-z0-9\\.\\-_]+"),
    (job(StoppingCondition={"MaxRuntimeInSeconds": 0}),
     "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value "
     "greater than or equal to 1"),
    (job(ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": -1, "VolumeSizeInGB": 1}),
     "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must have value greater than "
     "or equal to 0"),
    (job(RoleArn="short"),
     "Value 'short' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20"),
], ids=["pattern", "too long", "null", "enum", "nested", "range", "negative", "too short"])
def test_create_training_job(raw, arguments, problem):
    message = refused("ValidationException", raw.create_training_job, status=400, **arguments)
    assert message.split(" detected: ", 1)[0] in ("1 validation error", "2 validation errors"), message
    assert problem in message.split(" detected: ", 1)[1].split("; "), message


def test_a_single_problem_is_the_whole_sentence(raw):
    message = refused("ValidationException", raw.describe_endpoint, EndpointName="not/a/name")
    assert message == (
        "1 validation error detected: Value 'not/a/name' at 'endpointName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    )


def test_several_problems_are_told_at_once(raw):
    message = refused("ValidationException", raw.create_training_job, TrainingJobName="")
    assert message == (
        "4 validation errors detected: Value '' at 'trainingJobName' failed to satisfy constraint: Member must have "
        "length greater than or equal to 1; Value '' at 'trainingJobName' failed to satisfy constraint: Member must "
        "satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}; Value null at 'roleArn' failed to "
        "satisfy constraint: Member must not be null; Value null at 'outputDataConfig' failed to satisfy constraint: "
        "Member must not be null"
    )


@pytest.mark.parametrize("operation, arguments, where", [
    ("create_model", {"ModelName": "a b", "ExecutionRoleArn": ROLE}, "modelName"),
    ("create_endpoint_config", {"EndpointConfigName": "c", "ProductionVariants": []}, "productionVariants"),
    ("create_endpoint", {"EndpointName": "e"}, "endpointConfigName"),
    ("update_endpoint_weights_and_capacities", {"EndpointName": "e"}, "desiredWeightsAndCapacities"),
    ("list_training_jobs", {"MaxResults": 101}, "maxResults"),
    ("list_models", {"SortBy": "Colour"}, "sortBy"),
    ("list_endpoints", {"NameContains": "a b"}, "nameContains"),
    ("add_tags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m", "Tags": [{"Key": "k"}]},
     "tags.1.member.value"),
    ("stop_training_job", {}, "trainingJobName"),
    ("list_tags", {"ResourceArn": "nonsense"}, "resourceArn"),
])
def test_every_operation_names_the_member(raw, operation, arguments, where):
    message = refused("ValidationException", getattr(raw, operation), status=400, **arguments)
    assert f" at '{where}' failed to satisfy constraint: " in message, message


def test_a_hundred_problems_stay_a_bounded_answer(raw):
    channels = [channel("no good " * 200, "s3://b/k") for _ in range(20)]
    message = refused("ValidationException", raw.create_training_job, **job(InputDataConfig=channels))
    assert len(message) < 100_000


def test_variants_beyond_ten_are_refused(raw):
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    message = refused("ValidationException", raw.create_endpoint_config, EndpointConfigName="c",
                      ProductionVariants=[variant] * 11)
    assert "at 'productionVariants' failed to satisfy constraint: Member must have length less than or equal to 10" in message
