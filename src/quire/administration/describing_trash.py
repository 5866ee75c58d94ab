"""Documents of the trash, the same for servers and commands."""

from __future__ import annotations

from collections.abc import Sequence

from quire.administration.trash_documents import Emptied, RemovedFile, Restored, TrashEntry
from quire.domain.project import File
from quire.domain.times import stamp
from quire.operations.trash import Trashed


def trash_entry(found: Trashed) -> TrashEntry:
    """A file in the trash."""
    file = found.entry.file
    is_listed = found.listed is not None
    is_same = found.listed is not None and found.listed.sha256 == file.sha256
    return TrashEntry(
        project=found.project,
        filename=file.filename,
        version=file.version,
        size=file.size,
        sha256=file.sha256,
        deleted=stamp(found.entry.deleted),
        deleted_by=found.entry.by,
        until=stamp(found.entry.until),
        taken=is_listed and not is_same,
        published=is_same,
    )


def restored_of(project: str, filenames: Sequence[str], *, dry_run: bool) -> Restored:
    """The effect of a restoration."""
    return Restored(project=project, dry_run=dry_run, restored=list(filenames), changed=bool(filenames) and not dry_run)


def emptied_of(project: str, removed: Sequence[File], *, dry_run: bool) -> Emptied:
    """The files that were removed from the trash."""
    return Emptied(
        project=project,
        dry_run=dry_run,
        removed=[RemovedFile(project=project, filename=file.filename, size=file.size) for file in removed],
        bytes=sum(file.size for file in removed),
        changed=bool(removed) and not dry_run,
    )
