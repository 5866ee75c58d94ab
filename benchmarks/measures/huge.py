"""The effect of a huge project on others: pages of a small one while one of 20,000 files is published into.

The small page is asked for by one client, one request after the other, while nothing else goes on and then while the
huge project is under work, A B A. Both workers are asked: by fresh connections, which the kernel spreads, and by many
kept ones in turn.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from benchmarks.churn import Churned
from benchmarks.corpora import BESIDE_HUGE, HUGE_PROJECT
from benchmarks.load import Load, percentile
from benchmarks.peers import QUIRE, Server, served
from benchmarks.processes import Unavailable, client
from benchmarks.results import BASE
from benchmarks.suite import Suite

FRESH = "small page beside a huge project, fresh connections"
KEPT = "small page beside a huge project, kept connections"
CHANGED = f"{BASE}@changed"
"""The label of the shots during which the huge project is under work."""
UPLOADS = "huge project: uploads into it"
UPLOAD = "huge project: upload into it, median"
PAGE = "huge project: its page, median"
NEW_PAGE = "huge project: its page when first asked for after an upload, median"
STALE = "huge project: pages without the file just published"
_KEPT_CONNECTIONS = 16
"""Enough that with all but certainty each worker has some."""
_SECONDS = 4.0
_STOP_SECONDS = 60.0


def measure(suite: Suite) -> None:
    suite.say("beside a huge project")
    seconds = max(_SECONDS, suite.seconds)
    root = suite.folder() / "store"
    # names of its own for the same files, of which quire changes none
    shutil.copytree(BESIDE_HUGE.store, root, copy_function=os.link)
    with served(QUIRE, BESIDE_HUGE, root=root) as server:
        page = server.path(HUGE_PROJECT)
        for _ in range(_KEPT_CONNECTIONS):  # both workers have it rendered
            if server.ask(page).status != 200:
                raise Unavailable("the page of the huge project is not there")
        done: list[Churned] = []
        for version, (measured, ask) in enumerate(((FRESH, _fresh), (KEPT, _kept)), 2):
            shots = {
                BASE: partial(_quiet, ask, server, seconds),
                CHANGED: partial(_changed, ask, server, seconds, f"{version}", done),
            }
            suite.take(measured, BESIDE_HUGE.name, shots)
    if done:
        whole = len(done) * seconds
        suite.figure(UPLOADS, BESIDE_HUGE.name, BASE, sum(each.uploads for each in done) / whole, "/s")
        suite.figure(UPLOAD, BESIDE_HUGE.name, BASE, percentile([each.upload_ms for each in done], 0.5), "ms")
        suite.figure(PAGE, BESIDE_HUGE.name, BASE, percentile([each.page_ms for each in done], 0.5), "ms")
        new_pages = [each.new_page_ms for each in done]
        suite.figure(NEW_PAGE, BESIDE_HUGE.name, BASE, percentile(new_pages, 0.5), "ms")
        pages = sum(each.pages for each in done)
        suite.figure(STALE, BESIDE_HUGE.name, BASE, sum(each.stale for each in done), f"of {pages:,}")


def _quiet(ask: Callable[[Server, float], Load], server: Server, seconds: float, order: int) -> Load:
    del order
    return ask(server, seconds)


def _changed(
    ask: Callable[[Server, float], Load], server: Server, seconds: float, prefix: str, done: list[Churned], order: int
) -> Load:
    del order
    with _churning(server, prefix, done):
        return ask(server, seconds)


@contextmanager
def _churning(server: Server, prefix: str, done: list[Churned]) -> Iterator[None]:
    """The huge project is under work in here; what was done is added at the end. Raises Unavailable."""
    page, upload_path = server.path(HUGE_PROJECT), server.peer.upload_path
    command = ("benchmarks.churn", str(server.port), HUGE_PROJECT, page, upload_path, prefix)
    with client("the client of the huge project", *command) as churning:
        churning.wait_until_ready()
        yield
        done.append(msgspec.json.decode(churning.report(_STOP_SECONDS), type=Churned))


def _path(server: Server) -> str:
    return server.path(BESIDE_HUGE.project(BESIDE_HUGE.one))


def _fresh(server: Server, seconds: float) -> Load:
    path = _path(server)
    return _one_after_the_other(lambda _: server.ask(path).status, seconds)


def _kept(server: Server, seconds: float) -> Load:
    path, headers = _path(server), server.headers()
    connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(_KEPT_CONNECTIONS)]

    def ask(number: int) -> int:
        connection = connections[number % _KEPT_CONNECTIONS]
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status

    try:
        return _one_after_the_other(ask, seconds)
    finally:
        for connection in connections:
            connection.close()


def _one_after_the_other(ask: Callable[[int], int], seconds: float) -> Load:
    """`ask` takes the number of the request and gives the status."""
    took: list[float] = []
    errors = 0
    start = time.perf_counter()
    while (began := time.perf_counter()) - start < seconds:
        errors += ask(len(took)) != 200
        took.append((time.perf_counter() - began) * 1000)
    whole = time.perf_counter() - start
    return Load(len(took), whole, 0, errors, percentile(took, 0.5), percentile(took, 0.99), max(took), connections=1)
