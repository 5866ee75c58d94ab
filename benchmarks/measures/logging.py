"""Access logs: `quire serve` as the README starts it, and other commands that log, beside the same without a log."""

from __future__ import annotations

from benchmarks.measures.questions import Questions
from benchmarks.peers import GUNICORN, LOGGING, NGINX_LOGGING, QUIRE
from benchmarks.suite import Suite

PAGE = "with an access log: project page, 200 in turn"
UNCHANGED = "with an access log: 304"
SMALL = "with an access log: small file"
MEASURES = (PAGE, UNCHANGED, SMALL)


def measure(suite: Suite) -> None:
    """Every line goes to a file, of nginx too. quire without a log is between each two, and once more in gunicorn."""
    suite.say("access logs")
    corpus = suite.middle
    ask, peers = Questions(corpus, suite.seconds), [QUIRE, *LOGGING.values(), GUNICORN]
    if suite.peer("nginx") is not None:
        peers.append(NGINX_LOGGING)
    with suite.running(corpus, peers, measures=MEASURES) as servers:
        for measured, shoot in ((PAGE, ask.rotating), (UNCHANGED, ask.unchanged), (SMALL, ask.small_file)):
            suite.interleave(measured, corpus.name, servers, shoot, closely=True)
