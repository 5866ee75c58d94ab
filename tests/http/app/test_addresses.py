"""Which address real servers see, log and throttle: behind proxies, at Unix sockets, at dual-stack sockets."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.asking import OPEN, Site, raw_answer, serve
from tests.serving import DEADLINE, environment, free_port, running, until

CLIENT = "203.0.113.7"
SERVERS = ("uvicorn", "gunicorn", "wsgiref")
BEHIND = ("--trusted-proxies", "127.0.0.1, unix")


def _logged(log: Path) -> list[dict[str, str]]:
    """The requests in a log of JSON lines."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "request"]


@contextmanager
def _serving(folder: Path, *flags: object) -> Iterator[tuple[Site, Path]]:
    log = folder / "requests.log"
    with serve(folder, *OPEN, "-v", "--log-format", "json", "--log-file", log, *flags) as site:
        yield site, log


def _client_of(site: Site, log: Path, name: str, *lines: str, path: str = "/simple/") -> str:
    """The address that is logged for a request with these lines of headers."""
    head = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", f"X-Request-Id: {name}", *lines, "", ""]
    assert site.raw("\r\n".join(head).encode()).status == 200
    until(lambda: any(line["request"] == name for line in _logged(log)))
    return next(line["client"] for line in _logged(log) if line["request"] == name)


@pytest.mark.parametrize("server", SERVERS)
def test_the_client_of_a_proxy(tmp_path: Path, server: str) -> None:
    """The last address that is no proxy's, however the list is cut into lines; by the fast path and without it."""
    with _serving(tmp_path, *BEHIND, "--server", server) as (site, log):
        assert _client_of(site, log, "none") == "127.0.0.1"
        cases: Sequence[Sequence[str]] = (
            [f"X-Forwarded-For: 198.51.100.1, {CLIENT}"],
            ["X-Forwarded-For: 198.51.100.1", f"X-Forwarded-For: {CLIENT}:4711"],
            [f"X-Forwarded-For: [::ffff:{CLIENT}]:80", "X-Forwarded-For: ::ffff:127.0.0.1"],
        )
        for number, lines in enumerate(cases):
            assert _client_of(site, log, f"page-{number}", *lines) == CLIENT, lines
            assert _client_of(site, log, f"home-{number}", *lines, path="/") == CLIENT, lines
        assert _client_of(site, log, "hidden", f"X-Forwarded-For: {CLIENT}, _hidden") == "127.0.0.1"
        # a WSGI server gives both names one variable, which a proxy clears one of
        assert _client_of(site, log, "other", "X_Forwarded_For: 198.51.100.1", "X-Forwarded-For: " + CLIENT) == CLIENT
        assert _client_of(site, log, "underscores", "X_Forwarded_For: 198.51.100.1") == "127.0.0.1"


@pytest.mark.parametrize("server", SERVERS)
def test_the_standard_header(tmp_path: Path, server: str) -> None:
    """Forwarded (RFC 7239) where it is named, and X-Forwarded-For then is what the client wrote."""
    with _serving(tmp_path, *BEHIND, "--trusted-headers", "Forwarded", "--server", server) as (site, log):
        lines = ("Forwarded: for=192.0.2.1", f'Forwarded: for="{CLIENT}:1";proto=https', "X-Forwarded-For: 192.0.2.2")
        assert _client_of(site, log, "one", *lines) == CLIENT


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_a_dual_stack_socket(tmp_path: Path, server: str) -> None:
    """It reports IPv4 peers as ::ffff:127.0.0.1, which is 127.0.0.1."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    log = tmp_path / "requests.log"
    (tmp_path / "packages").mkdir()
    port = free_port("::")
    flags = ("--host", "::", "-p", port, "--server", server, "--workers", 1, *OPEN, *BEHIND, "-v", "--log-file", log)
    command = [sys.executable, "-m", "quire", "run", *map(str, flags), "--log-format", "json", "packages"]
    with running(command, port, cwd=tmp_path) as served, httpx.Client() as client:
        site = Site(tmp_path / "packages", served, client)
        assert _client_of(site, log, "direct") == "127.0.0.1"
        assert _client_of(site, log, "proxied", f"X-Forwarded-For: {CLIENT}") == CLIENT


SETTINGS = {"QUIRE_VERBOSE": "1", "QUIRE_LOG_FORMAT": "json", "QUIRE_AUTHENTICATE": ".", "QUIRE_PASSWORDS": "."}
BY_UNIX = {
    "uvicorn": [sys.executable, "-m", "uvicorn", "--uds", "quire.sock", "quire.http.entry:application"],
    "gunicorn": [sys.executable, "-m", "quire", "run", "--server", "gunicorn", "--workers", "1"],
}


@pytest.mark.parametrize(("trusted", "address"), [("unix", CLIENT), ("127.0.0.1", "unix")])
@pytest.mark.parametrize("server", sorted(BY_UNIX))
def test_a_unix_socket(tmp_path: Path, server: str, trusted: str, address: str) -> None:
    """Its peers have no address: they are `unix`, and trusted by that name alone; by the fast path and without it."""
    log, path = tmp_path / "requests.log", tmp_path / "quire.sock"
    (tmp_path / "packages").mkdir()
    own = {
        "QUIRE_TRUSTED_PROXIES": trusted,
        "QUIRE_LOG_FILE": str(log),
        "QUIRE_DIRECTORIES": str(tmp_path / "packages"),
    }
    environ = environment(**SETTINGS, **own, GUNICORN_CMD_ARGS="--bind unix:quire.sock")
    with running(BY_UNIX[server], 0, cwd=tmp_path, environ=environ, wait=False) as served:
        until(lambda: _connects(path), 60)
        for name in ("cold", "warm"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(DEADLINE)
                connection.connect(str(path))
                head = "GET /simple/ HTTP/1.1\r\nHost: x\r\n" + f"X-Forwarded-For: 192.0.2.1, {CLIENT}\r\n"
                for part in (f"{name}-1", f"{name}-2"):
                    connection.sendall(f"{head}X-Request-Id: {part}\r\n\r\n".encode())
                    assert raw_answer(connection).status == 200, served.output()
        until(lambda: len(_logged(log)) >= 4)
        assert {line["client"] for line in _logged(log)} == {address}


def _connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0
