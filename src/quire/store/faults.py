"""Faults for tests: which operations of a store's handle fail, and how.

A failure that matters is of one of two sorts, and code above a store must survive both: nothing happened, or it
happened and the answer was lost. `Fault` names them.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Literal, get_args

from quire.domain.errors import Conflict, OutcomeUnknown, StoreError, StoreFull, StoreReadOnly

Operation = Literal["read", "write", "names", "stage", "stage.write", "finish", "publish", "open", "remove", "renew"]
"""The operations of a store that can be made to fail."""


class Fault(StrEnum):
    """How an operation fails."""

    BEFORE = "before"
    """Raises StoreError; nothing happened."""
    FULL = "full"
    """Raises StoreFull; nothing happened."""
    READ_ONLY = "read-only"
    """Raises StoreReadOnly; nothing happened."""
    AFTER = "after"
    """Raises StoreError although it was done, durably: the answer was lost."""
    CONFLICT = "conflict"
    """Raises Conflict without another writer; nothing happened."""
    UNKNOWN_BEFORE = "unknown, not done"
    """Raises OutcomeUnknown; nothing happened."""
    UNKNOWN_AFTER = "unknown, done"
    """Raises OutcomeUnknown although it was done, durably."""


_CHANGES = (Fault.BEFORE, Fault.FULL, Fault.READ_ONLY)
_POSSIBLE: dict[Operation, tuple[Fault, ...]] = {
    "read": (Fault.BEFORE,),
    "write": (*_CHANGES, Fault.AFTER, Fault.CONFLICT, Fault.UNKNOWN_BEFORE, Fault.UNKNOWN_AFTER),
    "names": (Fault.BEFORE,),
    "stage": _CHANGES,
    "stage.write": _CHANGES,
    "finish": (*_CHANGES, Fault.AFTER),
    "publish": (*_CHANGES, Fault.AFTER, Fault.CONFLICT),
    "open": (Fault.BEFORE,),
    "remove": (Fault.BEFORE, Fault.READ_ONLY, Fault.AFTER),
    "renew": (Fault.BEFORE, Fault.READ_ONLY, Fault.AFTER),
}
_ERRORS: dict[Fault, type[StoreError]] = {
    Fault.FULL: StoreFull,
    Fault.READ_ONLY: StoreReadOnly,
    Fault.CONFLICT: Conflict,
    Fault.UNKNOWN_BEFORE: OutcomeUnknown,
    Fault.UNKNOWN_AFTER: OutcomeUnknown,
}
_LATE = {Fault.AFTER, Fault.UNKNOWN_AFTER}


class Faults:
    """Which operations of a handle fail, and how: scripted (`next`, `call`), seeded (`random`), or both.

    A scripted step is used up by the operation it is for, in the order in which the steps were given; operations
    without one follow the seed, if there is one. The same calls in the same order always meet the same faults.
    """

    def __init__(self) -> None:
        self.happened: list[tuple[Operation, Fault]] = []
        """Every fault so far, in order."""
        self._lock = threading.Lock()
        self._script: dict[Operation, deque[Fault | Callable[[], object] | None]] = {}
        self._random: random.Random | None = None
        self._probability = 0.0
        self._drawn: frozenset[Operation] = frozenset()

    @classmethod
    def random(cls, seed: int, probability: float, operations: tuple[Operation, ...] = get_args(Operation)) -> Faults:
        """Each of the `operations` fails with this probability (0 to 1), in a way that the contracts allow it to.

        A spurious conflict of `publish` is never drawn: there, Conflict promises that the key has its bytes.
        """
        faults = cls()
        faults._random = random.Random(seed)  # noqa: S311 - reproducible test data, no secret
        faults._probability = probability
        faults._drawn = frozenset(operations)
        return faults

    def next(self, operation: Operation, fault: Fault, *, skip: int = 0) -> None:
        """Let the next call of `operation` fail, or the one after `skip` good ones.

        Raises ValueError when no store fails in this way there: a test of it would prove nothing.
        """
        if fault not in _POSSIBLE[operation]:
            raise ValueError(f"A store's {operation} cannot fail as {fault.name}; choose from {_POSSIBLE[operation]}.")
        self._append(operation, fault, skip)

    def call(self, operation: Operation, action: Callable[[], object], *, skip: int = 0) -> None:
        """Run `action` right before the next call of `operation`: another worker's step, at exactly that moment."""
        self._append(operation, action, skip)

    @contextmanager
    def around(self, operation: Operation, subject: str) -> Iterator[None]:
        """For stores: the body is the operation. Raises what the plan says, before the body or after it."""
        fault = self._decide(operation)
        error = None
        if fault is not None:
            error = _ERRORS.get(fault, StoreError)(f"Injected fault: {operation} of {subject!r} failed ({fault}).")
        if error is not None and fault not in _LATE:
            raise error
        yield
        if error is not None:
            raise error

    def _append(self, operation: Operation, step: Fault | Callable[[], object], skip: int) -> None:
        with self._lock:
            self._script.setdefault(operation, deque()).extend([*[None] * skip, step])

    def _decide(self, operation: Operation) -> Fault | None:
        with self._lock:
            step = self._next_step(operation)
            if isinstance(step, Fault):
                self.happened.append((operation, step))
                return step
        if step is not None:
            step()  # outside the lock: it may use this very handle
        return None

    def _next_step(self, operation: Operation) -> Fault | Callable[[], object] | None:
        script = self._script.get(operation)
        if script:
            return script.popleft()
        if self._random is None or operation not in self._drawn:
            return None
        possible = [fault for fault in _POSSIBLE[operation] if (operation, fault) != ("publish", Fault.CONFLICT)]
        # Both numbers are drawn each time, so that one decision never shifts the choices of the later ones.
        chance, fault = self._random.random(), self._random.choice(possible)
        return fault if chance < self._probability else None
