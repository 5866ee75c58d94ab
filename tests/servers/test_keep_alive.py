"""Idle connections: kept for as long as the setting says, in every server, and no hindrance to stopping."""

from __future__ import annotations

import contextlib
import http.client
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.config.resolving import resolve
from tests.asking import OPEN, serve
from tests.fuzz import impatient
from tests.serving import DEADLINE, Served, free_port, running, until

SERVERS = ("gunicorn", "uvicorn")
LOAD_BALANCER_SECONDS = 60
"""After so much silence AWS' load balancers close a connection by themselves, and nginx one to an upstream."""


def test_the_default_is_longer_than_a_load_balancers() -> None:
    """The load balancer closes first, when it sends nothing: no request meets a connection that is being closed."""
    assert resolve({}, {}).keep_alive_seconds > LOAD_BALANCER_SECONDS


@contextlib.contextmanager
def _impatient(folder: Path, server: str, *flags: str) -> Iterator[Served]:
    """A server that gives a head one second."""
    folder.mkdir()
    port = free_port()
    command = [sys.executable, "-m", impatient.__name__, "run", *OPEN, "--server", server, "--workers", "1"]
    command += ["-i", "127.0.0.1", "-p", str(port), *flags, "."]
    with running(command, port, cwd=folder) as served:
        yield served


@contextlib.contextmanager
def _idle(served: Served) -> Iterator[http.client.HTTPConnection]:
    """A connection on which a request was answered."""
    connection = http.client.HTTPConnection(served.host, served.port, timeout=DEADLINE)
    with contextlib.closing(connection):
        until(lambda: _answered(connection))
        yield connection


def _answered(connection: http.client.HTTPConnection) -> bool:
    """Whether a request was answered; not, when this process was asleep for longer than a head may take."""
    try:
        connection.request("GET", "/health")
        return bool(connection.getresponse().read())
    except (OSError, http.client.HTTPException):
        connection.close()
        return False


@pytest.mark.parametrize("server", SERVERS)
def test_the_setting_reaches_the_server(tmp_path: Path, server: str) -> None:
    """With 1 an idle connection is closed after a while; one that was idle before it, under the default, is still good,
    though silence and head together have taken longer by then than a head alone may."""
    with (
        _impatient(tmp_path / "usual", server) as usual,
        _impatient(tmp_path / "brief", server, "--keep-alive-seconds", "1") as brief,
        _idle(usual) as kept,
        _idle(brief) as closed,
    ):
        assert closed.sock is not None
        assert closed.sock.recv(1) == b""
        same = kept.sock
        kept.request("GET", "/health")
        assert kept.getresponse().status == 200
        assert kept.sock is same


@pytest.mark.parametrize("server", SERVERS)
def test_idle_connections_do_not_hold_up_a_stop(tmp_path: Path, server: str) -> None:
    """The server ends at once, and says goodbye to them: not after their time, nor after its grace."""
    with serve(tmp_path, *OPEN, "--server", server, "--workers", 2) as site, _idle(site.served) as connection:
        assert site.served.stop() == 0
        assert connection.sock is not None
        assert connection.sock.recv(1) == b""
