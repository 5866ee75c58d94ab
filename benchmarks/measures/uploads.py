"""Uploads, beside a loop of system calls that writes the same bytes under as many names and makes them last."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.corpora import Corpus
from benchmarks.load import Load, percentile, single
from benchmarks.peers import QUIRE, Login, Peer, Server, served
from benchmarks.peers.server import WORKERS
from benchmarks.results import BASE
from benchmarks.suite import Suite
from benchmarks.uploading import FILES_EACH, Release, Uploader, releases
from quire.store.posix.store import HOME

ONE = "uploads, 1 client"
EIGHT = "uploads, 8 clients on 8 projects"
LARGE = "upload of a wheel of 100 MB"
LARGE_MEGABYTES = 100
LOOP = "loop"
"""The label of the loop of system calls."""
GROWTH = "uploads, 1 client, by the size of the store"
EMPTY = "empty"
"""In place of a corpus."""
_ENTRY_BYTES = 700  # of one file in a record, about
_PREPARED = 4000

Send = Callable[[Release], object]


def measure(suite: Suite) -> None:
    suite.say("uploads")
    for measured, clients in ((ONE, 1), (EIGHT, 8)):
        shots = {
            peer.name: partial(into_server, suite, peer, clients, None) for peer in (QUIRE, *suite.others("upload"))
        }
        suite.take(measured, EMPTY, shots | {LOOP: partial(_into_loop, suite, clients)}, closely=True)
    _measure_large(suite)
    if len(suite.corpora) > 1:
        base, *further = suite.corpora
        sized = {f"{BASE}@{corpus.name}": partial(_into_corpus, suite, corpus) for corpus in further}
        suite.take(GROWTH, base.name, {BASE: partial(_into_corpus, suite, base)} | sized, closely=True)


def _measure_large(suite: Suite) -> None:
    """quire, beside the loop. One upload is a shot: it takes long enough."""
    suite.say("large uploads")
    release = Release("upload-large", "1.0", LARGE_MEGABYTES * 1_000_000)
    release.form  # noqa: B018 - remembered, so that making it is not measured
    shots = {QUIRE.name: partial(_large_into_server, suite, release), LOOP: partial(_large_into_loop, suite, release)}
    suite.take(LARGE, EMPTY, shots)


def _large_into_server(suite: Suite, release: Release, order: int) -> Load:
    del order
    with served(QUIRE, None, root=suite.folder()) as server:
        uploader = Uploader(server.port, QUIRE.upload_path, QUIRE.login(server.port))
        try:
            uploader.send(Release("upload-first", "1.0"))  # the worker at this connection's end has done it before
            return _one(uploader.send, release)
        finally:
            uploader.close()


def _large_into_loop(suite: Suite, release: Release, order: int) -> Load:
    del order
    return _one(Loop(suite.folder()).send, release)


def _one(send: Send, release: Release) -> Load:
    began = time.perf_counter()
    send(release)
    return single(time.perf_counter() - began)


def into_server(suite: Suite, peer: Peer, clients: int, login: Login | None, order: int) -> Load:
    """Into an empty index of its own; when there is a login the server has seen it before."""
    with served(peer, None, root=suite.folder(), login=login) as server:
        for _ in range(2 * WORKERS):
            server.ask(server.path())
        return upload(server, clients, suite.seconds, f"upload-{order}")


def _into_corpus(suite: Suite, corpus: Corpus, order: int) -> Load:
    """The uploads are removed again when no server runs on it any more."""
    try:
        with served(QUIRE, corpus) as server:
            return upload(server, 1, suite.seconds, f"upload-{order}")
    finally:
        home = corpus.store / HOME
        for folder in (home / "records" / "main" / "projects", home / "blobs"):
            taken_out = suite.folder()
            for path in folder.glob("upload-*"):
                path.rename(taken_out / path.name)


def _into_loop(suite: Suite, clients: int, order: int) -> Load:
    return drive([Loop(suite.folder()).send] * clients, suite.seconds, f"upload-{order}")


def upload(server: Server, clients: int, seconds: float, prefix: str) -> Load:
    """Uploads by this many clients, each with a connection and projects of its own."""
    headers = server.peer.login(server.port) | (server.login.header if server.login is not None else {})
    uploaders = [Uploader(server.port, server.peer.upload_path, headers) for _ in range(clients)]
    try:
        return drive([uploader.send for uploader in uploaders], seconds, prefix)
    finally:
        for uploader in uploaders:
            uploader.close()


def drive(clients: Sequence[Send], seconds: float, prefix: str) -> Load:
    """Let each client send releases of its own, made beforehand, until the time is over. Raises RuntimeError."""
    count = len(clients)
    prepared = [releases(f"{prefix}-{number}", _PREPARED // count) for number in range(count)]
    took: list[float] = []
    errors: list[Exception] = []
    start = threading.Barrier(count + 1)

    def client(send: Send, batch: Sequence[Release]) -> None:
        start.wait()
        deadline = time.perf_counter() + seconds
        for release in batch:
            began = time.perf_counter()
            if began > deadline or errors:
                return
            try:
                send(release)
            except (OSError, RuntimeError) as error:
                errors.append(error)
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client, args=each) for each in zip(clients, prepared, strict=True)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    whole = time.perf_counter() - began
    if errors:
        raise RuntimeError(f"an upload failed: {errors[0]}") from errors[0]
    p50, p99 = (percentile(took, share) * 1000 for share in (0.5, 0.99))
    return Load(len(took), whole, 0, 0, p50, p99, max(took, default=0.0) * 1000, connections=count)


class Loop:
    """The bytes that have to be on the disk when an upload is acknowledged, written by bare system calls, one after
    the other.

    A folder for the publication with the wheel and its metadata in it, and a new revision of the project's record:
    each file is fsynced, and then each directory that got a name. Nothing is hashed, parsed, checked or listed.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._blobs, self._records = f"{root}/blobs", f"{root}/records"
        os.mkdir(self._blobs)
        os.mkdir(self._records)

    def send(self, release: Release) -> None:
        blobs, records = f"{self._blobs}/{release.project}", f"{self._records}/{release.project}"
        number = int(release.version.partition(".")[2]) % FILES_EACH + 1
        if number == 1:
            for directory, parent in ((blobs, self._blobs), (records, self._records)):
                os.mkdir(directory)
                _sync(parent)
        publication = f"{blobs}/{release.version}"
        os.mkdir(publication)
        _write(f"{publication}/{release.filename}.metadata", release.metadata)
        _write(f"{publication}/{release.filename}", release.content)
        _sync(publication)
        _sync(blobs)
        _write(f"{records}/{number:08d}.json", b" " * _ENTRY_BYTES * number)
        _sync(records)


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with contextlib.closing(os.fdopen(fd, "wb", buffering=0)) as file:
        file.write(content)
        os.fsync(fd)


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
