"""quire as a mirror, beside other mirrors and beside the mirrored index itself, which nginx serves on loopback.

A resolution is `uv pip compile` of what is recorded (`benchmarks.recorded`), with an empty cache of uv's. Each shot of
the first measure is a mirror of its own: it is asked for the first time, for the second and third time, and once more
after it was started again. `benchmarks.mirrors` has measures that take longer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from benchmarks.corpora import HUGE_PROJECT, MIRRORED
from benchmarks.load import Load, ask, single
from benchmarks.measures.questions import validator
from benchmarks.mirror_peers import PEERS, Mirroring, mirroring, quire
from benchmarks.peers import QUIRE, Server, served
from benchmarks.peers.server import ACCEPT, WORKERS
from benchmarks.processes import Unavailable
from benchmarks.progress import say
from benchmarks.recorded import CONSTRAINTS, RUN_SECONDS, keep_page, playing, recorded, resolve
from benchmarks.results import BASE
from benchmarks.suite import Suite

WHERE = "mirror"
"""In place of a corpus."""
DIRECT = "direct"
"""The label of the mirrored index itself."""
HOSTED = f"{BASE}@hosted"
"""The label of quire with the same files as its own."""
COLD = "mirror: uv pip compile, cold"
REPEAT = "mirror: uv pip compile, first repeat"
HOT = "mirror: uv pip compile, second repeat"
RESTART = "mirror: uv pip compile, after a restart"
RESOLUTIONS = (COLD, REPEAT, HOT, RESTART)
CPU = "mirror: the server's seconds of CPU for a cold uv pip compile"
FEW, MANY = "mirror: page of 10 files, JSON", "mirror: page of 4,000 files, JSON"
FEW_UNCHANGED, MANY_UNCHANGED = "mirror: 304 for a page of 10 files", "mirror: 304 for a page of 4,000 files"
FILE = "mirror: small file that is there"
RATES = (FEW, MANY, FEW_UNCHANGED, MANY_UNCHANGED, FILE)
_PROJECT = MIRRORED.project(MIRRORED.one)
_FILENAME = MIRRORED.filename(MIRRORED.one, 0)
_LAST = {
    _PROJECT: MIRRORED.filename(MIRRORED.one, MIRRORED.files_each - 1),
    HUGE_PROJECT: f"{HUGE_PROJECT.replace('-', '_')}-1.{MIRRORED.huge_files - 1}-py3-none-any.whl",
}
_ATTEMPTS = 4
"""How often uv is run until its resolution is the right one."""
_ASKED_BEFORE = 4 * WORKERS


def _kinds(suite: Suite) -> dict[str, Mirroring]:
    """The mirrors by label, quire with as many workers as everywhere."""
    others = {label: kind for label, kind in PEERS.items() if suite.peer(label) is not None}
    return {BASE: Mirroring("quire", "/simple/", quire(WORKERS))} | others


# -- resolutions ------------------------------------------------------------------------------------------------------


def resolutions(suite: Suite) -> None:
    """The four times of each mirror, and of the mirrored index."""
    suite.say("resolutions through mirrors")
    constraints, right = recorded() / CONSTRAINTS, suite.folder() / "right.txt"
    with playing(suite.folder()) as upstream:
        resolve(upstream.url, right, constraints=constraints)

        def timed(url: str) -> Load:
            began = time.perf_counter()
            failed = resolve_alike(url, right, constraints)
            return single(time.perf_counter() - began, failed)

        shots = {
            label: partial(_through, suite, label, kind, upstream.url, timed) for label, kind in _kinds(suite).items()
        }
        suite.take(COLD, WHERE, shots | {DIRECT: partial(_directly, suite, upstream.url, timed)}, closely=True)


def resolve_alike(url: str, right: Path, constraints: Path) -> int:
    """`resolve` until it gives the right resolution, which some mirrors do not at first; the number of attempts before.

    Raises Unavailable when none of `_ATTEMPTS` gives it, or none in `RUN_SECONDS`.
    """
    error, output = Unavailable(), right.with_name("mirrored.txt")
    began = time.monotonic()
    for failed in range(_ATTEMPTS):
        if time.monotonic() - began > RUN_SECONDS:
            break
        try:
            resolve(url, output, constraints=constraints)
            if output.read_text() == right.read_text():
                return failed
            error = Unavailable("it gave another resolution than the index that it mirrors")
        except Unavailable as failure:
            error = failure
        say(f"  {url}: {error}")
    raise error


def _through(
    suite: Suite, label: str, kind: Mirroring, upstream: str, timed: Callable[[str], Load], order: int
) -> Load:
    """The first resolution of a new mirror; its others are noted."""
    folder = suite.folder()
    with mirroring(kind, upstream, folder) as mirror:
        before = mirror.running.cpu_seconds
        cold = timed(mirror.url)
        suite.figure(CPU, WHERE, label, mirror.running.cpu_seconds - before, "s")
        for measure in (REPEAT, HOT):
            _note(suite, measure, label, order, mirror.url, timed)
    with suite.noting(RESTART, WHERE, label), mirroring(kind, upstream, folder) as mirror:
        _note(suite, RESTART, label, order, mirror.url, timed)
    return cold


def _directly(suite: Suite, url: str, timed: Callable[[str], Load], order: int) -> Load:
    for measure in (REPEAT, HOT, RESTART):
        _note(suite, measure, DIRECT, order, url, timed)
    return timed(url)


def _note(suite: Suite, measure: str, label: str, order: int, url: str, timed: Callable[[str], Load]) -> None:
    with suite.noting(measure, WHERE, label):
        load = timed(url)
        suite.results.add(measure, WHERE, label, order, load)
        suite.say(f"  {measure}, {label}: {load.seconds:.2f} s")


# -- pages and files --------------------------------------------------------------------------------------------------


def rates(suite: Suite) -> None:
    """Pages and a file that mirrors have, beside quire with the same as its own, and nginx."""
    suite.say("pages of mirrors")
    with _running(suite) as servers:
        for measure, project, is_conditional in (
            (FEW, _PROJECT, False),
            (FEW_UNCHANGED, _PROJECT, True),
            (MANY, HUGE_PROJECT, False),
            (MANY_UNCHANGED, HUGE_PROJECT, True),
        ):
            shoot = partial(_page, suite.seconds, project, is_conditional)
            suite.interleave(measure, WHERE, servers, shoot, closely=True)
        suite.interleave(FILE, WHERE, servers, partial(_file, suite.seconds), closely=True)


@contextmanager
def _running(suite: Suite) -> Iterator[Mapping[str, Server]]:
    """All at once, by label; a mirror that cannot be had is noted as missing."""
    with ExitStack() as stack:
        hosted = stack.enter_context(served(QUIRE, MIRRORED))
        upstream = stack.enter_context(playing(suite.folder(), folder=_made_up(hosted, suite.folder())))
        servers = {}
        for label, kind in _kinds(suite).items():
            try:
                mirror = stack.enter_context(mirroring(kind, upstream.url, suite.folder()))
                peer = replace(QUIRE, name=label, simple={"html": kind.simple})
                servers[label] = server = Server(peer, mirror.running, mirror.port)
                for _ in range(_ASKED_BEFORE):  # of either worker
                    server.ask(server.path(_PROJECT))
                    server.ask(server.file_path(_PROJECT, _FILENAME))
            except (Unavailable, OSError) as error:
                servers.pop(label, None)
                for measure in RATES:
                    suite.missing(measure, WHERE, label, error)
        direct = replace(hosted, peer=replace(QUIRE, name=DIRECT), port=upstream.port)
        yield servers | {HOSTED: hosted, DIRECT: direct}


def _made_up(hosted: Server, folder: Path) -> Path:
    """The hosted pages as an index that nginx serves, with the files of the small one."""
    for project in (_PROJECT, HUGE_PROJECT):
        address = hosted.path(project)
        page = json.loads(hosted.ask(address, ACCEPT["json"]).body)
        for entry in page["files"]:
            entry["url"] = urlsplit(urljoin(f"http://host{address}", entry["url"])).path
            if project == _PROJECT:
                for path in (entry["url"], f"{entry['url']}.metadata"):
                    place = folder / path.removeprefix("/")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(hosted.ask(path).body)
        keep_page(folder / "simple" / project, page)
    return folder


def _page(seconds: float, project: str, is_conditional: bool, server: Server) -> Load:
    path, headers = server.path(project), ACCEPT["json"]
    answer = server.ask(path, headers)
    if answer.status != 200 or _LAST[project].encode() not in answer.body:
        raise Unavailable(f"it answered {answer.status} for a page, or lacks a file")
    if is_conditional:
        headers = headers | validator(answer.headers)
        if (status := server.ask(path, headers).status) != 304:
            raise Unavailable(f"it answers {status} to its own validator")
    return ask(server, [path], headers, seconds)


def _file(seconds: float, server: Server) -> Load:
    path = server.file_path(_PROJECT, _FILENAME)
    answer = server.ask(path)
    if answer.body[:2] != b"PK":
        raise Unavailable(f"it answered {answer.status} with something that is no wheel")
    return ask(server, [path], server.headers(), seconds)
