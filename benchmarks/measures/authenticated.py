"""The same questions where everything needs a login, with a password hashed by bcrypt.

quire without a login stands beside quire with one, and beside pypiserver with one: A, B, A, C, A, B, A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.corpora import BIG
from benchmarks.load import Load
from benchmarks.measures import files, memory, pages, starting, uploads, visible
from benchmarks.measures.questions import Questions
from benchmarks.peers import QUIRE, Login, Peer, Server
from benchmarks.suite import Suite, labelled

_LOGGING_IN = ", everybody logs in"


def logging_in(measure: str) -> str:
    """The name of a measure where everything needs a login."""
    return f"{measure}{_LOGGING_IN}"


PAGE, LIST, ONE, UNCHANGED = map(logging_in, (pages.PAGE, pages.LIST, pages.ONE, pages.UNCHANGED))
JSON, LIST_JSON, GZIP = map(logging_in, (pages.JSON, pages.LIST_JSON, pages.GZIP))
SMALL, LARGE, PART = map(logging_in, (files.SMALL, files.LARGE, files.PART))
UPLOAD, UPLOADS = map(logging_in, (uploads.ONE, uploads.EIGHT))
LISTINGS = (PAGE, LIST, ONE, UNCHANGED, JSON, LIST_JSON, GZIP)

Shoot = Callable[[Server], Load]


def measure(suite: Suite) -> None:
    login = suite.login()
    guarded = suite.others("auth", "page")
    corpus = suite.middle
    suite.say(f"pages with a login, corpus {corpus.name}")
    ask = Questions(corpus, suite.seconds)
    shots: dict[str, Shoot] = {
        PAGE: ask.rotating,
        LIST: ask.listed,
        ONE: ask.one,
        UNCHANGED: ask.unchanged,
        SMALL: ask.small_file,
        JSON: partial(ask.rotating, form="json"),
        LIST_JSON: partial(ask.listed, form="json"),
        GZIP: partial(ask.rotating, form="gzip"),
    }
    with (
        suite.running(corpus, [QUIRE]) as plain,
        suite.running(corpus, [QUIRE, *guarded], login, measures=list(shots)) as servers,
    ):
        _interleave(suite, shots, corpus.name, plain | _asking(suite, servers, ask, list(shots)))
    suite.say("large files with a login")
    ask = Questions(BIG, suite.seconds)
    with (
        suite.running(BIG, [QUIRE]) as plain,
        suite.running(BIG, [QUIRE, *guarded], login, measures=[LARGE, PART]) as servers,
    ):
        _interleave(suite, {LARGE: ask.large_file, PART: ask.part}, BIG.name, plain | servers)
    _one_after_the_other(suite, [QUIRE, *guarded], login)


def _interleave(suite: Suite, shots: Mapping[str, Shoot], corpus: str, servers: Mapping[str, Server]) -> None:
    for measured, shoot in shots.items():
        suite.interleave(measured, corpus, servers, shoot, closely=corpus in {suite.middle.name, BIG.name})


def _asking(
    suite: Suite, servers: Mapping[str, Server], questions: Questions, measures: list[str]
) -> dict[str, Server]:
    """Those of the servers that refuse clients without a login."""
    found = {}
    for label, server in servers.items():
        path = server.path(questions.corpus.project(questions.corpus.one))
        if server.ask(path, {}).status == 401:
            found[label] = server
        else:
            for measured in measures:
                suite.missing(measured, questions.corpus.name, label, "it asks for no login")
    return found


def _one_after_the_other(suite: Suite, peers: list[Peer], login: Login) -> None:
    """Uploads, cold starts, first pages and memory, whose rows stand below those without a login."""
    suite.say("uploads with a login")
    for measured, clients in ((UPLOAD, 1), (UPLOADS, 8)):
        shots = {QUIRE.name: partial(uploads.into_server, suite, QUIRE, clients, None)}
        shots |= {labelled(peer, login): partial(uploads.into_server, suite, peer, clients, login) for peer in peers}
        suite.take(measured, uploads.EMPTY, shots, closely=True)
    for peer in peers:
        if peer.name in visible.SHARING:
            visible.measure_peer(suite, peer, login)
    for peer in peers:
        starting.measure_peer(suite, suite.middle, peer, login)
        memory.measure_peer(suite, suite.middle, peer, login)
