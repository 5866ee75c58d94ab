"""Load by wrk, and load for servers that take so long for one answer that wrk would only see timeouts."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import program
from benchmarks.peers.server import ANSWER_SECONDS, WORKERS, Server
from benchmarks.processes import Unavailable

CONNECTIONS = 32
SLOW_SECONDS = 0.25
"""A server whose answer takes longer is asked by `ask_slowly`."""
VERY_SLOW_SECONDS = 5.0
"""One whose first answer takes longer is slow for good."""
_SCRIPT = Path(__file__).with_name("wrk.lua")
_MARK = "BENCH "


_PAUSE = 0.128
"""Seconds for which a paced connection waits, in the mean, from an answer to its next request."""


@dataclass(frozen=True)
class Load:
    """The results of a load. Latencies are in milliseconds, as the client saw them with all its connections at work."""

    requests: int
    seconds: float
    bytes: int
    """Received, headers included."""
    errors: int
    """Connections refused or broken, timeouts, and answers of 400 and more."""
    p50: float
    p99: float
    max: float
    connections: int = CONNECTIONS

    @property
    def rate(self) -> float:
        """Right answers per second."""
        return max(0, self.requests - self.errors) / self.seconds if self.seconds else 0.0


def single(seconds: float, failed: int = 0) -> Load:
    """One answer after so many seconds and failed attempts, as a load."""
    return Load(1 + failed, seconds, 0, failed, seconds * 1000, seconds * 1000, seconds * 1000, connections=1)


def parse(output: str, connections: int = CONNECTIONS) -> Load:
    """The output of wrk.lua, parsed. Raises Unavailable when it printed nothing."""
    for line in output.splitlines():
        if line.startswith(_MARK):
            found = json.loads(line.removeprefix(_MARK))
            return Load(
                requests=found["requests"],
                seconds=found["microseconds"] / 1e6,
                bytes=found["bytes"],
                errors=sum(found[kind] for kind in ("connect", "read", "write", "status", "timeout")),
                p50=found["p50"] / 1000,
                p99=found["p99"] / 1000,
                max=found["max"] / 1000,
                connections=connections,
            )
    raise Unavailable(f"wrk printed no result: {output.strip()[-300:]}")


def paced(rate: float, answer: float) -> tuple[int, float]:
    """The connections, and the rate to tell wrk, that make so many requests a second. `answer`: seconds that an answer
    takes, about: a connection asks again when it and the pause are over."""
    connections = round(rate * (_PAUSE + answer))
    return connections, connections / _PAUSE


def ask_quickly(
    server: Server,
    paths: Sequence[str],
    headers: Mapping[str, str],
    seconds: float,
    *,
    connections: int = CONNECTIONS,
    rate: float | None = None,
) -> Load:
    """wrk with one thread. `rate`: requests per second to keep to, as far as the server follows."""
    wrk = program("wrk")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        environ = dict(os.environ)
        if len(paths) > 1:
            listed = Path(folder) / "paths"
            listed.write_text("".join(f"{path}\n" for path in paths))
            environ["BENCH_PATHS"] = str(listed)
        if rate is not None:
            environ["BENCH_DELAY"] = str(max(1, round(connections * 1000 / rate)))
        command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, math.ceil(seconds))}s", "--timeout", "30s"]
        command += ["-s", str(_SCRIPT)]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        command.append(f"http://127.0.0.1:{server.port}{paths[0]}")
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=seconds + 90, check=False)
    return parse(done.stdout or done.stderr, connections)


def ask_slowly(server: Server, paths: Sequence[str], headers: Mapping[str, str], seconds: float) -> Load:
    """As many clients as there are workers, each waiting for its answers; at least one answer."""
    took: list[float] = []
    received = errors = 0
    lock = threading.Lock()
    began = time.perf_counter()

    def client(start: int) -> None:
        nonlocal received, errors
        number = start
        while time.perf_counter() - began < seconds:
            asked = time.perf_counter()
            try:
                answer = server.ask(paths[number % len(paths)], headers, ANSWER_SECONDS)
                failed = answer.status >= 400
                size = len(answer.body)
            except OSError:
                failed, size = True, 0
            with lock:
                took.append(time.perf_counter() - asked)
                received += size
                errors += failed
            number += WORKERS

    threads = [threading.Thread(target=client, args=(number,)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = time.perf_counter() - began
    p50, p99 = (percentile(took, share) * 1000 for share in (0.5, 0.99))
    return Load(len(took), whole, received, errors, p50, p99, max(took) * 1000, connections=WORKERS)


def ask(server: Server, paths: Sequence[str], headers: Mapping[str, str], seconds: float) -> Load:
    """Load for `seconds`, of the kind that the server can stand. Raises Unavailable when it does not answer at all."""
    if server.answer_seconds is not None and server.answer_seconds > VERY_SLOW_SECONDS:
        return ask_slowly(server, paths, headers, seconds)
    began = time.perf_counter()
    try:
        answer = server.ask(paths[0], headers, ANSWER_SECONDS)
    except OSError as error:
        raise Unavailable(f"one request had no answer within {ANSWER_SECONDS:.0f} s ({error})") from error
    if answer.status >= 400:
        raise Unavailable(f"it answered {paths[0]} with {answer.status}")
    took = time.perf_counter() - began
    is_known = server.answer_seconds is not None and server.answer_seconds > SLOW_SECONDS
    for _ in range(0 if is_known else 2 * WORKERS):
        if SLOW_SECONDS < took < VERY_SLOW_SECONDS:  # perhaps only the first time, in this worker
            began = time.perf_counter()
            server.ask(paths[-1], headers, ANSWER_SECONDS)
            took = time.perf_counter() - began
    if took > SLOW_SECONDS:
        return ask_slowly(server, paths, headers, seconds)
    return ask_quickly(server, paths, headers, seconds)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of them does not exceed (nearest rank); 0 of nothing."""
    if not values:
        return 0.0
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1 if share else 0)]
