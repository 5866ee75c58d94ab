"""Requests to a bucket are counted by their outcomes, and logged when they fail. The server answers as it is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from structlog.testing import capture_logs

from quire.domain.errors import OutcomeUnknown, StoreError, StoreFull, StoreReadOnly
from quire.store.bucket.blobs import BucketBlobs
from quire.store.bucket.client import ObjectBucket, open_bucket
from quire.store.bucket.documents import Kind
from quire.store.bucket.objects import Forbidden, Refused, Unchanged, Unclear
from quire.store.bucket.swaps import ABSENT, Swaps

SECRET = "not-to-be-seen"


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that the object's name ends with; the name `500-200` gets each of them once, in order.

    For a key such as `code/SlowDown/503` the error has that code, and names the key, as in S3. An object is empty where
    its key begins with `empty/`.
    """

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        key = self.path.partition("?")[0].partition("/prefix/")[2]
        name = key.rpartition("/")[2]
        asked = self.server.asked[key] = self.server.asked.get(key, -1) + 1  # type: ignore[attr-defined]
        statuses = name.split("-")
        status = int(statuses[min(asked, len(statuses) - 1)])
        body = b"content" if status == 200 and self.command != "PUT" and not key.startswith("empty/") else b""
        if key.startswith("code/") and status != 200:
            body = f"<Error><Code>{key.split('/')[1]}</Code><Key>prefix/{key}</Key></Error>".encode()
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    do_GET = do_PUT = do_HEAD = _answer  # noqa: N815 - the names of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of http.server
        """Log nothing."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectBucket]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.asked = {}  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    yield open_bucket("s3://bucket/prefix", environ)
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_outcome_is_counted(bucket: ObjectBucket) -> None:
    """An absence and an unchanged object are answers; a refusal, a denial and a failure are told apart."""
    found = bucket.get("200")
    assert not isinstance(found, Unchanged)
    assert found is not None
    assert bucket.get("404") is None
    assert bucket.get("304", found.version) is Unchanged.UNCHANGED
    with pytest.raises(Refused):
        bucket.put("412", b"12345", None)
    with pytest.raises(StoreReadOnly):
        bucket.put("403", b"12345", None)
    with pytest.raises(Forbidden):
        bucket.get("403")
    with pytest.raises(Unclear):
        bucket.put("500", b"12345", None)
    with pytest.raises(StoreError):
        bucket.head("400")
    bucket.put("200", b"12345", None)
    assert bucket.counts.outcomes == {
        ("get", "answered"): 3,
        ("get", "forbidden"): 1,
        ("put", "refused"): 1,
        ("put", "forbidden"): 1,
        ("put", "failed"): 1,
        ("put", "answered"): 1,
        ("head", "failed"): 1,
    }
    assert bucket.counts.requests == {"get": 4, "put": 4, "head": 1}
    assert (bucket.counts.received, bucket.counts.sent, bucket.counts.retries) == (7, 5, 0)
    assert all(seconds > 0 for seconds in bucket.counts.seconds.values())
    assert {kind: sum(bins) for kind, bins in bucket.counts.bins.items()} == bucket.counts.requests


def test_a_retry_is_counted(bucket: ObjectBucket) -> None:
    """Of a read that fails once: one failure, one retry, one answer."""
    assert bucket.get("503-200") is not None
    assert bucket.counts.outcomes == {("get", "failed"): 1, ("get", "answered"): 1}
    assert bucket.counts.retries == 1


def test_a_failure_is_logged_once_a_second(bucket: ObjectBucket) -> None:
    """With the object, the kind and the reason, and without credentials."""
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(Unclear):
                bucket.put("500", b"12345", None)
    (line,) = lines
    assert line["event"] == "request to the bucket failed"
    assert (line["kind"], line["path"], line["reason"]) == ("put", "500", "it answered 500")
    assert SECRET not in str(line)


# -- writes that are refused for good ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("400", StoreError),
        ("code/ExpiredToken/400", StoreError),
        ("code/KMS.DisabledException/400", StoreError),
        ("code/EntityTooLarge/413", StoreError),
        ("code/XMinioAdminBucketQuotaExceeded/400", StoreFull),
        ("code/QuotaExceeded/403", StoreFull),
        ("code/XMinioStorageFull/507", StoreFull),
        ("507", StoreFull),
        ("QuotaExceeded/400", StoreError),
        ("code/RequestTimeout/400", Unclear),
        ("code/IncompleteBody/400", Unclear),
        ("code/QuotaExceeded/429", Unclear),
        ("code/QuotaExceeded/503", Unclear),
        ("408", Unclear),
        ("423", Unclear),
    ],
)
def test_a_write_is_refused_or_unclear(bucket: ObjectBucket, key: str, error: type[StoreError]) -> None:
    """The outcome of a write is known where a repetition has the same answer; a full bucket says that it is full."""
    for write in (lambda: bucket.put(key, b"12345", None), lambda: bucket.create(key, b"12345", "mark")):
        with pytest.raises(StoreError) as caught:
            write()
        assert type(caught.value) is error
    if error is not Unclear:
        with pytest.raises(StoreError) as caught:
            bucket.overwrite(key, b"12345")
        assert type(caught.value) is error
        assert bucket.counts.retries == 0


def test_a_refused_write_is_not_repeated(bucket: ObjectBucket) -> None:
    """Neither a document nor a file; nothing was written, so the outcome is known."""
    with pytest.raises(StoreError, match="does not take what is written: it answered 400 ExpiredToken") as refused:
        Swaps(bucket).swap("code/ExpiredToken/400", ABSENT, Kind.PRESENT, b"data")
    assert not isinstance(refused.value, OutcomeUnknown)
    assert bucket.counts.requests == {"put": 1}
    blobs = BucketBlobs(bucket, writable=True)
    staging = blobs.stage("demo/x/400")
    staging.write(b"content")
    with pytest.raises(StoreError, match="does not take what is written: it answered 400"):
        blobs.publish(staging.finish())
    assert bucket.counts.requests == {"put": 2}


def test_a_write_that_is_refused_after_an_unclear_try(bucket: ObjectBucket) -> None:
    """The first try may have been taken, and arrive late."""
    with pytest.raises(OutcomeUnknown):
        Swaps(bucket).swap("503-404-400", ABSENT, Kind.PRESENT, b"data")
    assert bucket.counts.requests == {"put": 2, "get": 1}


# -- answers, and keys that read like one -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("InvalidRange-1.0.tar.gz/503-400", "The bucket cannot answer: it answered 400."),
        ("code/SlowDown/InvalidRange/503-400", "The bucket cannot answer: it answered 400 SlowDown."),
        ("metadata.google.internal-1.0.tar.gz/400", "The bucket cannot answer: it answered 400."),
        ("code/AccessDenied/403", "it answered 403 AccessDenied. They need the right to do that."),
        ("SignatureDoesNotMatch-1.0.tar.gz/403", "it answered 403. They need the right to do that."),
    ],
)
def test_a_failure_is_judged_by_the_answer_alone(bucket: ObjectBucket, key: str, sentence: str) -> None:
    """A file may be named as an error is."""
    with pytest.raises(StoreError, match=re.escape(sentence)):
        bucket.begin_reading(key, 10)


@pytest.mark.parametrize("key", ["NoSuchBucket-1.0.tar.gz/404", "code/NoSuchKey/NoSuchBucket-1.0.tar.gz/404"])
def test_a_missing_object_that_is_named_as_a_missing_bucket(bucket: ObjectBucket, key: str) -> None:
    """The bucket is there."""
    assert bucket.get(key) is None
    assert bucket.begin_reading(key, 10) is None


def test_a_missing_bucket(bucket: ObjectBucket) -> None:
    """It is told by the answer's code."""
    with pytest.raises(StoreError, match="The bucket s3://bucket/prefix does not exist"):
        bucket.get("code/NoSuchBucket/404")


def test_a_range_behind_the_end(bucket: ObjectBucket) -> None:
    """Only an object that is empty has no first bytes."""
    assert bucket.begin_reading("empty/416-200", 10) == (0, b"")
    assert bucket.begin_reading("416-404", 10) is None
    with pytest.raises(StoreError, match="it answered 416"):
        bucket.begin_reading("416-200", 10)
