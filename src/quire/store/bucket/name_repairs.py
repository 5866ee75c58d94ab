"""Repairs of a list of names that does not agree with the records, or that has lost a part.

No program of quire leaves one behind: an object was lost or restored, or another program wrote it. The repairs are
steps of the protocol of `quire.store.bucket.names`, so servers go on, and a repair that dies leaves tokens like any
writer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from quire.domain.errors import StoreError
from quire.store.bucket.listing import Root, Segment
from quire.store.bucket.names import ATTEMPTS, TOO_MANY, NameLists, SegmentMissing, left, pause

_AT_ONCE: Final = 100
"""Names that are settled by one pair of swaps."""


class NameRepairs(NameLists):
    """The lists of names of one bucket, and their repairs. May be used from any thread."""

    def settle(self, folder: str, names: Iterable[str]) -> None:
        """Make the list agree with the records of these names, whatever it says of them now.

        As a writer of all of them that commits nothing: with its token in the root, readers ask the records, and the
        names are settled by these. Raises StoreError.
        """
        ordered = sorted(names)  # neighbours are in one segment, which is rewritten once for all of them
        for start in range(0, len(ordered), _AT_ONCE):
            some, token = ordered[start : start + _AT_ONCE], secrets.token_hex(8)
            self._replace(folder, partial(Root.with_tokens, names=some, token=token))
            self._settle(folder, some, token)

    def _settle(self, folder: str, names: list[str], token: str) -> None:
        """Take the token out of all of them, by their records as they are after a read of the root."""
        for attempt in range(ATTEMPTS):
            current = self._current(folder, None)
            root = current.root
            held = [name for name in names if root.holds(name, token)]  # the others were fenced meanwhile
            if not held:
                return
            for name, record in zip(held, self._records(folder, held, {}), strict=True):
                root = left(root, name, token, is_present=record.data is not None)
            if self._swapped(folder, current, root) is not None:
                return
            pause(attempt)
        raise StoreError(TOO_MANY)

    def rebuild(self, folder: str, written: Callable[[], Iterable[str]]) -> int:
        """Write those segments again that the bucket has lost, by the records; how many.

        `written`: the names of all records that are or ever were. It is asked after the root was read, and so are the
        records: a writer that changes one of them later first puts a token into the root, and then this swap fails.
        Raises StoreError.
        """
        for attempt in range(ATTEMPTS):
            current = self._current(folder, None)
            root = current.root
            lost = [number for number, each in enumerate(root.segments) if self._is_lost(folder, each)]
            if not lost:
                return 0
            names = sorted(written())
            for number in reversed(lost):  # from the end, as a segment may become several
                own = [name for name in names if root.segment_of(name) == number]
                records = self._records(folder, own, {})
                present = tuple(name for name, record in zip(own, records, strict=True) if record.data is not None)
                root = root.rewritten(number, self._written(folder, present, root.segments[number].first), {})
            if self._swapped(folder, current, root) is not None:
                return len(lost)
            pause(attempt)
        raise StoreError(TOO_MANY)

    def _is_lost(self, folder: str, segment: Segment) -> bool:
        try:
            self._segment(folder, segment.identity)
        except SegmentMissing:
            return True
        return False
