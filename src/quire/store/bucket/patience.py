"""How long a bucket may take, and what is remembered of one that did not answer.

A request for a page can ask the bucket for the same object more than once, one time after the other: the fast path
leaves a failure to the application, which asks again for a sentence. Each of them would wait as long as the first one.
So a failure holds for a moment for the same object.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple


class Patience(NamedTuple):
    """Seconds."""

    read: float = 5.0
    """In which a read is tried again."""
    request: float = 10.0
    """For the answer to one request for a document or for a part of a file. It bounds what a lost answer costs."""
    long_request: float = 60.0
    """For a request that sends up to 8 MiB, and for a listing."""
    failure_holds: float = 1.0
    """After a read was given up, reads of the same object fail at once."""


DEFAULT: Final = Patience()


class Failures:
    """The reads that were given up a moment ago. May be used from any thread."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: how long each of them holds."""
        self._seconds = seconds
        self._known: dict[str, tuple[float, str]] = {}

    def of(self, key: str) -> str | None:
        """The sentence of the failure that holds for this object; None when there is none."""
        found = self._known.get(key)
        return found[1] if found is not None and time.monotonic() < found[0] else None

    def add(self, key: str, sentence: str) -> None:
        """Remember it, and forget those that no longer hold."""
        now = time.monotonic()
        for other, (until, _) in self._known.copy().items():  # a copy: threads add to it
            if until <= now:
                self._known.pop(other, None)
        self._known[key] = (now + self._seconds, sentence)

    def forget(self, key: str) -> None:
        """Ask about this object again."""
        self._known.pop(key, None)
