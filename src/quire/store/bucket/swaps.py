"""Compare-and-swap of documents, with every ambiguous outcome resolved (see `quire.store.bucket.documents`)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from quire.domain.errors import Conflict, DamagedRecord, OutcomeUnknown, StoreError
from quire.store.bucket.documents import UNBORN, Document, Kind, Verdict, decode, judge, successor
from quire.store.bucket.objects import Bucket, Forbidden, Refused, Unchanged, Unclear, Version

PATIENCE: Final = 30.0
"""Seconds that one swap goes on while its outcome is unclear."""
_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """One state of an object, or its absence: what the next swap expects, and what the next read compares."""

    version: Version | None
    """None when there is no object; also when the state is known, but not by the bucket's name for it."""
    nonce: str = UNBORN
    before: tuple[str, ...] = ()

    @property
    def is_absent(self) -> bool:
        return self.nonce == UNBORN


ABSENT: Final = State(None)


class Swaps:
    """Documents in one bucket. May be used from any thread."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, key: str, known: State | None = None) -> tuple[State, Document | None] | None:
        """The object's state and document now; None when its state is `known`. Raises StoreError, DamagedRecord."""
        found = self._bucket.get(key, None if known is None else known.version)
        if found is Unchanged.UNCHANGED:
            return None
        if found is None:
            return None if known is not None and known.is_absent else (ABSENT, None)
        document = decode(found.data, key)
        return State(found.version, document.nonce, document.before), document

    def swap(self, key: str, expected: State, kind: Kind, data: bytes) -> State:
        """Store a new document if the object is still `expected`; durable when it returns.

        Raises Conflict, StoreReadOnly, StoreFull (nothing written), OutcomeUnknown, StoreError.
        """
        version = expected.version
        if version is None and not expected.is_absent:
            version = self._version_of(key, expected)
        document = successor(expected.nonce, expected.before, kind, data)
        content = document.encoded()
        ends = time.monotonic() + PATIENCE
        pause, is_unclear = _PAUSE, False
        while True:
            try:
                written = self._bucket.put(key, content, version)
                return State(written, document.nonce, document.before)
            except Refused:
                pass
            except Unclear:
                is_unclear = True
            except StoreError as error:
                if is_unclear:  # the earlier try may have been taken
                    raise OutcomeUnknown(_DOUBT.format(key)) from error
                raise
            looked = self._look(key, ends, is_unclear=is_unclear)
            if looked is None:
                pause = rest(pause)
                continue  # with the same document: where an earlier try came through, this one is refused
            state, found = looked
            verdict = judge(found, document)
            if verdict is Verdict.WRITTEN:
                is_last = state.nonce == document.nonce
                return State(state.version if is_last else None, document.nonce, document.before)
            if verdict is Verdict.CONFLICT or (verdict is Verdict.UNKNOWN and not is_unclear):
                raise Conflict(f"The object {key} was changed by another writer; read it again.")
            if verdict is Verdict.UNKNOWN or time.monotonic() >= ends:
                if is_unclear:
                    raise OutcomeUnknown(_DOUBT.format(key))
                raise StoreError(f"The bucket refuses each write of {key}, though nothing has changed it; try again.")
            pause = rest(pause)

    def _version_of(self, key: str, expected: State) -> Version:
        """The bucket's name of a state that is known otherwise. Raises Conflict when it is no longer the state."""
        found = self.read(key)
        if found is None or found[0].nonce != expected.nonce or found[0].version is None:
            raise Conflict(f"The object {key} was changed by another writer; read it again.")
        return found[0].version

    def _look(self, key: str, ends: float, *, is_unclear: bool) -> tuple[State, Document | None] | None:
        """The stored state and document; None where the outcome is unclear and they cannot be read yet.

        Raises OutcomeUnknown when they cannot be read in time, or StoreError when nothing can have been written.
        """
        try:
            found = self.read(key)
        except StoreError as error:
            if not is_unclear:
                raise
            if isinstance(error, Forbidden | DamagedRecord) or time.monotonic() >= ends:
                raise OutcomeUnknown(_DOUBT.format(key)) from error
            return None
        assert found is not None  # only a read that knows a state says nothing
        return found


def create_once(key: str, put: Callable[[], object], look: Callable[[], object]) -> object:
    """Create an object that never changes: None after a clear success of `put`, else what `look` found.

    A refusal says nothing: the request may have been repeated on its way, or met another one, and nothing was written.
    Where there is nothing, `put` is tried again. Raises StoreReadOnly, StoreFull, StoreError.
    """
    ends, pause = time.monotonic() + PATIENCE, _PAUSE
    while True:
        try:
            put()
        except (Refused, Unclear):
            pass
        else:
            return None
        try:
            found = look()
        except Forbidden:
            raise
        except StoreError:
            if time.monotonic() >= ends:
                raise
            found = None
        if found is not None:
            return found
        if time.monotonic() >= ends:
            raise StoreError(f"The bucket could not take the object {key}; try again.")
        pause = rest(pause)


def rest(pause: float) -> float:
    """Wait about so many seconds, before a try; the next pause."""
    time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
    return min(2 * pause, _LONGEST_PAUSE)


_DOUBT: Final = "It is not known whether {} was written; look, and repeat the change if it was not made."
