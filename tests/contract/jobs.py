"""Short words for what many tests do: train, make a model, deploy, ask; and errors as data."""

import io
import re
import tarfile
import uuid

import pytest
from botocore.exceptions import ClientError
from clouds import wait_until

ROLE = "arn:aws:iam::123456789012:role/strata"
IMAGES = {
    "xgboost": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
    "linear-learner": "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1",
}
OVER = ("Completed", "Failed", "Stopped")


def fresh(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def refused(code, call, *, status=None, **arguments):
    """The call must fail with this error code; returns the message."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    assert response["Error"]["Code"] == code, caught.value
    if status:
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status, caught.value
    return response["Error"]["Message"]


def channel(name, uri, content_type="text/csv", **source):
    described = {"S3DataType": "S3Prefix", "S3Uri": uri} | source
    described = {"ChannelName": name, "DataSource": {"S3DataSource": described}}
    return described | ({"ContentType": content_type} if content_type else {})


def training_job(name, algorithm, channels, output, hyperparameters, **more):
    """The arguments of CreateTrainingJob; `more` replaces members."""
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": IMAGES.get(algorithm, algorithm), "TrainingInputMode": "File"},
        "HyperParameters": {key: str(value) for key, value in hyperparameters.items()},
        "InputDataConfig": channels,
        "OutputDataConfig": {"S3OutputPath": output},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    } | more


def start(sm, bucket, algorithm, key, *, name=None, more=None, **hyperparameters):
    """Starts a job on one object (or prefix) of the bucket; returns its name.

    A data set's name ("breast-cancer") means its train.csv.
    """
    key = f"{key}/train.csv" if "/" not in key else key
    name = name or fresh(re.sub("[^a-z]+", "-", algorithm.rsplit("/", 1)[-1]))
    channels = [channel("train", f"s3://{bucket}/{key}")]
    sm.create_training_job(
        **training_job(name, algorithm, channels, f"s3://{bucket}/output", hyperparameters, **(more or {}))
    )
    return name


def finished(sm, name, seconds=90):
    """The description of a job once it is over."""

    def look():
        job = sm.describe_training_job(TrainingJobName=name)
        return job if job["TrainingJobStatus"] in OVER else None

    return wait_until(f"training job {name} is over", look, seconds)


def train(sm, bucket, algorithm, key, **arguments):
    """A job that must complete; returns its description."""
    job = finished(sm, start(sm, bucket, algorithm, key, **arguments))
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason", job)
    return job


def in_status(sm, name, *words, seconds=60):
    """Waits until the job's SecondaryStatus is one of these words."""

    def look():
        job = sm.describe_training_job(TrainingJobName=name)
        if job["SecondaryStatus"] in words:
            return job
        assert job["TrainingJobStatus"] not in OVER, f"{name} is over: {job}"
        return None

    return wait_until(f"training job {name} is {words}", look, seconds)


def failed(sm, bucket, algorithm, key, **arguments):
    """A job that must fail; returns its FailureReason."""
    job = finished(sm, start(sm, bucket, algorithm, key, **arguments))
    assert job["TrainingJobStatus"] == "Failed", job
    return job["FailureReason"]


def model(sm, image, uri, name=None):
    name = name or fresh("model")
    sm.create_model(
        ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGES.get(image, image), "ModelDataUrl": uri}
    )
    return name


def config(sm, variants, name=None):
    """An endpoint configuration of {variant: (model, weight)}; returns its name."""
    name = name or fresh("config")
    sm.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": variant, "ModelName": model_name, "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1, "InitialVariantWeight": weight,
            }
            for variant, (model_name, weight) in variants.items()
        ],
    )
    return name


def deploy(sm, variants, name=None):
    """An endpoint in service; returns its name."""
    name = name or fresh("endpoint")
    sm.create_endpoint(EndpointName=name, EndpointConfigName=config(sm, variants))
    settled(sm, name)
    return name


def settled(sm, name, seconds=60, expect="InService"):
    """Waits until the endpoint is neither Creating nor Updating; returns its description."""

    def look():
        endpoint = sm.describe_endpoint(EndpointName=name)
        return endpoint if endpoint["EndpointStatus"] in ("InService", "Failed", "OutOfService") else None

    endpoint = wait_until(f"endpoint {name} is settled", look, seconds)
    assert endpoint["EndpointStatus"] == expect, endpoint
    return endpoint


def ask(runtime, endpoint, body, content_type="text/csv", **arguments):
    """Invokes; returns the answer's bytes and the variant that gave it."""
    reply = runtime.invoke_endpoint(EndpointName=endpoint, ContentType=content_type, Body=body, **arguments)
    return reply["Body"].read(), reply["InvokedProductionVariant"]


def numbers(text):
    """The numbers of a CSV answer, whether rows are divided by commas or line ends."""
    text = text.decode() if isinstance(text, bytes) else text
    return [float(number) for number in text.replace("\n", ",").strip(",").split(",")]


def archive(files, mode="w:gz"):
    """A tar archive of {name: bytes}, or of ready TarInfo objects with their bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:
        for name, content in files.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()
