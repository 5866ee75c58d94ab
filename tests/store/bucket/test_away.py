"""A bucket that is away: requests end in bounded time, with a sentence, and the server serves on once it is back.

The bucket is an empty one that takes each write, until it falls silent: it then reads requests and answers none.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from quire.domain.errors import StoreError
from quire.store.bucket.client import open_bucket
from quire.store.bucket.objects import Unclear
from quire.store.bucket.patience import Patience
from tests.asking import OPEN, serve
from tests.serving import DEADLINE, until

SHORT = Patience(read=0.2, request=0.5, long_request=0.5, failure_holds=60.0)


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
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_address[1]}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }


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
