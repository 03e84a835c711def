"""The SageMaker Python SDK v2: Estimator, fit with logs, deploy, predict, delete."""

import boto3
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def session(cloud, bucket, monkeypatch, tmp_path):
    """An ordinary session. Region, role and bucket are given, since the SDK would ask the real STS for them."""
    settings = tmp_path / "config.yaml"
    settings.write_text("SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n")
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(settings))
    for name, value in cloud.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    import sagemaker

    return sagemaker.Session(boto_session=boto3.Session(region_name=cloud.region), default_bucket=bucket)


def test_estimator_fit_deploy_predict(session, bucket, held_out, capsys, sm):
    import sagemaker
    from sagemaker.deserializers import CSVDeserializer
    from sagemaker.inputs import TrainingInput
    from sagemaker.serializers import CSVSerializer

    image = sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1")
    estimator = sagemaker.estimator.Estimator(
        image_uri=image, role="arn:aws:iam::123456789012:role/strata", instance_count=1, instance_type="ml.m5.large",
        output_path=f"s3://{bucket}/sdk", sagemaker_session=session, base_job_name="sdk",
    )
    estimator.set_hyperparameters(objective="binary:logistic", num_round=30, max_depth=4, eta=0.3)
    train = TrainingInput(f"s3://{bucket}/breast-cancer/train.csv", content_type="text/csv")
    test = TrainingInput(f"s3://{bucket}/breast-cancer/test.csv", content_type="text/csv")
    estimator.fit({"train": train, "validation": test}, wait=True, logs="All")
    printed = capsys.readouterr().out
    assert "[0]#011train-logloss:" in printed or "[0]\ttrain-logloss:" in printed, printed[-3000:]
    assert "validation-logloss" in printed and "Training seconds:" in printed

    predictor = estimator.deploy(
        initial_instance_count=1, instance_type="ml.m5.large", serializer=CSVSerializer(), deserializer=CSVDeserializer(),
    )
    answer = predictor.predict("\n".join(features for _, features in held_out))
    scores = [float(cell) for row in answer for cell in row if cell]
    assert len(scores) == len(held_out)
    right = sum((score > 0.5) == label for score, (label, _) in zip(scores, held_out)) / len(held_out)
    assert right > 0.93
    one = predictor.predict([float(cell) for cell in held_out[0][1].split(",")])
    assert float(one[0][0]) == pytest.approx(scores[0])

    name = predictor.endpoint_name
    predictor.delete_model()
    predictor.delete_endpoint()
    with pytest.raises(sm.exceptions.ClientError, match="Could not find endpoint"):
        sm.describe_endpoint(EndpointName=name)


def test_a_failed_job_raises_with_its_reason(session, bucket, s3):
    import sagemaker
    from sagemaker.exceptions import UnexpectedStatusException
    from sagemaker.inputs import TrainingInput

    s3.put_object(Bucket=bucket, Key="sdk-bad/train.csv", Body=b"1,2\n0,x\n")
    estimator = sagemaker.estimator.Estimator(
        image_uri=sagemaker.image_uris.retrieve("xgboost", session.boto_region_name, "1.7-1"),
        role="arn:aws:iam::123456789012:role/strata", instance_count=1, instance_type="ml.m5.large",
        sagemaker_session=session, hyperparameters={"objective": "binary:logistic", "num_round": "2"},
    )
    with pytest.raises(UnexpectedStatusException, match="row 2, column 2"):
        estimator.fit({"train": TrainingInput(f"s3://{bucket}/sdk-bad/", content_type="text/csv")}, logs="None")
