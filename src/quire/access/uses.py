"""The day on which each token was last used.

Theory of operation. A use is noted in the memory of its worker, which costs a request one addition to a set. About once
a minute the worker writes the uses that are new on this day, all of them in one write, to a record of their own: the
record of grants and tokens is neither changed nor validated for it. So a token costs one write a day at most, whichever
worker is the first to see it, and a worker without tokens writes nothing.

A worker that is killed loses the uses of its last minute. For what the days are for, to find tokens that are not used
any more, that is enough: no decision depends on them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec

from quire.domain.errors import Conflict
from quire.domain.structs import decode_as
from quire.store.contracts import Record, Records

USES_KEY: Final = "access/uses/store"
"""The record's key, in every store."""
_ATTEMPTS: Final = 8


class _Uses(msgspec.Struct, frozen=True):
    format: int = 1
    days: dict[str, str] = {}
    """By the token's id: the day in UTC, as 2026-11-28."""


def read_uses(records: Records) -> Mapping[str, str]:
    """The day of the last use of each token that was used, by its id. Raises StoreError."""
    return _days(records.read(USES_KEY))


class TokenUses:
    """The uses that one worker has seen. Belongs to its event loop, but for `write`."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._noted: set[str] = set()
        self._written: Mapping[str, str] = {}

    def note(self, identity: str) -> None:
        """A request came by the token with this id."""
        self._noted.add(identity)

    def take(self, now: datetime) -> tuple[str, frozenset[str]]:
        """The day, and the ids of the tokens whose use on it has to be written; to be passed to `write`."""
        day = f"{now:%Y-%m-%d}"
        noted, self._noted = self._noted, set()
        return day, frozenset(identity for identity in noted if self._written.get(identity, "") < day)

    def give_back(self, identities: Collection[str]) -> None:
        """Note uses again that could not be written."""
        self._noted.update(identities)

    def write(self, day: str, identities: Collection[str], tokens: Collection[str]) -> None:
        """Write uses of a day, and forget those of tokens that are not among `tokens`. Blocks.

        Raises StoreError: Conflict when others were faster too often.
        """
        for attempt in range(_ATTEMPTS):
            record = self._records.read(USES_KEY)
            before = _days(record)
            after = {identity: used for identity, used in before.items() if identity in tokens}
            after |= {each: max(day, before.get(each, "")) for each in identities if each in tokens}
            if after != before:
                try:
                    self._records.write(USES_KEY, msgspec.json.encode(_Uses(days=after)) + b"\n", record)
                except Conflict:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    continue
            self._written = after
            return


def _days(record: Record) -> dict[str, str]:
    """None of a record that is damaged, or of another version: the days come again with the next uses."""
    try:
        return decode_as(record.data or b"{}", _Uses).days
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
