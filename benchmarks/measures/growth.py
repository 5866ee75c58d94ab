"""The same questions to stores of all sizes, one against the other: what does not grow is the claim."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.corpora import Corpus
from benchmarks.load import Load
from benchmarks.measures.questions import Questions
from benchmarks.peers import QUIRE, Server
from benchmarks.results import BASE
from benchmarks.suite import Suite

PAGE = "project page, by the size of the store"
FILE = "small file, by the size of the store"


def label(corpus: Corpus, base: Corpus) -> str:
    return BASE if corpus is base else f"{BASE}@{corpus.name}"


def measure(suite: Suite) -> None:
    """The base is the smallest store whose pages have as many files as the largest one's."""
    if len(suite.corpora) < 2:
        return
    largest = max(suite.corpora, key=lambda corpus: corpus.files)
    base = next(corpus for corpus in suite.corpora if corpus.files_each == largest.files_each)
    suite.say("stores of all sizes")
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        corpora: dict[int, Corpus] = {}
        for corpus in suite.corpora:
            for server in stack.enter_context(suite.running(corpus, [QUIRE])).values():
                servers[label(corpus, base)] = server
                corpora[server.port] = corpus

        def rotating(server: Server) -> Load:
            return Questions(corpora[server.port], suite.seconds).rotating(server)

        def small_file(server: Server) -> Load:
            return Questions(corpora[server.port], suite.seconds).small_file(server)

        suite.interleave(PAGE, base.name, servers, rotating, closely=True)
        suite.interleave(FILE, base.name, servers, small_file, closely=True)
