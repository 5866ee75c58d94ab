"""From the start of a process to right answers, and what answers cost that were never given before."""

from __future__ import annotations

import time

from benchmarks.corpora import Corpus
from benchmarks.load import percentile
from benchmarks.peers import QUIRE, Peer, served
from benchmarks.peers.server import START_SECONDS
from benchmarks.processes import wait_for
from benchmarks.suite import Suite

FIRST_PAGE = "cold start to the first right project page"
FIRST_LIST = "cold start to the first right project list"
COLD = "project page never asked for before, p99"
COLD_MEDIAN = "project page never asked for before, median"
WARM_MEDIAN = "the same pages once more, median"
_PAGES = 200


def measure(suite: Suite) -> None:
    for corpus in suite.corpora:
        suite.say(f"cold start, corpus {corpus.name}")
        for peer in (QUIRE, *suite.others("page", "list")):
            if peer.form in {"store", "flat", "tree"}:
                _start(suite, corpus, peer)
        with suite.noting(COLD, corpus.name, QUIRE.name):
            _cold_pages(suite, corpus)


def _start(suite: Suite, corpus: Corpus, peer: Peer) -> None:
    """Each twice: the better one is of a machine that had the files in memory, which is what is compared."""
    with suite.noting(FIRST_PAGE, corpus.name, peer.name):
        took = []
        for _ in range(2):
            with served(peer, corpus, wait=False) as server:
                took.append(wait_for(server.running, lambda: server.has(corpus, corpus.one), START_SECONDS))
            if took[0] > 10:
                break
        suite.figure(FIRST_PAGE, corpus.name, peer.name, min(took), "s")
    with suite.noting(FIRST_LIST, corpus.name, peer.name):
        took = []
        for _ in range(2):
            with served(peer, corpus, wait=False) as server:
                took.append(wait_for(server.running, lambda: server.lists(corpus), START_SECONDS))
            if took[0] > 10:
                break
        suite.figure(FIRST_LIST, corpus.name, peer.name, min(took), "s")


def _cold_pages(suite: Suite, corpus: Corpus) -> None:
    """Pages one after the other, each on a connection of its own, so to either worker."""
    numbers = sorted({index * corpus.projects // _PAGES for index in range(_PAGES)})
    with served(QUIRE, corpus) as server:
        rounds: list[list[float]] = []
        for _ in range(2):
            took = []
            for number in numbers:
                began = time.perf_counter()
                server.ask(server.path(corpus.project(number)))
                took.append((time.perf_counter() - began) * 1000)
            rounds.append(took)
    cold, warm = rounds
    suite.figure(COLD_MEDIAN, corpus.name, QUIRE.name, percentile(cold, 0.5), "ms")
    suite.figure(COLD, corpus.name, QUIRE.name, percentile(cold, 0.99), "ms")
    suite.figure(WARM_MEDIAN, corpus.name, QUIRE.name, percentile(warm, 0.5), "ms")
