"""A double of Google Cloud Storage: as much of its XML API as obstore speaks, with generations, in memory.

It is no server of Google's and proves nothing about one: no server of the XML API with conditions was found that can be
installed. It follows the API's reference, and is strict: an object's generation never comes back, a condition is
checked and its object written under one lock, a request that it does not know is refused. Every request needs the
bearer token.

Sources: https://cloud.google.com/storage/docs/xml-api/overview (requests), .../docs/request-preconditions.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from tests.bucket.servers import BucketServer

_PAGE: Final = 1000
"""Objects of one answer to a listing."""
_RANGE: Final = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")


class _Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: HTTPStatus, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class _Object:
    data: bytes
    generation: int
    e_tag: str
    modified: float
    metadata: dict[str, str]
    """Headers of the client's own, which come back with the object."""

    def headers(self) -> dict[str, str]:
        return {
            **self.metadata,
            "ETag": self.e_tag,
            "Last-Modified": formatdate(self.modified, usegmt=True),
            "x-goog-generation": str(self.generation),
            "x-goog-metageneration": "1",
        }


@dataclass
class _Upload:
    key: str
    metadata: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class _Bucket:
    objects: dict[str, _Object] = field(default_factory=dict)
    uploads: dict[str, _Upload] = field(default_factory=dict)


@dataclass
class _Answer:
    status: HTTPStatus = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class _State:
    """All buckets. Each method is one step under one lock."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.buckets: dict[str, _Bucket] = {}
        self.lock = threading.Lock()
        self._generations = itertools.count(time.time_ns() // 1000)

    def bucket(self, name: str) -> _Bucket:
        found = self.buckets.get(name)
        if found is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, "NoSuchBucket")
        return found

    def write(
        self, bucket: _Bucket, key: str, data: bytes, metadata: dict[str, str], generation: str | None = None
    ) -> _Object:
        """Raises _Refusal when the object has another generation; 0: none at all."""
        with self.lock:
            found = bucket.objects.get(key)
            if generation is not None and int(generation) != (0 if found is None else found.generation):
                raise _Refusal(HTTPStatus.PRECONDITION_FAILED, "PreconditionFailed")
            # of the content alone, as Google's is for an object that was sent whole: no name of a state
            e_tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
            written = _Object(data, next(self._generations), e_tag, time.time(), metadata)
            bucket.objects[key] = written
            return written


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            answer = self._route(body)
        except _Refusal as refusal:
            document = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{refusal.code}</Code></Error>"
            answer = _Answer(refusal.status, {"Content-Type": "application/xml"}, document.encode())
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            self.send_header("Content-Length", answer.headers.get("Content-Length", str(len(answer.body))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - the names are those of the base class

    def _route(self, body: bytes) -> _Answer:
        state = self.server.state
        if self.headers.get("Authorization") != f"Bearer {state.token}":
            raise _Refusal(HTTPStatus.UNAUTHORIZED, "AuthenticationRequired")
        url = urlsplit(self.path)
        name, _, key = url.path.lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        bucket, key = state.bucket(unquote(name)), unquote(key)
        match self.command, bool(key), sorted(query):
            case "GET", False, _ if query.pop("list-type", None) == "2":
                return _listing(state, bucket, query)
            case "GET" | "HEAD", True, []:
                return self._read(bucket, key)
            case "PUT", True, []:
                generation = self.headers.get("x-goog-if-generation-match")
                return _Answer(headers=state.write(bucket, key, body, self._metadata(), generation).headers())
            case "DELETE", True, []:
                with state.lock:
                    if bucket.objects.pop(key, None) is None:
                        raise _Refusal(HTTPStatus.NOT_FOUND, "NoSuchKey")
                return _Answer(HTTPStatus.NO_CONTENT)
            case "POST", True, ["uploads"]:
                upload = secrets.token_hex(16)
                with state.lock:
                    bucket.uploads[upload] = _Upload(key, self._metadata())
                return _xml("InitiateMultipartUploadResult", UploadId=upload)
            case "PUT", True, ["partNumber", "uploadId"]:
                with state.lock:
                    _upload(bucket, key, query["uploadId"]).parts[int(query["partNumber"])] = body
                return _Answer(headers={"ETag": _part_tag(body)})
            case "DELETE", True, ["uploadId"]:
                with state.lock:
                    _upload(bucket, key, query["uploadId"])
                    del bucket.uploads[query["uploadId"]]
                return _Answer(HTTPStatus.NO_CONTENT)
            case "POST", True, ["uploadId"]:
                return _complete(state, bucket, key, query["uploadId"], body)
        raise _Refusal(HTTPStatus.BAD_REQUEST, "InvalidArgument")

    def _metadata(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower().startswith("x-goog-meta-")}

    def _read(self, bucket: _Bucket, key: str) -> _Answer:
        with self.server.state.lock:
            found = bucket.objects.get(key)
        if found is None:
            raise _Refusal(HTTPStatus.NOT_FOUND, "NoSuchKey")
        if self.headers.get("If-None-Match") == found.e_tag:
            return _Answer(HTTPStatus.NOT_MODIFIED, found.headers())
        asked = _RANGE.fullmatch(self.headers.get("Range", "bytes=0-"))
        size = len(found.data)
        if asked is None:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "InvalidArgument")
        first, last, suffix = asked.groups()
        start = size - min(int(suffix), size) if suffix else int(first)
        ends = min(int(last) + 1, size) if last else size
        if "Range" not in self.headers:
            return _Answer(HTTPStatus.OK, {**found.headers(), "Content-Length": str(size)}, found.data)
        if start >= size:
            raise _Refusal(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "InvalidRange")
        part = {**found.headers(), "Content-Range": f"bytes {start}-{ends - 1}/{size}"}
        return _Answer(HTTPStatus.PARTIAL_CONTENT, part, found.data[start:ends])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        """Nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, state: _State) -> None:
        self.state = state
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what failed, but for a client that did not wait for its answer, as a worker that was killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # it uses neither


def _listing(state: _State, bucket: _Bucket, query: dict[str, str]) -> _Answer:
    """In pages, the next of which is named by the last key of this one."""
    if not query.keys() <= {"prefix", "continuation-token", "start-after"}:
        raise _Refusal(HTTPStatus.BAD_REQUEST, "InvalidArgument")
    after = query.get("continuation-token", query.get("start-after", ""))
    with state.lock:
        found = sorted(
            (key, each)
            for key, each in bucket.objects.items()
            if key.startswith(query.get("prefix", "")) and key > after
        )
    page = found[:_PAGE]
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Generation>{each.generation}</Generation>"
        f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(each.modified))}"
        f".{int(each.modified % 1 * 1000):03}Z</LastModified>"
        f"<ETag>{escape(each.e_tag)}</ETag><Size>{len(each.data)}</Size></Contents>"
        for key, each in page
    )
    more = {"NextContinuationToken": page[-1][0]} if len(found) > len(page) else {}
    return _xml("ListBucketResult", contents, IsTruncated=str(bool(more)).lower(), **more)


def _upload(bucket: _Bucket, key: str, name: str) -> _Upload:
    """Raises _Refusal."""
    found = bucket.uploads.get(name)
    if found is None or found.key != key:
        raise _Refusal(HTTPStatus.NOT_FOUND, "NoSuchUpload")
    return found


def _complete(state: _State, bucket: _Bucket, key: str, name: str, body: bytes) -> _Answer:
    """Make an object of the parts that the document names, each by its number and ETag."""
    named = [
        (int(each.findtext("{*}PartNumber") or 0), each.findtext("{*}ETag"))
        for each in ElementTree.fromstring(body).iterfind("{*}Part")
    ]
    with state.lock:
        upload = _upload(bucket, key, name)
        parts = upload.parts
        if not named or any(number not in parts or _part_tag(parts[number]) != tag for number, tag in named):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "InvalidPart")
        del bucket.uploads[name]
    written = state.write(bucket, key, b"".join(parts[number] for number, _ in named), upload.metadata)
    answer = _xml("CompleteMultipartUploadResult", ETag=written.e_tag)
    answer.headers |= written.headers()
    return answer


def _part_tag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _xml(name: str, inner: str = "", **texts: str) -> _Answer:
    more = "".join(f"<{key}>{escape(text)}</{key}>" for key, text in texts.items())
    document = f"<?xml version='1.0' encoding='UTF-8'?><{name}>{inner}{more}</{name}>"
    return _Answer(HTTPStatus.OK, {"Content-Type": "application/xml"}, document.encode())


class GcsDouble(BucketServer):
    """The double that runs."""

    def __init__(self, state: _State, port: int) -> None:
        self._state = state
        self._port = port

    @property
    def environment(self) -> dict[str, str]:
        return {"GOOGLE_BASE_URL": f"http://127.0.0.1:{self._port}", "GOOGLE_BEARER_TOKEN": self._state.token}

    def make_bucket(self) -> str:
        name = f"quire-{secrets.token_hex(6)}"
        self._state.buckets[name] = _Bucket()
        return f"gs://{name}"


@contextmanager
def gcs_double() -> Iterator[GcsDouble]:
    """The double on a free port, in threads of this process."""
    state = _State(secrets.token_hex(16))
    with _Server(state) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield GcsDouble(state, server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
