"""quire as a mirror, beside other mirrors and beside the mirrored index itself: the details that `run` leaves out.

`python -m benchmarks.mirrors` prints tables. The mirrored index is a recording (`benchmarks.recorded`) that nginx
serves on loopback: so nothing here depends on the network, and "direct" is as fast as it can be. Every figure is a
median of several rounds. In each round all servers are asked one after the other, each beside a direct client, and its
figure is the ratio of the two: what else the machine does hits both.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from benchmarks.environments import PROJECT
from benchmarks.measures.mirror import resolve_alike
from benchmarks.mirror_large import large_file
from benchmarks.mirror_many import many_projects
from benchmarks.mirror_peers import PEERS, QUIRE, QUIRE_4, Mirror, Mirroring, mirroring, quire
from benchmarks.mirror_tables import Table, keep, kept, made
from benchmarks.recorded import (
    CONSTRAINTS,
    JSON,
    REQUIREMENTS,
    download,
    lock,
    playing,
    recorded,
    resolve,
    synchronise,
)
from quire.config.settings import DEFAULT_FALLBACK_URL

RESULTS = PROJECT / "benchmarks" / "results" / "mirrors.json"
_CPU = {"cold": "CPU s, cold", "hot": "CPU s, hot", "after a restart": "CPU s, restart"}
_JSON = {"Accept": JSON}


def main() -> None:
    """Print the tables."""
    measures = {
        "compile": compile_times,
        "files": file_times,
        "large": large_file,
        "many": many_projects,
        "public": public_times,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mirrors", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    parser.add_argument("--only", choices=measures, action="append", help="one section; may be repeated")
    parser.add_argument("--servers", default="", help="those with one of these words in their names, with commas")
    parser.add_argument("--keep", action="store_true", help=f"write the figures into {RESULTS.relative_to(PROJECT)}")
    parser.add_argument("--report", action="store_true", help="print the figures that are kept, and measure nothing")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text stream
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped on the way out
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed: a server is not compiled again at every start
    if arguments.report:
        print("\n\n".join(str(table) for table in kept(RESULTS).values()))
        return
    kinds = [
        each
        for each in (QUIRE, QUIRE_4, *PEERS.values())
        if any(word in each.name for word in arguments.servers.split(","))
    ]
    for name in arguments.only or measures:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            table = measures[name](kinds, Path(folder), arguments.rounds, arguments.seconds)
        if arguments.keep:
            keep({name: table}, RESULTS)
        print(f"\n{table}\n")


# -- resolutions ------------------------------------------------------------------------------------------------------


def compile_times(kinds: Sequence[Mirroring], work: Path, rounds: int, seconds: float) -> Table:
    """`uv pip compile` with an empty cache: the first time, again, and after a restart of the mirror."""
    constraints = recorded() / CONSTRAINTS
    with playing(work / "nginx") as upstream:
        return _compiled("`uv pip compile`, direct = 1", upstream.url, kinds, work, rounds, constraints)


def public_times(kinds: Sequence[Mirroring], work: Path, rounds: int, seconds: float) -> Table:
    """The same by the index that the environment names, over the network, by quire alone."""
    index = os.environ.get("UV_DEFAULT_INDEX", DEFAULT_FALLBACK_URL)
    page = httpx.get(f"{index.rstrip('/')}/{REQUIREMENTS[0]}/", headers=_JSON, follow_redirects=True, timeout=60)
    hosts = {urlsplit(urljoin(str(page.url), entry["url"])).hostname or "" for entry in page.json()["files"]}
    named = ("--upstream-hosts", ",".join(sorted(hosts)))  # a proxy of the public index may be in this network
    ours = [
        Mirroring(kind.name, kind.simple, quire(workers, *named))
        for kind, workers in ((QUIRE, 1), (QUIRE_4, 4))
        if kind in kinds
    ]
    title = "`uv pip compile` of the public index, direct = 1"
    return _compiled(title, index, ours, work, rounds, recorded() / CONSTRAINTS)


def _compiled(title: str, index: str, kinds: Sequence[Mirroring], work: Path, rounds: int, constraints: Path) -> Table:
    columns = ("cold", "first repeat", "hot", "after a restart", *_CPU.values(), "failed before", "direct, s")
    table = made(title, columns)
    _seconds(lambda: resolve(index, work / "warm.txt", constraints=constraints))
    for number in range(rounds):
        for kind in kinds:
            folder = work / f"{number}-{re.sub('[^a-z0-9]', '', kind.name)}"
            with table.row(kind.name):
                for start in ("cold", "again"):
                    with mirroring(kind, index, folder) as mirror:
                        names = ("cold", "first repeat", "hot") if start == "cold" else ("after a restart",)
                        for column in names:
                            _compile(table, column, mirror, index, work, constraints)
            shutil.rmtree(folder, ignore_errors=True)
    return table


def _compile(table: Table, column: str, mirror: Mirror, direct: str, work: Path, constraints: Path) -> None:
    """The time until the resolution is the right one: some mirrors fail at first, and uv is run again."""
    before, right = mirror.running.cpu_seconds, work / "direct.txt"
    other = _seconds(lambda: resolve(direct, right, constraints=constraints))
    began = time.perf_counter()
    failed = resolve_alike(mirror.url, right, constraints)
    took = time.perf_counter() - began
    cpu = mirror.running.cpu_seconds - before
    table.add(mirror.kind.name, column, took / other)
    table.add(mirror.kind.name, "direct, s", other)
    if column in _CPU:
        table.add(mirror.kind.name, _CPU[column], cpu)
    if column == "cold":
        table.add(mirror.kind.name, "failed before", failed)


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


# -- files ------------------------------------------------------------------------------------------------------------


def file_times(kinds: Sequence[Mirroring], work: Path, rounds: int, seconds: float) -> Table:
    """`uv sync` of the whole resolution with an empty cache, all wheels being there already; beside it `uv pip
    install`, which asks for the pages as well."""
    table = made("`uv sync` of 193 wheels, nginx = 1", ("uv sync", "uv pip install", "CPU s, sync", "CPU s, install"))
    locked = work / "locked.txt"
    shutil.copy(recorded() / "requirements.txt", locked)

    def install(url: str) -> None:
        download(url, locked)

    def sync(url: str) -> None:
        synchronise(url, project_of(url))

    def project_of(url: str) -> Path:
        return work / f"project-{urlsplit(url).port}"

    with ExitStack() as stack:
        upstream = stack.enter_context(playing(work / "nginx"))
        lock(upstream.url, project_of(upstream.url))
        mirrors = list[Mirror]()
        for kind in kinds:
            with table.row(kind.name):
                mirror = stack.enter_context(mirroring(kind, upstream.url, work / re.sub("[^a-z0-9]", "", kind.name)))
                install(mirror.url)
                lock(mirror.url, project_of(mirror.url))
                mirrors.append(mirror)
        for _ in range(rounds):
            for mirror in mirrors:
                for what, cpu, fetch in (
                    ("uv sync", "CPU s, sync", sync),
                    ("uv pip install", "CPU s, install", install),
                ):
                    with table.row(mirror.kind.name):
                        other = _seconds(partial(fetch, upstream.url))
                        before = mirror.running.cpu_seconds
                        table.add(mirror.kind.name, what, _seconds(partial(fetch, mirror.url)) / other)
                        table.add(mirror.kind.name, cpu, mirror.running.cpu_seconds - before)
    return table


if __name__ == "__main__":
    main()
