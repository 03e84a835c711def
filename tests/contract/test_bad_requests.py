"""Bad input at the door: a clear error, quickly, and the cloud goes on (`still_answering` looks after each)."""

import json
import socket
import time

import pytest
from wires import call, send

LIST = "ListTrainingJobs"


def test_the_hand_made_request_is_good(cloud):
    """The others prove something only if this one passes."""
    answer = call(cloud, LIST)
    assert answer.status == 200 and "TrainingJobSummaries" in json.loads(answer.body), answer
    assert answer.headers["x-amzn-requestid"]


def test_wrong_signature(cloud):
    answer = call(cloud, LIST, secret="not the secret")
    assert answer.status == 403
    code, message = answer.error
    assert code == "InvalidSignatureException"
    assert message.startswith("The request signature we calculated does not match the signature you provided.")


def test_wrong_signature_on_s3(cloud):
    answer = send(cloud, b"", method="GET", service="s3", secret="not the secret")
    assert answer.status == 403 and b"<Code>SignatureDoesNotMatch</Code>" in answer.body, answer


def test_body_changed_after_signing(cloud):
    from wires import headers_for

    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"SageMaker.{LIST}"}
    signed = headers_for(cloud, "POST", cloud.url + "/", b"{}", headers)
    answer = send(cloud, b'{"MaxResults": 1}', signed, sign=False)
    assert answer.status == 403 and answer.error[0] == "InvalidSignatureException", answer


def test_unknown_key(cloud):
    answer = call(cloud, LIST, key="AKIANOBODYKNOWSTHIS0")
    assert answer.status == 403 and answer.error == (
        "UnrecognizedClientException", "The security token included in the request is invalid.",
    ), answer


def test_unknown_key_on_s3(cloud):
    answer = send(cloud, b"", method="GET", service="s3", key="AKIANOBODYKNOWSTHIS0")
    assert answer.status == 403 and b"<Code>InvalidAccessKeyId</Code>" in answer.body, answer


def test_no_signature(cloud):
    answer = call(cloud, LIST, sign=False)
    assert answer.status == 403 and answer.error[0] == "MissingAuthenticationTokenException", answer


@pytest.mark.parametrize("minutes", [-16, 16])
def test_clock_skew_beyond_fifteen_minutes(cloud, minutes):
    answer = call(cloud, LIST, minutes=minutes)
    code, message = answer.error
    assert answer.status == 403 and code == "InvalidSignatureException", answer
    assert "Signature expired" in message if minutes < 0 else "Signature not yet current" in message


@pytest.mark.parametrize("minutes", [-14, 14])
def test_clock_skew_within_fifteen_minutes(cloud, minutes):
    assert call(cloud, LIST, minutes=minutes).status == 200


@pytest.mark.parametrize("authorization", [
    "", "AWS4-HMAC-SHA256", "Bearer abc", "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=, Signature=",
    "AWS4-HMAC-SHA256 " + "x" * 5000,
])
def test_mangled_authorization(cloud, authorization):
    answer = call(cloud, LIST, headers={"authorization": authorization}, sign=False)
    assert answer.status in (400, 403), answer
    assert answer.error[0] in ("IncompleteSignatureException", "MissingAuthenticationTokenException"), answer


def test_any_region_in_a_signature_is_accepted(cloud):
    listed = cloud.client("sagemaker", region_name="eu-central-1").list_models(MaxResults=1)
    assert "Models" in listed


@pytest.mark.parametrize("body", ["{", "", "[]", '"text"', "null", '{"MaxResults": 1', "{'MaxResults': 1}", "\x00"])
def test_malformed_json(cloud, body):
    answer = call(cloud, "DescribeModel", body=body)
    assert answer.status == 400, answer
    assert answer.error[0] in ("SerializationException", "ValidationException"), answer


def test_a_member_of_the_wrong_type(cloud):
    answer = call(cloud, LIST, {"MaxResults": "many"})
    assert answer.status == 400 and answer.error[0] == "SerializationException", answer


@pytest.mark.parametrize("body", ["[" * 100_000, '{"a":' * 100_000, '{"NameContains":' + "[" * 5000 + "]" * 5000 + "}"])
def test_deep_nesting(cloud, body):
    began = time.monotonic()
    answer = call(cloud, LIST, body=body)
    assert answer.status == 400 and answer.error[0] in ("SerializationException", "ValidationException"), answer
    assert time.monotonic() - began < 5


def test_bytes_that_are_not_text(cloud):
    answer = call(cloud, LIST, body=b'{"NameContains": "\xff\xfe"}')
    assert answer.status == 400 and answer.error[0] == "SerializationException", answer


def test_unknown_operation(cloud):
    answer = call(cloud, "MakeCoffee")
    assert answer.status in (400, 404) and answer.error[0] == "UnknownOperationException", answer


def test_unknown_service_target(cloud):
    answer = call(cloud, "DoThings", target="CoffeeMachine_20990101", service="coffee")
    assert 400 <= answer.status < 500, answer
    assert answer.error[0] == "UnknownOperationException", answer


def test_an_operation_that_is_not_done_here_says_so(cloud, sm):
    """Refused by name, never pretended; the ledger lists it as refused."""
    answer = call(cloud, "CreateNotebookInstance", {
        "NotebookInstanceName": "n", "InstanceType": "ml.t3.medium", "RoleArn": "arn:aws:iam::123456789012:role/r",
    })
    code, message = answer.error
    assert answer.status == 400 and code not in ("InternalFailure", "UnknownOperationException"), answer
    assert "CreateNotebookInstance" in message, answer


def test_wrong_content_type(cloud):
    answer = call(cloud, LIST, headers={"content-type": "text/plain"})
    assert 400 <= answer.status < 500, answer


def test_oversized_control_plane_body(cloud):
    began = time.monotonic()
    try:
        answer = call(cloud, LIST, body='{"NameContains": "' + "x" * 40_000_000 + '"}')
        assert answer.status in (400, 413), answer
    except Exception as error:  # the cloud may also close the connection instead of reading on
        assert "roken pipe" in str(error) or "reset" in str(error), error
    assert time.monotonic() - began < 10


def test_a_body_that_claims_more_than_it_sends(cloud):
    """The connection is dropped by us in the middle: the cloud must not wait for the rest for ever."""
    host, port = cloud.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")


@pytest.mark.parametrize("bytes_", [
    b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
], ids=["version", "tls", "long-path", "negative-length", "many-headers", "bad-chunk"])
def test_bytes_that_are_not_http(cloud, bytes_):
    host, port = cloud.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(bytes_)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        except OSError:  # hung up on us, which is an answer too
            return
    assert not answer or answer.split(b" ")[1].startswith(b"4") or answer.startswith(b"HTTP/1.1 505"), answer[:200]


@pytest.mark.parametrize("path", ["/nowhere", "/endpoints", "/endpoints//invocations", "/endpoints/a/b/c", "/%00", "/../../etc/passwd"])
def test_paths_that_lead_nowhere(cloud, path):
    answer = send(cloud, b"", path=path)
    assert 400 <= answer.status < 500, answer


def test_health_needs_no_key_and_says_nothing_more(cloud):
    answer = send(cloud, b"", method="GET", path="/healthz", sign=False)
    assert answer.status == 200 and len(answer.body) < 200
