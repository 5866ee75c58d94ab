"""The trash as its users see it: what is in it, its restoration and its emptying. For commands and requests.

Each change may be repeated: files that are published again already, or were removed already, are nothing to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from quire.domain import trash as documents
from quire.domain.changes import Selection
from quire.domain.errors import NoSuchProject, NotFound
from quire.domain.names import guess_filename, same_version
from quire.domain.project import File, Project
from quire.domain.quotas import UNLIMITED, Quotas, check_project
from quire.domain.trash import TrashedFile
from quire.index.audit.entries import Origin
from quire.index.index import Guard, Index
from quire.operations import changing


@dataclass(frozen=True, slots=True)
class TrashFilter:
    """Which files of the trash of a project are meant: those for which each field holds."""

    selection: Selection
    by: str | None = None
    """The user that deleted them."""
    before: datetime | None = None
    """Deleted until then."""
    since: datetime | None = None
    """Deleted from then on."""

    def includes(self, each: TrashedFile) -> bool:
        """Whether a file is meant."""
        return (
            self.selection.includes(each.file)
            and (self.by is None or each.by == self.by)
            and (self.before is None or each.deleted <= self.before)
            and (self.since is None or each.deleted >= self.since)
        )


class Trashed(NamedTuple):
    """A file in the trash, beside what is published under its name now."""

    project: str
    entry: TrashedFile
    listed: File | None
    """None when nothing is published under its name."""


def find(index: Index, name: str, filter_: TrashFilter) -> list[Trashed]:
    """The files in the trash of a project, by filename. Raises DamagedRecord, StoreError."""
    found = [each for each in index.trash.files(name) if filter_.includes(each)]
    project = index.project(name) if found else None
    listed = project.files if project is not None else {}
    found.sort(key=lambda each: each.file.filename)
    return [Trashed(name, each, listed.get(each.file.filename)) for each in found]


def check_known(index: Index, name: str) -> None:
    """Raises NoSuchProject for a project that never had a file in the store, and StoreError."""
    if index.project(name) is None and not index.deleted(name):
        raise NoSuchProject(name)


def restore(
    index: Index,
    name: str,
    filter_: TrashFilter,
    *,
    existing: Mapping[str, File],
    dry_run: bool = False,
    quotas: Quotas = UNLIMITED,
    origin: Origin | None = None,
    guard: Guard | None = None,
) -> tuple[str, ...]:
    """Publish files of the trash again, all or none; their filenames. None of them when they are published already.

    `existing`: files that are served besides. `dry_run`: only say which would be published.
    Raises NotFound when they are neither in the trash nor published, FileExists, QuotaExceeded, StoreError; see
    `Index.restore`.
    """
    before: Project | None
    after: Project | None
    if not find(index, name, filter_):
        _check_published(index, name, filter_)
        return ()
    if dry_run:
        before, document = index.project(name), index.trash.document(name)
        chosen = [each.file for each in documents.files_of(document) if filter_.includes(each)]
        after = documents.restore(before, document, chosen, existing=existing) if document is not None else before
        if quotas.project is not None and after is not None:
            check_project(before, after, quotas.project)
    else:
        try:
            change = changing.restore(
                index, name, filter_.includes, existing=existing, quotas=quotas, origin=origin, guard=guard
            )
        except NotFound:
            if find(index, name, filter_):
                raise  # its bytes are lost
            _check_published(index, name, filter_)
            return ()  # another one has restored them meanwhile
        before, after = change.before, change.after
    present = before.files if before is not None else {}
    return tuple(filename for filename in (after.files if after is not None else ()) if filename not in present)


def empty(
    index: Index, name: str, filter_: TrashFilter, *, dry_run: bool = False, origin: Origin | None = None
) -> tuple[File, ...]:
    """Remove files from the trash of a project for good; those that were in it.

    `dry_run`: only say which would be removed. Raises NotFound for files that the project never had, StoreError.
    """
    found = find(index, name, filter_)
    if not found:
        check_known(index, name)
        project = index.project(name)
        known = {*index.deleted(name), *(project.files if project is not None else ())}
        if not any(_may_mean(filter_.selection, filename) for filename in known):
            raise _nothing(name)
    if dry_run or not found:
        return tuple(each.entry.file for each in found)
    return changing.empty_trash(index, name, filter_.includes, origin=origin)


def _check_published(index: Index, name: str, filter_: TrashFilter) -> None:
    """Raises NotFound when files that are not in the trash are not published either: they are gone for good."""
    check_known(index, name)
    project = index.project(name)
    if project is None or not any(filter_.selection.includes(file) for file in project.files.values()):
        raise _nothing(name)


def _may_mean(selection: Selection, filename: str) -> bool:
    if selection.filename is not None:
        return selection.filename == filename
    if selection.version is None:
        return True
    parsed = guess_filename(filename)
    return parsed is not None and same_version(parsed.version, selection.version)


def _nothing(name: str) -> NotFound:
    return NotFound(f"The trash has no such file of {name}; 'quire trash list {name}' shows what it has.")
