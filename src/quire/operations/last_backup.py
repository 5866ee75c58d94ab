"""The time of the newest whole backup, in the store that it is of, so that its servers can tell how old it is.

The servers do not know the places of backups, and need no right on them. `quire backup` writes one small record here
after each whole backup; a backup does not contain it, so a restored store has had none yet.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from quire.domain.errors import Conflict, StoreError
from quire.domain.structs import decode_as
from quire.domain.times import moment, stamp
from quire.store.contracts import Record, Records

FOLDER: Final = "backups"
KEY: Final = f"access/{FOLDER}/last"
_ATTEMPTS: Final = 8


class _Noted(msgspec.Struct, frozen=True):
    began: str
    format: int = 1


def note_backup(records: Records, began: datetime) -> None:
    """Write down that there is a whole backup which began then, unless there is a newer one. Raises StoreError."""
    data = msgspec.json.encode(_Noted(stamp(began))) + b"\n"
    for _ in range(_ATTEMPTS):
        record = records.read(KEY)
        if _began(record) >= began.timestamp():
            return
        try:
            records.write(KEY, data, record)
        except Conflict:
            continue
        return
    raise StoreError("Other backups end at the same time; the next one is written down.")


class LastBackup:
    """The time as one worker knows it. `look` may run in any thread."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._record: Record | None = None
        self.began: float | None = None
        """Seconds since the epoch; 0 for no backup, None before the first look."""

    def look(self) -> None:
        """Read it again: one validation. Raises StoreError."""
        self._record = self._records.read(KEY, self._record)
        self.began = _began(self._record)


def _began(record: Record) -> float:
    """0 where there is none, or none that this version understands."""
    if record.data is None:
        return 0.0
    try:
        found = decode_as(record.data, _Noted)
        return moment(found.began).timestamp() if found.format == 1 else 0.0
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, OverflowError):
        return 0.0
