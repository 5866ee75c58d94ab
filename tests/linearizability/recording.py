"""The observations of one process of clients, and its clock."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.linearizability.history import NEVER, History
from tests.linearizability.objects import Action, State
from tests.linearizability.plan import Plan

now = time.monotonic_ns
"""CLOCK_MONOTONIC: on Linux one clock for all processes of a machine."""


class Recording:
    """The operations of one process, by object. Threads may share it."""

    def __init__(self, plan: Plan) -> None:
        self._doubt = NEVER if plan.doubt is None else int(plan.doubt * 1e9)
        self.histories = {name: History() for name in plan.every_object}
        self.counts: Counter[str] = Counter()
        """How many of each kind of operation were answered, refused, lost."""
        self.odd: Counter[str] = Counter()
        """Answers that no client should get."""

    def done(self, name: str, action: Action, invoked: int, client: int) -> None:
        self.histories[name].add(action, invoked, now(), client=client)

    def doubtful(self, name: str, action: Action, invoked: int, client: int) -> None:
        """A write with unknown outcome."""
        end = min(NEVER, now() + self._doubt)
        self.histories[name].add(action, invoked, end, client=client, certain=False)

    def save(self, path: Path) -> None:
        path.write_bytes(pickle.dumps((self.histories, self.counts, self.odd)))


def merged(
    paths: Iterable[Path], initial: Mapping[str, State]
) -> tuple[dict[str, History], Counter[str], Counter[str]]:
    """The recordings of all processes as one history per object, and their counts."""
    histories = {name: History(state) for name, state in initial.items()}
    counts: Counter[str] = Counter()
    odd: Counter[str] = Counter()
    for path in paths:
        recorded, some_counts, some_odd = pickle.loads(path.read_bytes())
        for name, history in recorded.items():
            histories[name].extend(history)
        counts += some_counts
        odd += some_odd
    return histories, counts, odd
