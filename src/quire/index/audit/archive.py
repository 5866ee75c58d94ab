"""The older entries of a project, in a record of their own that is only ever appended to: one JSON object a line."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from quire.domain.errors import Conflict, StoreError
from quire.domain.structs import decode_as
from quire.index.audit.entries import Entry
from quire.store.contracts import Record, Records

MOST_CARRIED = 24
"""Entries that a record carries before the oldest of them are archived; about 300 bytes each."""
KEPT = 8
"""Entries that stay in the record then, so that archiving is needed once in sixteen changes."""
_ATTEMPTS = 16
_COMPARED = 4 * MOST_CARRIED


def archive_key(index: str, project: str) -> str:
    """The key of the archive of a project (normalized name)."""
    return f"{index}/log/{project}"


def must_be_rotated(entries: Sequence[Entry]) -> bool:
    """Whether a record that carries these is going to be relieved of the older ones at the next change."""
    return len(entries) >= MOST_CARRIED


def rotate(
    records: Records, key: str, record: Record, entries: Sequence[Entry], *, most: int = MOST_CARRIED
) -> list[Entry]:
    """The entries that a record must go on carrying, after the others went to the archive `key`.

    `entries`: what `record`, the record just read, carries. All of them when they are fewer than `most`, or when the
    archive cannot be written now.
    """
    if len(entries) < most:
        return list(entries)
    try:
        records.confirm(record)
        _append(records, key, entries[:-KEPT])
    except StoreError:
        return list(entries)  # the next change tries again; nothing is lost meanwhile
    return list(entries[-KEPT:])


def read_archive(records: Records, key: str) -> list[Entry]:
    """All archived entries. Raises StoreError."""
    return _entries((records.read(key).data or b"").splitlines())


def carry(records: Records, key: str, entries: Sequence[Entry]) -> None:
    """Archive entries that come from another store, each once. Raises StoreError."""
    _append(records, key, entries, compared=None)


def expire(records: Records, key: str, before: str, *, dry_run: bool = False) -> int:
    """Remove the entries of an archive from before a time, as `timestamp` has it; how many. Those that the project's
    record carries are not in it. `dry_run`: count them only. Raises StoreError."""
    for _ in range(_ATTEMPTS):
        record = records.read(key)
        lines = (record.data or b"").splitlines()
        kept = [line for line in lines if not _is_from_before(line, before)]
        if dry_run or len(kept) == len(lines):
            return len(lines) - len(kept)
        try:
            records.write(key, b"".join(line + b"\n" for line in kept) if kept else None, record)
        except Conflict:
            continue
        return len(lines) - len(kept)
    raise StoreError(f"The archive {key} has too many writers at once; repeat later.")


def _is_from_before(line: bytes, moment: str) -> bool:
    """Whether it is an entry with a time, and from before this one."""
    return any("" < str(entry.get("at", "")) < moment for entry in _entries([line]))


def _append(records: Records, key: str, entries: Sequence[Entry], *, compared: int | None = _COMPARED) -> None:
    """Append those that are not among the last `compared` yet; None: among all. Raises StoreError."""
    for _ in range(_ATTEMPTS):
        record = records.read(key)
        before = record.data or b""
        lines = before.splitlines()
        present = {str(entry.get("id")) for entry in _entries(lines if compared is None else lines[-compared:])}
        lines = [msgspec.json.encode(entry) + b"\n" for entry in entries if str(entry.get("id")) not in present]
        if not lines:
            records.confirm(record)
            return
        try:
            records.write(key, before + b"".join(lines), record)
        except Conflict:
            continue
        return
    raise StoreError(f"The archive {key} has too many writers at once; repeat later.")


def _entries(lines: Sequence[bytes]) -> list[Entry]:
    """The entries of the lines; a damaged line is skipped."""
    found = []
    for line in lines:
        try:
            found.append(decode_as(line, Entry))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return found
