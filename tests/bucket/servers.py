"""The common part of servers of buckets: processes of their own that end with the process that started them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.rootfs import RigError

CACHE = Path(__file__).parent.parent.parent / ".cache" / "bucket"
_START_SECONDS = 90.0
_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to connections and to listeners without a port of their own."""


class BucketServer(ABC):
    """A server that runs."""

    @property
    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that lead clients to it."""

    @abstractmethod
    def make_bucket(self) -> str:
        """A new bucket; its URL."""


def served_buckets() -> dict[str, str]:
    """The URLs of the buckets that these tests may use, by their schemes (see `tests.bucket.rig`)."""
    urls = os.environ.get("TESTS_BUCKETS") or os.environ.get("TESTS_BUCKET", "")
    return {url.partition(":")[0]: url for url in urls.split()}


def unused_port() -> int:
    """A port for a server that cannot choose one: nothing else gets it in the meantime, unless it asks for it."""
    for port in random.sample(_PORTS, 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RigError("No port is free for a server of the tests.")


def dying_with_us(command: Sequence[str], number: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command as a process that gets the signal when the thread that started it ends, however that ends."""
    return ["setpriv", "--pdeathsig", number.name.removeprefix("SIG"), *command]


@contextmanager
def daemon(
    command: Sequence[str], output: Path, environ: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the end, and is killed then. Its output goes to a file."""
    with output.open("wb") as log:
        process = subprocess.Popen(
            dying_with_us(command), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environ
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def wait_until_it_answers(name: str, port: int, process: subprocess.Popen[bytes], output: Path) -> None:
    """Wait for the first answer. Raises RigError, with the end of what the program said, when there is none."""
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/")
            return
        time.sleep(0.2)
    how = f"did not start within {_START_SECONDS:.0f} seconds" if process.poll() is None else "ended at its start"
    raise RigError(f"{name} of the tests {how}; it said: {output.read_text(errors='replace')[-2000:]}")
