"""Bad input to an endpoint: the caller learns what was wrong with which row, the next request is answered."""

import pytest
from botocore.exceptions import ClientError
from jobs import ask


@pytest.fixture(autouse=True)
def next_one_is_answered(runtime, endpoint, held_out):
    yield
    assert ask(runtime, endpoint, held_out[0][1], TargetVariant="xgboost")[1] == "xgboost"


@pytest.fixture
def error(runtime, endpoint):
    """Invokes, which must fail; returns the whole error answer."""

    def error(body, content_type="text/csv", name=endpoint, **arguments):
        with pytest.raises(ClientError) as caught:
            ask(runtime, name, body, content_type, **arguments)
        return caught.value.response

    return error


def model_error(answer, status):
    """The model refused: 424 with the model's own status and words."""
    assert answer["Error"]["Code"] == "ModelError", answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == status
    assert answer["Error"]["Message"].startswith(f"Received client error ({status}) from primary with message ")
    assert answer["OriginalMessage"] in answer["Error"]["Message"]
    return answer["OriginalMessage"]


@pytest.mark.parametrize("variant", ["xgboost", "linear-learner"])
def test_wrong_content_type(error, variant):
    assert "image/png" in model_error(error(b"\x89PNG", "image/png", TargetVariant=variant), 415)


@pytest.mark.parametrize("variant", ["xgboost", "linear-learner"])
@pytest.mark.parametrize("count", [1, 29, 31])
def test_wrong_number_of_features(error, variant, count):
    said = model_error(error(",".join(["1"] * count), TargetVariant=variant), 400)
    assert f"row 1 has {count} features, the model needs 30" in said


@pytest.mark.parametrize("variant", ["xgboost", "linear-learner"])
def test_second_row_is_short(error, variant):
    said = model_error(error(",".join(["1"] * 30) + "\n" + ",".join(["1"] * 12), TargetVariant=variant), 400)
    assert "row 2 has 12 features" in said


@pytest.mark.parametrize("variant", ["xgboost", "linear-learner"])
def test_text_for_a_number(error, variant):
    said = model_error(error(",".join(["1"] * 4 + ["abc"] + ["1"] * 25), TargetVariant=variant), 400)
    assert 'row 1, column 5: "abc" is not a number' in said


@pytest.mark.parametrize("variant", ["xgboost", "linear-learner"])
def test_no_rows(error, variant):
    assert "no rows" in model_error(error(b"\n", TargetVariant=variant), 400)


@pytest.mark.parametrize("body", ["{", "[]", '{"instances": 3}', '{"instances": [{"features": ["a"]}]}', "[" * 50_000])
def test_json_of_the_wrong_shape(error, body):
    model_error(error(body, "application/json", TargetVariant="linear-learner"), 400)


def test_accept_that_no_model_can_give(error, held_out):
    answer = error(held_out[0][1], Accept="video/mp4", TargetVariant="linear-learner")
    assert answer["Error"]["Code"] == "ModelError" and "video/mp4" in answer["OriginalMessage"], answer


def test_seven_megabytes(error):
    answer = error(b"1" * 7_000_000)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 413, answer


def test_six_megabytes_are_read(runtime, endpoint, held_out):
    """6,291,456 bytes is the limit, and what is within it is answered."""
    row = held_out[0][1] + "\n"
    count = 6_000_000 // len(row)
    answer, _ = ask(runtime, endpoint, (row * count).encode(), TargetVariant="xgboost")
    assert len(answer.replace(b"\n", b",").strip(b",").split(b",")) == count


def test_missing_endpoint(error):
    answer = error("1", name="nobody-made-this")
    assert answer["Error"]["Code"] == "ValidationError", answer
    assert answer["Error"]["Message"] == "Endpoint nobody-made-this of account 123456789012 not found."


def test_unknown_target_variant(error, held_out):
    answer = error(held_out[0][1], TargetVariant="nobody")
    assert answer["Error"]["Code"] == "ValidationError" and "nobody" in answer["Error"]["Message"], answer


def test_a_header_that_is_not_honoured(error, held_out):
    answer = error(held_out[0][1], TargetModel="other.tar.gz")
    assert answer["Error"]["Code"] == "ValidationError" and "not honoured" in answer["Error"]["Message"], answer


def test_custom_attributes_and_inference_ids_are_taken(runtime, endpoint, held_out):
    reply = runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="text/csv", Body=held_out[0][1], CustomAttributes="trace=1",
        InferenceId="id-1", TargetVariant="xgboost",
    )
    assert reply["ContentType"].startswith("text/csv")


def test_answers_as_asked_for(runtime, endpoint, held_out):
    """CSV by default for XGBoost, JSON by default for Linear Learner, either by Accept."""
    row = held_out[0][1]

    def reply(variant, accept=None):
        more = {"Accept": accept} if accept else {}
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="text/csv", Body=row, TargetVariant=variant, **more
        )
        return answer["ContentType"].split(";")[0], answer["Body"].read()

    kind, body = reply("xgboost")
    assert kind == "text/csv" and 0 <= float(body) <= 1
    kind, body = reply("xgboost", "application/json")
    assert kind == "application/json" and body.startswith(b'{"predictions"')
    kind, body = reply("linear-learner")
    assert kind == "application/json" and b'"predicted_label"' in body
    kind, body = reply("linear-learner", "text/csv")
    assert kind == "text/csv" and b"predict" not in body


def test_features_as_json_and_libsvm_mean_the_same(runtime, endpoint, held_out):
    import json

    cells = held_out[0][1].split(",")
    csv, _ = ask(runtime, endpoint, held_out[0][1], TargetVariant="xgboost")
    libsvm = " ".join(f"{i}:{cell}" for i, cell in enumerate(cells))
    assert float(ask(runtime, endpoint, libsvm, "text/libsvm", TargetVariant="xgboost")[0]) == float(csv)

    def score(body, content_type):
        answer, _ = ask(runtime, endpoint, body, content_type, TargetVariant="linear-learner", Accept="application/json")
        return json.loads(answer)["predictions"][0]["score"]

    as_json = json.dumps({"instances": [{"features": [float(cell) for cell in cells]}]})
    assert score(as_json, "application/json") == score(held_out[0][1], "text/csv")
