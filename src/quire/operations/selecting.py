"""Changes of a project as commands and requests ask for them: whether it is there, which of its files are meant, what
is done, and what would be done. Each may be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quire.domain.changes import Selection
from quire.domain.errors import NoSuchProject, ReadOnlyFile
from quire.domain.project import File, Project, Status
from quire.index.audit.entries import Origin
from quire.index.commits import Change
from quire.index.index import Guard, Index
from quire.operations import changing
from quire.operations.changing import FixedFile


@dataclass(frozen=True, slots=True)
class Target:
    """A project that is to be changed, as it was a moment ago."""

    index: Index
    name: str
    """Normalized."""
    stored: Project | None
    """Its hosted files; None when it has none, and no status."""
    fixed: Sequence[FixedFile]
    """Those of its files that cannot be changed through the index."""
    origin: Origin | None = None
    guard: Guard | None = None
    """Called with the stored project in the step that changes it."""

    def check_exists(self) -> None:
        """Raises NoSuchProject."""
        if self.stored is None and not self.fixed:
            raise NoSuchProject(self.name)


@dataclass(frozen=True, slots=True)
class Deletion:
    """The effect of a deletion."""

    files: Sequence[File] = ()
    """That were deleted, or would be; none when they were deleted before."""
    changed: bool = False
    """False for one that would be made."""
    is_in_trash: bool = False
    removed: tuple[File, ...] = ()
    """Those whose bytes nothing names any more; the caller removes them (`Index.remove_blobs`). Fewer than `files`
    where that is left to collect_garbage."""


def yank(target: Target, selection: Selection, reason: str | None) -> Change:
    """Yank a file or a release (PEP 592). Raises NotFound, ReadOnlyFile, StoreError."""
    target.check_exists()
    return changing.yank(
        target.index, target.name, selection, target.fixed, reason, origin=target.origin, guard=target.guard
    )


def unyank(target: Target, selection: Selection) -> Change:
    """Take the yanked mark away. Raises NotFound, ReadOnlyFile, StoreError."""
    target.check_exists()
    return changing.unyank(target.index, target.name, selection, target.fixed, origin=target.origin, guard=target.guard)


def delete(target: Target, selection: Selection, *, to_trash: bool, dry_run: bool = False) -> Deletion:
    """Delete a file, a release, or a project. `to_trash`: see `Index.delete`. `dry_run`: only say what would be done.

    Raises NotFound for files that the project never had, ReadOnlyFile, StoreError.
    """
    changing.check_selection(selection, target.fixed, removes=True)
    hosted = target.stored.files.values() if target.stored is not None else ()
    files = [file for file in hosted if selection.includes(file)]
    if not files:
        has_files = bool(target.fixed) or bool(hosted)
        if changing.was_deleted(selection, target.index.deleted(target.name), has_files=has_files):
            return Deletion()
        target.check_exists()
        raise changing.nothing_selected(target.name, selection)
    if dry_run:
        return Deletion(files)
    change = changing.delete(
        target.index,
        target.name,
        selection,
        target.fixed,
        to_trash=to_trash,
        origin=target.origin,
        guard=target.guard,
    )
    return Deletion(change.unlisted, change.changed, change.is_in_trash, change.removed)


def set_status(target: Target, status: Status, reason: str | None) -> Change:
    """Set a project's status (PEP 792). Raises NotFound, ReadOnlyFile, StoreError."""
    target.check_exists()
    if target.stored is None:
        raise only_drop_ins(target.name)
    return changing.set_status(target.index, target.name, status, reason, origin=target.origin, guard=target.guard)


def only_drop_ins(name: str) -> ReadOnlyFile:
    """The error for a change of a project that has nothing in the store."""
    return ReadOnlyFile(f"The project {name} has drop-in files only; import them first ('quire import').")
