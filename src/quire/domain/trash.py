"""The trash of a project: a document of deleted files that can be restored, and its changes. Pure.

It has the form of a project, so that everything that keeps and checks the files of projects (garbage collection,
`quire check`, copies of a store) does so with the trash, also in versions that do not know it. Its status is
quarantined: no version offers its files. Beside what the project's record had of a file, each entry says when it was
deleted, by which user, and how long it is kept. A filename has one entry, of its latest deletion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from quire.domain.changes import is_empty
from quire.domain.errors import DamagedRecord, FileExists
from quire.domain.project import File, Project, Status
from quire.domain.structs import convert_to
from quire.domain.times import exact_stamp

SUFFIX: Final = "_trash"
"""The trash of the index `main` is the index `main_trash`."""
MOST_FILES: Final = 20_000
"""Files in the trash of one project, beside those of its latest deletion. Older ones leave it before their time."""
_FIELD: Final = "trash"

T = TypeVar("T")


def trash_of(index: str) -> str:
    """The name of the trash of an index."""
    return f"{index}{SUFFIX}"


def is_trash(index: str) -> bool:
    """Whether the index of this name is the trash of another one."""
    return index.endswith(SUFFIX)


class _Deletion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Beside a file's entry."""

    at: str
    until: str
    by: str | None = None


class _Former(msgspec.Struct, frozen=True, omit_defaults=True):
    """The project at the latest deletion of its files."""

    status: Status = Status.ACTIVE
    status_reason: str | None = None
    unknown: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class TrashedFile:
    """A file in the trash."""

    file: File
    """As its project's record had it."""
    deleted: datetime
    until: datetime
    """When it leaves the trash."""
    by: str | None
    """The user who deleted it; None when that is not known."""


def files_of(trash: Project | None, key: str = "?") -> list[TrashedFile]:
    """The files in the trash of a project, the earliest deletion first. Raises DamagedRecord."""
    return [_trashed(file, key) for file in trash.files.values()] if trash is not None else []


def put(
    trash: Project | None,
    project: Project,
    files: Sequence[File],
    *,
    deleted: datetime,
    seconds: float,
    by: str | None,
) -> Project:
    """The trash with these files of the project, which are about to be deleted."""
    deletion = _Deletion(exact_stamp(deleted), exact_stamp(_later(deleted, seconds)), by)
    note = {_FIELD: msgspec.to_builtins(deletion)}
    added = {file.filename: msgspec.structs.replace(file, unknown=file.unknown | note) for file in files}
    earlier = {name: file for name, file in (trash.files if trash is not None else {}).items() if name not in added}
    for name in list(earlier)[: max(0, len(earlier) - MOST_FILES)]:
        del earlier[name]
    former = _Former(project.status, project.status_reason, project.unknown)
    kept = {name: value for name, value in (trash.unknown if trash is not None else {}).items() if name != _FIELD}
    after = Project(
        name=project.name,
        status=Status.QUARANTINED,
        files=earlier | added,
        unknown=kept | {_FIELD: msgspec.to_builtins(former)},
    )
    if trash is None:
        return after
    return msgspec.structs.replace(after, deleted=trash.deleted.with_listed(after.files))


def take(trash: Project | None, is_meant: Callable[[TrashedFile], bool], key: str = "?") -> Project | None:
    """The trash without some files; the very one that was given when it has none of them. Raises DamagedRecord."""
    gone = {each.file.filename for each in files_of(trash, key) if is_meant(each)}
    if trash is None or not gone:
        return trash
    files = {name: file for name, file in trash.files.items() if name not in gone}
    # without files it must be no project at all, so that its record goes
    return msgspec.structs.replace(trash, files=files) if files else Project(name=trash.name, deleted=trash.deleted)


def restore(
    project: Project | None,
    trash: Project,
    files: Sequence[File],
    *,
    existing: Mapping[str, File],
    key: str = "?",
) -> Project | None:
    """The project with files of its trash; the very one that was given when it has the same content of each.

    A project that is gone gets back its name and status. `existing`: the files listed beside the record (drop-ins).
    Raises FileExists when a name is taken by other content: then nothing is restored; DamagedRecord.
    """
    listed = dict(project.files) if project is not None else {}
    for file in files:
        present = listed.get(file.filename) or existing.get(file.filename)
        if present is None:
            listed[file.filename] = file
        elif present.sha256 != file.sha256:
            raise FileExists(
                f"The file {file.filename} already exists with other content (sha256 {present.sha256[:12]}..., "
                f"not {file.sha256[:12]}...), so nothing was restored; delete that file first, or restore others."
            )
    if project is not None and listed == project.files:
        return project
    if project is not None and not is_empty(project):
        return msgspec.structs.replace(project, files=listed, deleted=project.deleted.with_listed(listed))
    if not listed:
        return project
    former = _converted(trash.unknown.get(_FIELD, {}), _Former, key)
    restored = Project(
        name=trash.name,
        status=former.status,
        status_reason=former.status_reason,
        files=listed,
        unknown=former.unknown,
    )
    return (
        restored
        if project is None
        else msgspec.structs.replace(restored, deleted=project.deleted.with_listed(listed), owners=project.owners)
    )


def _trashed(file: File, key: str) -> TrashedFile:
    deletion = _converted(file.unknown.get(_FIELD), _Deletion, key)
    try:
        deleted, until = datetime.fromisoformat(deletion.at), datetime.fromisoformat(deletion.until)
    except ValueError as error:
        raise _damaged(key, error) from error
    if deleted.tzinfo is None or until.tzinfo is None:
        raise _damaged(key, "a time has no time zone")
    unknown = {name: value for name, value in file.unknown.items() if name != _FIELD}
    return TrashedFile(msgspec.structs.replace(file, unknown=unknown), deleted, until, deletion.by)


def _converted(value: object, kind: type[T], key: str) -> T:
    try:
        return convert_to(value, kind)
    except msgspec.ValidationError as error:
        raise _damaged(key, error) from error


def _damaged(key: str, reason: object) -> DamagedRecord:
    return DamagedRecord(f"The record {key} is not a trash document ({reason}); run 'quire check' to see it.")


def _later(moment: datetime, seconds: float) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() + seconds, UTC)
