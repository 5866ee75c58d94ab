"""quire over buckets: the S3 server of `tests.bucket.rig`, that server at a distance, and servers of a store in it."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock
from urllib.parse import urlsplit

from tests.bucket.ceph import s3_server
from tests.rootfs import RigError
from tests.serving import environment, free_port

from benchmarks.delayed import Delay, delayed
from benchmarks.peers import QUIRE, Server
from benchmarks.peers.server import WORKERS
from benchmarks.processes import Unavailable, started, wait_for

LATENCY = 0.010
LIST = "/simple/"


@contextmanager
def s3() -> Iterator[None]:
    """The environment leads to an S3 server, and TESTS_BUCKET is a bucket of it. Raises Unavailable."""
    if "TESTS_BUCKET" in os.environ:
        yield
        return
    try:
        with s3_server() as server, mock.patch.dict(os.environ, server.environment):
            os.environ["TESTS_BUCKET"] = server.make_bucket()
            yield
    except RigError as error:
        raise Unavailable(f"an S3 server: {error}") from error


@contextmanager
def far_away(seconds: float) -> Iterator[Delay]:
    """The S3 server is so far away, for processes that are started within."""
    port = urlsplit(os.environ["AWS_ENDPOINT_URL"]).port
    assert port is not None
    with (
        delayed(port, seconds) as (near, delay),
        mock.patch.dict(os.environ, AWS_ENDPOINT_URL=f"http://127.0.0.1:{near}"),
    ):
        yield delay


@contextmanager
def serving(place: object, *flags: str, workers: int = WORKERS, first: str = LIST) -> Iterator[tuple[Server, float]]:
    """quire over a store, and how many seconds passed from its start to its first right answer to `first`."""
    port = free_port()
    command = [sys.executable, "-m", "quire", "run", "-i", "127.0.0.1", "-p", str(port), "--workers", str(workers)]
    command += ["--disable-fallback", "-a", ".", "-P", ".", "--no-drop-in", *flags, str(place)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        started(command, Path(folder) / "log", environ=environment(), cwd=Path(folder)) as running,
    ):
        server = Server(QUIRE, running, port)
        yield server, wait_for(running, lambda: server.ask(first).status == 200, 60)


def new_place() -> str:
    """A folder of the bucket that nothing else uses."""
    return f"{os.environ['TESTS_BUCKET']}/bench-{secrets.token_hex(6)}"


def metric(server: Server, beginning: str) -> float:
    """The sum of all series of the server's metrics whose lines begin so."""
    text = server.ask("/metrics").body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(beginning))
