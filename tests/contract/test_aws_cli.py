"""The AWS CLI, unchanged: only its environment says where the cloud is."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

AWS = Path(sys.executable).parent / "aws"
pytestmark = pytest.mark.skipif(not AWS.exists(), reason=f"{AWS} is not installed")


@pytest.fixture(scope="module")
def aws(cloud):
    def aws(*arguments, code=0):
        done = subprocess.run([AWS, *arguments], env=cloud.environment, capture_output=True, text=True, timeout=90)
        assert done.returncode == code, f"aws {' '.join(map(str, arguments))}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    return aws


def test_who_am_i(aws):
    assert json.loads(aws("sts", "get-caller-identity"))["Account"] == "123456789012"


def test_s3_copies_lists_and_syncs(aws, unique, tmp_path, data):
    bucket = unique("cli")
    aws("s3", "mb", f"s3://{bucket}")
    file = data / "wine" / "train.csv"
    aws("s3", "cp", file, f"s3://{bucket}/a/wine.csv")
    listing = aws("s3", "ls", f"s3://{bucket}/a/")
    assert "wine.csv" in listing and str(file.stat().st_size) in listing
    assert "PRE a/" in aws("s3", "ls", f"s3://{bucket}")
    aws("s3", "cp", f"s3://{bucket}/a/wine.csv", tmp_path / "back.csv")
    assert (tmp_path / "back.csv").read_bytes() == file.read_bytes()

    aws("s3", "sync", data, f"s3://{bucket}/all")
    aws("s3", "sync", f"s3://{bucket}/all", tmp_path / "all")
    files = sorted(path.relative_to(data) for path in data.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "all") for path in (tmp_path / "all").rglob("*") if path.is_file())
    assert all((tmp_path / "all" / path).read_bytes() == (data / path).read_bytes() for path in files)
    assert aws("s3", "sync", data, f"s3://{bucket}/all").strip() == ""  # nothing left to do

    aws("s3", "mv", f"s3://{bucket}/a/wine.csv", f"s3://{bucket}/b/wine.csv")
    aws("s3", "rb", "--force", f"s3://{bucket}")
    assert bucket not in aws("s3", "ls")


def test_large_files_go_up_in_parts(aws, unique, tmp_path):
    bucket = unique("cli")
    aws("s3", "mb", f"s3://{bucket}")
    large = tmp_path / "large.bin"
    block = bytes(range(256)) * 4096
    large.write_bytes(block * 20 + b"end")  # 20 MiB: above the 8 MiB from which the CLI uses parts
    aws("s3", "cp", large, f"s3://{bucket}/large.bin")
    aws("s3", "cp", f"s3://{bucket}/large.bin", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == large.read_bytes()
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "large.bin"))
    assert head["ETag"].endswith('-3"')


def test_presigned_addresses_need_no_key(aws, s3, bucket, data):
    address = aws("s3", "presign", f"s3://{bucket}/wine/train.csv", "--expires-in", "60").strip()
    assert urllib.request.urlopen(address, timeout=10).read() == (data / "wine" / "train.csv").read_bytes()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address.replace("wine/train", "digits/train"), timeout=10)
    assert refused.value.code == 403


def test_sagemaker_lists_and_waits(aws, trained, endpoint):
    listed = json.loads(aws("sagemaker", "list-training-jobs", "--max-items", "100"))
    names = {job["TrainingJobName"] for job in listed["TrainingJobSummaries"]}
    assert {job["TrainingJobName"] for job in trained.values()} <= names
    aws("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", endpoint)
    name = trained["xgboost"]["TrainingJobName"]
    aws("sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", name)


def test_an_endpoint_is_invoked(aws, endpoint, held_out, tmp_path):
    reply = aws(
        "sagemaker-runtime", "invoke-endpoint", "--endpoint-name", endpoint, "--content-type", "text/csv",
        "--body", held_out[0][1], "--target-variant", "xgboost",
        tmp_path / "answer",
    )
    assert json.loads(reply)["InvokedProductionVariant"] == "xgboost"
    assert 0 <= float((tmp_path / "answer").read_text()) <= 1


def test_logs_are_read(aws, trained):
    name = trained["xgboost"]["TrainingJobName"]
    found = json.loads(aws(
        "logs", "filter-log-events", "--log-group-name", "/aws/sagemaker/TrainingJobs",
        "--log-stream-name-prefix", name, "--limit", "5",
    ))
    assert found["events"]


def test_errors_are_readable(aws):
    said = aws("sagemaker", "describe-endpoint", "--endpoint-name", "nobody-made-this", code=255)
    assert "Could not find endpoint" in said
