"""The lines of requests: the same whichever way an answer took, none lost, and none that stops the server.

Replaced here: the clock and the random numbers, since two ways to a line must be compared to the letter.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from quire.access.principals import Principal
from quire.config.settings import Settings
from quire.http.app.access_lines import AccessFields, access_lines
from quire.http.app.application import create_application
from quire.http.app.request_log import AccessLog, RequestContext
from quire.observe import logs
from quire.observe.log_output import Output, OutputHandler
from tests import marking
from tests.asking import OPEN, password_file, publish_wheel, serve
from tests.serving import DEADLINE, environment, free_port, quire_command, run_quire, running, until

NOW = 1_795_000_000.25
NANOSECONDS = 1_795_000_000_250_000_000
"""The same moment: a float has no such digits."""
LOGGER = "quire.http.app.request_log"
PYPISERVER = "%(asctime)s|%(name)s|%(levelname)s|%(thread)d|%(message)s"


class Kept:
    """A destination in memory."""

    name = "memory"
    at_most = None
    blocks = False

    def __init__(self) -> None:
        self.data = b""

    def begin(self) -> None:
        """Nothing to be done."""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def wait(self, seconds: float) -> None:
        """It never has to."""

    def close(self) -> None:
        """As above."""


@contextlib.contextmanager
def set_up(settings: Settings) -> Iterator[Kept]:
    """Logging as the settings have it, into memory."""
    root, kept = logging.getLogger(), Kept()
    before, level, configuration = root.handlers[:], root.level, structlog.get_config()
    root.handlers = []
    try:
        logs.configure(settings)
        formatter = logging.Formatter()
        for handler in root.handlers:
            assert isinstance(handler, OutputHandler)
            assert handler.formatter is not None
            formatter = handler.formatter
            handler.close()
        root.handlers = [OutputHandler(Output(kept))]
        root.handlers[0].setFormatter(formatter)
        yield kept
    finally:
        root.handlers, root.level = before, level
        structlog.configure(**configuration)


def fixed_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(time, "time", lambda: NOW)
    patch.setattr(time, "time_ns", lambda: NANOSECONDS)


TEXTS = st.one_of(
    st.text(max_size=20),
    st.text("aZ9 -_.=:@/\"'\\%\r\n\0\x7f\xe9\udcff", max_size=12),
    st.sampled_from(
        ["", "alice", "authorization", "//a:b@c", "authorization:basic", "x" * 20_001, "%s", "%(asctime)s"]
    ),
)
FIELDS = st.builds(
    AccessFields,
    method=st.sampled_from(["GET", "HEAD", "POST", "%s"]),
    path=TEXTS,
    status=st.sampled_from([0, 200, 304, 404, 503]),
    milliseconds=st.integers(0, 200_000).map(lambda tenths: tenths / 10),
    client=TEXTS,
    request=st.one_of(TEXTS, st.sampled_from(["5eb63bbb-1", "5eb63bbb-ff"])),
    sent=st.integers(0, 10**12),
    route=st.sampled_from(["project", "file"]),
    index=st.sampled_from(["main", "a b"]),
    received=st.sampled_from([0, 7]),
    user=st.one_of(st.none(), TEXTS),
    project=TEXTS,
    action=st.sampled_from(["", "publish"]),
    file=TEXTS,
    share=st.sampled_from([1.0, 0.5, 0.01, 1e-7]),
)


@pytest.mark.parametrize(
    "form",
    [
        {"log_style": "json"},
        {"log_format": PYPISERVER},
        {"log_format": "%(levelname)-8s%% %(message)s <%(asctime)30s> %(process)d %(threadName)s %(processName)s //x@"},
        {"log_format": "%(message)s"},
    ],
    ids=lambda form: next(iter(form.values()))[:12],
)
def test_a_line_is_the_one_that_logging_makes(form: dict[str, str]) -> None:
    """Whatever the fields are: the same bytes as structlog and the formatter make of them."""
    settings = Settings(directories=("/nowhere",), verbosity=1, **form)  # type: ignore[arg-type]  # of texts only

    @given(FIELDS)
    def both_ways(fields: AccessFields) -> None:
        kept.data = b""
        structlog.get_logger(LOGGER).info("request", **fields.by_name())
        by_logging, kept.data = kept.data, b""
        assert lines is not None
        given = (lines.parts(fields), str(fields.milliseconds), fields.client, fields.request)
        lines.write(*given)
        by_itself, kept.data = kept.data, b""
        lines.begin_tick()
        lines.write_in_tick(*given, is_safe=re.fullmatch("[0-9a-f-]+", fields.request) is not None)
        lines.end_tick()
        assert by_itself == kept.data == by_logging
        assert by_logging.count(b"\n") == 1

    with pytest.MonkeyPatch.context() as patch, set_up(settings) as kept:
        fixed_time(patch)
        lines = access_lines(settings, LOGGER)
        both_ways()


@pytest.mark.parametrize(
    "log_format",
    ["%(message)-80s", "%(created)f %(message)s", "%(funcName)s %(message)s", "%(name)s", "%(message)s" * 2],
)
def test_a_format_that_needs_a_log_record_gets_one(log_format: str) -> None:
    """Its lines are made as all others are."""
    settings = Settings(directories=("/nowhere",), verbosity=1, log_format=log_format)
    with set_up(settings) as kept:
        assert access_lines(settings, LOGGER) is None
        AccessLog(settings).fast_path_line(
            "/x", 200, 0.1, 1, client="::1", request_id="an-id", user="alice", is_own_id=True
        )
        assert (b"alice" in kept.data) == ("message" in log_format)
        assert kept.data.endswith(b"\n")


@pytest.mark.parametrize("seconds", [0.0, 0.00004, 0.000349, 0.0999, 0.1, 0.99, 7.77777])
@pytest.mark.parametrize("path", ["/simple/demo/", "/packages/demo/" + "a" * 64 + "/demo-1.0.tar.gz", "/x y"])
def test_a_line_of_a_fast_path_response_is_that_of_any_other(seconds: float, path: str) -> None:
    """Also when parts of it are remembered from the one before."""
    settings = Settings(directories=("/nowhere",), verbosity=1, log_sample=0.999)
    with pytest.MonkeyPatch.context() as patch, set_up(settings) as kept:
        fixed_time(patch)
        access = AccessLog(settings)
        for user in (None, "alice", None, "bob", "alice"):
            context = RequestContext("an-id")
            context.principal = Principal(user)
            patch.setattr("random.random", lambda: 0.5)
            access.line("GET", path, 200, seconds, sent=9, client="192.0.2.1", context=context)
            general, kept.data = kept.data, b""

            def fast_path_line(user: str | None = user) -> None:
                access.fast_path_line(
                    path, 200, seconds, 9, client="192.0.2.1", request_id="an-id", user=user or "", is_own_id=False
                )

            fast_path_line()
            assert kept.data == general != b""
            kept.data = b""
            patch.setattr("random.random", lambda: 0.9995)
            fast_path_line()
            assert (kept.data == b"") == (seconds <= 1.0)
            kept.data = b""


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_line_has_the_first_part_of_a_long_path(tmp_path: Path, form: str) -> None:
    """A path of 60,000 characters took longer to be looked through than the request."""
    lines = tmp_path / "lines.log"
    with serve(tmp_path, *OPEN, "-v", "--log-file", lines, "--log-format", form) as site:
        assert site.get(f"/x@{'//:' * 10_000}").status_code == 301
    (line,) = (each for each in lines.read_text().splitlines() if "/x@" in each)
    assert len(line) < 3_000
    assert "..." in line


def test_where_nothing_is_written_no_line_is_made() -> None:
    """`--log-stream none` without a file: requests are answered as without a log."""
    settings = Settings(directories=("/nowhere",), verbosity=1, log_stream="none")
    assert not AccessLog(settings).is_on
    assert AccessLog(msgspec.structs.replace(settings, log_file="/nowhere/log")).is_on
    assert AccessLog(msgspec.structs.replace(settings, log_stream="stderr")).is_on


def test_the_lines_of_a_millisecond_are_written_together() -> None:
    """One write for all of them, or as soon as any other line is written, which comes behind them."""
    settings = Settings(directories=("/nowhere",), verbosity=1)

    async def scenario() -> None:
        def log() -> None:
            for _ in range(3):
                access.fast_path_line("/x", 200, 0.1, 1, client="::1", request_id="id", user="", is_own_id=True)

        log()
        access.begin_tick()
        log()
        access.end_tick()
        assert kept.data == b""
        await asyncio.to_thread(until, lambda: bool(kept.data))
        assert kept.data.count(b"\n") == 6
        log()
        structlog.get_logger(LOGGER).info("another line")
        assert kept.data.count(b"\n") == 10
        assert b"another line" in kept.data.splitlines()[-1]

    with set_up(settings) as kept:
        access = AccessLog(settings)
        asyncio.run(scenario())


# -- real servers -----------------------------------------------------------------------------------------------------

SERVERS = ["uvicorn", "gunicorn"]
_CHANGES = re.compile(
    r'^[^|]*\||"time":"[^"]*",|\|\d+\||"process":\d+,|milliseconds=[\d.]+|"milliseconds":[\d.]+', re.MULTILINE
)
"""The differences of two lines of the same request: time, thread or process, duration."""


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("form", ["human", "json"])
def test_both_ways_write_the_same_line(tmp_path: Path, server: str, form: str) -> None:
    """Pages, lists, 304s and files, of a named index too, with a login, a request id and a client that a proxy names:
    once from what the worker has ready, and once by the general application, to which a query sends the request."""
    users = password_file(tmp_path, alice="secret")
    flags = ("-a", "list,download,update", "-P", users, "--disable-fallback", "--trusted-proxies", "127.0.0.1", "-v")
    with serve(tmp_path, *flags, "--server", server, "--log-format", form) as site:
        site.client.auth = httpx.BasicAuth("alice", "secret")
        filename = publish_wheel(site, "acme", "1.0")
        address = site.file_url("acme", filename)
        path = address[address.index("/packages/") :]
        etag = site.get("/simple/acme/").headers["etag"]
        assert run_quire("index", "create", "team", "--behind", "main", "-d", site.root, cwd=tmp_path).returncode == 0
        asked = [("/simple/acme/", {}), ("/simple/", {}), (path, {}), ("/simple/acme/", {"if-none-match": etag})]
        asked += [("/team/simple/acme/", {}), (f"/team{path}", {})]
        until(lambda: all("x-request-id" in site.get(where, **headers).headers for where, headers in asked))
        for number, (where, headers) in enumerate(asked * 3):
            for way in ("", "?general"):
                identity = f"same-{number}"
                more = {"x-request-id": identity, "x-forwarded-for": "192.0.2.7"} | headers
                answer = site.client.get(where + way, headers=more)
                assert answer.status_code == (304 if headers else 200)
                assert answer.headers["x-request-id"] == identity
        count = 2 * len(asked) * 3
        until(lambda: len(re.findall("same-", site.served.output())) >= count)
        lines = [line for line in site.served.output().splitlines() if "same-" in line]
    pairs: dict[str, list[str]] = {}
    for line in lines:
        pairs.setdefault(re.search(r"same-\d+", line)[0], []).append(_CHANGES.sub("", line))  # type: ignore[index]
    assert len(pairs) == len(asked) * 3
    for first, second in pairs.values():
        assert first == second
        fields = (f'"index":"{name}"' if form == "json" else f"index={name} " for name in ("team", "main"))
        assert [each in first for each in fields] == (["/team/" in first, "/team/" not in first])
        assert ("acme" in first.replace("/acme/", "")) is ("/acme/" in first)
        assert "192.0.2.7" in first
        assert "alice" in first


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_loses_no_line(tmp_path: Path, server: str, workers: int) -> None:
    """Under load a server is told to stop, and drains: every request that was answered has its line."""
    with serve(tmp_path, *OPEN, "-v", "--server", server, "--workers", workers, "--drain-seconds", 0.3) as site:
        publish_wheel(site, "acme", "1.0")
        answered = 0
        connection = http.client.HTTPConnection(site.served.host, site.served.port, timeout=DEADLINE)
        site.served.process.send_signal(signal.SIGTERM)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                connection.request("GET", "/simple/acme/", headers={"user-agent": "load"})
                response = connection.getresponse()
                response.read()
                answered += response.status == 200
                if response.getheader("connection") == "close":
                    connection.close()
        site.served.process.wait(DEADLINE)
        logged = site.served.output().count("path=/simple/acme/ status=200")
    assert answered > 10
    assert logged == answered


@pytest.mark.parametrize("server", SERVERS)
def test_a_reader_that_stands_still_does_not_stop_the_server(tmp_path: Path, server: str) -> None:
    """Its standard output is a full pipe: it goes on answering; what it could not keep is counted, and what it kept is
    written when the pipe is read again."""
    root = tmp_path / "packages"
    root.mkdir()
    port = free_port()
    command = quire_command("run", *OPEN, "-v", "-p", port, "-i", "127.0.0.1", "--workers", 1, "--server", server, root)
    requests = 9000
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None

            def answers() -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
                return False

            until(answers, 3 * DEADLINE)
            _ask_at_once(port, requests)
            pages = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE).text
            process.terminate()
            output = process.stdout.read().decode()
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()
    lost = int(float(re.search(r"^quire_log_lines_lost_total(?:\{\})? (.*)$", pages, re.MULTILINE)[1]))  # type: ignore[index]
    found = output.count("path=/simple/ status=200")
    assert lost > 0
    assert requests - lost - 100 <= found <= requests
    assert "log lines lost" in output or found + lost >= requests


def _ask_at_once(port: int, requests: int) -> None:
    """A hundred in each packet, or so: as fast as the server takes them."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        for _ in range(requests // 100):
            connection.sendall(b"GET /simple/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100)
            answers = b""
            while answers.count(b"HTTP/1.1 200 ") < 100 or not answers.endswith(b"</html>\n"):
                piece = connection.recv(1 << 20)
                assert piece, answers[-1000:]
                answers += piece


def _holds(path: Path, *texts: str) -> bool:
    content = path.read_text()
    return all(text in content for text in texts)


def test_the_file_may_be_rotated(tmp_path: Path) -> None:
    """Moved away, or copied and truncated, while two workers append to it: no line is lost, and each is whole."""
    path = tmp_path / "access.log"
    flags = ("-v", "--log-format", "json", "--log-stream", "none", "--log-file", path, "--workers", 2)
    with serve(tmp_path, *OPEN, *flags) as site:
        publish_wheel(site, "acme", "1.0")
        for number in range(300):
            if number in {100, 200}:  # an answer may be there a moment before its line, from either worker
                until(partial(_holds, path, *(f'"r-{earlier}"' for earlier in range(number - 100, number))))
            if number == 100:
                path.rename(tmp_path / "access.log.1")
            if number == 200:
                copied = path.read_bytes()
                os.truncate(path, 0)
            site.get("/simple/acme/", x_request_id=f"r-{number}", connection="close")
    found = [(tmp_path / "access.log.1").read_bytes(), copied, path.read_bytes()]
    parts = [[json.loads(line) for line in part.splitlines()] for part in found]
    numbers = [{line["request"] for line in part if str(line.get("request", "")).startswith("r-")} for part in parts]
    expected = [{f"r-{number}" for number in range(start, start + 100)} for start in (0, 100, 200)]
    assert numbers == expected


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_hangup_after_a_rotation_ends_no_server(tmp_path: Path, server: str, workers: int) -> None:
    """SIGHUP, which logrotate sends to many programs: the server goes on, and writes into the new file."""
    path = tmp_path / "access.log"
    flags = ("-v", "--log-stream", "none", "--log-file", path, "--workers", workers, "--server", server)
    with serve(tmp_path, *OPEN, *flags) as site:
        assert site.get("/simple/").status_code == 200
        until(partial(_holds, path, "path=/simple/ status=200"))  # an answer may be there a moment before its line
        path.rename(tmp_path / "access.log.1")
        site.served.process.send_signal(signal.SIGHUP)

        def is_logged() -> bool:
            assert site.served.process.poll() is None
            with contextlib.suppress(httpx.HTTPError):  # of a worker that is being replaced
                site.get("/simple/", connection="close")
            return path.exists() and "path=/simple/ status=200" in path.read_text()

        until(is_logged)
    assert "path=/simple/ status=200" in (tmp_path / "access.log.1").read_text()


def test_the_fast_path_is_on_with_the_log(tmp_path: Path) -> None:
    """The default of `quire serve`: its lines send no request to the general application."""
    root = tmp_path / "packages"
    root.mkdir()
    port = free_port()
    command = [sys.executable, "-m", marking.__name__, "serve", *OPEN, "--workers", "1", "-p", str(port), str(root)]
    with running(command, port, cwd=tmp_path) as served:
        connection = http.client.HTTPConnection(served.host, served.port, timeout=DEADLINE)
        with contextlib.closing(connection):

            def is_marked() -> bool:
                connection.request("GET", "/simple/")
                response = connection.getresponse()
                response.read()
                return response.getheader(marking.MARK) == "yes" and response.getheader("x-request-id") is not None

            until(is_marked)
        until(lambda: "path=/simple/" in served.output())


def test_a_defect_is_counted_and_logged_as_what_its_client_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 500, by which alerts find it, with the id of the request. The exception goes on, to the log of the server."""
    application = create_application(Settings(directories=(str(tmp_path),), verbosity=1))
    worker = application.state.worker

    async def broken(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(worker.access, "authorize", broken)
    raised: list[Exception] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await application(scope, receive, send)
        except ZeroDivisionError as error:
            raised.append(error)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(noting), base_url="http://index") as client:
            return await client.get("/simple/", headers={"X-Request-ID": "broken"})

    with structlog.testing.capture_logs() as lines:
        answer = asyncio.run(ask())
    counted = worker.metrics.tally.routes["projects"].statuses
    worker.close()
    assert (answer.status_code, answer.headers["x-request-id"], len(raised)) == (500, "broken", 1)
    assert "has a defect here" in answer.text
    assert {status: count for status, count in enumerate(counted) if count} == {500: 1}
    assert [line["status"] for line in lines if line["event"] == "request"] == [500]
