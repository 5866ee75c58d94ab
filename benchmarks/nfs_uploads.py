"""Uploads, and files of 20 MB, over NFS; see nfs_guest.py."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

from benchmarks.corpora import BIG_BYTES
from benchmarks.counted import Counter, Counts, latencies
from benchmarks.peers import Server
from benchmarks.uploading import Release, Uploader, releases

UPLOADS = 20
CLIENTS = 8
_EACH = 4
"""Uploads of one of several clients."""
_RANGE = 65536
_PATIENCE = 10.0
ONE = "upload"
EIGHT = f"uploads, {CLIENTS} clients on {CLIENTS} projects"
VISIBLE = "upload through one client to visible through the other"
LARGE = "upload of 20 MB"
LARGE_FIRST = "file of 20 MB, first time on a client"
LARGE_AGAIN = "file of 20 MB, again"
PART = "64 KiB of it (Range)"


def measures(on_a: Counter, server: Server, other: Server) -> dict[str, Callable[[], Counts]]:
    """`other`: a server with the other client."""
    return {
        ONE: partial(one_by_one, on_a, server, "bench-upload", UPLOADS),
        EIGHT: partial(together, on_a, server),
        VISIBLE: partial(visible, server, other),
    }


def large(on_a: Counter, on_b: Counter, server: Server, other: Server) -> dict[str, Callable[[], Counts]]:
    """Uploads through one client, downloads through the other, whose kernel has not got the file."""
    release = Release("bench-large", "1.0", BIG_BYTES)

    def download(count: int, status: int, **headers: str) -> Counts:
        path = other.file_path(release.project, release.filename)
        on_b.restart()
        took = []
        for _ in range(count):
            began = time.perf_counter()
            answer = other.ask(path, headers)
            took.append((time.perf_counter() - began) * 1000)
            if answer.status != status:
                raise RuntimeError(f"it answered {answer.status} for a file")
        return on_b.each(count) | latencies(took)

    def upload() -> Counts:
        release.form  # noqa: B018 - remembered, so that making it is not measured
        with closing(_uploader(server)) as uploader:
            on_a.restart()
            took = uploader.send(release) * 1000
        return on_a.each(1) | latencies([took])

    return {
        LARGE: upload,
        LARGE_FIRST: partial(download, 1, 200),
        LARGE_AGAIN: partial(download, 3, 200),
        PART: partial(download, 10, 206, Range=f"bytes=1000000-{1000000 + _RANGE - 1}"),
    }


def one_by_one(counter: Counter, server: Server, project: str, count: int) -> Counts:
    """Uploads by one client, after a few that do not count."""
    with closing(_uploader(server)) as uploader:
        for number in range(3):
            uploader.send(Release(project, f"0.{number}"))
        batch = [Release(project, f"1.{number}") for number in range(count)]
        for release in batch:
            release.form  # noqa: B018 - remembered, so that making it is not measured
        counter.restart()
        took = [uploader.send(release) * 1000 for release in batch]
    return counter.each(count) | latencies(took)


def together(counter: Counter, server: Server) -> Counts:
    """Uploads by eight clients at once, each to a project of its own."""
    batches = [releases(f"bench-eight-{number}", _EACH) for number in range(CLIENTS)]

    def send(batch: list[Release]) -> list[float]:
        with closing(_uploader(server)) as uploader:
            return [uploader.send(release) * 1000 for release in batch]

    counter.restart()
    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        took = [each for times in pool.map(send, batches) for each in times]
    passed = time.perf_counter() - began
    return counter.each(len(took)) | latencies(took) | {"rate": len(took) / passed}


def visible(server: Server, other: Server) -> Counts:
    """From the acknowledgement to the answer that has the upload, that answer's own time included; and how often the
    first answer had it not ("stale")."""
    took, stale = [], 0
    with closing(_uploader(server)) as uploader:
        for number in range(UPLOADS):
            release = Release("bench-visible", f"1.{number}")
            path = other.path(release.project)
            other.ask(path)  # the other server has the page before the upload in memory
            uploader.send(release)
            began = time.perf_counter()
            asked = 1
            while release.filename.encode() not in other.ask(path).body:
                asked += 1
                if time.perf_counter() - began > _PATIENCE:
                    raise RuntimeError(f"{release.filename} is not visible after {_PATIENCE:g} s")
            took.append((time.perf_counter() - began) * 1000)
            stale += asked > 1
    return latencies(took) | {"stale": float(stale)}


def _uploader(server: Server) -> Uploader:
    headers = server.login.header if server.login is not None else {}
    return Uploader(server.port, server.peer.upload_path, headers)
