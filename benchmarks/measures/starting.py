"""From the start of a process to right answers, and what answers cost that were never given before."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from benchmarks.corpora import Corpus
from benchmarks.load import percentile
from benchmarks.peers import QUIRE, Login, Peer, Server, served
from benchmarks.peers.server import START_SECONDS
from benchmarks.processes import Unavailable, wait_for
from benchmarks.suite import Suite, labelled

FIRST_PAGE = "cold start to the first right project page"
FIRST_LIST = "cold start to the first right project list"
COLD = "project page never asked for before, p99"
COLD_MEDIAN = "project page never asked for before, median"
WARM_MEDIAN = "the same pages once more, median"
_PAGES = 200
_FEWEST_PAGES = 20
_PAGES_SECONDS = 6.0
"""After this long a server is asked for no further pages."""


def measure(suite: Suite) -> None:
    """Of all but the bare handler, which has no pages."""
    for corpus in suite.corpora:
        suite.say(f"cold start, corpus {corpus.name}")
        for peer in (QUIRE, *suite.others("page", "list")):
            if peer.form != "none":
                measure_peer(suite, corpus, peer)


def measure_peer(suite: Suite, corpus: Corpus, peer: Peer, login: Login | None = None) -> None:
    """The directory that the peer serves is there already."""
    label = labelled(peer, login)
    with suite.noting(FIRST_PAGE, corpus.name, label):
        took = _start(peer, corpus, login, lambda server: server.has(corpus, corpus.one))
        suite.figure(FIRST_PAGE, corpus.name, label, took, "s")
    if suite.results.value(FIRST_PAGE, corpus.name, label) is None:
        suite.missing(FIRST_LIST, corpus.name, label, "it did not start")
        return
    with suite.noting(FIRST_LIST, corpus.name, label):
        took = _start(peer, corpus, login, lambda server: server.lists(corpus))
        suite.figure(FIRST_LIST, corpus.name, label, took, "s")
    with suite.noting(COLD, corpus.name, label):
        if reason := suite.slow.get((peer.name, corpus.name)):
            raise Unavailable(reason)
        _cold_pages(suite, corpus, peer, login)


def _start(peer: Peer, corpus: Corpus, login: Login | None, is_right: Callable[[Server], bool]) -> float:
    """Twice: the better one is of a machine that had the files in memory, which is what is compared."""
    took: list[float] = []
    while len(took) < 2 and max(took, default=0) < 10:
        with served(peer, corpus, wait=False, login=login) as server:
            took.append(wait_for(server.running, partial(is_right, server), START_SECONDS))
    return min(took)


def _cold_pages(suite: Suite, corpus: Corpus, peer: Peer, login: Login | None) -> None:
    """Pages one after the other, each on a connection of its own, so to either worker. A slow server gives fewer."""
    numbers = sorted({index * corpus.projects // _PAGES for index in range(_PAGES)})
    with served(peer, corpus, login=login) as server:
        rounds: list[list[float]] = []
        for _ in range(2):
            took: list[float] = []
            start = time.perf_counter()
            for number in numbers:
                began = time.perf_counter()
                server.ask(server.path(corpus.project(number)))
                took.append((time.perf_counter() - began) * 1000)
                if time.perf_counter() - start > _PAGES_SECONDS:
                    break
            rounds.append(took)
            numbers = numbers[: len(took)]
    cold, warm = rounds
    label, note = labelled(peer, login), f"{len(cold)} pages"
    suite.figure(COLD_MEDIAN, corpus.name, label, percentile(cold, 0.5), "ms", note)
    if len(cold) >= _FEWEST_PAGES:
        suite.figure(COLD, corpus.name, label, percentile(cold, 0.99), "ms", note)
    else:
        suite.missing(COLD, corpus.name, label, f"{note} in {_PAGES_SECONDS:.0f} s are too few for it")
    suite.figure(WARM_MEDIAN, corpus.name, label, percentile(warm, 0.5), "ms", f"{len(warm)} pages")
