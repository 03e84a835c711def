"""Bad input to training: refused at once where that can be known, else a FailureReason a person can act on."""

import gzip

import pytest
from jobs import channel, failed, finished, refused, start, training_job

GOOD = {"objective": "binary:logistic", "num_round": 3}
LINEAR = {"predictor_type": "binary_classifier", "epochs": 2, "mini_batch_size": 10}


def rows(count=40, columns=3):
    """Rows that can be learned from: label first."""
    return [[i % 2, *((i * 7 + j) % 11 for j in range(columns))] for i in range(count)]


def csv(table):
    return "".join(",".join(map(str, row)) + "\n" for row in table)


@pytest.fixture
def put(s3, bucket, unique):
    """Stores a training file; returns its key."""

    def put(body):
        key = f"{unique('bad')}/train.csv"
        s3.put_object(Bucket=bucket, Key=key, Body=body if isinstance(body, bytes) else body.encode())
        return key

    return put


@pytest.fixture
def create(sm, bucket, unique):
    """Calls CreateTrainingJob that must be refused; returns the sentence."""

    def create(hyperparameters=None, algorithm="xgboost", channels=None, output=None, **more):
        if channels is None:
            channels = [channel("train", f"s3://{bucket}/breast-cancer/train.csv")]
        arguments = training_job(
            unique("job"), algorithm, channels, output or f"s3://{bucket}/output",
            GOOD if hyperparameters is None else hyperparameters, **more,
        )
        return refused("ValidationException", sm.create_training_job, status=400, **arguments)

    return create


def test_unknown_bucket(create):
    message = create(channels=[channel("train", "s3://nobody-has-this-bucket/train.csv")])
    assert 'No S3 objects found under S3 URL "s3://nobody-has-this-bucket/train.csv"' in message


def test_unknown_key(create, bucket):
    message = create(channels=[channel("train", f"s3://{bucket}/not/here")])
    assert f'No S3 objects found under S3 URL "s3://{bucket}/not/here"' in message


def test_unknown_output_bucket(create):
    assert "nobody-has-this-bucket" in create(output="s3://nobody-has-this-bucket/out")


def test_missing_channel(create, bucket):
    assert '"train"' in create(channels=[channel("validation", f"s3://{bucket}/breast-cancer/test.csv")])


def test_no_channels_at_all(sm, bucket, unique):
    arguments = training_job(unique("job"), "xgboost", [], f"s3://{bucket}/output", GOOD)
    del arguments["InputDataConfig"]
    assert '"train"' in refused("ValidationException", sm.create_training_job, status=400, **arguments)


def test_unknown_channel(create, bucket):
    uri = f"s3://{bucket}/breast-cancer/train.csv"
    assert '"trian"' in create(channels=[channel("train", uri), channel("trian", uri)])


def test_channel_given_twice(create, bucket):
    uri = f"s3://{bucket}/breast-cancer/train.csv"
    assert '"train" is given twice' in create(channels=[channel("train", uri), channel("train", uri)])


def test_content_type_that_the_algorithm_cannot_read(create, bucket):
    message = create(channels=[channel("train", f"s3://{bucket}/breast-cancer/train.csv", "image/png")])
    assert "image/png" in message and "text/csv" in message


@pytest.mark.parametrize("algorithm, hyperparameters, name, said", [
    ("xgboost", GOOD | {"eta": "1.5"}, "eta", "1.5"),
    ("xgboost", GOOD | {"subsample": "-0.1"}, "subsample", "-0.1"),
    ("xgboost", GOOD | {"num_round": "0"}, "num_round", "0"),
    ("xgboost", GOOD | {"num_round": "ten"}, "num_round", "ten"),
    ("xgboost", GOOD | {"eta": "nan"}, "eta", "nan"),
    ("xgboost", GOOD | {"booster": "forest"}, "booster", "forest"),
    ("xgboost", GOOD | {"objective": "binary:guess"}, "objective", "binary:guess"),
    ("linear-learner", LINEAR | {"epochs": "0"}, "epochs", "0"),
    ("linear-learner", LINEAR | {"predictor_type": "oracle"}, "predictor_type", "oracle"),
    ("linear-learner", LINEAR | {"learning_rate": "-1"}, "learning_rate", "-1"),
])
def test_hyperparameter_out_of_range(create, algorithm, hyperparameters, name, said):
    message = create(hyperparameters, algorithm)
    assert name in message and said in message


@pytest.mark.parametrize("algorithm, hyperparameters", [("xgboost", GOOD), ("linear-learner", LINEAR)])
def test_hyperparameter_unknown(create, algorithm, hyperparameters):
    assert "learning_rte" in create(hyperparameters | {"learning_rte": "0.1"}, algorithm)


@pytest.mark.parametrize("algorithm, hyperparameters, name", [
    ("xgboost", {"objective": "binary:logistic"}, "num_round"),
    ("xgboost", {"objective": "multi:softmax", "num_round": "3"}, "num_class"),
    ("linear-learner", {}, "predictor_type"),
    ("linear-learner", {"predictor_type": "multiclass_classifier"}, "num_classes"),
])
def test_hyperparameter_missing(create, algorithm, hyperparameters, name):
    assert name in create(hyperparameters, algorithm)


@pytest.mark.parametrize("image", [
    "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-own-thing:3", "no-such-algorithm", "a/b/c@sha256:12",
])
def test_image_unknown(create, image):
    message = create(algorithm=image)
    assert image in message and "xgboost" in message  # names what is possible


def test_no_image_at_all(create):
    create(AlgorithmSpecification={"TrainingInputMode": "File"})


@pytest.mark.parametrize("algorithm, hyperparameters", [("xgboost", GOOD), ("linear-learner", LINEAR)])
def test_csv_with_text(sm, bucket, put, algorithm, hyperparameters):
    table = rows()
    table[16][2] = "abc"
    reason = failed(sm, bucket, algorithm, put(csv(table)), **hyperparameters)
    assert 'channel "train", row 17, column 3: "abc" is not a number' in reason, reason
    assert reason.startswith(("AlgorithmError: ", "ClientError: "))


def test_csv_with_a_header_says_to_remove_it(sm, bucket, put):
    reason = failed(sm, bucket, "xgboost", put("label,a,b,c\n" + csv(rows())), **GOOD)
    assert 'channel "train", row 1, column 1: "label" is not a number' in reason and "header" in reason, reason


@pytest.mark.parametrize("algorithm, hyperparameters", [("xgboost", GOOD), ("linear-learner", LINEAR)])
def test_ragged_rows(sm, bucket, put, algorithm, hyperparameters):
    table = rows()
    table[4] = table[4][:-1]
    reason = failed(sm, bucket, algorithm, put(csv(table)), **hyperparameters)
    assert 'channel "train", row 5: has 3 columns, but 4 are expected' in reason, reason


@pytest.mark.parametrize("algorithm, hyperparameters", [("xgboost", GOOD), ("linear-learner", LINEAR)])
@pytest.mark.parametrize("body", ["", "\n\n"], ids=["no bytes", "blank lines"])
def test_empty_file(sm, bucket, put, algorithm, hyperparameters, body):
    reason = failed(sm, bucket, algorithm, put(body), **hyperparameters)
    assert 'channel "train" has no rows' in reason, reason


@pytest.mark.parametrize("algorithm, hyperparameters, label", [
    ("xgboost", GOOD, 2),
    ("xgboost", {"objective": "multi:softmax", "num_class": 2, "num_round": 2}, 7),
    ("linear-learner", LINEAR, 2),
    ("linear-learner", {"predictor_type": "multiclass_classifier", "num_classes": 3}, 7),
    ("linear-learner", {"predictor_type": "multiclass_classifier", "num_classes": 3}, 1.5),
])
def test_label_out_of_range(sm, bucket, put, algorithm, hyperparameters, label):
    table = rows()
    table[8][0] = label
    reason = failed(sm, bucket, algorithm, put(csv(table)), **hyperparameters)
    assert "label" in reason and str(label) in reason and "row 9" in reason, reason


def test_label_missing(sm, bucket, put):
    table = rows()
    table[2][0] = ""
    reason = failed(sm, bucket, "xgboost", put(csv(table)), **GOOD)
    assert 'channel "train", row 3, column 1' in reason and "label" in reason, reason


def test_gzip_that_is_cut_short(sm, bucket, put):
    packed = gzip.compress(csv(rows(5000)).encode())
    key = put(packed[: len(packed) // 2])
    source = channel("train", f"s3://{bucket}/{key}") | {"CompressionType": "Gzip"}
    name = start(sm, bucket, "xgboost", key, more={"InputDataConfig": [source]}, **GOOD)
    job = finished(sm, name)
    assert job["TrainingJobStatus"] == "Failed" and '"train"' in job["FailureReason"], job


def test_binary_rubbish_for_csv(sm, bucket, put):
    reason = failed(sm, bucket, "xgboost", put(bytes(range(256)) * 40), **GOOD)
    assert 'channel "train", row 1' in reason, reason


def test_a_manifest_that_is_no_manifest(sm, bucket, put):
    key = put("this is not JSON")
    source = channel("train", f"s3://{bucket}/{key}", S3DataType="ManifestFile")
    job = finished(sm, start(sm, bucket, "xgboost", key, more={"InputDataConfig": [source]}, **GOOD))
    assert job["TrainingJobStatus"] == "Failed" and "manifest" in job["FailureReason"].lower(), job


def test_members_that_would_change_the_result_are_refused(create):
    """Not honoured means not accepted."""
    assert "InstanceCount" in create(
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 3, "VolumeSizeInGB": 10}
    )
    assert "InstanceCount" in create(
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 0, "VolumeSizeInGB": 10}
    )


def test_the_failure_is_the_same_in_the_list(sm, bucket, put, unique):
    name = start(sm, bucket, "xgboost", put("1,a\n"), name=unique("failed"), **GOOD)
    assert finished(sm, name)["TrainingJobStatus"] == "Failed"
    (summary,) = sm.list_training_jobs(NameContains=name)["TrainingJobSummaries"]
    assert summary["TrainingJobStatus"] == "Failed"
    arguments = training_job(name, "xgboost", [channel("train", f"s3://{bucket}/wine/train.csv")],
                             f"s3://{bucket}/output", GOOD)
    refused("ResourceInUse", sm.create_training_job, status=400, **arguments)
