"""Clients that connect and do not behave, at real servers: others are served, and a request has one answer."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import socket
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.asking import OPEN, Site, content_type, nothing_changes, publish_wheel, serve
from tests.distributions import make_sdist
from tests.fuzz import impatient
from tests.fuzz.attacks import AMBIGUOUS, ODD_LINES
from tests.memory import growth
from tests.serving import DEADLINE, Served, free_port, quire_command, running, until

SERVERS = ["gunicorn", "uvicorn"]
QUIET = 2.0
"""Seconds without a byte after which nothing more is expected; a refused body is waited for one of them."""
_SCRIPT = re.compile(rb"<script(?! src=\"/-/static/)")
"""A script that is none of the pages' own."""


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index with one project and one worker, which logs every request that reaches it."""
    with serve(tmp_path_factory.mktemp(request.param), *OPEN, "--server", request.param, "-v") as site:
        publish_wheel(site, "there")
        yield site


def _answers(site: Site, messages: Mapping[str, bytes]) -> dict[str, bytes]:
    """Send every message on a connection of its own; all that came back until the server closed it or fell silent."""
    answers = dict.fromkeys(messages, b"")
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for name, message in messages.items():
            connection = stack.enter_context(site.connect())
            with contextlib.suppress(ConnectionError):
                connection.sendall(message)
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, name)
        while selector.get_map():
            ready = selector.select(QUIET)
            if not ready:
                break
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                try:
                    data = key.fileobj.recv(65536)
                except ConnectionError:
                    data = b""
                answers[key.data] += data
                if not data:
                    selector.unregister(key.fileobj)
    return answers


def _statuses(answer: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


def test_no_message_has_two_readings(site: Site) -> None:
    """Conflicting lengths, broken chunks, folded lines: one answer at most, and what is hidden inside is no request."""
    with nothing_changes(site):
        answers = _answers(site, AMBIGUOUS)
    statuses = {name: _statuses(answer) for name, answer in answers.items()}
    assert {name: found for name, found in statuses.items() if len(found) > 1} == {}
    # 501: for a transfer coding that the server does not know (RFC 9112, 6.1)
    assert {name: found for name, found in statuses.items() if any(s >= 500 and s != 501 for s in found)} == {}
    assert "smuggled" not in site.served.output()
    assert site.get("/simple/there/").status_code == 200


def test_unusual_first_lines(site: Site) -> None:
    """Invalid targets, methods, versions and hosts: no defect, no header of the client's making."""
    with nothing_changes(site):
        answers = _answers(site, ODD_LINES)
    wrong = {}
    for name, answer in answers.items():
        first, *more = _statuses(answer) or [400]
        # what follows may be refused: HTTP/2's preface is two messages to a parser that does not know it
        if first >= 500 or any(each != 400 for each in more):
            wrong[name] = answer
        head = answer.partition(b"\r\n\r\n")[0].lower()
        head = head.replace(b"\r\nlocation: /evil.example/", b"")  # a path of this host
        if b"\r\nx-evil" in head or b"evil.example" in head or _SCRIPT.search(answer) or b"<evil" in answer:
            wrong[name] = answer
    assert wrong == {}
    assert site.get("/simple/there/").status_code == 200


def test_hosts_that_are_none_are_refused(site: Site) -> None:
    """They would get into the absolute URLs of pages that a cache may keep."""
    names = ["two hosts", "host with a path", "host with half a bracket", "host with a large port", "host with NUL"]
    answers = _answers(site, {name: ODD_LINES[name] for name in names})
    assert {name: _statuses(answer) for name, answer in answers.items()} == {name: [400] for name in names}


def test_pipelined_requests(site: Site) -> None:
    """A hundred requests at once on one connection: a hundred answers, in their order."""
    requests = [b"GET /number-%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(99)]
    requests.append(b"GET /number-99 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = _answers(site, {"all": b"".join(requests)})["all"]
    locations = [int(each) for each in re.findall(rb"(?i)\r\nlocation: simple/number-(\d+)/\r\n", answer)]
    assert locations == list(range(100))
    assert len(_statuses(answer)) == 100


def test_nothing_follows_a_chunked_body_on_its_connection(site: Site) -> None:
    """A proper chunked request is answered, and its connection ends: whatever comes behind it is not read."""
    call = b"<methodCall><methodName>nothing</methodName></methodCall>"
    message = b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
        len(call),
        call,
    )
    answer = _answers(site, {"one": message})["one"]
    assert _statuses(answer) == [200]
    assert b"\r\nconnection: close\r\n" in answer.lower()


def test_two_thousand_idle_connections(site: Site) -> None:
    """Silent, and silent in the middle of a line: another client is served at once, and memory stays small."""
    with contextlib.ExitStack() as stack, growth(site.served.process.pid) as grown:
        connections = [stack.enter_context(site.connect()) for _ in range(2000)]
        for connection in connections[::2]:
            connection.sendall(b"GET /simple/there/ HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 1000)
        with httpx.Client(base_url=site.client.base_url, timeout=10) as client:
            for _ in range(20):
                assert client.get("/simple/there/").status_code == 200
            publish_wheel(site, "meanwhile")
        assert grown() < 150_000_000


def test_more_connections_than_a_worker_may_have(tmp_path: Path) -> None:
    """With 544 descriptors there is room for 72 clients; the next one is told to come later, and may when one has left.
    The rest of the descriptors stays for files."""
    (tmp_path / "packages").mkdir()
    port = free_port()
    command = quire_command("run", *OPEN, "-p", port, "-i", "127.0.0.1", "--workers", 1, tmp_path / "packages")
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(running(["prlimit", "--nofile=544:544", *command], port, cwd=tmp_path))

        def client() -> httpx.Client:
            return stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE))

        clients = [client() for _ in range(72)]
        until(lambda: clients[0].get("/health").status_code == 200)
        for each in clients:
            assert each.get("/health").status_code == 200
        refused = client().get("/health")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
        assert all(each.get("/health").status_code == 200 for each in clients)
        clients[0].close()
        until(lambda: client().get("/health").status_code == 200)
        assert "Traceback" not in served.output(), served.output()


# -- slow clients -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SERVERS)
def impatient_site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that gives a client a second for a head, and as long to take something of a response."""
    folder = tmp_path_factory.mktemp(f"impatient-{request.param}")
    (folder / "packages").mkdir()
    port = free_port()
    command = [sys.executable, "-m", impatient.__name__, "run", *OPEN, "--server", request.param, "-p", str(port)]
    command += ["-i", "127.0.0.1", "--workers", "1", "--keep-alive-seconds", "1", "-v", "--log-format", "json"]
    command += [str(folder / "packages")]
    with running(command, port, cwd=folder) as served:
        yield served
        assert "Traceback" not in served.output(), served.output()


def test_heads_that_do_not_end(impatient_site: Served) -> None:
    """Silence before, in and after a head, and a byte of one every now and then: the server hangs up on all of them."""
    begun = {
        "silent": b"",
        "half a line": b"GET /simple/ HTT",
        "slow loris": b"GET /simple/ HTTP/1.1\r\nHost: x\r\nX-Long: ",
        "idle": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        "half a second request": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /he",
        "slow second request": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nX-Long: ",
    }
    deadline = time.monotonic() + DEADLINE
    with contextlib.ExitStack() as stack:
        waiting: dict[str, socket.socket] = {}
        for name, data in begun.items():
            address = impatient_site.host, impatient_site.port
            waiting[name] = stack.enter_context(socket.create_connection(address, timeout=DEADLINE))
            waiting[name].sendall(data)
            waiting[name].settimeout(0.05)
        while waiting and time.monotonic() < deadline:
            for name, connection in list(waiting.items()):
                try:
                    if name.startswith("slow"):
                        connection.sendall(b"x")
                    if not connection.recv(65536):
                        del waiting[name]
                except TimeoutError:
                    pass
                except ConnectionError:
                    del waiting[name]
        assert list(waiting) == []


def test_slow_bodies_delay_no_other_request(site: Site) -> None:
    """A hundred uploads that stopped half-way, which the body timeout ends: publishing goes on beside them."""
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {content_type()}\r\nContent-Length: 5000\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(site.connect()).sendall(head + b"------------quire-tests\r\n")
        publish_wheel(site, "beside")


def test_readers_that_do_not_read(site: Site) -> None:
    """Fifty downloads of 20 MB whose clients take nothing: the bytes stay in the file, and others are served."""
    name = "slow-1.0.tar.gz"
    path = site.root / name
    path.write_bytes(make_sdist("slow", "1.0", members=[(tarfile.TarInfo("slow-1.0/data"), os.urandom(20_000_000))]))
    assert site.filenames("slow") == [name]
    try:
        with contextlib.ExitStack() as stack, growth(site.served.process.pid) as grown:
            for number in range(50):
                connection = stack.enter_context(site.connect())
                ranged = b"Range: bytes=1-\r\n" if number % 2 else b""
                connection.sendall(b"GET /packages/%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (name.encode(), ranged))
                assert connection.recv(100).startswith(b"HTTP/1.1 20")
            assert site.get("/simple/there/").status_code == 200
            assert grown() < 150_000_000
    finally:
        path.unlink()


def test_readers_that_take_nothing_are_cut_off(impatient_site: Served) -> None:
    """They would hold a connection and a file for ever. For the log they went away: nothing is wrong with the file."""
    base = f"http://127.0.0.1:{impatient_site.port}"
    with httpx.Client(base_url=base, timeout=DEADLINE) as client, contextlib.ExitStack() as stack:
        site = Site(impatient_site.log.parent / "packages", impatient_site, client)
        filename = publish_wheel(site, "slow", files={"data": os.urandom(20_000_000)})
        path = httpx.URL(site.file_url("slow", filename)).path
        size = int(client.head(path).headers["content-length"])
        for each in ("X-Request-ID: whole", "X-Request-ID: part\r\nRange: bytes=1-"):
            connection = stack.enter_context(site.connect())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{each}\r\n\r\n".encode())
        until(lambda: _sent(impatient_site).keys() >= {"whole", "part"})
    sent = _sent(impatient_site)
    assert 0 < sent["whole"] < size
    assert 0 < sent["part"] < size
    assert not re.search(r'"level": *"(warning|error)"', impatient_site.output())


def _sent(served: Served) -> dict[str, int]:
    """How much of its body each request was sent, by its id, as the log has it."""
    lines = [json.loads(line) for line in served.output().splitlines() if line.startswith("{")]
    return {line["request"]: line.get("sent", 0) for line in lines if "request" in line}
