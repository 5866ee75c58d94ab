"""Servers that mirror another index: quire, devpi-server, proxpi and peryx.

Each keeps its state in a folder, so that it can be started again. None of them is told more than the other index's URL
and where to listen, but for quire's number of workers.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.serving import environment, free_port

from benchmarks.environments import programs
from benchmarks.peers.devpi import api
from benchmarks.peers.peryx import peryx
from benchmarks.peers.server import START_SECONDS, answers
from benchmarks.processes import Running, Unavailable, started, wait_for


@dataclass(frozen=True)
class Place:
    """The upstream, the port and the folder of a mirror that is to be started."""

    upstream: str
    """URL of the other index's Simple API."""
    port: int
    folder: Path
    """Its own, which stays from one start to the next."""


@dataclass(frozen=True)
class Mirroring:
    """A kind of server."""

    name: str
    simple: str
    """The path of its Simple API."""
    command: Callable[[Place], list[str]]
    """Raises Unavailable when it cannot be installed."""
    environ: Callable[[Place], Mapping[str, str]] = lambda place: {}
    set_up: Callable[[Place], object] = lambda place: None
    """After a start."""


@dataclass(frozen=True)
class Mirror:
    """One that runs."""

    kind: Mirroring
    running: Running
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.kind.simple}"


@contextmanager
def mirroring(kind: Mirroring, upstream: str, folder: Path) -> Iterator[Mirror]:
    """The server, on a port of its own, until the end of the block. Raises Unavailable."""
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(upstream, free_port(), folder)
    environ = {**environment(), **kind.environ(place)}
    with started(kind.command(place), folder / "output.log", environ=environ, cwd=folder) as running:
        wait_for(running, lambda: answers(place.port), START_SECONDS)
        kind.set_up(place)
        yield Mirror(kind, running, place.port)


def quire(workers: int, *more: str) -> Callable[[Place], list[str]]:
    """The command of quire with so many workers. `more`: further flags."""

    def command(place: Place) -> list[str]:
        root = place.folder / "packages"
        root.mkdir(exist_ok=True)
        flags = ["-i", "127.0.0.1", "-p", str(place.port), "--workers", str(workers), "-a", ".", "-P", ".", *more]
        return [sys.executable, "-m", "quire", "run", *flags, "--upstream", place.upstream, str(root)]

    return command


def _devpi(place: Place) -> list[str]:
    server = place.folder / "server"
    if not server.exists():
        init = [str(programs("devpi-server") / "devpi-init"), "--serverdir", str(server)]
        done = subprocess.run(init, env=environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"devpi-init failed: {done.stderr.strip()[-300:]}")
    program = str(programs("devpi-server") / "devpi-server")
    return [program, "--serverdir", str(server), "--host", "127.0.0.1", "--port", str(place.port)]


def _devpi_upstream(place: Place) -> None:
    given = api(place.port, "POST", "/+login", {"user": "root", "password": ""})["result"]["password"]
    login = {"Authorization": f"Basic {base64.b64encode(f'root:{given}'.encode()).decode()}"}
    api(place.port, "PATCH", "/root/pypi", [f"mirror_url={place.upstream}"], login=login)


def _proxpi(place: Place) -> list[str]:
    flask = [str(programs("proxpi") / "python"), "-m", "flask", "--app", "proxpi.server", "run"]
    return [*flask, "--host", "127.0.0.1", "--port", str(place.port)]


def _proxpi_environ(place: Place) -> dict[str, str]:
    return {
        "PROXPI_INDEX_URL": place.upstream,
        "PROXPI_CACHE_DIR": str(place.folder / "cache"),
        "PROXPI_LOGGING_LEVEL": "WARNING",
    }


def _peryx(place: Place) -> list[str]:
    upstream = f'name = "up"\nurl = "{place.upstream}"\ntrusted_hosts = ["127.0.0.1"]\n'
    index = f'[[index]]\nname = "pypi"\necosystem = "pypi"\n[[index.upstream]]\n{upstream}'
    return peryx(index, place.folder, place.port)


QUIRE = Mirroring("quire, 1 worker", "/simple/", quire(1))
QUIRE_4 = Mirroring("quire, 4 workers", "/simple/", quire(4))
PEERS = {
    "devpi": Mirroring("devpi-server 6.20", "/root/pypi/+simple/", _devpi, set_up=_devpi_upstream),
    "proxpi": Mirroring("proxpi 1.3", "/index/", _proxpi, environ=_proxpi_environ),
    "peryx": Mirroring("peryx 2026.1010", "/pypi/simple/", _peryx),
}
"""By the label that each has in the results of a run."""
