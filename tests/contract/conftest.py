"""The real binary under real clients: starts a cloud for the session and hands out clients.

    cargo build && .venv/bin/python -m pytest tests/contract

STRATA_BIN names another binary. Nothing is mocked, and nothing sleeps for luck: `wait_until`
and botocore's waiters look until what they wait for is there.
"""

import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

# Before boto3: the caller's own account must not leak into the tests.
for variable in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[variable]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull

from clouds import Cloud  # noqa: E402
from jobs import IMAGES, deploy, model, train  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def binary():
    """$STRATA_BIN, else target/debug/strata, built where it is missing."""
    named = os.environ.get("STRATA_BIN")
    path = Path(named) if named else Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "strata"
    path = (ROOT / path).absolute()
    if not path.exists() and not named:
        subprocess.run(["cargo", "build", "--package", "strata"], cwd=ROOT, check=True)
    assert path.exists(), f"{path} does not exist: build it with `cargo build`, or set STRATA_BIN"
    return path


@pytest.fixture(scope="session")
def cloud(binary):
    """The cloud that most tests share."""
    with tempfile.TemporaryDirectory(prefix="strata-contract-") as folder:
        with Cloud(binary, folder) as cloud:
            yield cloud


@pytest.fixture
def own_cloud(binary, tmp_path):
    """A cloud of this test's own, for tests that kill it."""
    with Cloud(binary, tmp_path / "data") as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def still_answering(request):
    """Whatever a test does, the same process must answer after it."""
    yield
    if "cloud" in request.fixturenames:
        cloud = request.getfixturevalue("cloud")
        assert cloud.process.poll() is None, f"the cloud ended with {cloud.process.returncode}:\n{cloud.log_tail()}"
        assert cloud.healthy(), f"the cloud does not answer:\n{cloud.log_tail()}"


@pytest.fixture(scope="session")
def client(cloud):
    """client("sagemaker", ...): a boto3 client of the shared cloud. Retries are off, so that no error hides."""
    return cloud.client


@pytest.fixture(scope="session")
def s3(cloud):
    return cloud.client("s3")


@pytest.fixture(scope="session")
def sm(cloud):
    return cloud.client("sagemaker")


@pytest.fixture(scope="session")
def runtime(cloud):
    return cloud.client("sagemaker-runtime")


@pytest.fixture
def unique():
    """unique("job") -> "job-3f2a...": names that no other test uses."""
    return lambda prefix="it": f"{prefix}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The folder that examples/make_data.py writes."""
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([sys.executable, ROOT / "examples" / "make_data.py", folder], check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture(scope="session")
def bucket(s3, data):
    """A bucket with the data sets under their names: s3://BUCKET/breast-cancer/train.csv ..."""
    name = f"contract-{uuid.uuid4().hex[:10]}"
    s3.create_bucket(Bucket=name)
    for path in data.glob("*/*.csv"):
        s3.put_object(Bucket=name, Key=f"{path.parent.name}/{path.name}", Body=path.read_bytes())
    return name


@pytest.fixture(scope="session")
def trained(sm, bucket):
    """One finished job for each algorithm on breast cancer: {"xgboost": description, "linear-learner": ...}."""
    return {
        "xgboost": train(
            sm, bucket, "xgboost", "breast-cancer", objective="binary:logistic", num_round=40, max_depth=4, eta=0.2
        ),
        "linear-learner": train(
            sm, bucket, "linear-learner", "breast-cancer",
            predictor_type="binary_classifier", epochs=40, mini_batch_size=32,
        ),
    }


@pytest.fixture(scope="session")
def models(sm, trained):
    """A model of each: {"xgboost": name, "linear-learner": name}."""
    return {
        algorithm: model(sm, IMAGES[algorithm], job["ModelArtifacts"]["S3ModelArtifacts"])
        for algorithm, job in trained.items()
    }


@pytest.fixture(scope="session")
def endpoint(sm, models):
    """An endpoint with variants `xgboost` (weight 9) and `linear-learner` (weight 1), for tests that only ask it."""
    return deploy(sm, {"xgboost": (models["xgboost"], 9), "linear-learner": (models["linear-learner"], 1)})


@pytest.fixture(scope="session")
def held_out(data):
    """The held-out rows of breast cancer: [(label, "features,as,csv"), ...]."""
    lines = (data / "breast-cancer" / "test.csv").read_text().splitlines()
    return [(int(label), features) for label, features in (line.split(",", 1) for line in lines)]


@pytest.fixture
def shared_data():
    """Larger real data sets that lie beside a developer's checkout; tests that want them skip without."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder
