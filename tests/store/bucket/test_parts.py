"""The requests of an upload in parts, when some of them fail: against a server that fails as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from quire.domain.errors import StoreError, StoreReadOnly
from quire.store.bucket.client import ObjectBucket, open_bucket
from quire.store.bucket.objects import Upload
from quire.store.bucket.staging import SMALL

CONTENT = bytes(SMALL) + b"the last part"


class S3(ThreadingHTTPServer):
    """As much of S3 as one upload in parts needs; no conditions, no signatures."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failures: dict[str, list[int]] = {}
        """For `begin`, `part`, `complete`, `abort`: the statuses of the next answers; 0: done, and no answer."""
        self.requests: list[str] = []
        self.parts: dict[int, bytes] | None = None
        """Of the upload under way."""
        self.object: bytes | None = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of the class above
        """Say nothing."""

    def __getattr__(self, name: str) -> object:
        """One method for all of HTTP's."""
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        of_posts = "begin" if "uploads" in query else "remove" if "delete" in query else "complete"
        kind = {"PUT": "part", "DELETE": "abort", "HEAD": "head"}.get(self.command, of_posts)
        self.server.requests.append(kind)
        failures = self.server.failures.get(kind)
        status = failures.pop(0) if failures else 200
        if status not in {0, 200}:
            self._answer(status, b"<Error><Code>Told</Code></Error>")
            return
        answer = getattr(self, f"_{kind}")(query, body)
        if status == 0:
            self.close_connection = True
            return
        self._answer(*answer)

    def _begin(self, *_: object) -> tuple[int, bytes]:
        self.server.parts = {}
        return 200, b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"

    def _part(self, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes]:
        if self.server.parts is None:
            return 404, b"<Error><Code>NoSuchUpload</Code></Error>"
        self.server.parts[int(query["partNumber"][0])] = body
        return 200, b""

    def _complete(self, *_: object) -> tuple[int, bytes]:
        if self.server.parts is None:
            return 404, b"<Error><Code>NoSuchUpload</Code></Error>"
        self.server.object = b"".join(self.server.parts[number] for number in sorted(self.server.parts))
        self.server.parts = None
        return 200, b'<CompleteMultipartUploadResult><ETag>"1"</ETag></CompleteMultipartUploadResult>'

    def _abort(self, *_: object) -> tuple[int, bytes]:
        self.server.parts = None
        return 204, b""

    def _remove(self, *_: object) -> tuple[int, bytes]:
        self.server.object = None
        return 200, b"<DeleteResult><Deleted><Key>prefix/blobs/key</Key></Deleted></DeleteResult>"

    def _head(self, *_: object) -> tuple[int, bytes]:
        return (404, b"") if self.server.object is None else (200, self.server.object)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def s3() -> Iterator[tuple[S3, ObjectBucket]]:
    with S3() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server, _bucket(server)
        finally:
            server.shutdown()
            thread.join()


def _bucket(server: S3) -> ObjectBucket:
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "testsecret",
        "AWS_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:  # obstore reads the environment of the process
        for name, value in variables.items():
            patch.setenv(name, value)
        return open_bucket("s3://bucket/prefix", variables)


@pytest.mark.parametrize("status", [500, 503, 429, 0])
@pytest.mark.parametrize("kind", ["begin", "part", "complete"])
def test_a_request_that_fails_once_is_repeated(kind: str, status: int) -> None:
    """And the object has all bytes, once: also where the request was done and only its answer was lost."""
    with s3() as (server, bucket):
        upload = bucket.upload("blobs/key", SMALL)
        server.failures[kind] = [status]
        upload.write(CONTENT)
        upload.finish()
        assert server.object == CONTENT
        assert server.parts is None


@pytest.mark.parametrize("kind", ["begin", "part", "complete"])
def test_a_refused_request_ends_the_upload(kind: str) -> None:
    """Missing rights are named as such, nothing becomes an object, and what was begun is aborted."""
    with s3() as (server, bucket):
        upload = bucket.upload("blobs/key", SMALL)
        server.failures[kind] = [403] * 2
        with pytest.raises(StoreReadOnly, match="403"):
            _send(upload)
        upload.abort()
        upload.abort()
        assert server.object is None
        assert server.parts is None


def test_an_abort_that_fails_is_said() -> None:
    """So that the caller knows that parts are left."""
    with s3() as (server, bucket):
        upload = bucket.upload("blobs/key", SMALL)
        upload.write(CONTENT)
        server.failures["abort"] = [403]
        with pytest.raises(StoreError, match="403"):
            upload.abort()


def _send(upload: Upload) -> None:
    upload.write(CONTENT)
    upload.finish()
