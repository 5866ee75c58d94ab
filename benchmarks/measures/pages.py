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
    """Each server is asked for each form; a server without a form is noted."""
    for corpus in suite.corpora:
        suite.say(f"pages, corpus {corpus.name}")
        with suite.running(corpus, [QUIRE, *suite.others("page")]) as servers:
            _measure(suite, Questions(corpus, suite.seconds), servers)


def _measure(suite: Suite, questions: Questions, servers: Mapping[str, Server]) -> None:
    corpus, closely = questions.corpus.name, questions.corpus is suite.middle
    real = {label: server for label, server in servers.items() if server.peer.form != "none"}
    for measure, shoot, asked, even_slow in (
        (PAGE, questions.rotating, servers, True),
        (LIST, questions.listed, servers, True),
        (ONE, questions.one, servers, False),
        (UNCHANGED, questions.unchanged, real, False),
        (JSON, partial(questions.rotating, form="json"), servers, False),
        (LIST_JSON, partial(questions.listed, form="json"), real, False),
        (GZIP, partial(questions.rotating, form="gzip"), real, False),
    ):
        suite.interleave(measure, corpus, asked, shoot, even_slow=even_slow, closely=closely)
