"""Files that uvicorn's connections hand to the kernel: the same bytes, whatever the client does meanwhile.

Replaced here: system calls of the kernel, since it chooses itself how much it sends, and the moment in which a client
reads.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import mmap
import os
import random
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h11
import pytest
import uvloop
from uvicorn.protocols.http.flow_control import FlowControl

from quire.http.fast.responses import SENT
from quire.http.simple.files import IN_THREAD, ZEROCOPY
from quire.servers.limits import connections_for
from quire.servers.uvicorn_files import Ends, FileSender
from quire.store.posix.filesystem import filesystem_type
from tests import marking
from tests.asking import OPEN, Site, publish, raw_answer, serve
from tests.distributions import make_wheel, wheel_name
from tests.memory import family
from tests.serving import free_port, running, until

FILENAME = wheel_name("big", "1.0")
CONTENT = make_wheel("big", "1.0", files={"data": random.Random(3).randbytes(20_000_000)})
"""More than the buffers of a socket hold."""
SEND_THREADS = 16


@pytest.fixture(scope="module", params=[("1",), ("2",), ("1", "--no-fast-path")], ids=" ".join)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("sendfile")
    with serve(folder, *OPEN, "--server", "uvicorn", "--workers", *request.param) as site:
        assert publish(site, FILENAME, CONTENT, name="big", version="1.0").status_code == 200
        yield site


@pytest.fixture(scope="module", autouse=True)
def idle(site: Site) -> int:
    """`_handed_over` before the first download: the end of one test's last transfer may be seen in the next test."""
    return _handed_over(site)


def _request(site: Site, *lines: str, method: str = "GET") -> bytes:
    path = urlsplit(site.file_url("big", FILENAME)).path
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def _handed_over(site: Site) -> int:
    """How many connections of the server's have a second descriptor in one process: files are on their way there."""
    count = 0
    for pid in family(site.served.process.pid):
        links = []
        for path in Path(f"/proc/{pid}/fd").iterdir():
            try:
                links.append(os.readlink(path))
            except FileNotFoundError:
                continue
        count += sum(number > 1 for name, number in Counter(links).items() if name.startswith("socket:"))
    return count


def _stall(site: Site, idle: int) -> socket.socket:
    """A client that has asked and reads nothing; the server is in the middle of its file."""
    connection = site.connect()
    connection.sendall(_request(site))
    until(lambda: _handed_over(site) > idle)
    return connection


def test_one_connection(site: Site) -> None:
    """Whole, in part, HEAD, 304, 416 and a page follow each other on one connection."""
    with site.connect() as connection:
        for _ in range(2):
            connection.sendall(_request(site))
            answer = raw_answer(connection)
            assert (answer.status, answer.headers["content-length"]) == (200, str(len(CONTENT)))
            assert answer.body == CONTENT
            connection.sendall(_request(site, "Range: bytes=1000001-9999999"))
            part = raw_answer(connection)
            assert (part.status, part.body == CONTENT[1_000_001:10_000_000]) == (206, True)
            connection.sendall(_request(site, method="HEAD"))
            assert raw_answer(connection, "HEAD").headers["content-length"] == str(len(CONTENT))
            connection.sendall(_request(site, f"If-None-Match: {answer.headers['etag']}"))
            assert raw_answer(connection).status == 304
            connection.sendall(_request(site, "Range: bytes=99999999-"))
            assert raw_answer(connection).status == 416
            connection.sendall(b"GET /simple/big/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert FILENAME.encode() in raw_answer(connection).body


def test_several_at_once(site: Site) -> None:
    """Each gets its own."""
    with ThreadPoolExecutor(4) as clients:
        for answer in clients.map(lambda _: site.raw(_request(site)), range(8)):
            assert answer.body == CONTENT


def test_pipelined_requests(site: Site, idle: int) -> None:
    """The answer to a request during a file comes after the file, and nothing in between."""
    page = b"GET /simple/big/ HTTP/1.1\r\nHost: x\r\n\r\n"
    with _stall(site, idle) as connection:
        connection.sendall(page + _request(site) + _request(site, "Connection: close"))
        received = bytearray()
        while data := connection.recv(1_000_000):
            received += data
    first = received.index(b"\r\n\r\n") + 4
    assert received[first : first + len(CONTENT)] == CONTENT
    assert received[first + len(CONTENT) :].startswith(b"HTTP/1.1 200")
    assert received.count(CONTENT) == 3
    assert received.endswith(CONTENT)


def test_clients_that_do_not_read(site: Site, idle: int) -> None:
    """More of them than threads delay no other client. Lost connections are dropped, and the others get all bytes."""
    stalled = [_stall(site, idle + number) for number in range(2 * SEND_THREADS + 2)]
    assert site.raw(_request(site)).body == CONTENT
    for connection in stalled[1:]:
        connection.close()
    until(lambda: _handed_over(site) <= idle + 1)
    assert raw_answer(stalled[0]).body == CONTENT
    stalled[0].close()
    until(lambda: _handed_over(site) <= idle)


def test_a_file_that_becomes_shorter(site: Site, idle: int) -> None:
    """The answer breaks off, and so does the connection."""
    name = wheel_name("cut", "1.0")
    (site.root / name).write_bytes(CONTENT)
    with site.connect() as connection:
        connection.sendall(f"GET /packages/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: _handed_over(site) > idle)
        os.truncate(site.root / name, 1_000_000)
        received = 0
        while data := connection.recv(1_000_000):
            received += len(data)
    assert received < len(CONTENT)
    (site.root / name).unlink()
    until(lambda: "broken off" in site.served.output() and _handed_over(site) <= idle)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_stop_in_the_middle(tmp_path: Path, goes_on: bool) -> None:
    """A client that still reads gets the whole file; the server ends cleanly then, or when the client has gone."""
    with serve(tmp_path, *OPEN, "--server", "uvicorn") as site:
        publish(site, FILENAME, CONTENT, name="big", version="1.0")
        connection = _stall(site, _handed_over(site))
        site.served.process.terminate()
        if goes_on:
            assert raw_answer(connection).body == CONTENT
        connection.close()
        assert site.served.process.wait(20) == 0


def test_a_file_system_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are copied; a full socket and the file's end are told apart; nothing stays open."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EINVAL, "not for this file")

    monkeypatch.setattr(os, "sendfile", refuse)
    path = tmp_path / "file"
    path.write_bytes(CONTENT[:3_000_000])
    ours, theirs = socket.socketpair()
    with ours, theirs, path.open("rb") as file:
        ours.setblocking(False)
        before = len(os.listdir("/proc/self/fd"))
        ends = Ends(ours.fileno(), file.fileno())
        at = 0
        while (sent := ends.send(at, 1_000_000)) > 0:
            assert theirs.recv(sent, socket.MSG_WAITALL) == CONTENT[at : at + sent]
            at += sent
        assert (sent, at) == (0, 3_000_000)
        while ends.send(0, 1_000_000) > 0:
            pass
        assert ends.send(0, 1_000_000) == -1
        ends.close()
        assert ends.send(0, 1) == -1
        assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of 20 MB."""
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    return file


def test_a_thread_stays_with_a_client_that_takes_much(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a socket holds goes out in one call, when the client reads in the moment for which it is waited for."""
    ours, theirs = socket.socketpair()
    received = bytearray()
    has_room = Ends._has_room

    def read_first(ends: Ends) -> bool:
        received.extend(theirs.recv(len(CONTENT)))
        return has_room(ends)

    monkeypatch.setattr(Ends, "_has_room", read_first)
    with open(big, "rb") as file, ours, theirs:
        ours.setblocking(False)
        ends = Ends(ours.fileno(), file.fileno())
        sent = ends.send(0, len(CONTENT))
        assert sent > 4 * ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        ends.close()
        ours.close()
        while piece := theirs.recv(len(CONTENT)):
            received.extend(piece)
    assert received == CONTENT[:sent]


def test_a_thread_leaves_a_client_that_takes_nothing(big: Path) -> None:
    """The bytes that the socket takes are sent; then the call returns without waiting."""
    ours, theirs = socket.socketpair()
    with open(big, "rb") as file, ours, theirs:
        ours.setblocking(False)
        ends = Ends(ours.fileno(), file.fileno())
        sent = ends.send(0, len(CONTENT))
        assert 0 < sent < len(CONTENT)
        assert ends.send(sent, len(CONTENT) - sent) == -1
        ends.close()
        ours.close()
        theirs.setblocking(True)
        assert theirs.recv(len(CONTENT), socket.MSG_WAITALL) == CONTENT[:sent]


class _Cycle:
    """As much of uvicorn's as it takes to send a file: the head of a response has been sent."""

    def __init__(self, count: int) -> None:
        self.scope = {"method": "GET"}
        self.disconnected = False
        self.conn = h11.Connection(h11.SERVER)
        self.conn.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.conn.next_event()
        self.conn.send(h11.Response(status_code=200, headers=[("Content-Length", str(count))]))

    async def send(self, _message: Any) -> None:
        """The response is complete."""


@dataclass
class _Sent:
    """The events while a file was sent."""

    received: bytes = b""
    in_threads: list[int] = field(default_factory=list)
    """Where the pieces begin that threads were given."""
    bounds: list[int] = field(default_factory=list)
    """The socket's own bound for unsent bytes, while the client did not read yet, and afterwards."""


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def _send(loop: str, path: Path, start: int = 0, client: str = "127.0.0.1") -> _Sent:
    """Send a file from `start` on over a real connection of an event loop, to a client with this address."""
    sent = _Sent()

    async def in_thread(function: Callable[..., int], *args: int) -> int:
        sent.in_threads.append(args[0])
        return await asyncio.to_thread(function, *args)

    async def run() -> None:
        running = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, path.open("rb") as file:
            theirs = socket.create_connection(listener.getsockname(), source_address=(client, 0))
            transport, _ = await running.connect_accepted_socket(asyncio.Protocol, listener.accept()[0])
            count = os.fstat(file.fileno()).st_size - start
            cycle: Any = _Cycle(count)
            message = {"type": ZEROCOPY, "file": file, "offset": start, "count": count, IN_THREAD: in_thread}
            sending = asyncio.create_task(FileSender(transport, FlowControl(transport), running).send(cycle, message))
            await asyncio.sleep(0)
            own = transport.get_extra_info("socket")
            sent.bounds.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT))
            with theirs:
                sent.received = await asyncio.to_thread(theirs.recv, count, socket.MSG_WAITALL)
                await sending
                sent.bounds.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT))
            transport.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())
    return sent


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_in_memory_needs_no_thread(big: Path, loop: str) -> None:
    """The event loop sends all of it. Little waits in the socket meanwhile, and that bound is gone afterwards."""
    sent = _send(loop, big, 1_000_001)
    assert sent.received == CONTENT[1_000_001:]
    assert sent.in_threads == []
    during, after = sent.bounds
    assert (0 < during < 1_000_000, after) == (True, 0)


def test_little_waits_in_the_socket_on_one_machine_only(big: Path) -> None:
    """A client with another address than the one that it talks to may be far away."""
    assert _send("uvloop", big, client="127.0.0.2").bounds == [0, 0]


@pytest.mark.parametrize("problem", [errno.EAGAIN, errno.EOPNOTSUPP, errno.EIO, None])
def test_what_may_have_to_be_waited_for_is_sent_by_threads(
    big: Path, monkeypatch: pytest.MonkeyPatch, problem: int | None
) -> None:
    """The event loop never reads what is not in memory, nor from file systems and systems that cannot tell."""
    senders = set()
    sendfile = os.sendfile

    def noting(*args: int) -> int:
        senders.add(threading.current_thread())
        return sendfile(*args)

    def refuse(*_: object) -> int:
        raise OSError(problem, "for a test")

    monkeypatch.setattr(os, "sendfile", noting)
    if problem is None:
        monkeypatch.delattr(os, "RWF_NOWAIT")
    else:
        monkeypatch.setattr(os, "preadv", refuse)
    sent = _send("uvloop", big)
    assert sent.received == CONTENT
    assert sent.in_threads[0] == 0
    assert threading.main_thread() not in senders


@pytest.mark.parametrize("loop", LOOPS)
def test_a_file_that_is_partly_in_memory(big: Path, monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    """The event loop and threads take turns, and no byte is lost or sent twice."""
    preadv = os.preadv

    def middle_alone(file: int, buffers: list[bytearray], position: int, flags: int) -> int:
        if not 6_000_000 <= position < 12_000_000:
            raise BlockingIOError(errno.EAGAIN, "not there")
        return preadv(file, buffers, position, flags)

    monkeypatch.setattr(os, "preadv", middle_alone)
    sent = _send(loop, big)
    assert sent.received == CONTENT
    assert sent.in_threads[0] == 0
    assert sent.in_threads[-1] > 10_000_000
    assert not any(7_000_000 < start < 10_000_000 for start in sent.in_threads)


def test_nothing_is_sent_to_a_client_that_is_gone(big: Path) -> None:
    """And that is what the log is told."""

    async def send() -> dict[str, Any]:
        running = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs, big.open("rb") as file:
            transport, _ = await running.connect_accepted_socket(asyncio.Protocol, ours)
            transport.abort()
            cycle: Any = _Cycle(len(CONTENT))
            message = {"type": ZEROCOPY, "file": file, "offset": 0, "count": len(CONTENT)}
            await FileSender(transport, FlowControl(transport), running).send(cycle, message)
            return message

    assert asyncio.run(send())[SENT] == 0


def test_what_was_dropped_from_memory_is_not_there(big: Path) -> None:
    """The system's own word for it, where a file system keeps files on a disk."""
    kind, _ = filesystem_type(str(big))
    if kind not in {"ext4", "xfs", "btrfs"}:
        pytest.skip(f"{kind} may have no disk to wait for")
    ours, theirs = socket.socketpair()
    with big.open("rb") as file, ours, theirs:
        ends = Ends(ours.fileno(), file.fileno())
        assert ends.is_in_memory(0, len(CONTENT))
        assert not ends.is_in_memory(0, len(CONTENT) + 1_000_000)
        os.fsync(file.fileno())
        # The system may bring pages back at any moment, so one look alone says nothing; a wrong one never agrees.
        until(lambda: _drop(file.fileno()) == 0 and not ends.is_in_memory(8_000_000, 9_000_000))
        ends.close()


def _drop(file: int) -> int:
    """Advise the system to drop a file from memory; the pages of it that are there all the same (mincore(2)): it keeps
    those that a processor has not yet put on its lists."""
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    size = os.fstat(file).st_size
    with mmap.mmap(file, size, mmap.MAP_PRIVATE) as mapped:
        pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
        begin = ctypes.c_char.from_buffer(mapped)
        done = ctypes.CDLL(None).mincore(ctypes.byref(begin), ctypes.c_size_t(size), pages)
        del begin
        assert done == 0
        return sum(page & 1 for page in pages.raw)


def test_a_client_that_goes_away_before_its_second_file(tmp_path: Path) -> None:
    """It is no defect: the log has no traceback, which `serve` sees to."""
    with serve(tmp_path, *OPEN, "--server", "uvicorn") as site:
        assert publish(site, FILENAME, CONTENT, name="big", version="1.0").status_code == 200
        idle = _handed_over(site)
        request = _request(site)
        for _ in range(5):
            with site.connect() as connection:
                connection.sendall(request * 2)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert site.raw(request).body == CONTENT
        until(lambda: _handed_over(site) == idle)


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_downloads_that_stand_still_leave_descriptors(tmp_path: Path, server: str) -> None:
    """A worker with as many of them as it takes connections can still open a file for another client."""
    with serve(tmp_path, *OPEN, "--server", server, descriptors=600) as site, site.connect() as other:
        assert publish(site, FILENAME, CONTENT, name="big", version="1.0").status_code == 200
        request, part = _request(site), _request(site, "Range: bytes=0-9")
        other.sendall(part)
        assert raw_answer(other).status == 206
        with ExitStack() as stalled:
            for _ in range(connections_for(600) - 2):  # that one, and the one of site.client
                connection = stalled.enter_context(site.connect())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.sendall(request)
                assert connection.recv(12) == b"HTTP/1.1 200"
            assert b" 503 Too many connections" in stalled.enter_context(site.connect()).recv(50)
            other.sendall(part)
            assert raw_answer(other).body == CONTENT[:10]


@pytest.mark.parametrize("flags", [(), ("--no-fast-path",)], ids=["fast path", "general"])
def test_the_line_in_the_log(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """It comes at the end, with the bytes that were sent: all of them, or what a client took before it went away."""
    port = free_port()
    with serve(tmp_path, *OPEN) as filled:
        publish(filled, FILENAME, CONTENT, name="big", version="1.0")
        first, asked = _request(filled, "X-Request-ID: first"), _request(filled, "X-Request-ID: whole")
        command = [sys.executable, "-m", marking.__name__, "run", "-p", str(port), "-i", "127.0.0.1", "--workers", "1"]
        command += [*OPEN, "-v", "--log-format", "json", *flags, str(filled.root)]
        with running(command, port, cwd=tmp_path) as served:
            site = replace(filled, served=served)
            until(lambda: (marking.MARK in site.raw(first).headers) is (not flags))
            with site.connect() as connection:
                connection.sendall(asked)
                assert raw_answer(connection).body == CONTENT
                assert _line(site, "whole") == {"status": 200, "sent": len(CONTENT), "route": "file", "project": "big"}
                connection.sendall(asked.replace(b"whole", b"gone"))
                connection.recv(1000, socket.MSG_WAITALL)
                assert not _lines(site, "gone")
            line = _line(site, "gone")
            assert line | {"sent": 0} == {"status": 200, "sent": 0, "route": "file", "project": "big"}
            assert 0 < line["sent"] < len(CONTENT)


def _lines(site: Site, identity: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in site.served.output().splitlines() if line.startswith("{")]
    names = ("status", "sent", "route", "project")
    return [{name: line[name] for name in names} for line in found if line.get("request") == identity]


def _line(site: Site, identity: str) -> dict[str, Any]:
    until(lambda: bool(_lines(site, identity)))
    (line,) = _lines(site, identity)
    return line


def test_a_file_that_is_removed_meanwhile(site: Site, idle: int) -> None:
    """A client that has begun gets the whole file; a later one gets a 404."""
    filename = wheel_name("short-lived", "1.0")
    content = make_wheel("short-lived", "1.0", files={"data": random.Random(4).randbytes(20_000_000)})
    publish(site, filename, content, name="short-lived", version="1.0")
    path = urlsplit(site.file_url("short-lived", filename)).path
    asked = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with site.connect() as connection:
        connection.sendall(asked)
        until(lambda: _handed_over(site) > idle)
        blobs = [file for file in site.root.rglob(filename) if file.is_file()]
        for blob in blobs:
            blob.unlink()
        assert raw_answer(connection).body == content
        connection.sendall(asked)
        assert (len(blobs), raw_answer(connection).status) == (1, 404)
