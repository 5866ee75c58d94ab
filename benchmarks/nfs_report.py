"""The notes made in the machine of tests/nfs/rig.py: counts of an NFS client, and reasons for what is missing."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.counted import Counter, Counts
from benchmarks.processes import Unavailable

BUDGET = 250.0
"""Seconds after which no further question is begun."""
NO_TIME = "there was no time left for it"
_HOUSEKEEPING = {"SEQUENCE", "RENEW"}
"""Operations that keep a lease alive, whatever the load."""
_OPERATION = re.compile(r"^\s+([A-Z_]+): (\d+) ", re.M)


def operations(mount: str, text: str) -> dict[str, int]:
    """How often the client of this mount sent each operation so far, from the text of mountstats."""
    (section,) = (each for each in text.split("device ") if f" mounted on {mount} with fstype nfs" in each[:300])
    counted = {name: int(count) for name, count in _OPERATION.findall(section.partition("per-op statistics")[2])}
    return {name: count for name, count in counted.items() if count and name not in _HOUSEKEEPING}


def counter(mount: Path) -> Counter:
    """Operations of the client of this mount."""
    return Counter(lambda: operations(str(mount), Path("/proc/self/mountstats").read_text()))


class Noted(msgspec.Struct):
    """By server, and then by question."""

    counts: dict[str, dict[str, Counts]] = {}
    reasons: dict[str, dict[str, str]] = {}


class Report:
    """Takes measurements as long as there is time."""

    def __init__(self, budget: float = BUDGET, clock: Callable[[], float] = time.monotonic) -> None:
        """`budget`: seconds from now."""
        self.noted = Noted()
        self._clock = clock
        self._end = clock() + budget

    def note(self, server: str, question: str, measure: Callable[[], Counts]) -> None:
        """One measurement, or why there is none."""
        with self.noting(server, question):
            self.check_time()
            found = measure()
            self.noted.counts.setdefault(server, {})[question] = found

    def note_all(self, server: str, measures: Mapping[str, Callable[[], Counts]], suffix: str = "") -> None:
        for question, measure in measures.items():
            self.note(server, f"{question}{suffix}", measure)

    def check_time(self) -> None:
        """Raises Unavailable when the time is over."""
        if self._clock() > self._end:
            raise Unavailable(NO_TIME)

    @contextmanager
    def noting(self, server: str, question: str) -> Iterator[None]:
        """An error in this block is the reason for a missing figure."""
        try:
            yield
        except (Unavailable, OSError, RuntimeError, http.client.HTTPException) as error:
            self.noted.reasons.setdefault(server, {})[question] = str(error)
