"""quire in the servers that it could run in, beside the one that it chooses; and a bare ASGI application there."""

from __future__ import annotations

from benchmarks.corpora import BIG
from benchmarks.measures.questions import Questions
from benchmarks.peers import BARE_ASGI, QUIRE, VARIANTS
from benchmarks.suite import Suite

PAGE = "in other servers: project page, 200 in turn"
LIST = "in other servers: project list"
UNCHANGED = "in other servers: 304"
SMALL = "in other servers: small file"
LARGE = "in other servers: file of 20 MB"
MEASURES = (PAGE, LIST, UNCHANGED, SMALL, LARGE)


def measure(suite: Suite) -> None:
    suite.say("quire in other servers")
    corpus = suite.middle
    ask, peers = Questions(corpus, suite.seconds), [QUIRE, *VARIANTS.values()]
    with suite.running(corpus, [*peers, BARE_ASGI], measures=[PAGE, LIST, UNCHANGED, SMALL]) as servers:
        suite.interleave(PAGE, corpus.name, servers, ask.rotating)
        del servers[BARE_ASGI.name]
        suite.interleave(LIST, corpus.name, servers, ask.listed)
        suite.interleave(UNCHANGED, corpus.name, servers, ask.unchanged)
        suite.interleave(SMALL, corpus.name, servers, ask.small_file)
    with suite.running(BIG, peers, measures=[LARGE]) as servers:
        suite.interleave(LARGE, BIG.name, servers, Questions(BIG, suite.seconds).large_file, between=2)
