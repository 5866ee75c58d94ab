"""The requests to the file server for a page that did not change, counted by the kernel of its client."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from benchmarks import nfs_report

from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests.nfs.guest.hammer import publish
from tests.nfs.guest.mounts import A, new_folder
from tests.nfs.guest.servers import Server, served

_ASKED = 20
_DEADLINE = 60.0  # seconds until an unchanged directory is past the racy window; it takes three
_PAGE = "/simple/demo/"
_ANSWERED = re.compile(r'^quire_barrier_requests_total\{[^}]*cache="project"[^}]*\} ([0-9.e+]+)', re.M)


def run(flags: Sequence[str], most: int, burst: int) -> dict[str, Any]:
    """Operations for each request that comes alone, once they are no more than `most` or it is clear that they stay
    more; and those that `burst` requests at once take together.
    """
    folder = new_folder()
    publish(Index(PosixStore.open(A / folder)), "demo-1.0-py3-none-any.whl")
    # served read-only: no sweep of the store meanwhile
    with served([A / folder], workers=1, more=("--read-only", *flags)) as (server,):
        return {
            "page": _alone(server, _PAGE, most),
            "list": _alone(server, "/simple/", most),
            "burst": _together(server, burst, 2 * most),
        }


def _alone(server: Server, path: str, most: int) -> dict[str, float]:
    began = time.monotonic()
    while True:
        counter = nfs_report.counter(A)
        for _ in range(_ASKED):
            assert server.ask("GET", path).status == 200
        counts = counter.each(_ASKED)
        if counts["all"] <= most or time.monotonic() - began > _DEADLINE:
            return counts


def _together(server: Server, requests: int, most: int) -> dict[str, float]:
    """As `_burst`, but for one in which a request for the metrics had the store checked: the next one has none."""
    began = time.monotonic()
    while True:
        counts = _burst(server, requests)
        if counts["all"] <= most or time.monotonic() - began > _DEADLINE:
            return counts


def _burst(server: Server, requests: int) -> dict[str, float]:
    """All of them are with the server before the first of its questions is answered."""
    counter = nfs_report.counter(A)
    with ThreadPoolExecutor(requests) as pool:
        with _unanswered():
            before = _asked(server)
            answers = [pool.submit(server.ask, "GET", _PAGE) for _ in range(requests)]
            _until(lambda: _asked(server) == before + requests)
        assert {answer.result().status for answer in answers} == {200}
    return counter.each(1)


@contextmanager
def _unanswered() -> Iterator[None]:
    """Nothing comes from the file server or goes to it; afterwards it does, as if it had been slow."""
    _wire("down")
    try:
        yield
    finally:
        _wire("up")


def _wire(state: str) -> None:
    # programs run in the real machine's files, what the rig is made with is among those of the first process
    command = ["/usr/sbin/chroot", "/proc/1/root", "ip", "link", "set", "to-a", state]
    subprocess.run(command, check=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def _asked(server: Server) -> float:
    """How many questions for a project's page the server has taken."""
    found = _ANSWERED.search(server.ask("GET", "/metrics").body.decode())
    return float(found[1]) if found is not None else 0.0


def _until(condition: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < _DEADLINE, "the server does not take the requests"
