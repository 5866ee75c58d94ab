"""What one machine asks of an NFS server while quire answers: runs inside the machine of tests/nfs/rig.py.

The counters are the kernel's own (/proc/self/mountstats): how many operations the client of a mount sent. NFSv4.1 puts
several into one round trip and counts each round trip under its main operation.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.nfs.guest.mounts import SERVER, A, B

from benchmarks.corpora import Corpus
from benchmarks.load import ask_quickly, percentile
from benchmarks.peers import QUIRE, QUIRE_STORE_ALONE, Server, served
from benchmarks.uploading import Release, Uploader

SETTLED = 4.0
"""Seconds after which a directory that nobody changes is trusted on any file system (see store/directory.py), and more
than an NFS client goes on looking at what it has just seen for the first time."""
_HOUSEKEEPING = {"SEQUENCE", "RENEW"}
"""Operations that keep a lease alive, whatever the load."""
_IDLE_REQUESTS = 40
UPLOADS = 20
NO_DROP_IN = "--no-drop-in"
_OPERATION = re.compile(r"^\s+([A-Z_]+): (\d+) ", re.M)


def operations(mount: str, text: str) -> dict[str, int]:
    """How often the client of this mount sent each operation so far, from the text of mountstats."""
    (section,) = (each for each in text.split("device ") if f" mounted on {mount} with fstype nfs" in each[:300])
    counted = {name: int(count) for name, count in _OPERATION.findall(section.partition("per-op statistics")[2])}
    return {name: count for name, count in counted.items() if count and name not in _HOUSEKEEPING}


class Counter:
    """Operations between two moments."""

    def __init__(self, mount: Path) -> None:
        self._mount = str(mount)
        self._before: dict[str, int] = {}
        self.restart()

    def restart(self) -> None:
        self._before = self._now()

    def each(self, requests: int) -> dict[str, float]:
        """Operations per request since the restart; "all" is their sum."""
        now = self._now()
        counted = {name: (count - self._before.get(name, 0)) / max(1, requests) for name, count in now.items()}
        found = {name: value for name, value in counted.items() if value}
        return {"all": sum(found.values())} | found

    def _now(self) -> dict[str, int]:
        return operations(self._mount, Path("/proc/self/mountstats").read_text())


def run(seconds: float, projects: int = 1000, files_each: int = 10) -> dict[str, Any]:
    """Questions by name; of each the operations per request, and the rate and latencies where there was a load."""
    with contextlib.redirect_stdout(sys.stderr):  # what is printed there is the report, and nothing else
        return _run(seconds, projects, files_each)


def _run(seconds: float, projects: int, files_each: int) -> dict[str, Any]:
    (SERVER / "bench").mkdir(exist_ok=True)
    corpus = Corpus("NFS", projects, files_each, cache=SERVER / "bench")
    below = corpus.store.relative_to(SERVER)  # made on the server's own disk, which takes a tenth of the time
    report: dict[str, Any] = {}
    counter = Counter(A)
    with served(QUIRE_STORE_ALONE, corpus, root=A / below) as server:
        _settle(server, [server.path(corpus.project(corpus.one)), server.path()])
        for question, trips in _common(counter, server, corpus, seconds).items():
            report[f"{question}, {NO_DROP_IN}"] = trips
    with served(QUIRE, corpus, root=A / below) as server, served(QUIRE, corpus, root=B / below) as other:
        page = server.path(corpus.project(corpus.one))
        rotating = [server.path(corpus.project(number)) for number in corpus.asked]
        small_file = server.file_path(corpus.project(corpus.one), corpus.filename(corpus.one, 0))
        _settle(server, [page, server.path(), *rotating])
        report |= _common(counter, server, corpus, seconds)
        report["file, idle"] = _idle(counter, lambda: server.ask(small_file))
        report["page, all that goes"] = _loaded(counter, server, [page], seconds)
        report["200 pages in turn, all that goes"] = _loaded(counter, server, rotating, seconds)
        report["list, all that goes"] = _loaded(counter, server, [server.path()], seconds)
        report["file, all that goes"] = _loaded(counter, server, [small_file], seconds)
        report["upload"] = _uploads(counter, server, other)
    return report


def _settle(server: Server, paths: list[str]) -> None:
    """Ask until both workers know these pages, and trust what they have seen."""
    for path in paths * 6:
        server.ask(path)
    time.sleep(SETTLED)
    for path in paths * 6:
        server.ask(path)


def _common(counter: Counter, server: Server, corpus: Corpus, seconds: float) -> dict[str, dict[str, float]]:
    """What is asked of every server."""
    page, names = server.path(corpus.project(corpus.one)), server.path()
    return {
        "page, idle": _idle(counter, lambda: server.ask(page)),
        "list, idle": _idle(counter, lambda: server.ask(names)),
        "page, 2,000 a second": _loaded(counter, server, [page], seconds, rate=2000),
    }


def _idle(counter: Counter, ask: Callable[[], object]) -> dict[str, float]:
    """One request after the other, with pauses in which nothing else asks."""
    ask()
    counter.restart()
    took = []
    for _ in range(_IDLE_REQUESTS):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.05)
    return counter.each(_IDLE_REQUESTS) | {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)}


def _loaded(
    counter: Counter, server: Server, paths: Sequence[str], seconds: float, rate: float | None = None
) -> dict[str, float]:
    ask_quickly(server, paths, server.headers(), 1, rate=rate)
    counter.restart()
    load = ask_quickly(server, paths, server.headers(), seconds, rate=rate)
    return counter.each(load.requests) | {
        "rate": load.rate,
        "errors": load.errors,
        "p50": load.p50,
        "p99": load.p99,
    }


def _uploads(counter: Counter, server: Server, other: Server) -> dict[str, float]:
    """Uploads to one server; each must be in the first answer of the other one."""
    uploader = Uploader(server.port, "/", {})
    took, stale = [], 0
    for number in range(3):
        uploader.send(Release("bench-upload", f"0.{number}"))
    counts: list[dict[str, float]] = []
    for number in range(UPLOADS):
        release = Release("bench-upload", f"1.{number}")
        counter.restart()
        took.append(uploader.send(release) * 1000)
        counts.append(counter.each(1))
        stale += release.filename.encode() not in other.ask(other.path(release.project)).body
    uploader.close()
    names = {name for count in counts for name in count}
    mean = {name: sum(count.get(name, 0.0) for count in counts) / len(counts) for name in names}
    return mean | {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "stale": stale}
