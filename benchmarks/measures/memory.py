"""Memory of all processes of a server: after its start, and under a load that asks for very many projects."""

from __future__ import annotations

import time

from benchmarks.corpora import Corpus
from benchmarks.load import SLOW_SECONDS, ask
from benchmarks.peers import QUIRE, Login, Peer, Server, served
from benchmarks.peers.server import WORKERS
from benchmarks.processes import Unavailable, proportional_set_size
from benchmarks.suite import Suite, labelled

IDLE = "memory of all processes after the first page"
LOADED = "memory of all processes after a load on up to 20,000 projects and the list"
WORKER = "memory of one worker after that load"
_PROJECTS = 20_000
_SHARES = 4
"""The load goes on for this many shots, so that a cache of 128 MiB is filled where there is enough to fill it."""


def measure(suite: Suite) -> None:
    for corpus in suite.corpora:
        suite.say(f"memory, corpus {corpus.name}")
        for peer in (QUIRE, *suite.others("page", "list")):
            measure_peer(suite, corpus, peer)


def measure_peer(suite: Suite, corpus: Corpus, peer: Peer, login: Login | None = None) -> None:
    label = labelled(peer, login)
    with suite.noting(LOADED, corpus.name, label), served(peer, corpus, login=login) as server:
        _measure(suite, corpus, server, label)


def _measure(suite: Suite, corpus: Corpus, server: Server, label: str) -> None:
    suite.figure(IDLE, corpus.name, label, server.running.memory / 2**20, "MiB")
    if server.peer.form == "none":
        return
    if reason := suite.slow.get((server.name, corpus.name)):
        raise Unavailable(reason)
    began = time.monotonic()
    server.ask(server.path(corpus.project(0)))
    if time.monotonic() - began > SLOW_SECONDS:
        raise Unavailable("it is too slow for such a load")
    count = min(_PROJECTS, corpus.projects)
    paths = [server.path(corpus.project(index * corpus.projects // count)) for index in range(count)]
    seconds = max(suite.seconds, 2.0) * (_SHARES if server.name == QUIRE.name and corpus.projects > 1000 else 1)
    ask(server, [server.path()], server.headers(), 1)
    ask(server, paths, server.headers(), seconds)
    whole = server.running.memory
    suite.figure(LOADED, corpus.name, label, whole / 2**20, "MiB")
    if server.name == QUIRE.name:
        per_worker = max(_workers(server))
        suite.figure(WORKER, corpus.name, label, per_worker / 2**20, "MiB", f"the larger of {WORKERS}")


def _workers(server: Server) -> list[int]:
    return [proportional_set_size(pid) for pid in server.running.pids if pid != server.running.process.pid]
