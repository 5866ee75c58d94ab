"""A store in a bucket: throughput of pages beside a local directory, requests, latency, and a list of a million names.

`python -m tests.bucket.rig python -m benchmarks.bucket [SECTION...]` beside Ceph, or with TESTS_BUCKET and credentials
in the environment. It prints Markdown, and judges nothing.

Latency is made by a proxy before the server (`benchmarks.delayed`). Everything shares this machine's processors: the
load, the servers, the proxy, and the S3 server with its disk in memory.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec
from tests.serving import environment, free_port

from benchmarks.delayed import Delay, delayed
from benchmarks.load import ask_quickly, paced, percentile
from benchmarks.peers import QUIRE, Server
from benchmarks.processes import proportional_set_size, started, wait_for
from benchmarks.uploading import Release, Uploader
from quire.store.bucket.client import open_bucket
from quire.store.bucket.documents import Kind
from quire.store.bucket.listing import SEGMENT_NAMES, Root, Segment
from quire.store.bucket.swaps import ABSENT, Swaps
from quire.store.opening import open_store

LATENCY = 0.010
SECONDS = 4.0
NAMES = 1_000_000
PAGE, LIST = "/simple/demo/", "/simple/"
_FILES = 10
_GETS = 'quire_bucket_requests_total{kind="get"'


@contextmanager
def far_away(seconds: float) -> Iterator[Delay]:
    """The S3 server of the environment is so far away, for processes that are started within."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    with delayed(int(endpoint.rpartition(":")[2]), seconds) as (port, delay):
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        try:
            yield delay
        finally:
            os.environ["AWS_ENDPOINT_URL"] = endpoint


@contextmanager
def serving(place: object, *flags: str, workers: int, page: str = LIST) -> Iterator[tuple[Server, float]]:
    """quire over a store, and how many seconds passed from its start to its first right answer to `page`."""
    port = free_port()
    command = [sys.executable, "-m", "quire", "run", "-i", "127.0.0.1", "-p", str(port), "--workers", str(workers)]
    command += ["--disable-fallback", "-a", ".", "-P", ".", "--no-drop-in", *flags, str(place)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        started(command, Path(folder) / "log", environ=environment(), cwd=Path(folder)) as running,
    ):
        server = Server(QUIRE, running, port)
        yield server, wait_for(running, lambda: server.ask(page).status == 200, 60)


def new_place() -> str:
    """A folder of the bucket that nothing else uses."""
    return f"{os.environ['TESTS_BUCKET']}/bench-{secrets.token_hex(6)}"


def fill(server: Server) -> None:
    """A project with some files, whose page and list every worker knows."""
    uploader = Uploader(server.port, "/", {})
    for number in range(_FILES):
        uploader.send(Release("demo", f"1.{number}"))
    for _ in range(20):
        server.ask(PAGE)
        server.ask(LIST)


def row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def head(*columns: str) -> None:
    print()
    row(*columns)
    row(*("---" for _ in columns))


# -- pages ------------------------------------------------------------------------------------------------------------


def metric(server: Server, beginning: str) -> float:
    """The sum of all series of the server's metrics whose lines begin so."""
    text = server.ask("/metrics").body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(beginning))


def pages(rights: str) -> None:
    """One page under load, from a local directory and from a bucket in turn; no proxy stands before the bucket."""
    flags = ("--rights", rights, "--metrics", "open")
    what = f"one page under load, --rights {rights}"
    head(what, "directory", "bucket", "share", "GET per request", "p50 directory", "p50 bucket")
    for workers in (1, 2):
        with ExitStack() as stack:
            local = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            near, _ = stack.enter_context(serving(local, *flags, workers=workers))
            far, _ = stack.enter_context(serving(new_place(), *flags, workers=workers))
            fill(near)
            fill(far)
            for connections in (32, 128, 512):
                before = metric(far, _GETS)
                loads = [
                    ask_quickly(each, [PAGE], each.headers(), SECONDS, connections=connections) for each in (near, far)
                ]
                asked = (metric(far, _GETS) - before) / loads[1].requests
                rates = [load.rate for load in loads]
                row(
                    f"{workers} worker{'s' * (workers > 1)}, {connections} connections",
                    *(f"{rate:,.0f}/s" for rate in rates),
                    f"{rates[1] / rates[0]:.2f}",
                    f"{asked:.3f}",
                    *(f"{load.p50:.1f} ms" for load in loads),
                )


def rates() -> None:
    """A page at a fixed rate: what is asked of the bucket."""
    head("one page, two workers", "GET per request and worker", "GET per request", "p50", "p99")
    for seconds in (0.0, LATENCY):
        with far_away(seconds) as delay, serving(new_place(), workers=2) as (server, _):
            fill(server)
            for rate in (500, 2000):
                connections, pace = paced(rate, 0.01 + seconds)
                before = delay.requests["GET"]
                load = ask_quickly(server, [PAGE], server.headers(), SECONDS, connections=connections, rate=pace)
                share = (delay.requests["GET"] - before) / load.requests
                what = f"{load.rate:,.0f}/s" + (f", bucket {seconds * 1000:.0f} ms away" if seconds else "")
                row(what, f"{share / 2:.3f}", f"{share:.3f}", f"{load.p50:.1f} ms", f"{load.p99:.1f} ms")


# -- latency ----------------------------------------------------------------------------------------------------------


def latency() -> None:
    """One client, a bucket that is some milliseconds away."""
    head(f"one client, bucket {LATENCY * 1000:.0f} ms away", "p50", "p99")
    with far_away(LATENCY):
        place = new_place()
        with serving(place, workers=1) as (server, _):
            fill(server)
            for path, label in ((PAGE, "page that did not change"), (LIST, "list that did not change")):
                timed(label, 200, lambda number, path=path: server.ask(path))  # type: ignore[misc]
            uploader = Uploader(server.port, "/", {})
            timed("upload to an existing project", 60, lambda number: uploader.send(Release("demo", f"2.{number}")))
            timed("upload to a new project", 60, lambda number: uploader.send(Release(f"other-{number}", "1.0")))
        starts = []
        for _ in range(10):
            with serving(place, workers=1, page=PAGE) as (_, seconds):
                starts.append(seconds)
        shown("start of the server to the first right page", starts)
        with tempfile.TemporaryDirectory(prefix="bench-") as local:
            with serving(local, workers=1) as (server, _):
                fill(server)
            starts = []
            for _ in range(10):
                with serving(local, workers=1, page=PAGE) as (_, seconds):
                    starts.append(seconds)
        shown("the same from a local directory", starts)


def timed(label: str, times: int, ask: Callable[[int], object]) -> None:
    took = []
    for number in range(times):
        began = time.perf_counter()
        ask(number)
        took.append(time.perf_counter() - began)
    shown(label, took)


def shown(label: str, seconds: Sequence[float]) -> None:
    row(label, *(f"{percentile(seconds, share) * 1000:.0f} ms" for share in (0.5, 0.99)))


# -- names ------------------------------------------------------------------------------------------------------------


def names() -> None:
    """A list of a million names."""
    place = new_place()
    make_names(place)
    head(f"{NAMES:,} names", f"bucket {LATENCY * 1000:.0f} ms away")
    with far_away(LATENCY) as delay:
        records = open_store(place).records
        began = time.perf_counter()
        known = records.names("main/projects")
        row("list, cold", f"{time.perf_counter() - began:.2f} s")
        assert len(known.names) == NAMES
        began = time.perf_counter()
        assert records.names("main/projects", known) is known
        row("list, unchanged", f"{(time.perf_counter() - began) * 1000:.0f} ms")
        del known
        with serving(place, workers=1, page="/health") as (server, _):
            before = sum(delay.requests.values())
            began = time.perf_counter()
            body = server.ask(LIST).body
            row(f"page of all names, cold ({len(body) / 1e6:.0f} MB)", f"{time.perf_counter() - began:.2f} s")
            row("its requests", sum(delay.requests.values()) - before)
            timed_once("page of all names, again", lambda: server.ask(LIST))
            uploader = Uploader(server.port, "/", {})
            timed_once("publish a new project", lambda: uploader.send(Release("zzz-demo", "1.0")))
            timed_once("page of all names after it", lambda: server.ask(LIST))
            row("memory of the worker", f"{max(map(proportional_set_size, server.running.pids)) / 2**20:.0f} MiB")


def timed_once(label: str, ask: Callable[[], object]) -> None:
    began = time.perf_counter()
    ask()
    row(label, f"{time.perf_counter() - began:.2f} s")


def make_names(place: str) -> None:
    """Write the list as it is once all names were folded into segments; there are no records."""
    assert open_store(place).exists
    bucket = open_bucket(place, os.environ)
    all_names = [f"project-{number:07}" for number in range(NAMES)]
    segments = []
    for start in range(0, NAMES, SEGMENT_NAMES):
        identity = f"{start:016x}"
        piece = all_names[start : start + SEGMENT_NAMES]
        content = "\n".join(piece).encode()
        bucket.put(f"names/main/projects/{identity}", content, None)
        segments.append(Segment(piece[0] if start else "", identity))
    root = msgspec.json.encode(Root(tuple(segments)))
    Swaps(bucket).swap("names/main/projects.json", ABSENT, Kind.PRESENT, root)
    head(f"the list of {NAMES:,} names", "size")
    row("root", f"{len(root) / 1000:.0f} KB")
    row(f"the last of {len(segments)} segments", f"{len(content) / 1000:.0f} KB")


SECTIONS: dict[str, Callable[[], None]] = {
    "pages": partial(pages, "store"),
    "pages-by-settings": partial(pages, "settings"),
    "rates": rates,
    "latency": latency,
    "names": names,
}


def main() -> int:
    for name in sys.argv[1:] or SECTIONS:
        SECTIONS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
