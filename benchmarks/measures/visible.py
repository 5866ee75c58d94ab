"""How soon an upload, acknowledged by one server, is in the answers of another one on the same directory."""

from __future__ import annotations

import time

from benchmarks.load import percentile
from benchmarks.peers import QUIRE, Login, Peer, Server, served
from benchmarks.suite import Suite, labelled
from benchmarks.uploading import Release, Uploader

MEDIAN = "upload acknowledged by one server to visible on another, median"
LONGEST = "upload acknowledged by one server to visible on another, longest"
STALE = "first answers of the other server that lacked the upload"
EMPTY = "empty"
"""In place of a corpus."""
_ROUNDS = 40
_PATIENCE = 10.0
SHARING = {"quire", "simple-dir", "cached-dir"}
"""Peers that can be two on one directory."""


def measure(suite: Suite) -> None:
    suite.say("upload to visible")
    for peer in (QUIRE, *suite.others("upload")):
        if peer.name in SHARING:
            measure_peer(suite, peer)
        else:
            suite.missing(MEDIAN, EMPTY, peer.name, "two of it cannot serve one directory")


def measure_peer(suite: Suite, peer: Peer, login: Login | None = None) -> None:
    with suite.noting(MEDIAN, EMPTY, labelled(peer, login)):
        _measure(suite, peer, login)


def _measure(suite: Suite, peer: Peer, login: Login | None) -> None:
    label = labelled(peer, login)
    root = suite.folder()
    with (
        served(peer, None, root=root, login=login) as one,
        served(peer, None, root=root, login=login) as other,
    ):
        uploader = Uploader(one.port, peer.upload_path, {} if login is None else login.header)
        took, stale = [], 0
        for number in range(_ROUNDS):
            release = Release(f"visible-{number % 4}", f"1.{number}")
            other.ask(other.path(release.project))  # the other server has the page before the upload in memory
            uploader.send(release)
            seconds, asked = _until_visible(other, release)
            took.append(seconds * 1000)
            stale += asked > 1
        uploader.close()
    suite.figure(MEDIAN, EMPTY, label, percentile(took, 0.5), "ms", "one request of the client included")
    suite.figure(LONGEST, EMPTY, label, max(took), "ms")
    suite.figure(STALE, EMPTY, label, stale, f"of {_ROUNDS}")


def _until_visible(server: Server, release: Release) -> tuple[float, int]:
    """Seconds, and how often it was asked."""
    began = time.perf_counter()
    asked = 0
    while True:
        asked += 1
        if release.filename.encode() in server.ask(server.path(release.project)).body:
            return time.perf_counter() - began, asked
        if time.perf_counter() - began > _PATIENCE:
            return time.perf_counter() - began, asked
