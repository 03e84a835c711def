"""Every program in examples/ runs as a user would run it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.fixture(scope="module")
def examples(tmp_path_factory, data):
    """The programs with the data beside them, in a folder of their own."""
    folder = tmp_path_factory.mktemp("examples")
    for program in (ROOT / "examples").glob("*.py"):
        shutil.copy(program, folder)
    shutil.copytree(data, folder / "data")
    return folder


def run(program, environment):
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, f"{program.name}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_quickstart(cloud, examples, sm, s3):
    printed = run(examples / "quickstart.py", cloud.environment)
    shares = [int(share) for share in re.findall(r"answered (\d+) of 142", printed)]
    assert len(shares) == 4 and sum(shares[:2]) == 142 and shares[2:] == [0, 142], printed
    rows = re.findall(r"^ +(xgboost|linear-learner) +(\d+) % +\d+ +([\d.]+)%.* us", printed, re.M)
    assert [(name, weight) for name, weight, _ in rows] == [("xgboost", "90"), ("linear-learner", "10")], printed
    assert all(float(accuracy) > 93 for _, _, accuracy in rows), printed
    assert "us" in printed and "Done in" in printed
    # It cleans up after itself.
    name = re.search(r"endpoint (tumours-\d+) is InService", printed)[1]
    assert sm.list_endpoints(NameContains=name)["Endpoints"] == []
    assert sm.list_models(NameContains=name)["Models"] == []
    assert sm.list_endpoint_configs(NameContains=name)["EndpointConfigs"] == []
    assert f"{name}-bucket" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_data_come_with_provenance(data):
    text = (data / "PROVENANCE.md").read_text()
    files = sorted(data.glob("*/*.csv"))
    assert [path.parent.name for path in files[::2]] == ["breast-cancer", "diabetes", "digits", "wine"]
    for path in files:
        assert f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`" in text
        widths = {line.count(",") for line in path.read_text().splitlines()}
        assert len(widths) == 1 and path.read_bytes().endswith(b"\n")


def test_the_same_package_gives_the_same_bytes(data, tmp_path):
    subprocess.run([sys.executable, ROOT / "examples" / "make_data.py", tmp_path], check=True, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONHASHSEED": "7"})
    for path in data.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(data)).read_bytes(), path
