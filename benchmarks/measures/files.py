"""Downloads: a small file, a file of 20 MB, and a part of that."""

from __future__ import annotations

from benchmarks.corpora import BIG
from benchmarks.measures.questions import Questions
from benchmarks.peers import QUIRE
from benchmarks.suite import Suite

SMALL = "small file, 1 KB"
LARGE = "file of 20 MB"
PART = "64 KiB of a file of 20 MB (Range)"
MEMORY = "memory while 20 MB files are sent"


def measure(suite: Suite) -> None:
    suite.say("small files")
    corpus = suite.middle
    with suite.running(corpus, [QUIRE, *suite.others("file")], measures=[SMALL]) as servers:
        suite.interleave(SMALL, corpus.name, servers, Questions(corpus, suite.seconds).small_file, closely=True)
    suite.say("large files")
    questions = Questions(BIG, suite.seconds)
    with suite.running(BIG, [QUIRE, *suite.others("file")]) as servers:
        before = {label: server.running.memory for label, server in servers.items()}
        suite.interleave(LARGE, BIG.name, servers, questions.large_file, closely=True)
        for label, server in servers.items():
            grown = (server.running.memory - before[label]) / 2**20
            suite.figure(MEMORY, BIG.name, label, grown, "MiB more than before")
        suite.interleave(PART, BIG.name, servers, questions.part)
