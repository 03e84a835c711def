"""The `strata` command itself, as an operator uses it beside a running cloud."""

import json
import shlex
import subprocess

import pytest
from jobs import finished, in_status, start


def test_env_is_for_eval(cloud):
    script = f'eval "$({shlex.quote(str(cloud.binary))} env)" && echo "$AWS_ENDPOINT_URL $AWS_ACCESS_KEY_ID $AWS_DEFAULT_REGION"'
    done = subprocess.run(["sh", "-c", script], env=cloud.environment | {"AWS_ENDPOINT_URL": ""}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [cloud.url, cloud.access_key, "us-east-1"]


def test_the_ledger_knows_every_operation(cloud, sm):
    ledger = json.loads(cloud.run("api", "sagemaker", "--json").stdout)
    text = json.dumps(ledger)
    missing = [name for name in sm.meta.service_model.operation_names if f'"{name}"' not in text]
    assert not missing, missing
    assert "DescribeTrainingJob" in cloud.run("api", "sagemaker", "--label", "real").stdout
    refused = cloud.run("api", "sagemaker", "--label", "refused").stdout
    assert "CreateNotebookInstance" in refused and "CreateTrainingJob" not in refused


def test_jobs_models_endpoints(cloud, trained, models, endpoint):
    job = trained["xgboost"]["TrainingJobName"]
    assert job in cloud.run("jobs", "ls").stdout
    assert "Completed" in cloud.run("jobs", "show", job).stdout
    assert json.loads(cloud.run("jobs", "show", job, "--json").stdout)["TrainingJobName"] == job
    assert models["xgboost"] in cloud.run("models", "ls").stdout
    assert endpoint in cloud.run("endpoints", "ls").stdout
    assert "xgboost" in cloud.run("endpoints", "show", endpoint).stdout
    wrong = cloud.run("jobs", "show", "nobody-made-this", check=False)
    assert wrong.returncode != 0 and "not found" in wrong.stderr and "Traceback" not in wrong.stderr


def test_logs_and_invoke(cloud, trained, endpoint, held_out, tmp_path):
    lines = cloud.run("logs", trained["xgboost"]["TrainingJobName"]).stdout
    assert "#011train-logloss" in lines or "\ttrain-logloss" in lines
    body = tmp_path / "row.csv"
    body.write_text(held_out[0][1])
    direct = cloud.run("invoke", endpoint, "--body", held_out[0][1], "--variant", "xgboost").stdout
    assert 0 <= float(direct) <= 1
    assert cloud.run("invoke", endpoint, "--body", f"@{body}", "--variant", "xgboost").stdout == direct
    wrong = cloud.run("invoke", endpoint, "--body", "1,2,3", "--variant", "xgboost", check=False)
    assert wrong.returncode != 0 and "30" in wrong.stderr


def test_stop_and_rm(cloud, sm, bucket):
    name = start(sm, bucket, "xgboost", "digits", objective="multi:softmax", num_class=10, num_round=100_000)
    in_status(sm, name, "Training")
    follow = subprocess.Popen([cloud.binary, "logs", name, "-f"], env=cloud.environment, stdout=subprocess.PIPE, text=True)
    assert follow.stdout.readline()  # lines come while it runs
    cloud.run("jobs", "stop", name)
    assert finished(sm, name)["TrainingJobStatus"] == "Stopped"
    follow.stdout.read()
    assert follow.wait(30) == 0  # and the following ends with the job
    cloud.run("jobs", "rm", name)
    assert name not in cloud.run("jobs", "ls", name).stdout


@pytest.mark.parametrize("command", [[], ["up"], ["env"], ["api"], ["jobs"], ["jobs", "stop"], ["models"], ["endpoints"], ["logs"], ["invoke"], ["doctor"]])
def test_help_is_there(cloud, command):
    text = cloud.run(*command, "--help").stdout
    assert text.splitlines()[0][:1].isupper() and "Usage:" in text and "TODO" not in text


def test_doctor_says_what_is_there(cloud):
    assert "xgboost" in cloud.run("doctor", check=False).stdout
    json.loads(cloud.run("doctor", "--json", check=False).stdout)


def test_without_a_cloud_it_says_how_to_start_one(cloud, tmp_path):
    done = subprocess.run(
        [cloud.binary, "jobs", "ls", "--data-dir", tmp_path / "nothing"],
        env={name: value for name, value in cloud.environment.items() if not name.startswith(("AWS_", "STRATA_"))},
        capture_output=True, text=True,
    )
    # Another cloud may listen on the usual port of this machine; then its answer is an error of its own.
    assert done.returncode != 0 and done.stderr, done
