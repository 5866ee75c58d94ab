"""quire with one of the safeguards of its access rules removed, to see that the judge convicts it.

`python -m tests.linearizability.sabotage KIND run ...` is quire's command line without the safeguard.

Replaced here: the safeguards, which no setting removes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Final
from unittest import mock

from quire.access.records import AccessRecords, StoredAccess
from quire.catalog.freshness import Barrier
from quire.http.fast.fast_path import FastPath
from tests.linearizability.runs import run_without

_REMEMBERED: Final = 0.3
"""Seconds for which decisions are remembered."""


class Safeguard(StrEnum):
    """The one that is removed."""

    VALIDATION = "validation"
    """Rights count for 0.3 seconds after they were validated."""
    FAST_PATH = "fast-path"
    """The fast path decides by the rights that the worker knows, and leaves the validation to the application."""
    BARRIER = "barrier"
    """A request is decided by a validation that began before it."""


class _Remembering:
    """In the place of the methods of `AccessRecords` that read."""

    def __init__(self) -> None:
        self._until = 0.0
        self._state: StoredAccess | None = None

    def load(self, records: AccessRecords, _: str, known: StoredAccess | None) -> StoredAccess:
        if self._state is None or time.monotonic() > self._until:
            self._state, self._until = records.read(known), time.monotonic() + _REMEMBERED
        return self._state


class _Unvalidated:
    """In the place of the barrier of the rights, for the fast path."""

    def __init__(self, barrier: Barrier[StoredAccess]) -> None:
        self._barrier = barrier

    def __getattr__(self, name: str) -> object:
        return getattr(self._barrier, name)

    def get_inline(self, key: str) -> StoredAccess | None:
        return self._barrier.memory.get(key) or self._barrier.get_inline(key)

    def begin(self, key: str, requests: int) -> asyncio.Future[StoredAccess]:
        known = self._barrier.memory.get(key)
        if known is None:
            return self._barrier.begin(key, requests)
        found: asyncio.Future[StoredAccess] = asyncio.get_running_loop().create_future()
        found.set_result(known)
        return found


class _Late:
    """In the place of the methods of `AccessRecords` that read: each answers with what the one before it found."""

    def __init__(self) -> None:
        self._state: StoredAccess | None = None

    def load(self, records: AccessRecords, _: str, known: StoredAccess | None) -> StoredAccess:
        before, self._state = self._state, records.read(self._state)
        return before or self._state


@contextmanager
def without(safeguard: Safeguard) -> Iterator[None]:
    """The access rules without one of their safeguards, in this process and those that it forks."""
    with ExitStack() as stack:
        if safeguard is Safeguard.FAST_PATH:
            made = FastPath.__init__

            def make(fast_path: FastPath, *arguments: object) -> None:
                made(fast_path, *arguments)  # type: ignore[arg-type]  # passed on as they are
                assert fast_path._access is not None
                fast_path._access = _Unvalidated(fast_path._access)  # type: ignore[assignment]  # in its place

            stack.enter_context(mock.patch.object(FastPath, "__init__", make))
        else:
            load = (_Remembering() if safeguard is Safeguard.VALIDATION else _Late()).load

            def replaced(records: AccessRecords, key: str, known: StoredAccess | None) -> StoredAccess:
                return load(records, key, known)

            for name in ("load", "load_inline"):
                stack.enter_context(mock.patch.object(AccessRecords, name, replaced))
        yield


if __name__ == "__main__":
    sys.exit(run_without(Safeguard, without))
