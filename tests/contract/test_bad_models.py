"""Bad model data: said when the model is made where it can be, else by the endpoint; nothing is written outside."""

import gzip
import tarfile

import pytest
from jobs import IMAGES, ROLE, archive, config, fresh, model, refused, settled


@pytest.fixture
def store(s3, bucket, unique):
    """Stores model data; returns its URI."""

    def store(body):
        key = f"{unique('data')}/model.tar.gz"
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    return store


@pytest.fixture
def reason(sm, store):
    """Deploys model data that cannot be served; returns the endpoint's FailureReason."""

    def reason(body, image="xgboost"):
        name = fresh("bad")
        settings = config(sm, {"only": (model(sm, image, store(body)), 1)})
        sm.create_endpoint(EndpointName=name, EndpointConfigName=settings)
        endpoint = settled(sm, name, expect="Failed")
        sm.delete_endpoint(EndpointName=name)  # a failed endpoint can be removed
        return endpoint["FailureReason"]

    return reason


@pytest.fixture(scope="module")
def good(s3, trained):
    """The bytes of a good model.tar.gz."""
    bucket, key = trained["xgboost"]["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").split("/", 1)
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_the_good_archive_is_good(sm, runtime, store, good, held_out):
    """The others prove something only if this one passes."""
    from jobs import ask, deploy

    name = deploy(sm, {"only": (model(sm, "xgboost", store(good)), 1)})
    assert ask(runtime, name, held_out[0][1])[1] == "only"


def test_model_data_missing(sm, bucket):
    message = refused(
        "ValidationException", sm.create_model, ModelName=fresh("m"), ExecutionRoleArn=ROLE,
        PrimaryContainer={"Image": IMAGES["xgboost"], "ModelDataUrl": f"s3://{bucket}/not/here/model.tar.gz"},
    )
    assert message.startswith(f"Could not find model data at s3://{bucket}/not/here/model.tar.gz")


def test_model_data_removed_before_deployment(sm, s3, store, good):
    uri = store(good)
    settings = config(sm, {"only": (model(sm, "xgboost", uri), 1)})
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    s3.delete_object(Bucket=bucket, Key=key)
    name = fresh("bad")
    sm.create_endpoint(EndpointName=name, EndpointConfigName=settings)
    assert f"Could not find model data at {uri}" in settled(sm, name, expect="Failed")["FailureReason"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_model_data_truncated(reason, good, share):
    said = reason(good[: int(len(good) * share)])
    assert "truncated or damaged" in said, said


def test_model_data_damaged(reason, good):
    middle = len(good) // 2
    said = reason(good[:middle] + bytes(64) + good[middle + 64 :])
    assert "truncated or damaged" in said, said


def test_model_data_empty(reason):
    assert "empty" in reason(b"")


@pytest.mark.parametrize("body", [b"this is no archive at all" * 100, gzip.compress(b"neither is this" * 100), b"PK\x03\x04" + bytes(100)],
                         ids=["text", "gzip of text", "zip"])
def test_model_data_not_a_tar(reason, body):
    said = reason(body)
    assert "tar" in said and "valid tar.gz archive" in said, said


def test_tar_bomb_of_bytes(reason):
    """Some 300 MB of zeros in some 300 kB: given up before all of it is unpacked."""
    zeros = bytes(1 << 20)
    packed = archive({f"part-{i}": zeros for i in range(300)})
    assert len(packed) < 1_000_000
    assert "bytes when unpacked" in reason(packed)


def test_tar_bomb_of_entries(reason):
    header = tarfile.TarInfo("again").tobuf()
    assert "more than 100000 entries" in reason(gzip.compress(header * 120_000 + bytes(1024), 1))


def test_tar_with_a_path_upward(reason, cloud):
    said = reason(archive({"../../escaped.txt": b"out", "xgboost-model": b"{}"}))
    assert "leads outside" in said, said
    assert not list(cloud.folder.rglob("escaped.txt")) and not (cloud.folder.parent / "escaped.txt").exists()


def test_tar_with_an_absolute_path(reason, tmp_path):
    target = tmp_path / "escaped.txt"
    said = reason(archive({str(target): b"out"}))
    assert "leads outside" in said, said
    assert not target.exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["symbolic", "hard"])
def test_tar_with_a_link(reason, kind, tmp_path):
    said = reason(archive({link("xgboost-model", "/etc/passwd", kind): b""}))
    assert "link" in said and "only regular files" in said, said


def test_tar_that_writes_through_a_link(reason, tmp_path):
    said = reason(archive({link("out", str(tmp_path)): b"", "out/escaped.txt": b"out"}))
    assert "link" in said, said
    assert not (tmp_path / "escaped.txt").exists()


def test_tar_with_a_device(reason):
    device = tarfile.TarInfo("zero")
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 5
    assert "only regular files" in reason(archive({device: b""}))


def test_archive_without_a_model(reason):
    said = reason(archive({"readme.txt": b"hello"}))
    assert "xgboost-model" in said, said


@pytest.mark.parametrize("content", [b"", b"{}", b"not a model", b'{"learner": {"gradient_booster": {"name": "gbtree"}}}', b"\x80\x03c__builtin__\neval\n."],
                         ids=["empty", "no learner", "text", "half", "pickle"])
def test_model_file_that_is_no_model(reason, content):
    said = reason(archive({"xgboost-model": content}))
    assert "Failed to load the model" in said, said


def test_model_of_another_algorithm(reason, good):
    assert "linear-learner" in reason(good, "linear-learner")


def test_image_unknown(sm, trained):
    message = refused(
        "ValidationException", sm.create_model, ModelName=fresh("m"), ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": "my-own-thing:3", "ModelDataUrl": trained["xgboost"]["ModelArtifacts"]["S3ModelArtifacts"],
        },
    )
    assert "my-own-thing:3" in message and "xgboost" in message


def test_endpoint_config_naming_a_missing_model(sm):
    message = refused(
        "ValidationException", sm.create_endpoint_config, EndpointConfigName=fresh("c"),
        ProductionVariants=[{
            "VariantName": "v", "ModelName": "nobody-made-this", "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
        }],
    )
    assert message == 'Could not find model "arn:aws:sagemaker:us-east-1:123456789012:model/nobody-made-this".'


def test_endpoint_naming_a_missing_config(sm):
    message = refused(
        "ValidationException", sm.create_endpoint, EndpointName=fresh("e"), EndpointConfigName="nobody-made-this"
    )
    assert message == (
        'Could not find endpoint configuration "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/nobody-made-this".'
    )


def test_variants_of_one_name(sm, models):
    variant = {"VariantName": "v", "ModelName": models["xgboost"], "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    message = refused(
        "ValidationException", sm.create_endpoint_config, EndpointConfigName=fresh("c"),
        ProductionVariants=[variant, variant],
    )
    assert '"v" is used twice' in message


def test_a_variant_member_that_is_not_honoured(sm, models):
    message = refused(
        "ValidationException", sm.create_endpoint_config, EndpointConfigName=fresh("c"),
        ProductionVariants=[{
            "VariantName": "v", "ModelName": models["xgboost"],
            "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
        }],
    )
    assert "ServerlessConfig" in message and "not honoured" in message
