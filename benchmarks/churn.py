"""A huge project under work: a client publishes into it and asks for its page, over and over, in a process of its own.

`python -m benchmarks.churn PORT PROJECT PAGE UPLOAD PREFIX` prints READY, works until its standard input ends, and
prints what it did as one line of JSON.
"""

from __future__ import annotations

import http.client
import select
import sys
import time

import msgspec

from benchmarks.load import percentile
from benchmarks.processes import READY
from benchmarks.uploading import Release, Uploader

_CONNECTIONS = 8
"""Asked in turn, so that every worker renders the page."""
_PAGES_EACH = 4
"""Pages that are asked for after each upload."""


class Churned(msgspec.Struct, frozen=True, kw_only=True):
    """The work done, and the medians of its durations, in milliseconds."""

    uploads: int
    pages: int
    upload_ms: float
    page_ms: float
    new_page_ms: float
    """Of the first page after each upload, which was never requested before."""
    stale: int
    """Pages that lacked the file that had been published just before."""


def work(port: int, project: str, page: str, upload_path: str, prefix: str) -> Churned:
    """Raises OSError, RuntimeError for what the server refuses."""
    uploader = Uploader(port, upload_path, {})
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(_CONNECTIONS)]
    uploads: list[float] = []
    pages: list[float] = []
    new_pages: list[float] = []
    stale = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        release = Release(project, f"{prefix}.{len(uploads)}")
        uploads.append(uploader.send(release))
        for again in range(_PAGES_EACH):
            began = time.perf_counter()
            connection = connections[len(pages) % _CONNECTIONS]
            connection.request("GET", page, headers={"Accept": "text/html"})
            response = connection.getresponse()
            body = response.read()
            pages.append(time.perf_counter() - began)
            if again == 0:
                new_pages.append(pages[-1])
            if response.status != 200:
                raise RuntimeError(f"the page of {project} was answered {response.status}")
            stale += release.filename.encode() not in body
    uploader.close()
    for connection in connections:
        connection.close()
    return Churned(
        uploads=len(uploads),
        pages=len(pages),
        upload_ms=percentile(uploads, 0.5) * 1000,
        page_ms=percentile(pages, 0.5) * 1000,
        new_page_ms=percentile(new_pages, 0.5) * 1000,
        stale=stale,
    )


def main() -> None:
    port, project, page, upload_path, prefix = sys.argv[1:]
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    done = work(int(port), project, page, upload_path, prefix)
    sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")


if __name__ == "__main__":
    main()
