"""A small index for tests that read another one: a real HTTP server in a thread, whose answers a test writes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass
class Answer:
    """The response to one request."""

    body: bytes = b""
    content_type: str = "application/octet-stream"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    takes_ranges: bool = False
    """Whether a request for a part gets that part (RFC 9110, 14); else it gets the whole."""
    length: int | None = None
    """Content-Length to claim; None for the truth."""
    held: threading.Event | None = None
    """Half of the body is sent before it is set."""
    has_length: bool = True
    """Else the end of the connection is the end of the body."""


class FakeIndex:
    """Answers by path. The last one of a path's answers is repeated; an unknown path gets 404."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.url = f"{self.base}/simple/"
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, Mapping[str, str]]] = []
        """Path and headers (names in lower case) of every request."""

    def at(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    def has(self, project: str, files: Mapping[str, bytes], **changes: Mapping[str, Any]) -> None:
        """Offer files of a project, as JSON; `changes` by filename with `.` and `-` as `_` change their entries."""
        entries = []
        for filename, data in files.items():
            entry: dict[str, Any] = {
                "filename": filename,
                "url": f"../../files/{filename}",
                "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
                "size": len(data),
                "yanked": False,
            }
            entry |= changes.get(filename.replace(".", "_").replace("-", "_"), {})
            entries.append(entry)
            self.at(f"/files/{filename}", Answer(data))
        self.at(f"/simple/{project}/", page(entries))

    def answer(self, path: str) -> Answer:
        answers = self.answers.get(path)
        if not answers:
            return Answer(b"no such thing", "text/plain", 404)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


def page(entries: Sequence[Mapping[str, Any]], version: str = "1.4") -> Answer:
    """A project page in JSON."""
    document = {"meta": {"api-version": version}, "name": "x", "files": list(entries), "versions": []}
    return Answer(json.dumps(document).encode(), JSON)


@contextmanager
def serving_index() -> Iterator[FakeIndex]:
    """A FakeIndex on a free port, served until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            answer = self._answer()
            sent = len(answer.body) // 2 if answer.held is not None else 0
            self.wfile.write(answer.body[:sent])
            if answer.held is not None:
                answer.held.wait(60)
            with suppress(OSError):  # the client has gone away meanwhile
                self.wfile.write(answer.body[sent:])

        def _answer(self) -> Answer:
            index.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = index.answer(self.path)
            first, last = (self.headers.get("Range") or "-").removeprefix("bytes=").split("-")
            if answer.takes_ranges and first:
                stop = min(int(last) + 1, len(answer.body)) if last else len(answer.body)
                said = f"bytes {first}-{stop - 1}/{len(answer.body)}"
                answer = replace(
                    answer, body=answer.body[int(first) : stop], status=206, headers={"Content-Range": said}
                )
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            if answer.has_length:
                self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            return answer

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        index = FakeIndex(server.server_port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()
