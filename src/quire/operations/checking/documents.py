"""The check of documents that are no projects: journals of promotions, and the records of publishing sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

import msgspec

from quire.domain import promotions, publishing_sessions
from quire.domain.errors import DamagedRecord, StoreError
from quire.domain.promotions import JOURNAL
from quire.index.commits import decode
from quire.operations.checking.findings import Finding, Severity
from quire.operations.publishing_sessions import FOLDER
from quire.store.contracts import Record, Records

_SHOWN: Final = 5
"""Projects that a sentence names."""
_REFUSED: Final = "Promotions into this index and its list of projects are refused until it can be read."
_UNUSABLE: Final = "The session answers with errors; no other one is concerned."
_DAMAGED: Final = "damaged-record"
_RESTORE: Final = "Restore it from a backup, or from the bucket's versions."


class TakesOut(Protocol):
    """Takes damaged records out of use."""

    def take_out(self, record: Record) -> str | None:
        """Delete a record, of which a copy is kept; what was done, or None when another writer was faster."""
        ...


class _Damage(NamedTuple):
    record: Record | None
    """As it was read; None where the store could not."""
    code: str
    sentence: str

    @property
    def is_certain(self) -> bool:
        """Whether the document is there, and no version of quire can read it."""
        return self.record is not None and self.code == _DAMAGED


def check_journal(records: Records, folder: str, repairs: TakesOut | None, *, is_repairable: bool) -> Iterator[Finding]:
    """The finding where the journal of an index cannot be read. `folder`: of the records of its projects.

    `is_repairable`: whether there are repairs in this store, be they asked for or not. Raises StoreError.
    """
    damage = _damage_of(records, f"{folder}/{JOURNAL}", promotions.decode_journal, promotions.FORMAT)
    if damage is None:
        return
    sentence, repair = f"{damage.sentence} {_REFUSED}", None
    # Read after the damage was seen: since then no promotion was committed, as that takes a journal that can be read.
    # So when no project has pending files, no record needs the journal, and a promoter that still prepares some finds
    # that it was aborted.
    if needed := _with_pending(records, folder):
        more = f" and {len(needed) - _SHOWN} more" if len(needed) > _SHOWN else ""
        sentence += f" Only it says whether files of a promotion are published in {', '.join(needed[:_SHOWN])}{more}."
    if needed or not (is_repairable and damage.is_certain):
        sentence += f" {_RESTORE}" if damage.is_certain else ""
    else:
        sentence += " No project needs it, so --repair takes it out of use."
        repair = _taken_out(damage, repairs)
    yield Finding(Severity.DAMAGE, damage.code, f"{folder}/{JOURNAL}", sentence, repair=repair)


def check_sessions(records: Records, repairs: TakesOut | None, *, is_repairable: bool) -> Iterator[Finding]:
    """The publishing sessions whose record cannot be read. Raises StoreError."""
    for token in records.written(FOLDER):
        key = f"{FOLDER}/{token}"
        damage = _damage_of(records, key, _decode_session, publishing_sessions.FORMAT)
        if damage is None:
            continue
        sentence, repair = f"{damage.sentence} {_UNUSABLE}", None
        if is_repairable and damage.is_certain:
            sentence += " --repair takes it out of use, and its client can create it again."
            repair = _taken_out(damage, repairs)
        elif damage.is_certain:
            sentence += f" {_RESTORE}"
        yield Finding(Severity.DAMAGE, damage.code, key, sentence, repair=repair)


def is_newer(data: bytes, known: int) -> bool:
    """Whether a document is of a format that only a newer quire knows: no damage to repair. `known`: the latest one
    that this version knows."""
    try:
        found = msgspec.json.decode(data)["format"]
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
        return False
    return isinstance(found, int) and found > known


def _decode_session(data: bytes | None, key: str) -> object:
    return publishing_sessions.decode_session(data)


def _damage_of(
    records: Records, key: str, decode_document: Callable[[bytes | None, str], object], known: int
) -> _Damage | None:
    """Why a record cannot be read; None where it can. One that was just replaced is read again."""
    while True:
        try:
            record = records.read(key)
        except DamagedRecord as error:  # the store itself cannot understand it
            return _Damage(None, _DAMAGED, str(error))
        except StoreError as error:
            return _Damage(None, "unreadable-record", str(error))
        try:
            decode_document(record.data, key)
        except DamagedRecord as error:
            if records.read(key, record) is record:
                return _Damage(record, "newer-format" if is_newer(record.data or b"", known) else _DAMAGED, str(error))
        else:
            return None


def _with_pending(records: Records, folder: str) -> list[str]:
    """The projects with pending files, and those of which that is not known."""
    found = []
    for name in records.written(folder):
        if name == JOURNAL:
            continue
        try:
            project = decode(records.read(f"{folder}/{name}"))
        except StoreError:
            found.append(name)
        else:
            if project is not None and project.pending is not None:
                found.append(name)
    return found


def _taken_out(damage: _Damage, repairs: TakesOut | None) -> str | None:
    return repairs.take_out(damage.record) if repairs is not None and damage.record is not None else None
