"""The burst: 300 wheels, 510 clients at once, each with its password, on top of steady uploads, on a server that has
just been started. One like it is what wore out the deployment of pypiserver that quire was made for."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks.burst import Answered, Plan, described, merged
from benchmarks.load import percentile
from benchmarks.peers import QUIRE, Login, Peer, Server, served
from benchmarks.processes import client
from benchmarks.suite import SUFFIX, Suite
from benchmarks.uploading import Release, Uploader

RATE = "burst: right answers per second"
P50, P95, P99 = (f"burst: {share} of all requests" for share in ("median", "p95", "p99"))
UPLOAD_P95 = "burst: p95 of the uploads in it"
UPLOADS = "burst: uploads in it"
ERRORS = "burst: errors"
CLIENT = "burst: processors that the clients took"
WHERE = "300 wheels"
CLIENTS = 510
PROCESSES = 2
WHEELS = 300
UPLOADS_PER_SECOND = 10.0
_WHEEL_BYTES = 100_000
_TIMEOUT = 60.0


def measure(suite: Suite) -> None:
    suite.say(f"burst of {CLIENTS} clients")
    seconds = max(5.0, suite.seconds * 4)
    for peer in (QUIRE, *suite.others("auth", "upload")):
        with suite.noting(RATE, WHERE, f"{peer.name}{SUFFIX}"):
            _measure(suite, peer, seconds)


def _measure(suite: Suite, peer: Peer, seconds: float) -> None:
    login = suite.login()
    label = f"{peer.name}{SUFFIX}"
    root = suite.folder()
    wheels = _fill(peer, root)
    with served(peer, None, root=root, login=login) as server:
        answered, took = storm(server, login, wheels, seconds)
    requests = [value for values in answered.latencies.values() for value in values]
    failed = sum(answered.errors.values())
    suite.figure(RATE, WHERE, label, len(requests) / took, "/s")
    for measure_, share in ((P50, 0.5), (P95, 0.95), (P99, 0.99)):
        suite.figure(measure_, WHERE, label, percentile(requests, share), "s")
    suite.figure(UPLOADS, WHERE, label, len(answered.latencies["upload"]) / took, "/s")
    suite.figure(UPLOAD_P95, WHERE, label, percentile(answered.latencies["upload"], 0.95), "s")
    suite.figure(ERRORS, WHERE, label, failed, f"of {len(requests) + failed:,}", described(answered.errors))
    suite.figure(CLIENT, WHERE, label, answered.cpu_seconds / took, "processors")


def _fill(peer: Peer, root: Path) -> list[tuple[str, str]]:
    """Publish the wheels; project and path of each, as its page says."""
    releases = [Release(f"burst-{number:03d}", "1.0", _WHEEL_BYTES) for number in range(WHEELS)]
    with served(peer, None, root=root) as server:
        uploader = Uploader(server.port, peer.upload_path, peer.login(server.port))
        for release in releases:
            uploader.send(release)
        uploader.close()
        return [(release.project, server.file_path(release.project, release.filename)) for release in releases]


def storm(server: Server, login: Login, wheels: list[tuple[str, str]], seconds: float) -> tuple[Answered, float]:
    """Let them all come at once; what they got, and the seconds until the last had an answer: a slow server goes on
    for long after the end. Raises Unavailable when the clients themselves fail."""
    plans = [
        Plan(
            port=server.port,
            seconds=seconds,
            clients=CLIENTS // PROCESSES,
            seed=number,
            headers=server.headers() | login.header,
            simple=server.path(),
            wheels=wheels,
            timeout=_TIMEOUT,
            upload_path=server.peer.upload_path,
            uploads_per_second=UPLOADS_PER_SECOND / PROCESSES,
        )
        for number in range(PROCESSES)
    ]
    with ExitStack() as stack:
        clients = [stack.enter_context(client("the clients", "benchmarks.burst")) for _ in plans]
        for each, plan in zip(clients, plans, strict=True):
            each.tell(msgspec.json.encode(plan) + b"\n")
            each.wait_until_ready()
        began = time.monotonic()
        for each in clients:
            each.tell(b"go\n")
        reports = [each.report(seconds + 2 * _TIMEOUT) for each in clients]
        answered = merged([msgspec.json.decode(report, type=Answered) for report in reports])
        return answered, max(seconds, time.monotonic() - began)
