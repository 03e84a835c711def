"""Requests by hand, for what no SDK would send: signed as asked, bytes as given."""

import json
from datetime import datetime, timedelta, timezone
from unittest import mock

import botocore.auth
import urllib3
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_pool = urllib3.PoolManager(retries=False, timeout=30)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def error(self):
        """(code, message) of an error in a JSON protocol."""
        document = json.loads(self.body)
        code = document.get("__type") or document.get("code") or self.headers.get("x-amzn-errortype") or ""
        return code.split("#")[-1].split(":")[0], document.get("message") or document.get("Message")

    def __repr__(self):
        return f"{self.status} {dict(self.headers)} {self.body[:500]!r}"


def headers_for(cloud, method, url, body=b"", headers=None, *, service="sagemaker", key=None, secret=None, minutes=0):
    """The headers with a signature; `minutes` moves the clock of the signer."""
    request = AWSRequest(method, url, data=body, headers=headers or {})
    now = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    # S3's signature adds the digest of the body as a header.
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    signer = kind(Credentials(key or cloud.access_key, secret or cloud.secret_key), service, cloud.region)
    names = [name for name in ("get_current_datetime", "datetime") if hasattr(botocore.auth, name)]
    if names[0] == "datetime":
        clock = mock.Mock()
        clock.datetime.utcnow.return_value = clock.datetime.now.return_value = now.replace(tzinfo=None)
    else:
        clock = lambda *_, **__: now.replace(tzinfo=None)  # noqa: E731
    with mock.patch.object(botocore.auth, names[0], clock):
        signer.add_auth(request)
    return dict(request.headers)


def send(cloud, body, headers=None, *, method="POST", path="/", sign=True, **signing):
    body = body if isinstance(body, bytes) else body.encode()
    url = cloud.url + path
    given = dict(headers or {})
    if sign:
        given = headers_for(cloud, method, url, body, given, **signing)
    answer = _pool.request(method, url, body=body, headers=given)
    return Answer(answer.status, answer.headers, answer.data)


def call(cloud, operation, document=None, *, body=None, target="SageMaker", **options):
    """An operation of the JSON 1.1 protocol."""
    body = json.dumps(document or {}) if body is None else body
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{target}.{operation}"}
    return send(cloud, body, headers | options.pop("headers", {}), **options)
