"""The main job: a CSV file becomes two models behind one endpoint, compared on live traffic."""

import io
import json
import tarfile
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest
import xgboost
from botocore.exceptions import ClientError
from clouds import wait_until
from jobs import IMAGES, ask, config, deploy, model, numbers, refused, settled, train


def accuracy(runtime, endpoint, variant, held_out):
    right = 0
    for label, features in held_out:
        body, answered = ask(runtime, endpoint, features, Accept="application/json", TargetVariant=variant)
        assert answered == variant
        prediction = json.loads(body)["predictions"][0]
        right += int(prediction.get("predicted_label", prediction["score"] > 0.5)) == label
    return right / len(held_out)


def artefact(s3, job):
    """The files of a job's model.tar.gz."""
    bucket, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
    assert key.endswith(f"{job['TrainingJobName']}/output/model.tar.gz")
    packed = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        return {info.name: tar.extractfile(info).read() for info in tar if info.isfile()}


def booster(content):
    loaded = xgboost.Booster()
    loaded.load_model(bytearray(content))
    return loaded


def matrix(held_out):
    return xgboost.DMatrix([[float(cell) for cell in features.split(",")] for _, features in held_out])


@pytest.mark.parametrize("variant", ["xgboost", "linear-learner"])
def test_each_model_is_right_on_held_out_rows(runtime, endpoint, held_out, variant):
    assert accuracy(runtime, endpoint, variant, held_out) > 0.93


def test_python_xgboost_opens_the_artefact_and_agrees(s3, runtime, trained, endpoint, held_out):
    loaded = booster(artefact(s3, trained["xgboost"])["xgboost-model"])
    assert loaded.num_boosted_rounds() == 40
    expected = loaded.predict(matrix(held_out))
    body = "\n".join(features for _, features in held_out)
    answer, _ = ask(runtime, endpoint, body, TargetVariant="xgboost")
    assert numbers(answer) == pytest.approx([float(score) for score in expected], abs=1e-6)


def test_ten_classes_agree_with_python(s3, sm, runtime, bucket, data, unique):
    """Digits: one score a class, and the library's own answer to 1e-6."""
    job = train(sm, bucket, "xgboost", "digits", objective="multi:softprob", num_class=10, num_round=10)
    lines = [line.split(",", 1) for line in (data / "digits" / "test.csv").read_text().splitlines()]
    loaded = booster(artefact(s3, job)["xgboost-model"])
    expected = loaded.predict(matrix(lines))
    name = deploy(sm, {"only": (model(sm, "xgboost", job["ModelArtifacts"]["S3ModelArtifacts"]), 1)})
    answer, _ = ask(runtime, name, "\n".join(features for _, features in lines), Accept="application/json")
    scores = [prediction["score"] for prediction in json.loads(answer)["predictions"]]
    assert len(scores) == len(lines) and len(scores[0]) == 10
    for got, want in zip(scores, expected):
        assert got == pytest.approx(want.tolist(), abs=1e-6)
    guesses = [max(range(10), key=row.__getitem__) for row in scores]
    right = sum(guess == int(label) for guess, (label, _) in zip(guesses, lines)) / len(lines)
    assert right > 0.9


def test_linear_learner_predicts_numbers(sm, runtime, bucket, data):
    """Diabetes: clearly better than always saying the mean."""
    job = train(
        sm, bucket, "linear-learner", "diabetes", predictor_type="regressor", epochs=60, mini_batch_size=32
    )
    lines = [line.split(",", 1) for line in (data / "diabetes" / "test.csv").read_text().splitlines()]
    name = deploy(sm, {"only": (model(sm, "linear-learner", job["ModelArtifacts"]["S3ModelArtifacts"]), 1)})
    answer, _ = ask(runtime, name, "\n".join(features for _, features in lines), Accept="application/json")
    predictions = json.loads(answer)["predictions"]
    assert all(set(prediction) == {"score"} for prediction in predictions)
    truth = [float(label) for label, _ in lines]
    mean = sum(truth) / len(truth)
    error = sum((prediction["score"] - label) ** 2 for prediction, label in zip(predictions, truth))
    assert error < 0.65 * sum((label - mean) ** 2 for label in truth)


def test_linear_learner_tells_three_classes_apart(sm, runtime, bucket, data):
    job = train(
        sm, bucket, "linear-learner", "wine",
        predictor_type="multiclass_classifier", num_classes=3, epochs=60, mini_batch_size=16,
    )
    lines = [line.split(",", 1) for line in (data / "wine" / "test.csv").read_text().splitlines()]
    name = deploy(sm, {"only": (model(sm, "linear-learner", job["ModelArtifacts"]["S3ModelArtifacts"]), 1)})
    answer, _ = ask(runtime, name, "\n".join(features for _, features in lines), Accept="application/json")
    predictions = json.loads(answer)["predictions"]
    assert all(len(prediction["score"]) == 3 for prediction in predictions)
    right = sum(int(prediction["predicted_label"]) == int(label) for prediction, (label, _) in zip(predictions, lines))
    assert right / len(lines) > 0.9


def test_a_job_tells_its_story(trained):
    for algorithm, job in trained.items():
        words = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
        assert words[0] == "Starting" and words[-1] == "Completed", words
        assert "Downloading" in words and "Training" in words and "Uploading" in words, words
        times = [transition["StartTime"] for transition in job["SecondaryStatusTransitions"]]
        assert times == sorted(times)
        assert all(transition["EndTime"] >= transition["StartTime"] for transition in job["SecondaryStatusTransitions"])
        assert job["SecondaryStatus"] == "Completed"
        assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"] <= job["LastModifiedTime"]
        assert 0 < job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"] < 60
        assert job["AlgorithmSpecification"]["TrainingImage"] == IMAGES[algorithm]
        assert "FailureReason" not in job
        assert job["TrainingJobArn"] == f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{job['TrainingJobName']}"


def test_final_metrics_are_on_the_job_and_in_cloudwatch(cloud, sm, client, bucket):
    name = "breast-cancer"
    job = train(
        sm, bucket, "xgboost", name, objective="binary:logistic", num_round=5, eval_metric="logloss",
    )
    final = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert 0 < final["train:logloss"] < 0.5
    cloudwatch = client("cloudwatch")

    def look():
        return cloudwatch.get_metric_statistics(
            Namespace="/aws/sagemaker/TrainingJobs", MetricName="train:logloss",
            Dimensions=[{"Name": "TrainingJobName", "Value": job["TrainingJobName"]}],
            StartTime=job["CreationTime"] - timedelta(minutes=2),
            EndTime=datetime.now(timezone.utc) + timedelta(minutes=1), Period=60, Statistics=["Minimum"],
        )["Datapoints"]

    points = wait_until("the metric is in CloudWatch", look, 20)
    assert min(point["Minimum"] for point in points) == pytest.approx(final["train:logloss"], rel=1e-4)


def test_log_lines_are_aws_ones(client, trained):
    """What tuning and the SDKs read: stream JOB/algo-1-..., `[0]#011train-...` lines."""
    logs = client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    name = trained["xgboost"]["TrainingJobName"]
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    (stream,) = [stream["logStreamName"] for stream in streams]
    assert stream.startswith(f"{name}/algo-1-")
    events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    rounds = [event["message"] for event in events if "#011train-" in event["message"]]
    assert len(rounds) == 40 and "[0]#011train-logloss:" in rounds[0] and "[39]#011" in rounds[-1], rounds[:2]


def test_traffic_follows_the_weights(cloud, sm, runtime, models, held_out):
    """90 to 10, then 0 to 100; and CloudWatch counted every request under its variant."""
    name = deploy(sm, {"a": (models["xgboost"], 90), "b": (models["linear-learner"], 10)})
    row = held_out[0][1]
    share = Counter(ask(runtime, name, row)[1] for _ in range(400))
    # Binomial: 400 x 0.1 has a standard deviation of 6; five of them never happen by chance.
    assert 10 <= share["b"] <= 70, share
    sm.update_endpoint_weights_and_capacities(
        EndpointName=name,
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0}, {"VariantName": "b", "DesiredWeight": 100},
        ],
    )
    described = settled(sm, name)
    weights = {variant["VariantName"]: variant["CurrentWeight"] for variant in described["ProductionVariants"]}
    assert weights == {"a": 0, "b": 100}
    after = Counter(ask(runtime, name, row)[1] for _ in range(100))
    assert after == {"b": 100}
    # A variant of weight 0 still answers who asks for it by name.
    assert ask(runtime, name, row, TargetVariant="a")[1] == "a"

    cloudwatch = cloud.client("cloudwatch")
    wanted = {"a": share["a"] + 1, "b": share["b"] + 100}

    def statistics(namespace, metric, variant, what):
        points = cloudwatch.get_metric_statistics(
            Namespace=namespace, MetricName=metric,
            Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": variant}],
            StartTime=datetime.now(timezone.utc) - timedelta(minutes=10),
            EndTime=datetime.now(timezone.utc) + timedelta(minutes=1), Period=60, Statistics=[what],
        )["Datapoints"]
        return sum(point[what] for point in points)

    for variant, requests in wanted.items():
        wait_until(
            f"CloudWatch counts {requests} of {variant}",
            lambda: statistics("AWS/SageMaker", "Invocations", variant, "Sum") == requests, 30, every=0.2,
        )
        assert statistics("AWS/SageMaker", "Invocation4XXErrors", variant, "Sum") == 0
        assert statistics("AWS/SageMaker", "Invocation5XXErrors", variant, "Sum") == 0
        for metric in ("ModelLatency", "OverheadLatency"):
            assert statistics("AWS/SageMaker", metric, variant, "SampleCount") == requests
            assert 0 < statistics("AWS/SageMaker", metric, variant, "Sum") < requests * 1e6


def test_metrics_are_also_prometheus_ones(cloud, endpoint, runtime, held_out):
    import urllib3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    ask(runtime, endpoint, held_out[0][1], TargetVariant="xgboost")
    request = AWSRequest("GET", f"{cloud.url}/metrics")
    SigV4Auth(Credentials(cloud.access_key, cloud.secret_key), "sagemaker", cloud.region).add_auth(request)
    answer = urllib3.PoolManager().request("GET", request.url, headers=dict(request.headers))
    assert answer.status == 200, answer.data
    text = answer.data.decode()
    assert endpoint in text and 'variant="xgboost"' in text, text[:2000]


def test_clean_up_leaves_nothing(sm, runtime, models, held_out):
    settings = config(sm, {"only": (models["xgboost"], 1)})
    sm.create_endpoint(EndpointName=settings, EndpointConfigName=settings)
    settled(sm, settings)
    sm.delete_endpoint(EndpointName=settings)

    def gone():
        try:
            return sm.describe_endpoint(EndpointName=settings)["EndpointStatus"] != "Deleting" and None
        except ClientError as error:
            return error.response["Error"]

    error = wait_until("the endpoint is gone", gone)
    assert error["Code"] == "ValidationException" and error["Message"].startswith("Could not find endpoint"), error
    with pytest.raises(ClientError):
        ask(runtime, settings, held_out[0][1])
    sm.delete_endpoint_config(EndpointConfigName=settings)
    message = refused("ValidationException", sm.describe_endpoint_config, EndpointConfigName=settings)
    assert message.startswith("Could not find endpoint configuration")
