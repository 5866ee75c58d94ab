"""The hour in which each kept file of another index was last used, for all workers.

Theory of operation. A use is noted in the memory of its worker, which costs a download one addition to a set. Every
some minutes the worker adds the files that are new to it to the record of the day: one read, and one write if no worker
had added them before. So a file costs no write of its own, and a set of files that is used all day long costs each
worker a write in four hours. An entry is nine bytes: the beginning of a digest of the key, and the hour.

There is a record for each of the last 64 days, under the number of the day modulo 64; an older one in its place is
replaced. A file whose last use is longer ago, or unknown, has the time at which it was stored.

A worker that is killed loses the uses of its last minutes. No answer depends on them: they say in which order files
are removed when the space ends (`quire.upstream.evicting`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Final

import msgspec

from quire.domain.errors import Conflict
from quire.domain.reserved import MIRROR
from quire.domain.structs import decode_as
from quire.store.contracts import Record, Records

FOLDER: Final = f"{MIRROR}/space"
"""Of the records on the space of all mirrors. No mirror has this name: each ends in a digest."""
DAYS: Final = 64
REFRESH_HOURS: Final = 4
"""A file that is used all the time is noted again after so long."""
MOST_NOTED: Final = 100_000
"""Files in the memory of a worker; uses of others are not noted until those are written."""
_MARK_BYTES: Final = 8
_ENTRY_BYTES: Final = _MARK_BYTES + 1
_ATTEMPTS: Final = 8
_HOUR: Final = 3600


class _Day(msgspec.Struct, frozen=True):
    format: int = 1
    day: int = 0
    """Since the epoch, in UTC."""
    uses: bytes = b""
    """Entries: the mark of a key, and the hour of the day."""


@dataclass(frozen=True, slots=True)
class Uses:
    """The last uses, as they were recorded."""

    hours: dict[bytes, int] = field(default_factory=dict)
    """Since the epoch, by mark."""

    def last(self, key: str) -> float | None:
        """Seconds since the epoch when the blob was last used, to the hour; None when that is not known."""
        hour = self.hours.get(_mark(key))
        return None if hour is None else float(hour * _HOUR)


class FileUses:
    """The uses that one worker has seen. `note` belongs to its event loop, `write` to any thread, one at a time."""

    def __init__(self, records: Records, now: Callable[[], datetime]) -> None:
        self._records = records
        self._now = now
        self._noted: set[bytes] = set()
        self._recorded: dict[bytes, int] = {}
        """The hours of uses that the records are known to have."""

    def note(self, key: str) -> None:
        """The blob of this key is used now."""
        mark, hour = _mark(key), _hour(self._now())
        is_recorded = hour - self._recorded.get(mark, -REFRESH_HOURS) < REFRESH_HOURS
        if not is_recorded and len(self._noted) < MOST_NOTED:
            self._noted.add(mark)

    def write(self) -> None:
        """Add the noted uses to the record of the day. Blocks. Raises StoreError: they stay noted."""
        noted, self._noted = self._noted, set()
        if not noted:
            return
        try:
            self._write(noted)
        except BaseException:
            self._noted |= noted
            raise

    def _write(self, noted: Collection[bytes]) -> None:
        hour = _hour(self._now())
        day = hour // 24
        for attempt in range(_ATTEMPTS):
            record = self._records.read(_key(day))
            before = _decoded(record)
            hours = _hours(before) if before.day == day else {}
            new = [mark for mark in noted if hour - hours.get(mark, -REFRESH_HOURS) >= REFRESH_HOURS]
            hours.update(dict.fromkeys(new, hour))
            if new:
                try:
                    self._records.write(record.key, _encoded(day, hours), record)
                except Conflict:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    continue
            if len(self._recorded) + len(noted) > MOST_NOTED:
                self._recorded = {}
            self._recorded |= {mark: hours[mark] for mark in noted}
            return


def read_uses(records: Records, now: datetime) -> Uses:
    """All uses that are recorded. Raises StoreError."""
    found = Uses()
    latest = _hour(now)
    for slot in range(DAYS):
        day = _decoded(records.read(_key(slot)))
        if latest // 24 - DAYS < day.day <= latest // 24 + 1:
            for mark, hour in _hours(day).items():
                found.hours[mark] = max(found.hours.get(mark, 0), min(hour, latest))
    return found


def _key(day: int) -> str:
    return f"{FOLDER}/day-{day % DAYS:02}"


def _mark(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=_MARK_BYTES).digest()


def _hour(now: datetime) -> int:
    return int(now.timestamp()) // _HOUR


def _decoded(record: Record) -> _Day:
    """None of a record that is damaged, or of another version: uses come again."""
    try:
        found = decode_as(record.data or b"{}", _Day)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Day()
    return found if found.format == 1 and len(found.uses) % _ENTRY_BYTES == 0 else _Day()


def _hours(day: _Day) -> dict[bytes, int]:
    first, uses = day.day * 24, day.uses
    return {
        uses[at : at + _MARK_BYTES]: first + min(uses[at + _MARK_BYTES], 23) for at in range(0, len(uses), _ENTRY_BYTES)
    }


def _encoded(day: int, hours: dict[bytes, int]) -> bytes:
    uses = b"".join(mark + bytes((max(hour - day * 24, 0),)) for mark, hour in hours.items())
    return msgspec.json.encode(_Day(day=day, uses=uses)) + b"\n"
