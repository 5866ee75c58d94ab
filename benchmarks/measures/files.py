"""Downloads: a small file, a file of 20 MB, and a part of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.corpora import BIG, BIG_BYTES, MEDIUM, Corpus
from benchmarks.load import Load, ask, ask_quickly
from benchmarks.peers import QUIRE, Server
from benchmarks.processes import Unavailable
from benchmarks.suite import Suite

SMALL = "small file, 1 KB"
LARGE = "file of 20 MB"
PART = "64 KiB of a file of 20 MB (Range)"
MEMORY = "memory while 20 MB files are sent"
_PART = {"Range": f"bytes={BIG_BYTES - 1_000_000}-{BIG_BYTES - 1_000_000 + 65_535}"}
_LARGE_CONNECTIONS = 8
_LARGE_SECONDS = 5.0  # files that are not complete at the end do not count


def measure(suite: Suite) -> None:
    suite.say("small files")
    corpus = MEDIUM if MEDIUM in suite.corpora else suite.corpora[0]
    with suite.running(corpus, [QUIRE, *suite.others("file")]) as servers:
        suite.interleave(SMALL, corpus.name, servers, _shot(corpus, suite.seconds, {}))
    suite.say("large files")
    with suite.running(BIG, [QUIRE, *suite.others("file")]) as servers:
        before = {label: server.running.memory for label, server in servers.items()}
        suite.interleave(LARGE, BIG.name, servers, _large(max(_LARGE_SECONDS, suite.seconds)))
        for label, server in servers.items():
            grown = (server.running.memory - before[label]) / 2**20
            suite.figure(MEMORY, BIG.name, label, grown, "MiB more than before")
        suite.interleave(PART, BIG.name, _with_ranges(servers), _shot(BIG, suite.seconds, _PART))


def _with_ranges(servers: Mapping[str, Server]) -> dict[str, Server]:
    return {label: server for label, server in servers.items() if "range" in server.peer.offers}


def _shot(corpus: Corpus, seconds: float, headers: Mapping[str, str]) -> Callable[[Server], Load]:
    def shoot(server: Server) -> Load:
        path = server.file_path(corpus.project(corpus.one), corpus.filename(corpus.one, 0))
        answer = server.ask(path, headers)
        if headers and (answer.status, len(answer.body)) != (206, 65_536):
            raise Unavailable(f"it answered a request for 64 KiB with {answer.status} and {len(answer.body)} bytes")
        if not headers and answer.body[:2] != b"PK":
            raise Unavailable(f"it answered {answer.status} with something that is no wheel")
        return ask(server, [path], server.headers() | dict(headers), seconds)

    return shoot


def _large(seconds: float) -> Callable[[Server], Load]:
    def shoot(server: Server) -> Load:
        path = server.file_path(BIG.project(0), BIG.filename(0, 0))
        answer = server.ask(path)
        if answer.status != 200 or len(answer.body) < BIG_BYTES:
            raise Unavailable(f"it answered {answer.status} with {len(answer.body)} bytes")
        return ask_quickly(server, [path], server.headers(), seconds, connections=_LARGE_CONNECTIONS)

    return shoot
