"""One request, five ways to its answer: they must not differ in status, headers, body, or what the log says.

The fast path; the same with the request in pieces; the general application alone (`--no-fast-path`); gunicorn; wsgiref.
Each is a server of its own over one store, and gets the same requests in the same order, so that even what it counts
(logins that fail) is the same. `make test` asks a few, `make test-proofs` more, `make fuzz` goes on for FUZZ_SECONDS.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import random
import socket
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import h11
import pytest

from tests import marking
from tests.asking import Site, basic, password_file, publish_wheel, serve
from tests.fuzz.budget import seconds
from tests.same_requests import COMPARED
from tests.serving import DEADLINE, free_port, running, until

FEW, MANY = 64, 400
"""Requests in `make test` and in `make test-proofs`."""
COUNTS = pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.proofs)])
LARGE_BYTES = 400_000
"""More than the fast path reads at once: the kernel sends it."""
WRONG_LOGINS = 5
"""Few enough that no throttle, whose answer depends on the time, is ever asked."""
FLAGS = ("-a", "list,download,update", "-v", "--log-format", "json", "--trusted-proxies", "127.0.0.1")
LOGGED = ("method", "path", "status", "client", "route", "index", "user", "project", "sent")
RIGHT = basic("ann", "secret")


@dataclass
class Way:
    """A server that is asked, on one connection as long as that lasts."""

    name: str
    host: str
    port: int
    output: Path
    splits: bool = False
    connection: socket.socket | None = None
    marked: int = 0
    """Answers that the fast path gave."""
    marked_large: int = 0
    """Those of them that were a large file."""

    def ask(self, data: bytes, method: str, cut: int) -> dict[str, Any]:
        """The answer. Once more on a new connection when the server has closed the one before."""
        is_new = self.connection is None
        try:
            return self._ask(data, method, cut)
        except (OSError, http.client.HTTPException):
            self.close()
            if is_new:
                raise
            return self._ask(data, method, cut)

    def _ask(self, data: bytes, method: str, cut: int) -> dict[str, Any]:
        if self.connection is None:
            self.connection = socket.create_connection((self.host, self.port), timeout=DEADLINE)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.splits:
            self.connection.sendall(data[:cut])
            until(lambda: _unacknowledged(self.connection) == 0)
            data = data[cut:]
        self.connection.sendall(data)
        response = http.client.HTTPResponse(self.connection, method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
        is_marked = headers.pop(marking.MARK, "no") == "yes"
        self.marked += is_marked
        self.marked_large += is_marked and len(body) > LARGE_BYTES
        if response.will_close:
            self.close()
        return {
            "status": response.status,
            "headers": {name: headers[name] for name in COMPARED if name in headers},
            "id": headers.get("x-request-id"),
            "body": body,
        }

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def log(self) -> dict[str, dict[str, Any]]:
        """The fields of its lines, by request id."""
        lines = [json.loads(line) for line in self.output.read_text().splitlines() if line.startswith("{")]
        requests = [line for line in lines if line["event"] == "request"]
        return {line["request"]: {name: line.get(name) for name in LOGGED} for line in requests}


def _unacknowledged(connection: socket.socket | None) -> int:
    """Bytes that have not reached the other end's socket yet (tcp(7), SIOCOUTQ)."""
    if connection is None:
        return 0
    return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))[0])


def _file_path(site: Site, project: str) -> str:
    address = site.file_url(project, f"{project}-1.0-py3-none-any.whl")
    return address[address.index("/packages/") :]


def _users(folder: Path) -> str:
    return str(password_file(folder, ann="secret"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Fills the store."""
    folder = tmp_path_factory.mktemp("differential")
    with serve(folder, "-P", _users(folder), *FLAGS) as site:
        site.client.auth = ("ann", "secret")
        publish_wheel(site, "acme", "1.0")
        publish_wheel(site, "large", "1.0", files={"data": random.Random(2).randbytes(LARGE_BYTES)})
        yield site


@pytest.fixture(scope="module")
def ways(site: Site) -> Iterator[dict[str, Way]]:
    """All five, each warm."""
    folder = site.root.parent
    with ExitStack() as stack:
        made = {}
        for name, flags in (
            ("fast path", ()),
            ("split", ()),
            ("general", ("--no-fast-path",)),
            ("gunicorn", ("--server", "gunicorn")),
            ("wsgiref", ("--server", "wsgiref")),
        ):
            port = free_port()
            command = [sys.executable, "-m", marking.__name__, "run", "-p", str(port), "-i", "127.0.0.1"]
            command += ["--workers", "1", "-P", _users(folder), *FLAGS, *flags, str(site.root)]
            served = stack.enter_context(running(command, port, cwd=folder))
            made[name] = Way(name, served.host, served.port, served.log, splits=name == "split")
        yield made
        for way in made.values():
            way.close()


@dataclass
class Requests:
    """Draws requests: mostly such as the fast path takes, and many that are nearly so."""

    random: random.Random
    etags: list[str]
    files: list[str]
    wrong: int = field(default=0)

    def draw(self, identity: str) -> tuple[bytes, str, bool]:
        """A whole request, its method, and whether every server's parser takes it."""
        choose = self.random.choice
        method = choose(["GET"] * 12 + ["HEAD"])
        path = choose(["/simple/acme/"] * 6 + ["/simple/", "/simple/acme", "/simple/none/", "/health"] + self.files * 2)
        path += choose([""] * 14 + ["?a=b", "?", "%20", "/", "#x", ";x"])
        lines = ["Host: index.test", f"X-Request-ID: {identity}"]
        lines += [choose(pool) for pool in self._pools() if self.random.random() < 0.5]
        lines += self._login()
        if self.random.random() < 0.08:
            lines.append(choose(lines[2:] or lines))  # twice
        if self.random.random() < 0.3:
            lines = [choose([name, name.lower(), name.title()]) + rest for name, rest in map(_parted, lines)]
        self.random.shuffle(lines)
        data = f"{method} {path} HTTP/1.1\r\n".encode() + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
        is_common = True
        if self.random.random() < 0.1:
            at = self.random.randrange(len(data) - 4)
            data = data[:at] + choose([b"", b" ", b"\t", b"\xe9", b":", b"\x00", b"a"]) + data[at + 1 :]
            is_common = False
        return data, method, is_common

    def _pools(self) -> list[list[str]]:
        json_type = "application/vnd.pypi.simple.v1+json"
        tags = [f"If-None-Match: {tag}" for etag in self.etags for tag in (etag, f"W/{etag}", f'"x", {etag}')]
        return [
            [
                "Accept: text/html",
                "Accept: */*",
                f"Accept: {json_type}",
                "Accept: image/png",
                f"Accept: {json_type};q=0",
            ],
            [
                "Accept-Encoding: gzip",
                "Accept-Encoding: identity",
                "Accept-Encoding: gzip;q=0, zstd",
                "Accept-Encoding: *",
            ],
            [*tags, "If-None-Match: *", 'If-None-Match: "x"'],
            ["User-Agent: pip/26.0", "User-Agent: uv", "Accept-Language: de", "Via: 1.1 x", "Sec-Fetch-Mode: cors"],
            ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 192.0.2.8, 127.0.0.1", "X-Forwarded-For: nobody"],
            ["Cache-Control: max-age=0", "Connection: keep-alive", "Cookie: a=b", "X-Unknown: 1", "Range: bytes=0-3"],
        ]

    def _login(self) -> list[str]:
        kind = self.random.random()
        if kind < 0.7:
            return [f"Authorization: {RIGHT}"]
        if kind < 0.74 and self.wrong < WRONG_LOGINS:
            self.wrong += 1
            return [f"Authorization: {basic(f'u{self.wrong}', 'wrong')}"]
        return self.random.choice([[], ["Authorization: Basic !"], ["Authorization: Bearer x"], ["X-Authorization: x"]])


def _parted(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    return name, colon + value


def _is_whole(data: bytes) -> bool | None:
    """Whether a parser sees one whole request here; None when it refuses it, False when it waits for more."""
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(data)
        if not isinstance(connection.next_event(), h11.Request):
            return False
        return isinstance(connection.next_event(), h11.EndOfMessage) and not connection.trailing_data[0]
    except h11.RemoteProtocolError:
        return None


def _rounds(count: int) -> Iterator[int]:
    """So many, or, in place of `MANY`, as many as there is time for."""
    until_time = time.monotonic() + seconds(0) if "FUZZ_SECONDS" in os.environ and count == MANY else None
    number = 0
    while number < count if until_time is None else time.monotonic() < until_time:
        yield number
        number += 1


@COUNTS
def test_five_ways_to_one_answer(site: Site, ways: dict[str, Way], record_property: Any, count: int) -> None:
    """Status, headers, body, and the line in the log with its user and client."""
    seed = int(os.environ.get("FUZZ_SEED", "1"))
    path, large = _file_path(site, "acme"), _file_path(site, "large")
    pages = [site.get("/simple/acme/"), site.get("/simple/"), site.get(path), site.get(large)]
    files = [path, f"{path}.metadata", large]
    requests = Requests(random.Random(seed), [page.headers["etag"] for page in pages], files)
    already = ways["fast path"].marked, ways["fast path"].marked_large
    drawn = {}
    logged: dict[str, set[str]] = {name: set() for name in ways}  # those that a server knew by its identity
    for number in _rounds(count):
        identity = f"d-{count}-{number}"
        data, method, is_common = requests.draw(identity)
        whole = _is_whole(data)
        if whole is False:
            continue
        cut = requests.random.randrange(1, len(data))
        asked = ways if whole and is_common else {name: ways[name] for name in ("fast path", "split", "general")}
        answers = {}
        for name, way in asked.items():
            try:
                answers[name] = way.ask(data, method, cut)
            except (OSError, http.client.HTTPException) as error:
                answers[name] = {"closed": type(error).__name__}
                way.close()
        expected = answers["general"]
        for name, answer in answers.items():
            if answer.get("id") == identity:
                logged[name].add(identity)
            else:
                answer["id"] = expected.get("id") if answer.get("status") == expected.get("status") else None
            assert answer == expected, f"{seed=} {number=} {cut=} {name}: {data!r}"
        if whole and is_common:
            drawn[identity] = data
    marked, marked_large = ways["fast path"].marked - already[0], ways["fast path"].marked_large - already[1]
    assert marked > number // 8
    assert marked_large > number // 80
    assert ways["general"].marked == 0
    record_property("fuzz", f"differential: {number + 1} requests, {marked} by the fast path")
    logs = {}
    for name, way in ways.items():
        until(lambda name=name, way=way: logged[name] <= way.log().keys())  # type: ignore[misc]  # bound now
        logs[name] = way.log()
    for identity, data in drawn.items():
        lines = {name: log.get(identity) for name, log in logs.items()}
        assert len({json.dumps(line) for line in lines.values()}) == 1, (data, lines)


@COUNTS
def test_requests_in_any_pieces(ways: dict[str, Way], site: Site, count: int) -> None:
    """Several requests one after the other, cut anywhere: as many answers, in their order, as when each comes alone."""
    drawn = random.Random(int(os.environ.get("FUZZ_SEED", "1")))
    etag = site.get("/simple/acme/").headers["etag"]
    pool = {}
    for target, more in (
        ("/simple/acme/", ""),
        ("/simple/", "Accept-Encoding: gzip\r\n"),
        ("/simple/acme/", f"If-None-Match: {etag}\r\n"),
        ("/simple/acme/?q", ""),
        (_file_path(site, "large"), ""),
        (_file_path(site, "large"), "Range: bytes=1-399999\r\n"),
        ("/health", "X-Unknown: 1\r\n"),
    ):
        head = f"GET {target} HTTP/1.1\r\nHost: index.test\r\n{more}Authorization: {RIGHT}\r\n\r\n".encode()
        pool[head] = ways["general"].ask(head, "GET", 1)
    split = ways["split"]
    for _ in range(count // 8):
        split.close()
        heads = [drawn.choice(list(pool)) for _ in range(drawn.randrange(1, 5))]
        data = b"".join(heads)
        cuts = sorted({0, len(data), *(drawn.randrange(len(data)) for _ in range(drawn.randrange(4)))})
        connection = split.connection = socket.create_connection((split.host, split.port), timeout=DEADLINE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, stop in pairwise(cuts):
            connection.sendall(data[start:stop])
            until(lambda: _unacknowledged(split.connection) == 0)
        with contextlib.closing(connection.makefile("rb")) as stream:
            for head in heads:
                response = http.client.HTTPResponse(_Reading(stream))  # type: ignore[arg-type]  # of which it takes this
                response.begin()
                expected = pool[head]
                assert (response.status, response.read()) == (expected["status"], expected["body"]), (heads, cuts)


class _Reading:
    """In place of a socket: one stream for several responses, each of which would begin to read a new one."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def makefile(self, _mode: str) -> Any:
        return _Open(self._stream)


class _Open:
    """A stream that its reader does not close."""

    def __init__(self, stream: Any) -> None:
        self.read, self.readline, self.readinto = stream.read, stream.readline, stream.readinto
        self.flush = stream.flush

    def close(self) -> None:
        """The next response follows."""
