"""The requests of one machine to an NFS server while quire answers: runs inside the machine of tests/nfs/rig.py.

The counters are the kernel's own (/proc/self/mountstats): how many operations the client of a mount sent. NFSv4.1 puts
several into one round trip and counts each round trip under its main operation.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from tests.nfs.guest.mounts import SERVER, A, B

from benchmarks import nfs_uploads
from benchmarks.corpora import Corpus
from benchmarks.counted import Counter, Counts, idle, latencies, loaded
from benchmarks.load import ask_quickly
from benchmarks.nfs_report import Report, counter
from benchmarks.peers import CACHED_DIR, QUIRE, QUIRE_STORE_ALONE, SIMPLE_DIR, Login, Server, served
from benchmarks.peers.server import START_SECONDS, Form
from benchmarks.processes import wait_for
from benchmarks.results import BASE
from benchmarks.suite import SUFFIX
from benchmarks.uploading import Release

SETTLED = 4.0
"""Seconds after which an unchanged directory is trusted on any file system (see store/directory.py), and more
than an NFS client goes on looking at what it has just seen for the first time."""
NO_DROP_IN = "--no-drop-in"
PEERS_PROJECTS = 100
"""With 10 files each; pypiserver asks for each of them, so it has fewer than quire."""
FIRST_PAGE = "cold start to the first right page"
FIRST_LIST = "cold start to the first right list"
COLD = "page never asked for before"
MEMORY = "memory of all processes after these loads"
COPIED = "page, after another client copied a file"
_FEW = 20
_Measures = dict[str, Callable[[], Counts]]


def run(seconds: float, login: dict[str, str], projects: int = 1000, files_each: int = 10) -> dict[str, Any]:
    """See nfs_report.Noted. `login`: a "user", the "password", and the "htpasswd" file's text."""
    with contextlib.redirect_stdout(sys.stderr):  # what is printed there is the report, and nothing else
        (SERVER / "bench").mkdir(exist_ok=True)
        # made on the server's own disk, which takes a tenth of the time
        corpus = Corpus("NFS", projects, files_each, cache=SERVER / "bench")
        flat = Corpus("NFS-flat", PEERS_PROJECTS, files_each, cache=SERVER / "bench")
        below, flat_below = corpus.store.relative_to(SERVER), flat.flat.relative_to(SERVER)
        report = Report()
        for label, part in {
            f"{BASE}, {NO_DROP_IN}": partial(_store_alone, report, corpus, A / below, seconds),
            BASE: partial(_whole, report, corpus, below, seconds),
            SIMPLE_DIR.name: partial(_simple_dir, report, flat, A / flat_below),
            CACHED_DIR.name: partial(_cached_dir, report, flat, flat_below),
            f"{BASE}{SUFFIX}": partial(_logging_in, report, corpus, A / below, seconds, login),
        }.items():
            with report.noting(label, "*"):
                report.check_time()
                part()
    made: dict[str, Any] = msgspec.to_builtins(report.noted)
    return made


def _store_alone(report: Report, corpus: Corpus, root: Path, seconds: float) -> None:
    with served(QUIRE_STORE_ALONE, corpus, root=root) as server:
        _settle(server, corpus)
        report.note_all(BASE, _common(counter(A), server, corpus, seconds), f", {NO_DROP_IN}")


def _whole(report: Report, corpus: Corpus, below: Path, seconds: float) -> None:
    on_a, on_b = counter(A), counter(B)
    with served(QUIRE, corpus, root=A / below, wait=False) as server:
        report.note(BASE, FIRST_PAGE, partial(_starting, on_a, server, partial(server.has, corpus, corpus.one)))
        with served(QUIRE, corpus, root=B / below, wait=False) as other:
            report.note(BASE, FIRST_LIST, partial(_starting, on_b, other, partial(other.lists, corpus)))
            report.note(BASE, COLD, partial(_never_asked, on_a, server, corpus))
            _settle(server, corpus)
            report.note_all(BASE, _common(on_a, server, corpus, seconds))
            report.note_all(BASE, _forms(on_a, server, corpus))
            report.note_all(BASE, _loads(on_a, server, corpus, seconds))
            report.note(BASE, MEMORY, lambda: {"MiB": server.running.memory / 2**20})
            report.note_all(BASE, nfs_uploads.measures(on_a, server, other))
            report.note_all(BASE, nfs_uploads.large(on_a, on_b, server, other))


def _logging_in(report: Report, corpus: Corpus, root: Path, seconds: float, login: dict[str, str]) -> None:
    label, on_a = f"{BASE}{SUFFIX}", counter(A)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "htpasswd"
        file.write_text(login["htpasswd"])
        user = Login(login["user"], login["password"], file)
        with served(QUIRE, corpus, root=root, login=user) as server:
            _settle(server, corpus)
            report.note_all(label, _with_login(on_a, server, corpus, seconds))


def _with_login(on_a: Counter, server: Server, corpus: Corpus, seconds: float) -> _Measures:
    page = server.path(corpus.project(corpus.one))
    return {
        "page, idle": partial(idle, on_a, partial(server.ask, page), _FEW),
        "list, idle": partial(idle, on_a, partial(server.ask, server.path()), _FEW),
        **_unchanged_and_file(on_a, server, corpus),
        "page, all that goes": partial(loaded, on_a, server, [page], seconds),
        nfs_uploads.ONE: partial(nfs_uploads.one_by_one, on_a, server, "bench-login", 5),
    }


def _simple_dir(report: Report, corpus: Corpus, root: Path) -> None:
    with served(SIMPLE_DIR, corpus, root=root) as server:
        report.note_all(SIMPLE_DIR.name, _listings(server, corpus))


def _cached_dir(report: Report, corpus: Corpus, below: Path) -> None:
    """Its memory is told of changes by the kernel, which tells nothing of what another client did."""
    on_a, project = counter(A), corpus.project(corpus.one)
    with served(CACHED_DIR, corpus, root=A / below) as server:
        report.note_all(CACHED_DIR.name, _listings(server, corpus))

        def copied() -> Counts:
            release = Release(project, "9.9")
            (B / below / release.filename).write_bytes(release.content)
            on_a.restart()
            time.sleep(1)  # long after the copy was through
            body = server.ask(server.path(project)).body
            return on_a.each(1) | {"stale": float(release.filename.encode() not in body)}

        report.note(CACHED_DIR.name, COPIED, copied)


def _listings(server: Server, corpus: Corpus) -> _Measures:
    on_a, page = counter(A), server.path(corpus.project(corpus.one))
    return {
        "page, idle": partial(idle, on_a, partial(server.ask, page), _FEW),
        "list, idle": partial(idle, on_a, partial(server.ask, server.path()), _FEW),
    }


def _settle(server: Server, corpus: Corpus) -> None:
    """Ask until both workers know these pages, and trust what they have seen."""
    few = [server.path(corpus.project(corpus.one)), server.path()]
    rotating = [server.path(corpus.project(number)) for number in corpus.asked]
    for pause in (SETTLED, 0.0):
        for path in few * 6:
            server.ask(path)
        ask_quickly(server, rotating, server.headers(), 2)
        time.sleep(pause)


def _common(on_a: Counter, server: Server, corpus: Corpus, seconds: float) -> _Measures:
    """The requests with and without a drop-in folder."""
    page, names = server.path(corpus.project(corpus.one)), server.path()
    return {
        "page, idle": partial(idle, on_a, partial(server.ask, page)),
        "list, idle": partial(idle, on_a, partial(server.ask, names)),
        "page, 2,000 a second": partial(loaded, on_a, server, [page], seconds, rate=2000),
    }


def _forms(on_a: Counter, server: Server, corpus: Corpus) -> _Measures:
    page = server.path(corpus.project(corpus.one))
    forms: tuple[Form, ...] = ("json", "gzip")
    return {
        f"page as {form}, idle": partial(idle, on_a, partial(server.ask, page, server.headers(form)), _FEW)
        for form in forms
    } | _unchanged_and_file(on_a, server, corpus)


def _unchanged_and_file(on_a: Counter, server: Server, corpus: Corpus) -> _Measures:
    page = server.path(corpus.project(corpus.one))
    headers = server.headers() | {"If-None-Match": server.ask(page).headers["etag"]}
    file = server.file_path(corpus.project(corpus.one), corpus.filename(corpus.one, 0))
    return {
        "304, idle": partial(idle, on_a, partial(server.ask, page, headers), _FEW),
        "file, idle": partial(idle, on_a, partial(server.ask, file), _FEW),
    }


def _loads(on_a: Counter, server: Server, corpus: Corpus, seconds: float) -> _Measures:
    page = server.path(corpus.project(corpus.one))
    rotating = [server.path(corpus.project(number)) for number in corpus.asked]
    file = server.file_path(corpus.project(corpus.one), corpus.filename(corpus.one, 0))
    loads: dict[str, Sequence[str]] = {
        "page": [page],
        "200 pages in turn": rotating,
        "list": [server.path()],
        "file": [file],
    }
    return {f"{what}, all that goes": partial(loaded, on_a, server, paths, seconds) for what, paths in loads.items()}


def _starting(counted: Counter, server: Server, ready: Callable[[], bool]) -> Counts:
    """From the start of its processes, which is just over."""
    counted.restart()
    took = wait_for(server.running, ready, START_SECONDS)
    return counted.each(1) | {"p50": took * 1000}


def _never_asked(on_a: Counter, server: Server, corpus: Corpus) -> Counts:
    numbers = [number for number in range(corpus.projects) if number not in {*corpus.asked, corpus.one}][:_FEW]
    on_a.restart()
    took = []
    for number in numbers:
        began = time.perf_counter()
        server.ask(server.path(corpus.project(number)))
        took.append((time.perf_counter() - began) * 1000)
    return on_a.each(len(numbers)) | latencies(took)
