"""Updates under load: no request fails, and a model that does not load leaves the old one serving."""

import threading
import time

import pytest
from jobs import archive, ask, config, deploy, fresh, model, refused, settled, train


class Load:
    """Threads that invoke without pause; every failure is kept."""

    def __init__(self, cloud, endpoint, row, threads=4):
        self.answers, self.failures, self.stop = [], [], threading.Event()
        self.progress = threading.Condition()

        def work():
            runtime = cloud.client("sagemaker-runtime")
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    answer = ask(runtime, endpoint, row)
                except Exception as error:  # noqa: BLE001: any failure at all is what we look for
                    self.failures.append(repr(error))
                    return
                with self.progress:
                    self.answers.append((began, answer))
                    self.progress.notify_all()

        self.threads = [threading.Thread(target=work) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def more(self, count=100):
        """Waits for that many answers to requests sent from now on, and returns them."""
        now = time.monotonic()
        with self.progress:
            begin = len(self.answers)
            later = []

            def enough():
                later[:] = [answer for began, answer in self.answers[begin:] if began > now]
                return len(later) >= count or self.failures

            assert self.progress.wait_for(enough, 60) and not self.failures, self.failures
            return later


@pytest.fixture(scope="module")
def second(sm, bucket):
    """Another XGBoost model, with other answers."""
    job = train(sm, bucket, "xgboost", "breast-cancer", objective="binary:logistic", num_round=2, max_depth=2)
    return model(sm, "xgboost", job["ModelArtifacts"]["S3ModelArtifacts"])


@pytest.fixture
def broken(sm, s3, bucket, unique):
    key = f"{unique('broken')}/model.tar.gz"
    s3.put_object(Bucket=bucket, Key=key, Body=archive({"xgboost-model": b"not a model"}))
    return model(sm, "xgboost", f"s3://{bucket}/{key}")


def test_update_without_a_failed_request(cloud, sm, models, second, held_out):
    row = held_out[0][1]
    name = deploy(sm, {"old": (models["xgboost"], 1)})
    with Load(cloud, name, row) as load:
        first = set(load.more())
        for turn in range(3):
            target = config(sm, {"new": (second, 1)} if turn % 2 == 0 else {"old": (models["xgboost"], 1)})
            sm.update_endpoint(EndpointName=name, EndpointConfigName=target)
            described = settled(sm, name)
            assert described["EndpointConfigName"] == target
            seen = set(load.more())
            assert len(seen) == 1 and (seen != first) == (turn % 2 == 0), seen
    assert not load.failures
    assert {variant for _, (_, variant) in load.answers} == {"old", "new"}


def test_a_broken_model_leaves_the_old_one_serving(cloud, sm, models, broken, held_out):
    row = held_out[0][1]
    name = deploy(sm, {"old": (models["xgboost"], 1)})
    before = sm.describe_endpoint(EndpointName=name)
    with Load(cloud, name, row) as load:
        expected = set(load.more())
        sm.update_endpoint(EndpointName=name, EndpointConfigName=config(sm, {"new": (broken, 1)}))
        after = settled(sm, name)
        assert set(load.more()) == expected
    assert not load.failures
    assert after["EndpointConfigName"] == before["EndpointConfigName"]
    assert "Failed to load the model" in after["FailureReason"]
    assert [variant["VariantName"] for variant in after["ProductionVariants"]] == ["old"]


def test_one_good_and_one_broken_variant_change_nothing(sm, runtime, models, second, broken, held_out):
    name = deploy(sm, {"old": (models["xgboost"], 1)})
    sm.update_endpoint(
        EndpointName=name, EndpointConfigName=config(sm, {"good": (second, 1), "bad": (broken, 1)})
    )
    settled(sm, name)
    assert ask(runtime, name, held_out[0][1])[1] == "old"
    # And a good update afterwards takes over and clears the reason.
    sm.update_endpoint(EndpointName=name, EndpointConfigName=config(sm, {"good": (second, 1)}))
    assert "FailureReason" not in settled(sm, name)
    assert ask(runtime, name, held_out[0][1])[1] == "good"


def test_weights_move_under_load(cloud, sm, models, second, held_out):
    name = deploy(sm, {"a": (models["xgboost"], 1), "b": (second, 0)})
    with Load(cloud, name, held_out[0][1]) as load:
        assert {variant for _, variant in load.more()} == {"a"}
        for heavy, light in (("b", "a"), ("a", "b"), ("b", "a")):
            sm.update_endpoint_weights_and_capacities(
                EndpointName=name,
                DesiredWeightsAndCapacities=[
                    {"VariantName": heavy, "DesiredWeight": 1}, {"VariantName": light, "DesiredWeight": 0},
                ],
            )
            settled(sm, name)
            assert {variant for _, variant in load.more()} == {heavy}
    assert not load.failures


def test_delete_under_load_answers_or_says_gone(cloud, sm, models, held_out):
    name = deploy(sm, {"a": (models["xgboost"], 1)})
    with Load(cloud, name, held_out[0][1]) as load:
        load.more()
        sm.delete_endpoint(EndpointName=name)
        for thread in load.threads:
            thread.join(30)
    assert all("ValidationError" in failure and "not found" in failure for failure in load.failures), load.failures


def test_updates_name_what_is_wrong(sm, models):
    name = deploy(sm, {"a": (models["xgboost"], 1)})
    refused("ValidationException", sm.update_endpoint, EndpointName=name, EndpointConfigName="nobody-made-this")
    refused("ValidationException", sm.update_endpoint, EndpointName=fresh("nobody"), EndpointConfigName="c")
    message = refused(
        "ValidationException", sm.update_endpoint_weights_and_capacities, EndpointName=name,
        DesiredWeightsAndCapacities=[{"VariantName": "nobody", "DesiredWeight": 1}],
    )
    assert "nobody" in message
