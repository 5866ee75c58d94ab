"""A store in a bucket, beside the same server over a local directory, and beside bare requests to the same S3 server.

The S3 server is that of `tests.bucket.rig` (Ceph with its disk in memory), or that of TESTS_BUCKET and the credentials
in the environment. It, the load and the servers share this machine's processors. Latency is made by a proxy before it
(`benchmarks.delayed`).
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import msgspec

from benchmarks.bucket import LATENCY, LIST, far_away, new_place, s3, serving
from benchmarks.load import Load, ask_quickly, paced
from benchmarks.measures.uploads import Send, drive, upload
from benchmarks.peers import Server
from benchmarks.peers.server import WORKERS
from benchmarks.processes import Unavailable, proportional_set_size
from benchmarks.results import BASE
from benchmarks.suite import Suite
from benchmarks.uploading import Release, Uploader
from quire.store.bucket.client import ObjectBucket, open_bucket
from quire.store.bucket.documents import Kind
from quire.store.bucket.listing import SEGMENT_NAMES, Root, Segment
from quire.store.bucket.swaps import ABSENT, Swaps
from quire.store.opening import open_store

WHERE = "bucket"
"""In place of a corpus."""
DISK = f"{BASE}@disk"
"""The label of the same server over a local directory."""
DIRECT = "direct"
"""The label of bare requests for the same objects."""
CONNECTIONS = (32, 128, 512)
FILE = "bucket: small file"
ONE, EIGHT = "bucket: uploads, 1 client", "bucket: uploads, 8 clients on 8 projects"
GETS = f"bucket: GETs for a page at 2,000 requests a second, for each request and each of {WORKERS} workers"
AWAY = f"bucket {LATENCY * 1000:.0f} ms away: "
PAGE_AWAY, LIST_AWAY = f"{AWAY}page that did not change, median", f"{AWAY}list that did not change, median"
UPLOAD_AWAY, NEW_AWAY = f"{AWAY}upload to a project, median", f"{AWAY}upload to a new project, median"
START_AWAY = f"{AWAY}start to the first right page"
NAMES = 1_000_000
NAMES_AWAY, NAMES_PAGE = f"{AWAY}list of {NAMES:,} names, cold", f"{AWAY}page of {NAMES:,} names, cold"
NAMES_AGAIN, NAMES_MEMORY = f"{AWAY}page of {NAMES:,} names, again", f"memory of a worker with {NAMES:,} names"
_PROJECT_PAGE = "/simple/demo/"
_FILES = 10
_STARTS, _UPLOADS, _ASKED = 5, 40, 200
_SENDING = 3.0
"""Seconds of a shot of uploads, at least: an upload takes so long here that shorter shots lie far apart."""


def page(connections: int) -> str:
    """The name of the measure of one page, asked for over so many connections."""
    return f"bucket: one page, {connections} connections"


RATES = (*map(page, CONNECTIONS), FILE, ONE, EIGHT)
FIGURES = (
    *(PAGE_AWAY, LIST_AWAY, UPLOAD_AWAY, NEW_AWAY, START_AWAY),
    *(NAMES_AWAY, NAMES_PAGE, NAMES_AGAIN, NAMES_MEMORY, GETS),
)


def measure(suite: Suite) -> None:
    suite.say("a store in a bucket")
    with s3():
        _rates(suite)
        with suite.noting(GETS, WHERE, BASE):
            _gets(suite)
        with suite.noting(PAGE_AWAY, WHERE, BASE):
            _latencies(suite)
        with suite.noting(NAMES_AWAY, WHERE, BASE):
            _names(suite)


def _fill(server: Server) -> None:
    """A project with some files, whose page and list every worker knows."""
    uploader = Uploader(server.port, "/", {})
    for number in range(_FILES):
        uploader.send(Release("demo", f"1.{number}"))
    for _ in range(20):
        server.ask(_PROJECT_PAGE)
        server.ask(LIST)


# -- rates ------------------------------------------------------------------------------------------------------------


def _rates(suite: Suite) -> None:
    """Pages, a file and uploads, by turns; no proxy stands before the bucket."""
    place = new_place()
    with serving(place) as (far, _), serving(suite.folder()) as (near, _):
        for server in (far, near):
            _fill(server)
        bucket = open_bucket(place, os.environ)
        objects = {
            BASE: far,
            DISK: near,
            DIRECT: replace(far, port=urlsplit(os.environ["AWS_ENDPOINT_URL"]).port or 80),
        }
        wheel = next(each.key for each in bucket.list("blobs") if each.key.endswith(".whl"))
        asked: dict[str, tuple[Server, str]] = {label: (server, _PROJECT_PAGE) for label, server in objects.items()}
        record = next(each.key for each in bucket.list("records") if each.key.endswith("/demo.json"))
        for connections in CONNECTIONS:
            asked[DIRECT] = objects[DIRECT], _signed(bucket, record)
            shots = {label: partial(_page, suite, *each, connections) for label, each in asked.items()}
            suite.take(page(connections), WHERE, shots, closely=True)
        name = wheel.rpartition("/")[2]
        asked = {label: (objects[label], objects[label].file_path("demo", name)) for label in (BASE, DISK)}
        asked[DIRECT] = objects[DIRECT], _signed(bucket, wheel)
        suite.take(FILE, WHERE, {label: partial(_load, suite, *each) for label, each in asked.items()}, closely=True)
        for measured, clients in ((ONE, 1), (EIGHT, 8)):
            sent: dict[str, Callable[[int], Load]] = {
                label: partial(_upload, suite, server, clients) for label, server in ((BASE, far), (DISK, near))
            }
            sent[DIRECT] = partial(_put, suite, clients)
            suite.take(measured, WHERE, sent, closely=True)


def _signed(bucket: ObjectBucket, key: str) -> str:
    """The path of an object for a client without credentials, which holds for some minutes."""
    parts = urlsplit(bucket.sign(key, 900))
    return f"{parts.path}?{parts.query}"


def _page(suite: Suite, server: Server, path: str, connections: int, order: int) -> Load:
    """The bare request is the one that validates a page: whether the object is still the known one."""
    del order
    headers = server.headers()
    if path != _PROJECT_PAGE:
        headers = {"If-None-Match": server.ask(path, {}).headers["etag"]}
        if (status := server.ask(path, headers).status) != 304:
            raise Unavailable(f"the S3 server answered {status} to its own validator")
    return ask_quickly(server, [path], headers, suite.seconds, connections=connections)


def _load(suite: Suite, server: Server, path: str, order: int) -> Load:
    del order
    if (answer := server.ask(path, {})).body[:2] != b"PK":
        raise Unavailable(f"it answered {answer.status} with something that is no wheel")
    return ask_quickly(server, [path], {}, suite.seconds)


def _upload(suite: Suite, server: Server, clients: int, order: int) -> Load:
    return upload(server, clients, max(suite.seconds, _SENDING), f"upload-{clients}-{order}")


def _put(suite: Suite, clients: int, order: int) -> Load:
    """The same bytes as three objects, one after the other: the wheel, its metadata, and a record."""

    def client() -> Send:
        bucket = open_bucket(new_place(), os.environ)

        def send(release: Release) -> None:
            for kind, content in (("whl", release.content), ("metadata", release.metadata), ("json", release.metadata)):
                bucket.put(f"{release.project}/{release.version}.{kind}", content, None)

        return send

    return drive([client() for _ in range(clients)], max(suite.seconds, _SENDING), f"put-{order}")


# -- at a distance ----------------------------------------------------------------------------------------------------


def _gets(suite: Suite) -> None:
    with far_away(0.0) as delay, serving(new_place()) as (server, _):
        _fill(server)
        connections, pace = paced(2000, 0.01)
        before = delay.requests["GET"]
        load = ask_quickly(server, [_PROJECT_PAGE], server.headers(), 4.0, connections=connections, rate=pace)
        share = (delay.requests["GET"] - before) / load.requests
        suite.figure(GETS, WHERE, BASE, share / WORKERS, "", f"at {load.rate:,.0f}/s")


def _latencies(suite: Suite) -> None:
    """One client; a bucket that is some milliseconds away."""
    place = new_place()
    with far_away(LATENCY):
        with serving(place, workers=1) as (server, _):
            _fill(server)
            uploader = Uploader(server.port, "/", {})
            asked: tuple[tuple[str, int, Callable[[int], object]], ...] = (
                (PAGE_AWAY, _ASKED, lambda number: server.ask(_PROJECT_PAGE)),
                (LIST_AWAY, _ASKED, lambda number: server.ask(LIST)),
                (UPLOAD_AWAY, _UPLOADS, lambda number: uploader.send(Release("demo", f"2.{number}"))),
                (NEW_AWAY, _UPLOADS, lambda number: uploader.send(Release(f"other-{number}", "1.0"))),
            )
            for measured, times, ask in asked:
                took = [_seconds(partial(ask, number)) for number in range(times)]
                suite.figure(measured, WHERE, BASE, statistics.median(took) * 1000, "ms")
        starts = []
        for _ in range(_STARTS):
            with serving(place, workers=1, first=_PROJECT_PAGE) as (_, seconds):
                starts.append(seconds)
        suite.figure(START_AWAY, WHERE, BASE, statistics.median(starts), "s")


def _names(suite: Suite) -> None:
    """A list of a million names."""
    place = new_place()
    _make_names(place)
    with far_away(LATENCY):
        records = open_store(place).records
        took = _seconds(lambda: records.names("main/projects"))
        suite.figure(NAMES_AWAY, WHERE, BASE, took, "s")
        with serving(place, workers=1, first="/health") as (server, _):
            for measured in (NAMES_PAGE, NAMES_AGAIN):
                suite.figure(measured, WHERE, BASE, _seconds(lambda: server.ask(LIST)), "s")
            memory = max(map(proportional_set_size, server.running.pids)) / 2**20
            suite.figure(NAMES_MEMORY, WHERE, BASE, memory, "MiB")


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _make_names(place: str) -> None:
    """Write the list as it is once all names were folded into segments; there are no records."""
    assert open_store(place).exists
    bucket = open_bucket(place, os.environ)
    all_names = [f"project-{number:07}" for number in range(NAMES)]
    segments = []
    for start in range(0, NAMES, SEGMENT_NAMES):
        identity = f"{start:016x}"
        piece = all_names[start : start + SEGMENT_NAMES]
        bucket.put(f"names/main/projects/{identity}", "\n".join(piece).encode(), None)
        segments.append(Segment(piece[0] if start else "", identity))
    Swaps(bucket).swap("names/main/projects.json", ABSENT, Kind.PRESENT, msgspec.json.encode(Root(tuple(segments))))
