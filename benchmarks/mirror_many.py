"""10,000 mirrored projects under a steady load, of four workers that are killed one after the other.

Theory of operation. The projects are made up: the one of rank r has 15,000 / r**0.8 files, so most have some ten to
thirty, the largest 15,000, all together 400,000. nginx serves their pages. First every project is asked for once,
which mirrors it; then wrk asks for 2,000 pages a second, for a project of rank r (another, random rank) in proportion
to 1 / r, with compression, as installers ask. Every few seconds a worker is killed (SIGKILL); its master starts
another. In a second load pages are fresh for ten seconds only, so that they are confirmed again and again.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
import queue
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.environments import CACHE
from benchmarks.load import ask_quickly
from benchmarks.mirror_peers import QUIRE_4, Mirror, Mirroring, mirroring, quire
from benchmarks.mirror_tables import Table, made
from benchmarks.peers import QUIRE as HOSTING
from benchmarks.peers import Server
from benchmarks.processes import Running, Unavailable, family
from benchmarks.progress import lasting
from benchmarks.recorded import JSON, Playing, playing

PROJECTS = int(os.environ.get("BENCH_PROJECTS", "10000"))
MOST_FILES = 15_000
RATE = 2000.0
WORKERS = 4
KILL_SECONDS = 5.0
SHORT_AGE = 10
"""Seconds for which pages are fresh in the second load."""
_CLIENTS = 16
_CONNECTIONS = 64
_HEADERS = {"Accept": JSON, "Accept-Encoding": "gzip"}
_COLUMNS = (
    "requests/s",
    "p50, ms",
    "p99, ms",
    "errors",
    "workers killed",
    "upstream requests",
    "of these 304",
    "hit rate",
    "memory, MB, at first",
    "memory, MB, at most",
    "memory, MB, at last",
)


def many_projects(kinds: Sequence[Mirroring], work: Path, rounds: int, seconds: float) -> Table:
    """`seconds`: of each load."""
    table = made(f"{PROJECTS:,} mirrored projects, {WORKERS} workers", _COLUMNS)
    folder, place = _made_up(), work / "quire"
    with playing(work / "nginx", folder=folder, logs=True) as upstream:
        with table.row("each once"), mirroring(QUIRE_4, upstream.url, place) as mirror:
            _each_once(table, mirror, upstream)
            _steady(table, "pages fresh for 600 s", mirror, upstream, seconds)
        short = Mirroring(QUIRE_4.name, "/simple/", quire(WORKERS, "--upstream-max-age", str(SHORT_AGE)))
        row = f"pages fresh for {SHORT_AGE} s, after a restart"
        with table.row(row), mirroring(short, upstream.url, place) as mirror:
            _steady(table, row, mirror, upstream, seconds)
    return table


def _each_once(table: Table, mirror: Mirror, upstream: Playing) -> None:
    row, names = "each once", queue.SimpleQueue[str]()
    for name in random.Random(1).sample(_names(), PROJECTS):
        names.put(name)
    began, took, failed = time.perf_counter(), list[float](), list[int]()

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", mirror.port, timeout=60)
        while True:
            try:
                name = names.get_nowait()
            except queue.Empty:
                return
            asked = time.perf_counter()
            connection.request("GET", f"{mirror.kind.simple}{name}/", headers=_HEADERS)
            answer = connection.getresponse()
            answer.read()
            took.append(time.perf_counter() - asked)
            if answer.status != 200:
                failed.append(answer.status)

    with _sampled(mirror.running) as samples, ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(client, range(_CLIENTS)))
    took.sort()
    table.add(row, "requests/s", PROJECTS / (time.perf_counter() - began))
    table.add(row, "p50, ms", took[len(took) // 2] * 1000)
    table.add(row, "p99, ms", took[len(took) * 99 // 100] * 1000)
    table.add(row, "errors", len(failed))
    table.add(row, "upstream requests", upstream.asked("GET /simple/"))
    _add_memory(table, row, samples)


def _steady(table: Table, row: str, mirror: Mirror, upstream: Playing, seconds: float) -> None:
    before = upstream.asked("GET /simple/"), upstream.asked('" 304 ')
    server = Server(HOSTING, mirror.running, mirror.port)
    paths = [f"{mirror.kind.simple}{name}/" for name in _wanted(round(RATE * seconds))]
    with _sampled(mirror.running) as samples, _killing(mirror.running) as killed:
        load = ask_quickly(server, paths, _HEADERS, seconds, connections=_CONNECTIONS, rate=RATE)
    asked = upstream.asked("GET /simple/") - before[0]
    table.add(row, "requests/s", load.rate)
    table.add(row, "p50, ms", load.p50)
    table.add(row, "p99, ms", load.p99)
    table.add(row, "errors", load.errors)
    table.add(row, "workers killed", len(killed))
    table.add(row, "upstream requests", asked)
    table.add(row, "of these 304", upstream.asked('" 304 ') - before[1])
    table.add(row, "hit rate", 1 - asked / max(1, load.requests))
    _add_memory(table, row, samples)


def _add_memory(table: Table, row: str, samples: Sequence[int]) -> None:
    table.add(row, "memory, MB, at first", samples[0] / 1e6)
    table.add(row, "memory, MB, at most", max(samples) / 1e6)
    table.add(row, "memory, MB, at last", samples[-1] / 1e6)


@contextmanager
def _sampled(running: Running) -> Iterator[list[int]]:
    """The memory of all processes, each second."""
    samples = [running.memory]
    with _every(1.0, lambda: samples.append(running.memory)):
        yield samples


@contextmanager
def _killing(running: Running) -> Iterator[list[int]]:
    """Kill a worker every few seconds, the pids of those that were killed."""
    killed, chosen = list[int](), random.Random(2)

    def kill() -> None:
        workers = workers_of(running)
        if len(workers) == WORKERS:  # else the last one is being replaced
            pid = chosen.choice(workers)
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    with _every(KILL_SECONDS, kill):
        yield killed


def workers_of(running: Running) -> list[int]:
    """The processes of a server that have no children. Raises Unavailable without any."""
    found = [pid for pid in running.pids if pid != running.process.pid and family(pid) == [pid]]
    if not found:
        raise Unavailable("it has no workers")
    return found


@contextmanager
def _every(seconds: float, action: object) -> Iterator[None]:
    assert callable(action)
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            action()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# -- what is made up --------------------------------------------------------------------------------------------------


def _names() -> list[str]:
    return [f"project-{rank}" for rank in range(1, PROJECTS + 1)]


def _wanted(number: int) -> list[str]:
    """The names for so many requests."""
    chosen = random.Random(3)
    names = chosen.sample(_names(), PROJECTS)
    return chosen.choices(names, [1 / rank for rank in range(1, PROJECTS + 1)], k=number)


def _made_up() -> Path:
    """The folder with the pages, made if there is none."""
    folder = CACHE / f"many-{PROJECTS}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with lasting(f"making up {PROJECTS:,} projects"):
            for rank, name in enumerate(_names(), 1):
                _keep(folder / "simple" / name, name, max(1, round(MOST_FILES / rank**0.8)))
        (folder / "complete").touch()
    return folder


def _keep(folder: Path, name: str, files: int) -> None:
    """The page of a project, as JSON alone, plain and compressed."""
    entries = []
    for number in range(files):
        filename = f"{re.sub('-', '_', name)}-{number // 20}.{number % 20}-py3-none-any.whl"
        digest = hashlib.sha256(filename.encode()).hexdigest()
        entries.append(
            {
                "filename": filename,
                "url": f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}",
                "hashes": {"sha256": digest},
                "requires-python": ">=3.9",
                "size": 10_000 + number,
                "upload-time": f"2025-{number % 12 + 1:02}-{number % 28 + 1:02}T00:00:00.000000Z",
                "core-metadata": {"sha256": digest[::-1]},
                "yanked": False,
            }
        )
    versions = list(dict.fromkeys(each["filename"].split("-")[1] for each in entries))  # type: ignore[attr-defined]
    page = {"meta": {"api-version": "1.4"}, "name": name, "versions": versions, "files": entries}
    text = json.dumps(page, separators=(",", ":")).encode()
    folder.mkdir(parents=True)
    (folder / "index.json").write_bytes(text)
    (folder / "index.json.gz").write_bytes(gzip.compress(text, 1))
