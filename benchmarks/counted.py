"""Requests, and how many questions to the file system's server each of them cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from benchmarks.load import CONNECTIONS, ask_quickly, percentile
from benchmarks.peers import Server

Counts = dict[str, float]
"""Of one measurement: questions per request by kind (in capital letters) and "all" of them; "rate" per second,
"errors", "p50" and "p99" in milliseconds, where there are such."""
IDLE_REQUESTS = 40
_PAUSE = 0.05


class Counter:
    """Questions between two moments."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        """`read`: how many there were so far, by kind."""
        self._read = read
        self._before: Mapping[str, int] = read()

    def restart(self) -> None:
        self._before = self._read()

    def each(self, requests: int) -> Counts:
        """Questions per request since the restart."""
        now = self._read()
        counted = {name: (count - self._before.get(name, 0)) / max(1, requests) for name, count in now.items()}
        found = {name: value for name, value in counted.items() if value}
        return {"all": sum(found.values())} | found


def idle(counter: Counter, ask: Callable[[], object], requests: int = IDLE_REQUESTS) -> Counts:
    """One request after the other, with pauses in which nothing else asks.

    The better one of two halves: every worker tidies up once in the minute after its start, which is no request's cost.
    """
    ask()
    return min((_idle(counter, ask, max(1, requests // 2)) for _ in range(2)), key=lambda counts: counts["all"])


def _idle(counter: Counter, ask: Callable[[], object], requests: int) -> Counts:
    counter.restart()
    took = []
    for _ in range(requests):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(_PAUSE)
    return counter.each(requests) | latencies(took)


def loaded(
    counter: Counter,
    server: Server,
    paths: Sequence[str],
    seconds: float,
    *,
    headers: Mapping[str, str] | None = None,
    rate: float | None = None,
    connections: int = CONNECTIONS,
    warm_seconds: float = 1,
) -> Counts:
    """A load by wrk, after a while of the same that does not count. `headers`: else the server's own."""
    asked = server.headers() if headers is None else headers
    if warm_seconds:
        ask_quickly(server, paths, asked, warm_seconds, rate=rate, connections=connections)
    counter.restart()
    load = ask_quickly(server, paths, asked, seconds, rate=rate, connections=connections)
    found = counter.each(load.requests)
    return found | {"rate": load.rate, "errors": load.errors, "p50": load.p50, "p99": load.p99}


def latencies(took: Sequence[float]) -> Counts:
    return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)}


def kinds(counts: Counts) -> str:
    """The questions of a measurement by kind, most frequent first, for people."""
    found = sorted(((value, name) for name, value in counts.items() if name.isupper()), reverse=True)
    return ", ".join(f"{name} {value:.3g}" for value, name in found)
