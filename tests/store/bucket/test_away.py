"""A bucket that is away: requests end in bounded time, with a sentence, and the server serves on once it is back.

The bucket is an empty one that takes each write, until it falls silent: it then reads requests and answers none.
Another one takes a write and is away then.

Replaced here: the time in which a write is tried again, which would be half a minute.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from quire.domain.errors import OutcomeUnknown, StoreError
from quire.store.bucket import swaps
from quire.store.bucket.blobs import BucketBlobs
from quire.store.bucket.client import open_bucket
from quire.store.bucket.documents import Kind
from quire.store.bucket.objects import Unclear
from quire.store.bucket.patience import Patience
from quire.store.bucket.swaps import ABSENT, Swaps
from tests.asking import OPEN, serve
from tests.serving import DEADLINE, until

SHORT = Patience(read=0.2, request=0.5, long_request=0.5, failure_holds=60.0)


def environ_of(server: ThreadingHTTPServer) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }


class EmptyBucket(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.talks = Event()
        self.talks.set()
        self.unanswered: list[str] = []
        """The paths that were asked for in silence."""

    def records_unanswered(self) -> list[str]:
        """The records among them, sorted. The worker lists names as well, of its own accord."""
        return sorted(path.partition("/records/")[2] for path in self.unanswered if "/records/" in path)

    @property
    def environ(self) -> dict[str, str]:
        return environ_of(self)


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EmptyBucket

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.server.talks.is_set():
            self.server.unanswered.append(self.path)
            self.server.talks.wait(DEADLINE)
            self.close_connection = True
            return
        self.send_response(200 if self.command == "PUT" else 404)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_HEAD = _answer  # noqa: N815 - the names of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of http.server
        """Log nothing."""


@contextmanager
def empty_bucket() -> Iterator[EmptyBucket]:
    with EmptyBucket() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.talks.set()
            server.shutdown()
            thread.join()


class RestartingBucket(ThreadingHTTPServer):
    """Keeps objects and their conditions. It takes the first write, and is away then for a time: it reads requests and
    closes their connections."""

    daemon_threads = True

    def __init__(self, seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Kept)
        self.seconds = seconds
        self.objects: dict[str, tuple[bytes, str, dict[str, str]]] = {}
        self.back_at: float | None = None
        self.refused = 0

    @property
    def environ(self) -> dict[str, str]:
        return environ_of(self)


class _Kept(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RestartingBucket

    def _answer(self) -> None:
        bucket, now = self.server, time.monotonic()
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if bucket.back_at is not None and now < bucket.back_at:
            self.close_connection = True
            return
        found, status = bucket.objects.get(self.path), 200
        if self.command == "PUT":
            wanted = self.headers.get("If-Match")
            if (wanted is None) != (found is None) or (found is not None and wanted != found[1]):
                status, found = 412, None
                bucket.refused += 1
            else:
                marks = {name: value for name, value in self.headers.items() if name.startswith("x-amz-meta-")}
                found = bucket.objects[self.path] = (content, f'"{len(bucket.objects)}"', marks)
            if bucket.back_at is None:
                bucket.back_at = now + bucket.seconds
                self.close_connection = True
                return
        elif found is None:
            status = 404
        data, tag, marks = found or (b"", '"0"', {})
        self.send_response(status)
        for name, value in {"ETag": tag, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", **marks}.items():
            self.send_header(name, value)
        data = data if self.command != "PUT" else b""
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_GET = do_PUT = do_HEAD = _answer  # noqa: N815 - the names of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of http.server
        """Log nothing."""


@contextmanager
def restarting_bucket(seconds: float) -> Iterator[RestartingBucket]:
    with RestartingBucket(seconds) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def emptied(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmptyBucket]:
    with empty_bucket() as server:
        for name, value in server.environ.items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_page_is_refused_after_one_wait(tmp_path: Path, emptied: EmptyBucket) -> None:
    """Page and rights are asked for once, together: the application does not wait again after the fast path did.
    The client is told to come back, and `/ready` keeps others away; both end as soon as the bucket answers.
    """
    with serve(tmp_path, *OPEN, place="s3://bucket/prefix") as site:
        assert site.get("/simple/acme/").status_code == 404
        emptied.talks.clear()
        answer = site.get("/simple/acme/")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert "The bucket cannot answer" in answer.text
        unanswered = emptied.records_unanswered()  # the worker may ask for the rights of its own accord as well
        assert [*dict.fromkeys(unanswered)] == ["access/rules/store.json", "main/projects/acme.json"]
        assert unanswered.count("main/projects/acme.json") == 1
        assert site.get("/ready").status_code == 503
        assert site.get("/metrics").status_code == 200, "operators need them now"
        emptied.talks.set()
        until(lambda: site.get("/simple/acme/").status_code == 404 and site.get("/ready").status_code == 200)


def test_silence_is_one_request(emptied: EmptyBucket) -> None:
    """It outlasts the time in which reads are tried again, and the failure holds for the next read of the object."""
    bucket = open_bucket("s3://bucket/prefix", emptied.environ, SHORT)
    emptied.talks.clear()
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot answer"):
            bucket.get("a")
    assert len(emptied.unanswered) == 1
    with pytest.raises(StoreError, match="cannot answer"):
        bucket.head("b")
    with pytest.raises(Unclear):
        bucket.put("c", b"", None)
    with pytest.raises(Unclear):
        bucket.create("d", b"", "mark")
    assert len(emptied.unanswered) == 4


def test_a_failure_holds_for_a_moment_only(emptied: EmptyBucket) -> None:
    """A bucket that is back is asked again."""
    bucket = open_bucket("s3://bucket/prefix", emptied.environ, SHORT._replace(failure_holds=0.0))
    emptied.talks.clear()
    with pytest.raises(StoreError, match="cannot answer"):
        bucket.get("a")
    emptied.talks.set()
    assert bucket.get("a") is None


def test_refused_connections_end_in_a_sentence(emptied: EmptyBucket) -> None:
    """They are tried again for a while, once for all reads of an object."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environ = emptied.environ | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    bucket = open_bucket("s3://bucket/prefix", environ, SHORT)
    with pytest.raises(StoreError, match="cannot answer"):
        bucket.get("a")
    tries = bucket.counts.outcomes["get", "failed"]
    assert tries > 1
    with pytest.raises(StoreError, match="cannot answer"):
        bucket.get("a")
    assert bucket.counts.outcomes["get", "failed"] == tries


def test_a_write_outlasts_a_restart() -> None:
    """The bucket took the write, and was away for longer than reads are tried again: it was made, once."""
    with restarting_bucket(1.0) as server:
        written = Swaps(open_bucket("s3://bucket/prefix", server.environ, SHORT)).swap("a", ABSENT, Kind.PRESENT, b"x")
        found = Swaps(open_bucket("s3://bucket/prefix", server.environ)).read("a")
        assert found is not None
        assert found[0].nonce == written.nonce
        assert server.refused <= 1


def test_a_small_file_outlasts_a_restart() -> None:
    """Like a document: the mark beside it tells whose it is."""
    with restarting_bucket(1.0) as server:
        blobs = BucketBlobs(open_bucket("s3://bucket/prefix", server.environ, SHORT), writable=True)
        staging = blobs.stage("demo/x/demo-1.0.tar.gz")
        staging.write(b"content")
        blobs.publish(staging.finish())
        assert [content for content, _, _ in server.objects.values()] == [b"content"]


def test_a_write_ends_when_the_bucket_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been made, so it is no plain failure."""
    monkeypatch.setattr(swaps, "PATIENCE", 0.5)
    with restarting_bucket(DEADLINE) as server:
        bucket = open_bucket("s3://bucket/prefix", server.environ, SHORT)
        with pytest.raises(OutcomeUnknown):
            Swaps(bucket).swap("a", ABSENT, Kind.PRESENT, b"x")
        assert bucket.counts.outcomes["put", "failed"] > 1
