"""One change as the log has it, and the entries that a record carries."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from quire.domain.changes import present
from quire.domain.errors import DamagedRecord
from quire.domain.project import File, Project, Status
from quire.domain.structs import decode_as
from quire.domain.tombstones import NONE, Tombstones
from quire.store.contracts import Record

Entry = dict[str, Any]
"""One change, as its JSON object; fields that this version does not know are kept. See `make_entry`."""

MOST_FILES = 1000
"""Files that an entry names; of more, `more_files` has the number."""
_TEXT = 200
_USER = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a change. None: not known. Only for the log: no decision depends on it."""

    user: str | None = None
    """The user who logged in; on the command line, the user of the system."""
    token: str | None = None
    """The id of the token by which the user was known; a token that stands for itself is the user `token:ID`."""
    address: str | None = None
    """The client's address, as far as proxies are trusted."""
    agent: str | None = None
    """The User-Agent that the client sent."""
    request: str | None = None
    """The id of the request, as in the log of the server."""
    command: str | None = None
    """The command that was run on the store, such as `quire yank`."""
    host: str | None = None
    """The machine on which it was run."""
    job: Mapping[str, str] | None = None
    """The CI job of a trusted publisher: its platform, repository, workflow, run and commit."""


class _Carrying(msgspec.Struct):
    """The part of a document, or of a deletion's note, that matters here."""

    log: list[Entry] = []


class _Note(msgspec.Struct):
    """The part of a deletion's note that says to which principals the project belongs."""

    owners: tuple[str, ...] = ()


def entries_of(record: Record) -> list[Entry]:
    """The entries that a record carries, the oldest first; those of its last deletion when it is absent.

    A value that is no list of objects (the record was edited by hand) counts as none.
    """
    document = record.data if record.data is not None else record.note
    if document is None:
        return []
    try:
        return decode_as(document, _Carrying).log
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []


def encode_note(entries: Sequence[Entry], deleted: Tombstones = NONE, owners: Sequence[str] = ()) -> bytes:
    """The note that a deletion leaves in the record's place."""
    owned = {"owners": owners} if owners else {}
    return msgspec.json.format(msgspec.json.encode({**deleted.document(), **owned, "log": entries}), indent=1) + b"\n"


def owners_of_note(note: bytes, key: str = "?") -> tuple[str, ...]:
    """The owners of a project that is deleted. Raises DamagedRecord."""
    try:
        return decode_as(note, _Note).owners
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedRecord(f"The note of the record {key} does not say which owners it has ({error}).") from error


def make_entry(
    action: str, before: Project | None, after: Project | None, origin: Origin, earlier: Sequence[Entry]
) -> Entry:
    """The entry of a change from `before` to `after`; `earlier`: the entries of the project so far.

    Fields that have nothing to say are left out: id, revision (1 for the first change that was logged), at (RFC 3339,
    UTC, microseconds), action, user, by_token, address, agent, request, command, host, job, files (filename, version,
    sha256; `replaced`, the sha256 of the content before; `same` of a publication that changed what is beside a listed
    file), more_files, status, reason, owners (all of
    them, where they changed).
    """
    had = before.owners if before is not None else ()
    has = after.owners if after is not None else ()
    before, after = present(before), present(after)
    entry: Entry = {
        "id": secrets.token_hex(8),
        "revision": next_revision(earlier),
        "at": timestamp(),
        "action": action,
        **describe_origin(origin),
    }
    changed = _changed_files(before, after)
    if changed:
        entry["files"] = [_described(action, old, new) for old, new in changed[:MOST_FILES]]
    if len(changed) > MOST_FILES:
        entry["more_files"] = len(changed) - MOST_FILES
    if action == "yank" and changed and changed[0][1] is not None and isinstance(changed[0][1].yanked, str):
        entry["reason"] = changed[0][1].yanked
    if after is not None and (
        before is None or (before.status, before.status_reason) != (after.status, after.status_reason)
    ):
        if before is not None or action == "status" or after.status is not Status.ACTIVE:
            entry["status"] = str(after.status)
        if after.status_reason is not None:
            entry["reason"] = after.status_reason
    if had != has:
        entry["owners"] = list(has)
    return entry


def describe_origin(origin: Origin) -> Entry:
    """The fields of an entry that say where a change came from; those that have nothing to say are left out."""
    texts = {
        "user": origin.user and origin.user[:_USER],
        "by_token": origin.token,
        "address": origin.address,
        "agent": origin.agent,
        "request": origin.request,
        "command": origin.command,
        "host": origin.host,
    }
    described: Entry = {name: _shortened(text) for name, text in texts.items() if text}
    if origin.job:
        described["job"] = {name: _shortened(text) for name, text in origin.job.items()}
    return described


def _shortened(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:_TEXT]


def timestamp() -> str:
    """Now, as PEP 700's upload-time has it: RFC 3339 in UTC with microseconds."""
    # strftime takes twenty times as long
    return f"{datetime.now(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def as_logged(when: datetime) -> str:
    """A time as `timestamp` has it, to be compared with entries; in UTC if it has no offset. Raises OverflowError."""
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def next_revision(earlier: Sequence[Entry]) -> int:
    """The number of the change after these."""
    last = earlier[-1].get("revision") if earlier else 0
    return last + 1 if isinstance(last, int) else 1


def _changed_files(before: Project | None, after: Project | None) -> list[tuple[File | None, File | None]]:
    """(before, after) of every file that is not what it was, in the order of the filenames' publication."""
    old: Mapping[str, File] = before.files if before is not None else {}
    new: Mapping[str, File] = after.files if after is not None else {}
    gone: list[tuple[File | None, File | None]] = [(file, None) for name, file in old.items() if name not in new]
    return gone + [(old.get(name), file) for name, file in new.items() if old.get(name) != file]


def _described(action: str, old: File | None, new: File | None) -> Entry:
    file = new or old
    assert file is not None
    described: Entry = {"filename": file.filename, "version": file.version, "sha256": file.sha256}
    if old is not None and new is not None:
        if old.sha256 != new.sha256:
            described["replaced"] = old.sha256
        elif action == "publish":
            described["same"] = True
    return described
