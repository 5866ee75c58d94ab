"""The burst: 300 wheels, 510 clients at once, each with its password, on top of steady uploads, on a server that has
just been started. One like it is what wore out the deployment of pypiserver that quire was made for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from tests.serving import environment

from benchmarks.burst import READY, Answered, Plan, described, merged
from benchmarks.load import percentile
from benchmarks.peers import QUIRE, Login, Peer, Server, served
from benchmarks.processes import Unavailable
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
        processes = [stack.enter_context(_client(plan)) for plan in plans]
        began = time.monotonic()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        answered = merged([_answered(process, seconds) for process in processes])
        return answered, max(seconds, time.monotonic() - began)


@contextmanager
def _client(plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ready to begin; afterwards it is gone."""
    command = [sys.executable, "-m", "benchmarks.burst"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(plan) + b"\n")
            process.stdin.flush()
            if process.stdout.readline() != READY:
                assert process.stderr is not None
                raise Unavailable(f"the clients failed: {process.stderr.read().decode(errors='replace')[-300:]}")
            yield process
        finally:
            process.kill()


def _answered(process: subprocess.Popen[bytes], seconds: float) -> Answered:
    try:
        output, errors = process.communicate(timeout=seconds + 2 * _TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise Unavailable("the clients did not come to an end") from error
    if process.returncode != 0:
        raise Unavailable(f"the clients failed: {errors.decode(errors='replace')[-300:]}")
    return msgspec.json.decode(output, type=Answered)
