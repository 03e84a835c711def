"""S3 as boto3 and raw signed requests see it."""

import base64
import concurrent.futures
import datetime
import hashlib
import hmac
import http.client
import io
import itertools
import os
import random
import socket
import threading
import urllib.parse
import uuid
import zlib

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1 << 20
ACCOUNT = "123456789012"


@pytest.fixture
def bucket(s3):
    name = f"s3-{uuid.uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    yield name
    empty(s3, name)
    s3.delete_bucket(Bucket=name)


def empty(s3, bucket):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        for key in keys:
            s3.delete_object(Bucket=bucket, **key)


def client(cloud, **options):
    credentials = {"aws_access_key_id": cloud.access_key, "aws_secret_access_key": cloud.secret_key}
    for name in list(options):
        if name.startswith("aws_"):
            credentials[name] = options.pop(name)
    config = Config(retries={"total_max_attempts": 1}, **options)
    return boto3.client("s3", endpoint_url=cloud.url, region_name="us-east-1", config=config, **credentials)


def refusal(call, *args, **kwargs):
    """Status and code of the error that a call ends with."""
    with pytest.raises(ClientError) as caught:
        call(*args, **kwargs)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def code(call, *args, **kwargs):
    return refusal(call, *args, **kwargs)[1]


def read(s3, bucket, key, **kwargs):
    return s3.get_object(Bucket=bucket, Key=key, **kwargs)["Body"].read()


# Raw requests, signed here: what SDKs do over TLS, and what they never do.


class Raw:
    def __init__(self, cloud, access_key=None, secret_key=None, token=None, region="us-east-1"):
        self.url = urllib.parse.urlsplit(cloud.url)
        self.access_key = access_key or cloud.access_key
        self.secret_key = secret_key or cloud.secret_key
        self.token, self.region = token, region

    def key(self, date):
        key = ("AWS4" + self.secret_key).encode()
        for part in (date, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key

    def headers(self, method, path, query="", headers=None, payload="UNSIGNED-PAYLOAD", host=None, at=None):
        at = at or datetime.datetime.now(datetime.timezone.utc)
        stamp, date = at.strftime("%Y%m%dT%H%M%SZ"), at.strftime("%Y%m%d")
        signed = {name.lower(): value for name, value in (headers or {}).items()}
        signed |= {"host": host or self.url.netloc, "x-amz-date": stamp, "x-amz-content-sha256": payload}
        if self.token:
            signed["x-amz-security-token"] = self.token
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        canonical = "\n".join([method, path, query, lines, names, payload])
        self.scope = f"{date}/{self.region}/s3/aws4_request"
        self.stamp = stamp
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, self.scope, sha256(canonical.encode())])
        self.signing_key = self.key(date)
        self.signature = self.sign(text)
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{self.scope},"
            f"SignedHeaders={names},Signature={self.signature}"
        )
        return signed

    def sign(self, text):
        return hmac.new(self.signing_key, text.encode(), hashlib.sha256).hexdigest()

    def send(self, method, path, headers, body=b"", query=""):
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=30)
        connection.request(method, path + (f"?{query}" if query else ""), body=body, headers=headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, answer, response.headers

    def call(self, method, path, body=b"", query="", headers=None, **options):
        signed = self.headers(method, path, query, headers, **options)
        return self.send(method, path, signed, body, query)

    def signed_chunks(self, pieces, previous):
        """The body of STREAMING-AWS4-HMAC-SHA256-PAYLOAD."""
        body = b""
        for piece in [*pieces, b""]:
            parts = ["AWS4-HMAC-SHA256-PAYLOAD", self.stamp, self.scope, previous, sha256(b""), sha256(piece)]
            previous = self.sign("\n".join(parts))
            body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
        return body


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.fixture
def raw(cloud):
    return Raw(cloud)


# Buckets


def test_bucket_life(s3):
    name = f"life-{uuid.uuid4().hex}"
    assert refusal(s3.head_bucket, Bucket=name) == (404, "404")
    assert s3.create_bucket(Bucket=name)["Location"] == f"/{name}"
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] is None
    assert name in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    assert [b["Name"] for b in s3.list_buckets(Prefix=name)["Buckets"]] == [name]
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    assert refusal(s3.delete_bucket, Bucket=name) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    assert refusal(s3.delete_bucket, Bucket=name) == (404, "NoSuchBucket")
    assert code(s3.list_objects_v2, Bucket=name) == "NoSuchBucket"


def test_a_bucket_made_twice(s3, cloud, bucket):
    s3.create_bucket(Bucket=bucket)  # us-east-1 says yes again
    there = {"LocationConstraint": "eu-west-1"}
    assert refusal(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration=there) == (409, "BucketAlreadyOwnedByYou")
    name = f"eu-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration=there)
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-west-1"
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == "eu-west-1"
    s3.delete_bucket(Bucket=name)


@pytest.mark.parametrize("name", ["ab", "Upper", "under_score", "-a-", "a..b", "192.168.0.1", "x" * 64, "xn--abc", "abc-s3alias"])
def test_bucket_names(raw, name):
    status, body, _ = raw.call("PUT", f"/{name}")
    assert status == 400 and b"InvalidBucketName" in body


def test_buckets_in_pages(s3):
    names = sorted(f"page-{i}-{uuid.uuid4().hex[:8]}" for i in range(5))
    for name in names:
        s3.create_bucket(Bucket=name)
    pages = s3.get_paginator("list_buckets").paginate(Prefix="page-", PaginationConfig={"PageSize": 2})
    assert [entry["Name"] for page in pages for entry in page["Buckets"]] == names
    for name in names:
        s3.delete_bucket(Bucket=name)


def test_expected_owner(s3, bucket):
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=ACCOUNT)
    assert refusal(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner="000000000000")[0] == 403
    assert code(s3.put_object, Bucket=bucket, Key="k", ExpectedBucketOwner="000000000000") == "AccessDenied"


# Objects


def test_an_object_and_all_that_belongs_to_it(s3, bucket):
    expires = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
    headers = {
        "ContentType": "text/csv",
        "ContentEncoding": "gzip",
        "ContentDisposition": "attachment",
        "ContentLanguage": "de",
        "CacheControl": "max-age=1",
    }
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=b"hello", Metadata={"made-by": "me"}, Expires=expires,
        Tagging="a=1&b=2", **headers,
    )
    assert put["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    for answer in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in headers} == headers
        assert answer["Metadata"] == {"made-by": "me"}
        assert answer["ContentLength"] == 5 and answer["AcceptRanges"] == "bytes"
        assert answer["ETag"] == put["ETag"]
        assert answer["ExpiresString"] == "Tue, 01 Jan 2030 00:00:00 GMT"
        age = datetime.datetime.now(datetime.timezone.utc) - answer["LastModified"]
        assert abs(age.total_seconds()) < 60
        assert answer["ResponseMetadata"]["RequestId"] and answer["ResponseMetadata"]["HostId"]
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"")["ETag"] == '"d41d8cd98f00b204e9800998ecf8427e"'
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert (answer["Body"].read(), answer["ContentType"], answer["Metadata"]) == (b"", "binary/octet-stream", {})


def test_missing_things(s3, bucket):
    nowhere = f"none-{uuid.uuid4().hex}"
    assert refusal(s3.get_object, Bucket=bucket, Key="k") == (404, "NoSuchKey")
    assert refusal(s3.get_object, Bucket=nowhere, Key="k") == (404, "NoSuchBucket")
    assert refusal(s3.head_object, Bucket=bucket, Key="k") == (404, "404")
    assert code(s3.put_object, Bucket=nowhere, Key="k", Body=b"x") == "NoSuchBucket"
    assert code(s3.delete_object, Bucket=nowhere, Key="k") == "NoSuchBucket"
    assert code(s3.get_object_tagging, Bucket=bucket, Key="k") == "NoSuchKey"
    assert code(s3.create_multipart_upload, Bucket=nowhere, Key="k") == "NoSuchBucket"
    s3.delete_object(Bucket=bucket, Key="k")  # no error


def test_any_key(s3, bucket):
    keys = [
        "a", "a/b", "a/", "dir/", "dir/sub/", "../../etc/passwd", "./x", "a//b", "x" * 1024, "é" * 512, "🦀 crab",
        "plus+and space", "per%cent", "quo\"te'", "<xml>&amp;", "tab\tnew\nline", "nul\x00nul", "ends.", "*?#;,@=:$!()",
        "\x01\x7f", "a\\b",
    ]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in keys:
        assert read(s3, bucket, key) == key.encode()
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(key.encode())
    ordered = sorted(keys, key=str.encode)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ordered
    assert [entry["Key"] for entry in s3.list_objects(Bucket=bucket)["Contents"]] == ordered
    assert code(s3.put_object, Bucket=bucket, Key="x" * 1025, Body=b"") == "KeyTooLongError"
    for key in keys:
        s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_ranges(s3, bucket):
    body = random.Random(1).randbytes(3 * MIB)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    for text, expected in {
        "bytes=0-0": body[:1],
        "bytes=5-9": body[5:10],
        "bytes=1048575-2097153": body[1048575:2097154],
        "bytes=3000000-": body[3000000:],
        "bytes=-7": body[-7:],
        "bytes=0-99999999": body,
        "bytes=-99999999": body,
    }.items():
        answer = s3.get_object(Bucket=bucket, Key="k", Range=text)
        assert answer["Body"].read() == expected, text
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answer["ContentRange"].endswith(f"/{len(body)}")
        head = s3.head_object(Bucket=bucket, Key="k", Range=text)
        assert head["ContentLength"] == len(expected) and head["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert refusal(s3.get_object, Bucket=bucket, Key="k", Range=f"bytes={len(body)}-") == (416, "InvalidRange")
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    for text in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        assert code(s3.get_object, Bucket=bucket, Key="empty", Range=text) == "InvalidRange"


def test_answers_with_other_headers(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="a/b")
    answer = s3.get_object(
        Bucket=bucket, Key="k", ResponseContentType="text/plain", ResponseCacheControl="no-store",
        ResponseContentDisposition="inline", ResponseContentEncoding="br", ResponseContentLanguage="fr",
    )
    assert (answer["ContentType"], answer["CacheControl"], answer["ContentDisposition"]) == ("text/plain", "no-store", "inline")
    assert (answer["ContentEncoding"], answer["ContentLanguage"]) == ("br", "fr")
    assert s3.head_object(Bucket=bucket, Key="k", ResponseContentType="text/plain")["ContentType"] == "text/plain"


def test_conditional_reads(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    now = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    before, after = now - datetime.timedelta(seconds=10), now + datetime.timedelta(seconds=1)
    for call in (s3.get_object, s3.head_object):
        def verdict(**conditions):
            return call(Bucket=bucket, Key="k", **conditions)["ResponseMetadata"]["HTTPStatusCode"]

        assert verdict(IfMatch=etag) == 200
        assert verdict(IfNoneMatch='"other"') == 200
        assert verdict(IfModifiedSince=before) == 200
        assert verdict(IfUnmodifiedSince=after) == 200
        assert verdict(IfMatch=etag, IfUnmodifiedSince=before) == 200
        for conditions in ({"IfNoneMatch": etag}, {"IfModifiedSince": now}, {"IfNoneMatch": "*"}):
            assert refusal(call, Bucket=bucket, Key="k", **conditions)[0] == 304
        for conditions in ({"IfMatch": '"other"'}, {"IfUnmodifiedSince": before}):
            assert refusal(call, Bucket=bucket, Key="k", **conditions)[0] == 412


def test_not_modified_has_no_body(raw, s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    status, body, headers = raw.call("GET", f"/{bucket}/k", headers={"if-none-match": etag})
    assert (status, body, headers["ETag"]) == (304, b"", etag) and headers["Last-Modified"]


def test_conditional_writes(s3, bucket):
    put = dict(Bucket=bucket, Key="k", Body=b"1")
    assert refusal(s3.put_object, **put, IfMatch='"e"') == (404, "NoSuchKey")
    etag = s3.put_object(**put, IfNoneMatch="*")["ETag"]
    assert refusal(s3.put_object, **put, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refusal(s3.put_object, **put, IfMatch='"other"') == (412, "PreconditionFailed")
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    assert refusal(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == (412, "PreconditionFailed")
    assert read(s3, bucket, "k") == b"2"
    assert code(s3.put_object, **put, IfNoneMatch='"etag"') == "NotImplemented"


def test_one_of_many_is_first(s3, cloud, bucket):
    def attempt(i):
        try:
            client(cloud).put_object(Bucket=bucket, Key="lock", Body=str(i).encode(), IfNoneMatch="*")
            return i
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        winners = [i for i in pool.map(attempt, range(16)) if i is not None]
    assert len(winners) == 1 and read(s3, bucket, "lock") == str(winners[0]).encode()


def test_delete_many(s3, bucket):
    for i in range(5):
        s3.put_object(Bucket=bucket, Key=f"k/{i}", Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k/0"}, {"Key": "k/1"}, {"Key": "none"}]})
    assert [entry["Key"] for entry in answer["Deleted"]] == ["k/0", "k/1", "none"] and "Errors" not in answer
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k/2"}], "Quiet": True})
    assert "Deleted" not in quiet
    mixed = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "k/3", "ETag": "wrong"}, {"Key": "k/4", "VersionId": "v1"}]}
    )
    assert sorted(entry["Code"] for entry in mixed["Errors"]) == ["NoSuchVersion", "PreconditionFailed"]
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k/3", "k/4"]
    too_many = [{"Key": str(i)} for i in range(1001)]
    assert code(s3.delete_objects, Bucket=bucket, Delete={"Objects": too_many}) == "MalformedXML"


def test_metadata_is_bounded(s3, bucket):
    assert code(s3.put_object, Bucket=bucket, Key="k", Metadata={"m": "v" * 2100}) == "MetadataTooLarge"


def test_documents_have_digests(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    document = b"<Delete><Object><Key>k</Key></Object></Delete>"
    for headers in ({"content-md5": base64.b64encode(b"0" * 16).decode()}, {"x-amz-checksum-crc32": crc32(b"other")}):
        status, body, _ = raw.call("POST", f"/{bucket}", document, query="delete=", headers=headers)
        assert status == 400 and b"BadDigest" in body
    assert read(s3, bucket, "k") == b"x"
    headers = {"x-amz-checksum-crc32": crc32(document)}
    assert raw.call("POST", f"/{bucket}", document, query="delete=", headers=headers)[0] == 200
    assert code(s3.head_object, Bucket=bucket, Key="k") == "404"


# Listing


@pytest.fixture
def tree(s3, bucket):
    keys = ["a", "b/1", "b/2", "b/c/3", "d e/ü", "f", "g/"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return keys


def test_list_by_prefix_and_delimiter(s3, bucket, tree):
    def listed(call, **options):
        answer = call(Bucket=bucket, **options)
        keys = [entry["Key"] for entry in answer.get("Contents", [])]
        return keys, [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])]

    for call in (s3.list_objects, s3.list_objects_v2):
        assert listed(call) == (tree, [])
        assert listed(call, Delimiter="/") == (["a", "f"], ["b/", "d e/", "g/"])
        assert listed(call, Delimiter="/", Prefix="b/") == (["b/1", "b/2"], ["b/c/"])
        assert listed(call, Prefix="b") == (["b/1", "b/2", "b/c/3"], [])
        assert listed(call, Prefix="d e/") == (["d e/ü"], [])
        assert listed(call, Delimiter="ü") == (["a", "b/1", "b/2", "b/c/3", "f", "g/"], ["d e/ü"])
        assert listed(call, Prefix="zz") == ([], [])
        assert listed(call, MaxKeys=0) == ([], [])
    assert listed(s3.list_objects_v2, StartAfter="b/2") == (["b/c/3", "d e/ü", "f", "g/"], [])
    assert listed(s3.list_objects, Marker="b/2") == (["b/c/3", "d e/ü", "f", "g/"], [])


def test_list_in_pages(s3, bucket, tree):
    for name in ("list_objects", "list_objects_v2"):
        for size in range(1, 8):
            pages = list(s3.get_paginator(name).paginate(Bucket=bucket, PaginationConfig={"PageSize": size}))
            assert [entry["Key"] for page in pages for entry in page["Contents"]] == tree
            assert all(page["IsTruncated"] for page in pages[:-1]) and not pages[-1]["IsTruncated"]
            pages = s3.get_paginator(name).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": size})
            found = []
            for page in pages:
                found += [entry["Key"] for entry in page.get("Contents", [])]
                found += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
            assert sorted(found) == ["a", "b/", "d e/", "f", "g/"]
    assert code(s3.list_objects_v2, Bucket=bucket, ContinuationToken="not one of ours") == "InvalidArgument"


def test_list_entries(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    entry = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert (entry["Size"], entry["ETag"], entry["StorageClass"]) == (5, '"5d41402abc4b2a76b9719d911017c592"', "STANDARD")
    assert entry["LastModified"] == s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert "Owner" not in entry
    owner = s3.list_buckets()["Owner"]
    assert s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"] == owner
    assert s3.list_objects(Bucket=bucket)["Contents"][0]["Owner"] == owner


def test_encoded_listing(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a b+c/ü\x01", Body=b"")
    _, body, _ = raw.call("GET", f"/{bucket}", query="encoding-type=url&list-type=2")
    assert b"<Key>a%20b%2Bc/%C3%BC%01</Key>" in body and b"<EncodingType>url</EncodingType>" in body


# Copies and tags


def test_copy(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from/ü +", Body=b"bytes", ContentType="a/b", Metadata={"x": "1"}, Tagging="t=1")
    source = {"Bucket": bucket, "Key": "from/ü +"}
    answer = s3.copy_object(Bucket=bucket, Key="to", CopySource=source)
    assert answer["CopyObjectResult"]["ETag"] == s3.head_object(**source)["ETag"]
    copied = s3.get_object(Bucket=bucket, Key="to")
    assert (copied["Body"].read(), copied["ContentType"], copied["Metadata"]) == (b"bytes", "a/b", {"x": "1"})
    assert s3.get_object_tagging(Bucket=bucket, Key="to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(
        Bucket=bucket, Key="to", CopySource=source, MetadataDirective="REPLACE", Metadata={"y": "2"},
        ContentType="c/d", TaggingDirective="REPLACE", Tagging="u=2",
    )
    copied = s3.get_object(Bucket=bucket, Key="to")
    assert (copied["Body"].read(), copied["ContentType"], copied["Metadata"]) == (b"bytes", "c/d", {"y": "2"})
    assert s3.get_object_tagging(Bucket=bucket, Key="to")["TagSet"] == [{"Key": "u", "Value": "2"}]
    s3.delete_object(**source)
    assert read(s3, bucket, "to") == b"bytes"
    assert code(s3.copy_object, Bucket=bucket, Key="to", CopySource=source) == "NoSuchKey"
    assert code(s3.copy_object, Bucket=bucket, Key="to", CopySource={"Bucket": "no-such-bucket-here", "Key": "k"}) == "NoSuchBucket"


def test_copy_to_itself(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "1"})
    itself = {"Bucket": bucket, "Key": "k", "CopySource": f"{bucket}/k"}
    assert code(s3.copy_object, **itself) == "InvalidRequest"
    s3.copy_object(**itself, MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"b": "2"} and read(s3, bucket, "k") == b"x"


def test_conditional_copy(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    copy = {"Bucket": bucket, "Key": "to", "CopySource": f"{bucket}/k"}
    s3.copy_object(**copy, CopySourceIfMatch=etag)
    assert refusal(s3.copy_object, **copy, CopySourceIfMatch='"other"') == (412, "PreconditionFailed")
    assert refusal(s3.copy_object, **copy, CopySourceIfNoneMatch=etag) == (412, "PreconditionFailed")
    assert refusal(s3.copy_object, **copy, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refusal(s3.copy_object, **copy, IfMatch='"other"') == (412, "PreconditionFailed")
    s3.copy_object(**copy, IfMatch=etag)
    now = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert code(s3.copy_object, **copy, CopySourceIfModifiedSince=now) == "PreconditionFailed"


def test_copy_with_another_checksum(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"123456789")
    answer = s3.copy_object(Bucket=bucket, Key="to", CopySource=f"{bucket}/k", ChecksumAlgorithm="SHA256")
    expected = base64.b64encode(hashlib.sha256(b"123456789").digest()).decode()
    assert answer["CopyObjectResult"]["ChecksumSHA256"] == expected


def test_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    tags = [{"Key": "a b", "Value": "ü"}, {"Key": "c", "Value": ""}]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    many = [{"Key": str(i), "Value": ""} for i in range(11)]
    assert code(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": many}) == "BadRequest"
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    assert code(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": twice}) == "InvalidTag"
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


# Multipart


def start(s3, bucket, key="k", **options):
    return s3.create_multipart_upload(Bucket=bucket, Key=key, **options)["UploadId"]


def finish(s3, bucket, upload, parts, key="k", **options):
    named = [{"PartNumber": number, "ETag": etag} if isinstance(etag, str) else {"PartNumber": number, **etag} for number, etag in parts]
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": named}, **options
    )


def test_multipart(s3, bucket):
    first, second, third = random.Random(2).randbytes(5 * MIB), random.Random(3).randbytes(6 * MIB), b"end"
    upload = start(s3, bucket, ContentType="a/b", Metadata={"x": "1"}, Tagging="t=1")
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    etags = {}
    for number, body in ((3, third), (1, b"replaced"), (1, first), (2, second)):
        etags[number] = s3.upload_part(**where, PartNumber=number, Body=body)["ETag"]
    assert code(s3.head_object, Bucket=bucket, Key="k") == "404"
    listed = s3.list_parts(**where)
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in listed["Parts"]] == [
        (n, len(b), etags[n]) for n, b in ((1, first), (2, second), (3, third))
    ]
    page = s3.list_parts(**where, MaxParts=2)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 2
    assert [p["PartNumber"] for p in s3.list_parts(**where, PartNumberMarker=2)["Parts"]] == [3]

    assert code(finish, s3, bucket, upload, [(2, etags[2]), (1, etags[1])]) == "InvalidPartOrder"
    assert code(finish, s3, bucket, upload, [(1, etags[2])]) == "InvalidPart"
    assert code(finish, s3, bucket, upload, [(7, etags[1])]) == "InvalidPart"
    assert code(finish, s3, bucket, upload, [(1, etags[1]), (3, etags[3]), (4, etags[3])]) in ("EntityTooSmall", "InvalidPart")
    done = finish(s3, bucket, upload, sorted(etags.items()))
    md5s = b"".join(bytes.fromhex(etags[n].strip('"')) for n in (1, 2, 3))
    assert done["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    assert finish(s3, bucket, upload, sorted(etags.items()))["ETag"] == done["ETag"], "asked again, answered again"

    whole = first + second + third
    answer = s3.get_object(Bucket=bucket, Key="k")
    assert answer["Body"].read() == whole and answer["ContentType"] == "a/b" and answer["Metadata"] == {"x": "1"}
    assert read(s3, bucket, "k", Range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}") == whole[5 * MIB - 2 : 5 * MIB + 2]
    part = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert part["Body"].read() == second and part["PartsCount"] == 3
    assert part["ContentRange"] == f"bytes {5 * MIB}-{11 * MIB - 1}/{len(whole)}"
    assert s3.head_object(Bucket=bucket, Key="k", PartNumber=3)["ContentLength"] == 3
    assert refusal(s3.get_object, Bucket=bucket, Key="k", PartNumber=4)[0] == 416
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k")
    s3.delete_object(Bucket=bucket, Key="k")
    assert read(s3, bucket, "copy") == whole


def test_small_parts_come_last(s3, bucket):
    upload = start(s3, bucket)
    etags = [s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=n, Body=b"x")["ETag"] for n in (1, 2)]
    assert code(finish, s3, bucket, upload, [(1, etags[0]), (2, etags[1])]) == "EntityTooSmall"
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)


def test_aborted_and_unknown_uploads(s3, bucket):
    upload = start(s3, bucket)
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    etag = s3.upload_part(**where, PartNumber=1, Body=b"x")["ETag"]
    s3.abort_multipart_upload(**where)
    assert code(s3.abort_multipart_upload, **where) == "NoSuchUpload"
    assert code(s3.upload_part, **where, PartNumber=1, Body=b"x") == "NoSuchUpload"
    assert code(s3.list_parts, **where) == "NoSuchUpload"
    assert code(finish, s3, bucket, upload, [(1, etag)]) == "NoSuchUpload"
    for number in (0, 10001):
        assert code(s3.upload_part, **where, PartNumber=number, Body=b"x") == "InvalidArgument"


def test_list_uploads(s3, bucket):
    started = sorted((key, start(s3, bucket, key)) for key in ("a", "b/1", "b/2", "c", "c", "ü"))
    listed = s3.list_multipart_uploads(Bucket=bucket)
    assert [(u["Key"], u["UploadId"]) for u in listed["Uploads"]] == started and not listed["IsTruncated"]
    for size in (1, 2, 5):
        pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": size})
        assert [(u["Key"], u["UploadId"]) for page in pages for u in page["Uploads"]] == started
    grouped = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in grouped["CommonPrefixes"]] == ["b/"] and len(grouped["Uploads"]) == 4
    assert len(s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")["Uploads"]) == 2
    for key, upload in started:
        s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_copy_into_parts(s3, bucket):
    body = random.Random(4).randbytes(6 * MIB)
    etag = s3.put_object(Bucket=bucket, Key="from", Body=body)["ETag"]
    upload = start(s3, bucket)
    where = {"Bucket": bucket, "Key": "k", "UploadId": upload, "CopySource": f"{bucket}/from"}
    parts = [
        (1, s3.upload_part_copy(**where, PartNumber=1, CopySourceIfMatch=etag)["CopyPartResult"]["ETag"]),
        (2, s3.upload_part_copy(**where, PartNumber=2, CopySourceRange="bytes=5-14")["CopyPartResult"]["ETag"]),
    ]
    assert parts[0][1] == etag
    for bad in ("bytes=0-99999999", "bytes=5-", "5-14"):
        assert code(s3.upload_part_copy, **where, PartNumber=3, CopySourceRange=bad) == "InvalidArgument"
    assert code(s3.upload_part_copy, **where, PartNumber=3, CopySourceIfMatch='"other"') == "PreconditionFailed"
    finish(s3, bucket, upload, parts)
    assert read(s3, bucket, "k") == body + body[5:15]


def test_conditional_completion(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    upload = start(s3, bucket)
    etag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"new")["ETag"]
    assert code(finish, s3, bucket, upload, [(1, etag)], IfNoneMatch="*") == "PreconditionFailed"
    assert code(finish, s3, bucket, upload, [(1, etag)], MpuObjectSize=99) == "InvalidRequest"
    finish(s3, bucket, upload, [(1, etag)], MpuObjectSize=3)
    assert read(s3, bucket, "k") == b"new"


def test_transfer_manager(s3, bucket, tmp_path):
    body = random.Random(5).randbytes(20 * MIB)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    s3.upload_fileobj(io.BytesIO(body), bucket, "k", Config=config)
    s3.download_file(bucket, "k", str(tmp_path / "down"), Config=config)
    assert (tmp_path / "down").read_bytes() == body
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", Config=config)
    assert read(s3, bucket, "copy") == body


# Checksums


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(s3, bucket, algorithm):
    awscrt = algorithm in ("CRC32C", "CRC64NVME")
    if awscrt:
        pytest.importorskip("awscrt", reason="boto3 computes this checksum with awscrt")
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"123456789", ChecksumAlgorithm=algorithm)
    known = {
        "CRC32": "y/Q5Jg==", "CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg=",
        "SHA1": "98O8HYCOBHMq32eZZczDTKeuNEE=", "SHA256": "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
    }[algorithm]
    assert put[f"Checksum{algorithm}"] == known and put["ChecksumType"] == "FULL_OBJECT"
    for answer in (
        s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED"),
        s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED"),
        s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum"])["Checksum"],
    ):
        assert answer[f"Checksum{algorithm}"] == known
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["ChecksumAlgorithm"] == [algorithm]


def test_said_checksums(raw, s3, bucket):
    """The same without boto3's own computing: a value that is said, right or wrong."""
    for name, value in {
        "crc32": "y/Q5Jg==", "crc32c": "4waSgw==", "crc64nvme": "rosUhgp5mIg=",
        "sha1": "98O8HYCOBHMq32eZZczDTKeuNEE=", "sha256": "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
    }.items():
        header = f"x-amz-checksum-{name}"
        status, _, headers = raw.call("PUT", f"/{bucket}/k", b"123456789", headers={header: value})
        assert (status, headers[header]) == (200, value)
        status, body, _ = raw.call("PUT", f"/{bucket}/k", b"12345678", headers={header: value})
        assert status == 400 and b"BadDigest" in body
        status, body, _ = raw.call("PUT", f"/{bucket}/k", b"x", headers={header: "AAA"})
        assert status == 400 and b"InvalidRequest" in body
    md5 = base64.b64encode(hashlib.md5(b"123456789").digest()).decode()
    assert raw.call("PUT", f"/{bucket}/k", b"123456789", headers={"content-md5": md5})[0] == 200
    assert b"BadDigest" in raw.call("PUT", f"/{bucket}/k", b"other", headers={"content-md5": md5})[1]
    assert b"InvalidDigest" in raw.call("PUT", f"/{bucket}/k", b"x", headers={"content-md5": "x"})[1]
    status, body, _ = raw.call("PUT", f"/{bucket}/k", b"x", headers={"x-amz-checksum-xxhash64": "AAAAAAAAAAA="})
    assert status == 501 and b"NotImplemented" in body
    # Nothing said: CRC64NVME, as AWS does.
    assert raw.call("PUT", f"/{bucket}/plain", b"123456789")[2]["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="
    assert read(s3, bucket, "k") == b"123456789"


def test_multipart_checksums(s3, bucket):
    bodies = [random.Random(6).randbytes(5 * MIB), b"the rest"]
    for algorithm, kind in (("CRC32", "FULL_OBJECT"), ("CRC32", "COMPOSITE"), ("SHA256", "COMPOSITE")):
        upload = start(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType=kind)
        parts = []
        for number, body in enumerate(bodies, 1):
            part = s3.upload_part(
                Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm
            )
            parts.append((number, {name: part[name] for name in ("ETag", f"Checksum{algorithm}")}))
        wrong = [parts[0], (2, parts[1][1] | {f"Checksum{algorithm}": parts[0][1][f"Checksum{algorithm}"]})]
        assert code(finish, s3, bucket, upload, wrong) == "InvalidPart"
        done = finish(s3, bucket, upload, parts, ChecksumType=kind)
        whole = b"".join(bodies)
        if kind == "FULL_OBJECT":
            expected = crc32(whole)
        elif algorithm == "CRC32":
            digests = b"".join(zlib.crc32(body).to_bytes(4, "big") for body in bodies)
            expected = crc32(digests) + "-2"
        else:
            digests = b"".join(hashlib.sha256(body).digest() for body in bodies)
            expected = base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
        assert (done[f"Checksum{algorithm}"], done["ChecksumType"]) == (expected, kind)
        head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
        assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (expected, kind)
        assert read(s3, bucket, "k") == whole
    known = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    )
    assert known["ObjectSize"] == len(whole) and known["StorageClass"] == "STANDARD"
    assert known["ObjectParts"]["TotalPartsCount"] == 2
    assert [part["Size"] for part in known["ObjectParts"]["Parts"]] == [len(body) for body in bodies]
    assert all("ChecksumSHA256" in part for part in known["ObjectParts"]["Parts"])
    for algorithm, kind in (("SHA256", "FULL_OBJECT"), ("CRC64NVME", "COMPOSITE")):
        assert code(start, s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType=kind) == "InvalidRequest"


# Bodies in chunks


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_signed_chunks(raw, s3, bucket, size):
    body = random.Random(size).randbytes(size)
    pieces = [body[at : at + 65_536] for at in range(0, size, 65_536)]
    headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(size)}
    headers = raw.headers("PUT", f"/{bucket}/k", headers=headers, payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    chunks = raw.signed_chunks(pieces, raw.signature)
    status, answer, _ = raw.send("PUT", f"/{bucket}/k", headers, chunks)
    assert status == 200, answer
    stored = s3.get_object(Bucket=bucket, Key="k")
    assert stored["Body"].read() == body and "ContentEncoding" not in stored
    if size:
        at = chunks.index(b"\r\n") + 2
        forged = chunks[:at] + bytes([chunks[at] ^ 1]) + chunks[at + 1 :]
        status, answer, _ = raw.send("PUT", f"/{bucket}/k", headers, forged)
        assert status in (400, 403) and b"<Error>" in answer
        assert read(s3, bucket, "k") == body


def trailer_body(body, checksum):
    chunks = b"".join(
        f"{len(body[at : at + 70_000]):x}\r\n".encode() + body[at : at + 70_000] + b"\r\n"
        for at in range(0, len(body), 70_000)
    )
    return chunks + f"0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode()


def test_unsigned_chunks_with_a_trailer(raw, s3, bucket):
    body = random.Random(7).randbytes(200_000)
    headers = {
        "content-encoding": "gzip,aws-chunked",
        "x-amz-decoded-content-length": str(len(body)),
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-sdk-checksum-algorithm": "CRC32",
    }
    signed = raw.headers("PUT", f"/{bucket}/k", headers=headers, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    status, answer, answered = raw.send("PUT", f"/{bucket}/k", signed, trailer_body(body, crc32(body)))
    assert status == 200, answer
    assert answered["x-amz-checksum-crc32"] == crc32(body)
    stored = s3.get_object(Bucket=bucket, Key="k")
    assert stored["Body"].read() == body and stored["ContentEncoding"] == "gzip"
    status, answer, _ = raw.send("PUT", f"/{bucket}/other", signed, trailer_body(body, crc32(body)))
    assert status == 403 and b"SignatureDoesNotMatch" in answer
    status, answer, _ = raw.send("PUT", f"/{bucket}/k", signed, trailer_body(body, crc32(b"other")))
    assert status == 400 and b"BadDigest" in answer
    without = trailer_body(body, "").replace(b"x-amz-checksum-crc32:\r\n", b"")
    status, answer, _ = raw.send("PUT", f"/{bucket}/k", signed, without)
    assert status == 400, answer
    assert read(s3, bucket, "k") == body


def test_a_body_that_is_not_what_was_signed(raw, s3, bucket):
    headers = raw.headers("PUT", f"/{bucket}/k", payload=sha256(b"signed"))
    assert raw.send("PUT", f"/{bucket}/k", headers, b"signed")[0] == 200
    status, answer, _ = raw.send("PUT", f"/{bucket}/k", headers, b"forged")
    assert status == 400 and b"XAmzContentSHA256Mismatch" in answer
    assert read(s3, bucket, "k") == b"signed"


def test_a_body_that_ends_early(raw, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    headers = raw.headers("PUT", f"/{bucket}/k")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((raw.url.hostname, raw.url.port)) as line:
        line.sendall(f"PUT /{bucket}/k HTTP/1.1\r\n{lines}content-length: 1000000\r\n\r\n".encode() + b"x" * 500_000)
    assert read(s3, bucket, "k") == b"old"


# Keys, signatures, presigned URLs


def fetch(url, method="GET", body=None, headers=None):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body=body, headers=headers or {})
    response = connection.getresponse()
    return response.status, response.read()


def test_wrong_keys(cloud, bucket):
    wrong_secret = client(cloud, aws_secret_access_key="wrong")
    assert refusal(wrong_secret.list_objects_v2, Bucket=bucket) == (403, "SignatureDoesNotMatch")
    unknown = client(cloud, aws_access_key_id="AKIAUNKNOWN", aws_secret_access_key="x")
    assert refusal(unknown.list_objects_v2, Bucket=bucket) == (403, "InvalidAccessKeyId")
    with_token = client(cloud, aws_session_token="nobody gave it")
    assert refusal(with_token.list_objects_v2, Bucket=bucket) == (400, "InvalidToken")
    anonymous = client(cloud, signature_version=UNSIGNED)
    assert refusal(anonymous.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    assert refusal(anonymous.put_object, Bucket=bucket, Key="k", Body=b"x") == (403, "AccessDenied")
    old = client(cloud, signature_version="s3")
    assert refusal(old.list_objects_v2, Bucket=bucket) == (400, "InvalidRequest")


def test_clock_skew(raw, bucket):
    at = datetime.datetime.now(datetime.timezone.utc)
    for minutes, expected in ((-14, 200), (14, 200), (-16, 403), (16, 403)):
        status, body, _ = raw.call("GET", f"/{bucket}", at=at + datetime.timedelta(minutes=minutes))
        assert status == expected, minutes
        assert expected == 200 or b"RequestTimeTooSkewed" in body


def test_any_region(cloud, bucket):
    for region in ("us-east-1", "eu-central-1", "ap-southeast-2"):
        assert Raw(cloud, region=region).call("GET", f"/{bucket}")[0] == 200


@pytest.mark.parametrize("version", ["s3v4", "s3", None])
def test_presigned(cloud, bucket, version):
    s3 = client(cloud, **({"signature_version": version} if version else {}))
    typed = s3.generate_presigned_url(
        "put_object", Params={"Bucket": bucket, "Key": "typed", "ContentType": "a/b", "Metadata": {"m": "1"}}, ExpiresIn=60
    )
    assert fetch(typed, "PUT", b"x", {"content-type": "a/b", "x-amz-meta-m": "1"})[0] == 200
    typed = client(cloud).head_object(Bucket=bucket, Key="typed")
    assert (typed["ContentType"], typed["Metadata"]) == ("a/b", {"m": "1"})
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b/ü"}, ExpiresIn=60)
    assert fetch(put, "PUT", b"presigned")[0] == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/ü"}, ExpiresIn=60)
    assert fetch(get) == (200, b"presigned")
    status, body = fetch(get.replace("a%20b", "a%20c"))
    assert status == 403 and b"SignatureDoesNotMatch" in body
    status, body = fetch(get, "PUT", b"not allowed")
    assert status == 403
    late = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/ü"}, ExpiresIn=-5)
    assert fetch(late)[0] in (400, 403)
    overridden = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "a b/ü", "ResponseContentType": "x/y"}, ExpiresIn=60
    )
    assert fetch(overridden) == (200, b"presigned")


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_requests_do_what_was_signed(cloud, s3, bucket, version):
    presigner = client(cloud, signature_version=version)
    s3.put_object(Bucket=bucket, Key="secret", Body=b"secret")
    put = presigner.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60)
    status, body = fetch(put, "PUT", b"", {"x-amz-copy-source": f"/{bucket}/secret"})
    assert status == 403 and (b"not signed" in body or b"SignatureDoesNotMatch" in body)
    assert code(s3.head_object, Bucket=bucket, Key="k") == "404"


def test_presigned_expiry(cloud, bucket):
    raw = Raw(cloud)
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=30)
    stamp, date = at.strftime("%Y%m%dT%H%M%SZ"), at.strftime("%Y%m%d")
    scope = f"{date}/us-east-1/s3/aws4_request"
    for seconds, expected in ((60, 200), (10, 403)):
        credential = urllib.parse.quote(f"{raw.access_key}/{scope}", safe="")
        query = (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={stamp}"
            f"&X-Amz-Expires={seconds}&X-Amz-SignedHeaders=host"
        )
        canonical = f"GET\n/{bucket}\n{query}\nhost:{raw.url.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
        raw.signing_key = raw.key(date)
        signature = raw.sign("\n".join(["AWS4-HMAC-SHA256", stamp, scope, sha256(canonical.encode())]))
        status, body = fetch(f"{cloud.url}/{bucket}?{query}&X-Amz-Signature={signature}")
        assert status == expected, body


def test_temporary_credentials(cloud, s3, bucket):
    if getattr(cloud, "only_s3", False):
        pytest.skip("a server of S3 alone has no STS")
    sts = boto3.client(
        "sts", endpoint_url=cloud.url, region_name="us-east-1",
        aws_access_key_id=cloud.access_key, aws_secret_access_key=cloud.secret_key,
    )
    given = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/strata", RoleSessionName="s3")["Credentials"]
    keys = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"]}
    temporary = client(cloud, **keys, aws_session_token=given["SessionToken"])
    temporary.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = temporary.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert fetch(url) == (200, b"x")
    assert code(client(cloud, **keys).list_objects_v2, Bucket=bucket) == "InvalidAccessKeyId"
    wrong = client(cloud, **keys, aws_session_token="another")
    assert code(wrong.list_objects_v2, Bucket=bucket) == "InvalidToken"


# Hosts


def test_virtual_hosts(cloud, s3, bucket):
    raw = Raw(cloud)
    for host in (f"{bucket}.localhost:{raw.url.port}", f"{bucket}.s3.localhost:{raw.url.port}", f"{bucket}.localhost"):
        status, body, _ = raw.call("PUT", "/a/k", b"by host", host=host)
        assert status == 200, body
        assert read(s3, bucket, "a/k") == b"by host"
        status, body, _ = raw.call("GET", "/", query="list-type=2", host=host)
        assert status == 200 and b"<Key>a/k</Key>" in body
        s3.delete_object(Bucket=bucket, Key="a/k")
    large = os.urandom(9 * MIB)
    assert raw.call("PUT", "/large", large, host=f"{bucket}.localhost")[0] == 200
    assert read(s3, bucket, "large") == large
    for host in ("localhost", f"s3.localhost:{raw.url.port}", "strata.example.org"):
        assert raw.call("GET", f"/{bucket}", host=host)[0] == 200


# What is refused, and what is truthfully none


IMPLEMENTED = """
AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload DeleteBucket DeleteObject
DeleteObjectTagging DeleteObjects GetBucketAccelerateConfiguration GetBucketAcl GetBucketCors GetBucketEncryption
GetBucketLifecycle GetBucketLifecycleConfiguration GetBucketLocation GetBucketLogging GetBucketNotification
GetBucketNotificationConfiguration GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus
GetBucketReplication GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite GetObject
GetObjectAcl GetObjectAttributes GetObjectLockConfiguration GetObjectTagging GetPublicAccessBlock HeadBucket
HeadObject ListBuckets ListMultipartUploads ListObjectVersions ListObjects ListObjectsV2 ListParts PutObject
PutObjectTagging UploadPart UploadPartCopy
""".split()


def example(shape, seen=()):
    """Some value of a shape, with its required members only."""
    match shape.type_name:
        case "structure":
            members = [*shape.required_members] or ([*shape.members][:1] if shape.name not in seen else [])
            return {name: example(shape.members[name], (*seen, shape.name)) for name in members}
        case "list":
            return [example(shape.member, seen)]
        case "map":
            return {"k": example(shape.value, seen)}
        case "string":
            return shape.enum[0] if shape.enum else "text" * 8
        case "boolean":
            return True
        case "timestamp":
            return datetime.datetime(2030, 1, 1)
        case "blob":
            return b"x"
        case _:
            return 1


def refused_operations():
    model = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b").meta.service_model
    # These two need a host of their own; the last ones are the old names of others.
    special = ("CreateSession", "WriteGetObjectResponse", "ListDirectoryBuckets")
    return [name for name in model.operation_names if name not in IMPLEMENTED and name not in special]


@pytest.mark.parametrize("operation", refused_operations())
def test_refused_operations(s3, bucket, operation):
    import botocore

    shape = s3.meta.service_model.operation_model(operation).input_shape
    parameters = example(shape) | {"Bucket": bucket}
    if "Key" in shape.members:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        parameters["Key"] = "k"
    status, error = refusal(getattr(s3, botocore.xform_name(operation)), **parameters)
    assert (status, error) == (501, "NotImplemented")
    if "Key" in shape.members:
        assert read(s3, bucket, "k") == b"x"


@pytest.mark.parametrize(
    "options",
    [
        {"ACL": "public-read"},
        {"GrantRead": "uri=http://acs.amazonaws.com/groups/global/AllUsers"},
        {"ServerSideEncryption": "AES256"},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32},
        {"StorageClass": "GLACIER"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": datetime.datetime(2030, 1, 1)},
        {"ObjectLockLegalHoldStatus": "ON"},
        {"WebsiteRedirectLocation": "/other"},
        {"WriteOffsetBytes": 0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_refused_members(cloud, bucket, options):
    s3 = client(cloud)
    # boto3 itself refuses to send customer keys over plain HTTP.
    if "SSECustomerKey" in options:
        raw = Raw(cloud)
        headers = {"x-amz-server-side-encryption-customer-algorithm": "AES256"}
        status, body, _ = raw.call("PUT", f"/{bucket}/k", b"x", headers=headers)
        assert status == 501 and b"NotImplemented" in body
    else:
        assert refusal(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **options) == (501, "NotImplemented")
    assert code(s3.head_object, Bucket=bucket, Key="k") == "404"


def test_harmless_members(s3, bucket):
    for acl in ("private", "bucket-owner-full-control"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL=acl, StorageClass="STANDARD", RequestPayer="requester")
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId="v1") == "InvalidArgument"
    assert s3.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"x"


@pytest.mark.parametrize(
    "options",
    [
        {"ACL": "public-read"},
        {"ObjectLockEnabledForBucket": True},
        {"ObjectOwnership": "ObjectWriter"},
        {"CreateBucketConfiguration": {"Bucket": {"Type": "Directory"}}},
        {"CreateBucketConfiguration": {"Tags": [{"Key": "a", "Value": "b"}]}},
    ],
    ids=lambda options: str(options)[:40],
)
def test_refused_buckets(s3, options):
    name = f"no-{uuid.uuid4().hex}"
    with pytest.raises(ClientError) as caught:
        s3.create_bucket(Bucket=name, **options)
    assert caught.value.response["Error"]["Code"] in ("NotImplemented", "MalformedXML")
    assert refusal(s3.head_bucket, Bucket=name)[0] == 404


def test_what_buckets_do_not_have(s3, bucket):
    for call, expected in {
        "get_bucket_policy": "NoSuchBucketPolicy",
        "get_bucket_tagging": "NoSuchTagSet",
        "get_bucket_cors": "NoSuchCORSConfiguration",
        "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
        "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
        "get_bucket_website": "NoSuchWebsiteConfiguration",
        "get_bucket_replication": "ReplicationConfigurationNotFoundError",
        "get_public_access_block": "NoSuchPublicAccessBlockConfiguration",
        "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
    }.items():
        assert refusal(getattr(s3, call), Bucket=bucket) == (404, expected)
        assert code(getattr(s3, call), Bucket=f"none-{uuid.uuid4().hex}") == "NoSuchBucket"
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    acl = s3.get_bucket_acl(Bucket=bucket)
    assert [(g["Grantee"]["ID"], g["Permission"]) for g in acl["Grants"]] == [(acl["Owner"]["ID"], "FULL_CONTROL")]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_object_acl(Bucket=bucket, Key="k")["Owner"] == acl["Owner"]
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [(v["Key"], v["VersionId"], v["IsLatest"]) for v in versions] == [("k", "null", True)]


def test_browser_forms_are_refused(cloud, s3, bucket):
    form = s3.generate_presigned_post(bucket, "k")
    boundary = "b0undary"
    fields = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items()
    )
    body = f'{fields}--{boundary}\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--{boundary}--\r\n'
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    status, answer = fetch(form["url"], "POST", body.encode(), headers)
    assert status == 501 and b"presigned PUT" in answer


# Bad requests


def test_bad_requests(raw, cloud, bucket):
    for method, path, query, body, expected in [
        ("POST", f"/{bucket}", "delete=", b"<Delete><Object>", (400, 411)),
        ("POST", f"/{bucket}", "delete=", b"", (400,)),
        ("POST", f"/{bucket}/k", "uploadId=none", b"not xml", (400,)),
        ("GET", f"/{bucket}", "max-keys=many", b"", (400,)),
        ("GET", f"/{bucket}", "max-keys=-1", b"", (400,)),
        ("GET", f"/{bucket}", "encoding-type=base64", b"", (400,)),
        ("PATCH", f"/{bucket}/k", "", b"", (400, 405, 501)),
        ("PUT", "/", "", b"", (400, 405, 501)),
        ("POST", f"/{bucket}", "delete=", b"<" * (9 << 20), (400, 413)),
        ("PUT", f"/{bucket}/%FF", "", b"", (400,)),
    ]:
        status, answer, _ = raw.call(method, path, body, query=query)
        assert status in expected and b"<Error>" in answer, (method, path, query, status, answer)
        assert b"<RequestId>" in answer


# Many at once


def test_readers_never_see_a_mixture(s3, cloud, bucket):
    size = 2 * MIB
    bodies = [bytes([i]) * size for i in range(6)]
    s3.put_object(Bucket=bucket, Key="k", Body=bodies[0])

    def write(i):
        mine = client(cloud)
        for _ in range(4):
            mine.put_object(Bucket=bucket, Key="k", Body=bodies[i])

    def look(_):
        mine = client(cloud)
        for _ in range(10):
            answer = mine.get_object(Bucket=bucket, Key="k")
            body = answer["Body"].read()
            assert body in bodies
            assert answer["ETag"].strip('"') == hashlib.md5(body).hexdigest()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for work in [pool.submit(write, i) for i in range(4)] + [pool.submit(look, i) for i in range(4)]:
            work.result()


def test_many_keys_at_once(cloud, s3, bucket):
    def write(i):
        client(cloud).put_object(Bucket=bucket, Key=f"k/{i:03}", Body=os.urandom(1000))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(64)))
    assert s3.list_objects_v2(Bucket=bucket, Prefix="k/")["KeyCount"] == 64


def test_kill_9_in_the_middle_of_puts(own_cloud):
    """What was acknowledged is there after a power cut, and nothing is half there."""
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="survivor")
    acknowledged = {}
    cut = threading.Event()

    def write(writer):
        mine = own_cloud.client("s3")
        for i in itertools.count():
            body = random.Random(writer * 1000 + i).randbytes(1 + (writer + i * 7919) % 700_000)
            try:
                mine.put_object(Bucket="survivor", Key=f"{writer}/{i}", Body=body)
            except Exception:
                return  # the cut
            acknowledged[f"{writer}/{i}"] = hashlib.md5(body).hexdigest()
            if len(acknowledged) >= 40:
                cut.set()

    for _ in range(2):
        cut.clear()
        acknowledged.clear()
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            work = [pool.submit(write, i) for i in range(4)]
            assert cut.wait(60)
            own_cloud.kill9()
        for result in work:
            result.result()
        own_cloud.start()
        for key, md5 in acknowledged.items():
            assert hashlib.md5(read(s3, "survivor", key)).hexdigest() == md5
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket="survivor"):
            for entry in page["Contents"]:
                body = read(s3, "survivor", entry["Key"])
                assert (len(body), hashlib.md5(body).hexdigest()) == (entry["Size"], entry["ETag"].strip('"'))
