"""An HTTP proxy before an S3 server that fails as networks, load balancers and servers do, by a plan.

Requests go through as they came, with their Host, since signatures cover it. Each client connection has one of its own
to the server, and nothing is ever repeated that the plan does not repeat. `python -m tests.bucket.proxy PORT` runs one
until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from tests.serving import DEADLINE, environment

_END: Final = b"\r\n\r\n"
_LIMIT: Final = 256 * 1024
_LATE: Final = (0.05, 0.4)
"""Seconds that a late request or answer takes longer: less than any client's timeout."""


class Fault(StrEnum):
    """How a request fails."""

    RESET = "reset before"
    UNAVAILABLE = "503 before"
    FAILED = "500 before"
    BUSY = "409 before"
    """As S3 says it of writes of one key at the same time. Nothing was written."""
    TIMED_OUT = "408 before"
    LOST = "reset after"
    """The server has done it, and the answer is lost."""
    FAILED_AFTER = "500 after"
    SLOW = "answered late"
    STRAY = "arrives late"
    """The connection is lost at once, and the request reaches the server a moment later."""
    TWICE = "sent twice"
    """The client gets the second answer."""
    CUT_REQUEST = "request cut"
    CUT_ANSWER = "answer cut"
    KILL_BEFORE = "client killed before"
    KILL_AFTER = "client killed after"


NETWORK: Final = tuple(fault for fault in Fault if fault not in {Fault.KILL_BEFORE, Fault.KILL_AFTER})
_ANSWERS: Final = {
    Fault.UNAVAILABLE: (HTTPStatus.SERVICE_UNAVAILABLE, "SlowDown"),
    Fault.FAILED: (HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError"),
    Fault.FAILED_AFTER: (HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError"),
    Fault.BUSY: (HTTPStatus.CONFLICT, "ConditionalRequestConflict"),
    Fault.TIMED_OUT: (HTTPStatus.REQUEST_TIMEOUT, "RequestTimeout"),
}
_AFTER: Final = {Fault.LOST, Fault.FAILED_AFTER, Fault.SLOW, Fault.TWICE, Fault.CUT_ANSWER, Fault.KILL_AFTER}


class Request(NamedTuple):
    """The request, as a plan sees it."""

    method: str
    target: str


Plan = Callable[[Request], Fault | None]


class Chance:
    """A plan of some faults in a thousand requests, any kind as likely as another."""

    def __init__(self, per_thousand: float, seed: int) -> None:
        self._share = per_thousand / 1000
        self._choose = random.Random(seed)

    def __call__(self, request: Request) -> Fault | None:
        if self._choose.random() >= self._share:
            return None
        fault = self._choose.choice(NETWORK)
        return None if fault is Fault.BUSY and request.method != "PUT" else fault


class Held:
    """A request that waits in the proxy until the test lets it through."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._released = threading.Event()

    def wait(self) -> None:
        """Until the request has arrived."""
        assert self._arrived.wait(DEADLINE), "the request to be held did not come"

    def release(self) -> None:
        """Let it through. Idempotent."""
        self._released.set()

    def block(self) -> None:
        """For the proxy: until it is released."""
        self._arrived.set()
        self._released.wait()


@dataclass
class Script:
    """A plan of single faults, each for the first request that fits, in the order they were added."""

    scenes: list[tuple[Fault, str, str]] = field(default_factory=list)
    meanwhile: Callable[[], object] | None = None
    """Runs once, when a fault took place and before the client hears of it."""
    requests: list[Request] = field(default_factory=list)
    _holds: list[tuple[str, str, Callable[[], bool], Held]] = field(default_factory=list)
    _held: list[Held] = field(default_factory=list)

    def hold(self, method: str, part: str, after: tuple[str, str, int] | None = None) -> Held:
        """Hold the next request that fits. `after`: a method, a part and a number: only when so many of these requests
        went through from now on."""
        begin = len(self.requests)

        def is_due() -> bool:
            if after is None:
                return True
            passed = self.requests[begin:]
            return (
                sum(each.method == after[0] and bool(re.search(after[1], each.target)) for each in passed) >= after[2]
            )

        held = Held()
        self._holds.append((method, part, is_due, held))
        self._held.append(held)
        return held

    def release_all(self) -> None:
        """For the end of a test, whatever became of it."""
        for held in self._held:
            held.release()

    def held(self, request: Request) -> Held | None:
        """The hold that this request has to wait for; None to let it through."""
        for number, (method, part, is_due, held) in enumerate(self._holds):
            if request.method == method and re.search(part, request.target) and is_due():
                del self._holds[number]
                return held
        return None

    def add(self, fault: Fault, method: str, part: str) -> None:
        """`part`: a regular expression for a part of the request's target."""
        self.scenes.append((fault, method, part))

    def __call__(self, request: Request) -> Fault | None:
        self.requests.append(request)
        for number, (fault, method, part) in enumerate(self.scenes):
            if request.method == method and re.search(part, request.target):
                del self.scenes[number]
                return fault
        return None


class _Cut(Exception):
    """A connection is to end here."""


class Proxy:
    """One that runs; see `faulty_proxy`."""

    def __init__(self, server_port: int, plan: Plan, kill: Callable[[], object] | None = None) -> None:
        """`kill`: ends the client, for the faults that say so."""
        self.requests = 0
        self.faults: Counter[Fault] = Counter()
        self.port = 0
        self._server_port = server_port
        self._plan = plan
        self._kill = kill
        self._connections: set[asyncio.Task[None] | None] = set()
        """Held, since the event loop refers to its tasks weakly."""
        self._strays: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def run(self, started: Callable[[], object], ends: asyncio.Event) -> None:
        """Serve until the event, and until every late request has reached the server."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LIMIT)
        self.port = server.sockets[0].getsockname()[1]
        started()
        await ends.wait()
        server.close()
        if self._strays:
            await asyncio.wait(self._strays)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        task = asyncio.current_task()
        self._connections.add(task)
        try:
            upstream = await self._connect()
            while True:
                head = await reader.readuntil(_END)
                method, target, _ = head.split(b" ", 2)
                body = await reader.readexactly(int(_header(head, b"content-length") or b"0"))
                answer = await self._handled(Request(method.decode(), target.decode()), head, body, upstream)
                writer.write(answer)
                await writer.drain()
                if (_header(answer.partition(_END)[0] + _END, b"connection") or b"").lower() == b"close":
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        except _Cut as cut:
            with suppress(OSError):
                writer.write(cut.args[0])
                await writer.drain()
            if not cut.args[0]:
                connection: socket.socket = writer.get_extra_info("socket")
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
        finally:
            self._connections.discard(task)
            for each in (writer, *(upstream[1:] if upstream else ())):
                each.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._server_port, limit=_LIMIT)

    async def _handled(
        self,
        request: Request,
        head: bytes,
        body: bytes,
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> bytes:
        """The answer for the client. Raises _Cut with what it still gets."""
        self.requests += 1
        held = self._plan.held(request) if isinstance(self._plan, Script) else None
        if held is not None:
            await asyncio.to_thread(held.block)
        fault = self._plan(request)
        if fault is None:
            return await _exchange(upstream, request.method, head + body)
        self.faults[fault] += 1
        answer = b""
        if fault in _AFTER:
            answer = await _exchange(upstream, request.method, head + body)
        if fault is Fault.TWICE:
            answer = await _exchange(upstream, request.method, head + body)
        elif fault is Fault.CUT_REQUEST:
            whole = head + body
            upstream[1].write(whole[: len(head) + len(body) // 2] if body else whole[: len(whole) // 2])
            await upstream[1].drain()
        elif fault is Fault.STRAY:
            self._stray(request.method, head + body)
        await self._meanwhile()
        if fault in {Fault.KILL_BEFORE, Fault.KILL_AFTER}:
            assert self._kill is not None, "nothing to kill"
            await asyncio.to_thread(self._kill)
        if fault is Fault.SLOW:
            await asyncio.sleep(random.uniform(*_LATE))
        if fault in {Fault.SLOW, Fault.TWICE}:
            return answer
        if fault in _ANSWERS:
            return _error(request.method, *_ANSWERS[fault])
        if fault is Fault.CUT_ANSWER:
            start = answer.index(_END) + len(_END)
            raise _Cut(answer[: (start + len(answer)) // 2] if len(answer) > start else answer[: start // 2])
        raise _Cut(b"")

    def _stray(self, method: str, whole: bytes) -> None:
        async def arrive() -> None:
            await asyncio.sleep(random.uniform(*_LATE))
            upstream = await self._connect()
            with suppress(OSError, asyncio.IncompleteReadError):
                await _exchange(upstream, method, whole)
            upstream[1].close()

        task = asyncio.get_running_loop().create_task(arrive())
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)

    async def _meanwhile(self) -> None:
        if isinstance(self._plan, Script) and self._plan.meanwhile is not None:
            meanwhile, self._plan.meanwhile = self._plan.meanwhile, None
            await asyncio.to_thread(meanwhile)


async def _exchange(upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter], method: str, whole: bytes) -> bytes:
    """The server's answer to a request, byte by byte as it came."""
    reader, writer = upstream
    writer.write(whole)
    await writer.drain()
    head = await reader.readuntil(_END)
    while head[9:10] == b"1":
        head = await reader.readuntil(_END)
    if method == "HEAD" or head[9:12] in {b"204", b"304"}:
        return head
    if b"chunked" in (_header(head, b"transfer-encoding") or b"").lower():
        return head + await _chunks(reader)
    return head + await reader.readexactly(int(_header(head, b"content-length") or b"0"))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    found = []
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        found += [line, await reader.readexactly(size + 2)]
        if size == 0:
            return b"".join(found)


def _header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return None


def _error(method: str, status: HTTPStatus, code: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() if method == "HEAD" else (head + body).encode()


@contextmanager
def faulty_proxy(server_url: str, plan: Plan, kill: Callable[[], object] | None = None) -> Iterator[Proxy]:
    """One before the server at `http://127.0.0.1:PORT`, in a thread."""
    proxy = Proxy(port_of(server_url), plan, kill)
    loop, started, ends = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    def run() -> None:
        loop.run_until_complete(proxy.run(started.set, ends))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=run, name="faulty proxy")
    thread.start()
    try:
        assert started.wait(10), "the proxy did not start"
        yield proxy
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join()


def port_of(url: str) -> int:
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    assert host == "127.0.0.1", f"no S3 server on the loopback: {url}"
    return int(port)


class ProxyProcess:
    """A proxy in a process of its own, before the server that AWS_ENDPOINT_URL names."""

    def __init__(self, per_thousand: float, seed: int) -> None:
        server = os.environ["AWS_ENDPOINT_URL"]
        command = [sys.executable, "-m", "tests.bucket.proxy", server, f"--faults={per_thousand}", f"--seed={seed}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        self.url: str = self._line()["url"]

    def counts(self) -> tuple[int, dict[str, int]]:
        """Requests until now, and faults by kind."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found = self._line()
        return found["requests"], found["faults"]

    def stop(self) -> None:
        self._process.communicate()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def main() -> int:
    """Prints its URL, and its counts for each line of its standard input."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="of the server")
    parser.add_argument("--faults", type=float, default=20.0, metavar="N", help="in a thousand requests")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with faulty_proxy(arguments.url, Chance(arguments.faults, arguments.seed)) as proxy:
        print(json.dumps({"url": proxy.url}), flush=True)
        for _ in sys.stdin:
            print(json.dumps({"requests": proxy.requests, "faults": proxy.faults}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
