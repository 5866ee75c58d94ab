"""Listings: the project list and project pages, in all their forms."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from benchmarks.measures.questions import Questions
from benchmarks.peers import QUIRE, Server
from benchmarks.suite import Suite

PAGE = "project page, 200 in turn"
LIST = "project list"
ONE = "one project page"
JSON = "project page as JSON, 200 in turn"
LIST_JSON = "project list as JSON"
GZIP = "project page, gzip, 200 in turn"
UNCHANGED = "304 for one project page"


def measure(suite: Suite) -> None:
    """Everybody is asked for everything; who has no such form is noted."""
    for corpus in suite.corpora:
        suite.say(f"pages, corpus {corpus.name}")
        with suite.running(corpus, [QUIRE, *suite.others("page")]) as servers:
            _measure(suite, Questions(corpus, suite.seconds), servers)


def _measure(suite: Suite, questions: Questions, servers: Mapping[str, Server]) -> None:
    corpus = questions.corpus.name
    real = {label: server for label, server in servers.items() if server.peer.form != "none"}
    suite.interleave(PAGE, corpus, servers, questions.rotating, even_slow=True)
    suite.interleave(LIST, corpus, servers, questions.listed, even_slow=True)
    suite.interleave(ONE, corpus, servers, questions.one)
    suite.interleave(UNCHANGED, corpus, real, questions.unchanged)
    suite.interleave(JSON, corpus, servers, partial(questions.rotating, form="json"))
    suite.interleave(LIST_JSON, corpus, real, partial(questions.listed, form="json"))
    suite.interleave(GZIP, corpus, real, partial(questions.rotating, form="gzip"))
