"""Trains two models, puts both behind one endpoint, compares them on live traffic, moves the traffic.

An ordinary boto3 program. Where it runs is decided outside, by the usual variables:

    eval "$(strata env)"            # AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...
    python examples/quickstart.py

The data are 569 breast tumours, measured under a microscope, benign or malignant
(examples/make_data.py writes them, with their source).
"""

import json
import sys
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
from botocore.exceptions import ClientError

DATA = Path(__file__).parent / "data" / "breast-cancer"
NAME = f"tumours-{int(time.time())}"
BUCKET = f"{NAME}-bucket"
ROLE = "arn:aws:iam::123456789012:role/quickstart"
REGISTRY = "dkr.ecr.us-east-1.amazonaws.com"

ALGORITHMS = {
    "xgboost": {
        "image": f"683313688378.{REGISTRY}/sagemaker-xgboost:1.7-1",
        "hyperparameters": {"objective": "binary:logistic", "num_round": "60", "max_depth": "4", "eta": "0.2"},
        "weight": 90,
    },
    "linear-learner": {
        "image": f"382416733822.{REGISTRY}/linear-learner:1",
        "hyperparameters": {"predictor_type": "binary_classifier", "epochs": "40", "mini_batch_size": "32"},
        "weight": 10,
    },
}

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")
cloudwatch = boto3.client("cloudwatch")


def main():
    began = time.perf_counter()
    print(f"Cloud: {sagemaker.meta.endpoint_url}")
    try:
        with Step("Upload the data"):
            upload()
        with Step("Train two models at the same time"):
            train()
        with Step("Deploy both behind one endpoint, 90 to 10"):
            deploy()
        rows = [line.split(",", 1) for line in (DATA / "test.csv").read_text().splitlines()]
        with Step(f"Send the {len(rows)} held-out rows to the endpoint"):
            share = Counter(answer["variant"] for answer in send(rows))
            for variant in ALGORITHMS:
                print(f"      {variant} answered {share[variant]} of {len(rows)}")
        with Step("Ask each variant for every row and compare"):
            answers = {variant: send(rows, TargetVariant=variant) for variant in ALGORITHMS}
            compare(share, answers)
        with Step("Move all traffic to linear-learner"):
            move_traffic({"xgboost": 0, "linear-learner": 100})
            share = Counter(answer["variant"] for answer in send(rows))
            for variant in ALGORITHMS:
                print(f"      {variant} answered {share[variant]} of {len(rows)}")
            if share["linear-learner"] != len(rows):
                sys.exit("some requests were still answered by xgboost")
    finally:
        with Step("Clean up"):
            clean_up()
    print(f"\nDone in {time.perf_counter() - began:.1f} s.")


def upload():
    """Four fifths of the training file to learn from, one fifth to validate on."""
    rows = (DATA / "train.csv").read_text().splitlines(keepends=True)
    cut = len(rows) * 4 // 5
    s3.create_bucket(Bucket=BUCKET)
    for channel, part in (("train", rows[:cut]), ("validation", rows[cut:])):
        s3.put_object(Bucket=BUCKET, Key=f"{channel}/rows.csv", Body="".join(part).encode())
        print(f"      s3://{BUCKET}/{channel}/rows.csv: {len(part)} rows")


def train():
    for algorithm, plan in ALGORITHMS.items():
        sagemaker.create_training_job(
            TrainingJobName=f"{NAME}-{algorithm}",
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": plan["image"], "TrainingInputMode": "File"},
            HyperParameters=plan["hyperparameters"],
            InputDataConfig=[
                {
                    "ChannelName": channel,
                    "ContentType": "text/csv",
                    "DataSource": {
                        "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{channel}/"}
                    },
                }
                for channel in ("train", "validation")
            ],
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/models"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
    running = {algorithm: None for algorithm in ALGORITHMS}  # the last status seen
    began = time.perf_counter()
    while running:
        for algorithm in list(running):
            job = sagemaker.describe_training_job(TrainingJobName=f"{NAME}-{algorithm}")
            if job["SecondaryStatus"] != running[algorithm]:
                running[algorithm] = job["SecondaryStatus"]
                print(f"      {time.perf_counter() - began:5.1f} s  {algorithm}: {job['SecondaryStatus']}", flush=True)
            if job["TrainingJobStatus"] == "Failed":
                sys.exit(f"{algorithm} failed: {job['FailureReason']}")
            if job["TrainingJobStatus"] == "Completed":
                del running[algorithm]
                for metric in job.get("FinalMetricDataList", []):
                    if metric["MetricName"].startswith("validation:"):
                        print(f"               {metric['MetricName']} = {metric['Value']:.4g}")
        time.sleep(0.1)


def deploy():
    for algorithm, plan in ALGORITHMS.items():
        job = sagemaker.describe_training_job(TrainingJobName=f"{NAME}-{algorithm}")
        sagemaker.create_model(
            ModelName=f"{NAME}-{algorithm}",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"Image": plan["image"], "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]},
        )
    sagemaker.create_endpoint_config(
        EndpointConfigName=NAME,
        ProductionVariants=[
            {
                "VariantName": algorithm,
                "ModelName": f"{NAME}-{algorithm}",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
                "InitialVariantWeight": plan["weight"],
            }
            for algorithm, plan in ALGORITHMS.items()
        ],
    )
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    print(f"      endpoint {NAME} is {wait_for_endpoint()}")


def wait_for_endpoint():
    while True:
        endpoint = sagemaker.describe_endpoint(EndpointName=NAME)
        if endpoint["EndpointStatus"] == "InService":
            return "InService"
        if endpoint["EndpointStatus"] == "Failed":
            sys.exit(f"the endpoint failed: {endpoint['FailureReason']}")
        time.sleep(0.05)


def send(rows, **target):
    """Sends every row, one request each; returns who answered, how right, and how fast."""
    answers = []
    for label, features in rows:
        began = time.perf_counter()
        reply = runtime.invoke_endpoint(
            EndpointName=NAME, ContentType="text/csv", Accept="application/json", Body=features, **target
        )
        body = json.load(reply["Body"])
        seconds = time.perf_counter() - began
        prediction = body["predictions"][0]
        guess = prediction.get("predicted_label", prediction["score"] > 0.5)
        answers.append(
            {"variant": reply["InvokedProductionVariant"], "right": int(guess) == int(label), "seconds": seconds}
        )
        progress(len(answers), len(rows))
    return answers


def compare(share, answers):
    print()
    print("      variant          weight   answered   accuracy   client p50       p99   in the cloud: mean       max")
    for variant, plan in ALGORITHMS.items():
        seconds = sorted(answer["seconds"] for answer in answers[variant])
        right = sum(answer["right"] for answer in answers[variant]) / len(answers[variant])
        cloud = model_latency(variant, share[variant] + len(seconds))
        print(
            f"      {variant:<15} {plan['weight']:>6} % {share[variant]:>10} {right:>9.1%}"
            f" {quantile(seconds, 0.50) * 1e3:>9.2f} ms {quantile(seconds, 0.99) * 1e3:>6.2f} ms"
            f" {cloud['mean']:>18.0f} us {cloud['max']:>6.0f} us"
        )
    print()


def model_latency(variant, requests):
    """What CloudWatch says of the time inside the model; waits until all `requests` are counted."""
    give_up = time.monotonic() + 30
    while True:
        now = datetime.now(timezone.utc)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName="ModelLatency",
            Dimensions=[
                {"Name": "EndpointName", "Value": NAME},
                {"Name": "VariantName", "Value": variant},
            ],
            StartTime=now - timedelta(minutes=30),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["SampleCount", "Sum", "Maximum"],
        )["Datapoints"]
        count = sum(point["SampleCount"] for point in points)
        if count >= requests:
            mean = sum(point["Sum"] for point in points) / count
            return {"mean": mean, "max": max(point["Maximum"] for point in points)}
        if time.monotonic() > give_up:
            sys.exit(f"CloudWatch counts {count:.0f} of {requests} requests to {variant}")
        time.sleep(0.25)


def move_traffic(weights):
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=NAME,
        DesiredWeightsAndCapacities=[
            {"VariantName": variant, "DesiredWeight": weight} for variant, weight in weights.items()
        ],
    )
    wait_for_endpoint()


def clean_up():
    """Removes whatever there is, also after a failure half-way."""
    attempt("endpoint", lambda: sagemaker.delete_endpoint(EndpointName=NAME))
    attempt("configuration", lambda: sagemaker.delete_endpoint_config(EndpointConfigName=NAME))
    for algorithm in ALGORITHMS:
        attempt(f"{algorithm} model", lambda: sagemaker.delete_model(ModelName=f"{NAME}-{algorithm}"))
    attempt("bucket and what it holds", empty_and_delete_bucket)


def empty_and_delete_bucket():
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        for item in page.get("Contents", []):
            s3.delete_object(Bucket=BUCKET, Key=item["Key"])
    s3.delete_bucket(Bucket=BUCKET)


def attempt(what, remove):
    try:
        remove()
        print(f"      {what}: removed")
    except ClientError as error:
        print(f"      {what}: {error}")


class Step:
    """Prints a title at the start and the time at the end."""

    count = 0

    def __init__(self, title):
        self.title = title

    def __enter__(self):
        Step.count += 1
        self.began = time.perf_counter()
        print(f"\n[{Step.count}] {self.title}", flush=True)

    def __exit__(self, failure, *_):
        print(f"      {'failed' if failure else 'ok'} after {time.perf_counter() - self.began:.2f} s", flush=True)


def progress(done, total):
    """A bar on a terminal, nothing in a file."""
    if sys.stdout.isatty():
        bar = "#" * (30 * done // total)
        end = "\r\033[K" if done == total else ""
        print(f"\r      [{bar:<30}] {done}/{total}{end}", end="", flush=True)


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
