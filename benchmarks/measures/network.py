"""A page in demand with the store behind a network, as far as it can be had on one machine: each question takes 1 ms.

The machine of tests/nfs has a real NFS, and too slow a processor for 2,000 requests a second. Here it is the other way
round: the processors of this machine, and in place of NFS a file system (benchmarks/slow_files.py) that asks as an NFS
client asks, and answers after a millisecond.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import load
from benchmarks.corpora import Corpus
from benchmarks.counted import Counter, Counts, idle, kinds, loaded
from benchmarks.environments import PROJECT
from benchmarks.measures import nfs
from benchmarks.peers import QUIRE, QUIRE_STORE_ALONE, Peer, Server, served
from benchmarks.peers.server import WORKERS
from benchmarks.processes import Unavailable
from benchmarks.slow_files import unmount
from benchmarks.suite import Suite

WHERE = "1 ms away"
"""In place of a corpus."""
MILLISECONDS = 1.0
NAMES = 30
"""Seconds for which names of directories are remembered, as an NFS client does it unless told otherwise."""
QUESTIONS = "questions per request"
IDLE = "page, idle"
BARE_IDLE = "page, idle, no names remembered"
ALL = "page, all that goes"
RATES = (500, 2000)
ANSWER = 0.012
"""Seconds that an answer takes, about."""
_LEAST_SECONDS = 4.0
_START_SECONDS = 10.0
_ANSWER_SECONDS = 10.0


def paced(rate: int) -> str:
    """The name of a load at a rate."""
    return f"page, {rate:,} a second"


def measure(suite: Suite) -> None:
    corpus = next((corpus for corpus in suite.corpora if corpus.name == "M"), suite.corpora[0])
    suite.say(f"a store behind a network of {MILLISECONDS:g} ms, corpus {corpus.name}")
    for peer in (QUIRE, QUIRE_STORE_ALONE):
        with _away(corpus, peer, NAMES) as (server, counter, page):
            _note(suite, IDLE, peer.name, idle(counter, partial(server.ask, page)))
            for rate in RATES:
                connections, pace = load.paced(rate, ANSWER)
                seconds = max(_LEAST_SECONDS, suite.seconds)
                counts = loaded(counter, server, [page], seconds, rate=pace, connections=connections)
                _note(suite, paced(rate), peer.name, counts)
            _note(suite, ALL, peer.name, loaded(counter, server, [page], suite.seconds))
        with _away(corpus, peer, 0) as (server, counter, page):
            _note(suite, BARE_IDLE, peer.name, idle(counter, partial(server.ask, page)))


@contextmanager
def _away(corpus: Corpus, peer: Peer, names: int) -> Iterator[tuple[Server, Counter, str]]:
    """A server whose store is away, what it asks there, and the path of a page that its workers know."""
    with away(corpus.store, MILLISECONDS, names) as (root, counter), served(peer, corpus, root=root) as server:
        yield server, counter, _settled(server, corpus)


def _settled(server: Server, corpus: Corpus) -> str:
    """The path of a page that all workers know, and trust in."""
    page = server.path(corpus.project(corpus.one))
    for pause in (4.0, 0.0):  # more than the time after which an unchanged directory is trusted
        for _ in range(8 * WORKERS):
            server.ask(page)
        time.sleep(pause)
    return page


def _note(suite: Suite, question: str, server: str, counts: Counts) -> None:
    suite.figure(f"{QUESTIONS}: {question}", WHERE, server, counts["all"], "", kinds(counts))
    for measured, name, unit in ((nfs.RATE, "rate", "/s"), (nfs.MEDIAN, "p50", "ms"), (nfs.LONGEST, "p99", "ms")):
        if name in counts:
            suite.figure(f"{measured}: {question}", WHERE, server, counts[name], unit)
    if counts.get("errors"):
        suite.missing(f"{nfs.RATE}: {question}", WHERE, server, f"{counts['errors']:g} errors")


@contextmanager
def away(directory: Path, milliseconds: float, names: int) -> Iterator[tuple[Path, Counter]]:
    """The directory as it is seen over the network, and the questions that went there. Raises Unavailable."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or not Path("/dev/fuse").exists():
        raise Unavailable("mounting a FUSE file system takes Linux, root and /dev/fuse")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        mount_point = Path(folder) / "store"
        mount_point.mkdir()
        errors = Path(folder) / "errors"
        command = [sys.executable, "-m", "benchmarks.slow_files", str(directory), str(mount_point)]
        with (
            errors.open("wb") as log,
            subprocess.Popen(
                [*command, f"{milliseconds:g}", str(names)],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            ) as process,
        ):
            lines = _Lines(process)
            try:
                if lines.next(_START_SECONDS) != "ready":
                    raise Unavailable(f"FUSE is not allowed here: {errors.read_text()[-300:].strip()}")
                yield mount_point, Counter(lines.counts)
            finally:
                assert process.stdin is not None
                with contextlib.suppress(OSError):
                    process.stdin.close()  # then it unmounts and ends
                try:
                    process.wait(_ANSWER_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                unmount(str(mount_point))  # what a killed one left


class _Lines:
    """The talk with the process of the file system."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    def counts(self) -> dict[str, int]:
        self._input.write(b"\n")
        self._input.flush()
        counted: dict[str, int] = json.loads(self.next(_ANSWER_SECONDS) or "{}")
        return counted

    def next(self, seconds: float) -> str:
        """The next line; "" when none comes in time or none will."""
        if not select.select([self._output], [], [], seconds)[0]:
            return ""
        return self._output.readline().decode().strip()
