"""Changes to what is published: whether it may be changed, the change, and its line in the log.

Requests, commands and the work on a whole index (import, update, check) change projects through this module alone, so
all have the same checks, the same entry in the audit log, the same line in the server's log and the same errors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from quire.domain.changes import Selection, present
from quire.domain.errors import ChangedMeanwhile, NotFound, ReadOnlyFile
from quire.domain.names import guess_filename, same_version
from quire.domain.project import File, Project, Status
from quire.domain.promotions import without_pending
from quire.domain.quotas import UNLIMITED, Quotas
from quire.domain.trash import TrashedFile
from quire.index.audit.entries import Entry, Origin
from quire.index.commits import Change, Transition
from quire.index.index import Guard, Index
from quire.index.upload import Upload

log = structlog.stdlib.get_logger(__name__)


CHANGED_MEANWHILE: Final = "The project is not as it was any more, and nothing was done; look at it again."


class FixedFile(NamedTuple):
    """A file that is served, but cannot be changed through the index: a drop-in."""

    filename: str
    version: str
    is_hidden: bool
    """Whether a hosted file of the same name is listed in its place."""
    problem: str
    """Why it cannot be changed, and what to do, in a sentence."""


def nothing_selected(project: str, selection: Selection) -> NotFound:
    """The error for a selection that has no hosted file."""
    if selection == Selection():
        return NotFound(f"The project {project} has no files.")
    return NotFound(f"The project {project} does not have {selection}.")


def was_deleted(selection: Selection, deleted: Collection[str], *, has_files: bool) -> bool:
    """Whether all that a selection of no listed file can mean was deleted before.

    `deleted`: filenames. `has_files`: whether the project lists any file.
    """
    if selection.filename is not None:
        return selection.filename in deleted
    if selection.version is None:
        return bool(deleted) and not has_files
    parsed = (guess_filename(filename) for filename in deleted)
    return any(each is not None and same_version(each.version, selection.version) for each in parsed)


def only_of(seen: Project | None) -> Guard:
    """A guard that lets a change pass if the stored project is still as the client has seen it."""

    def check(project: Project | None) -> None:
        if present(None if project is None else without_pending(project)) != seen:
            raise ChangedMeanwhile(CHANGED_MEANWHILE)

    return check


def both(first: Guard | None, second: Guard) -> Guard:
    """A guard that lets a change pass if both do."""

    def check(project: Project | None) -> None:
        if first is not None:
            first(project)
        second(project)

    return check


def check_selection(selection: Selection, fixed: Iterable[FixedFile], *, removes: bool = False) -> None:
    """Refuse a change of which a part cannot be made: nothing is changed then.

    `removes`: whether a hidden file would be seen afterwards, as after the removal of the file that hides it.
    Raises ReadOnlyFile.
    """
    for each in fixed:
        is_meant = selection.filename in {None, each.filename} and (
            selection.version is None or same_version(selection.version, each.version)
        )
        if is_meant and (removes or not each.is_hidden):
            raise ReadOnlyFile(each.problem)


def publish(
    index: Index,
    uploads: Sequence[Upload],
    *,
    overwrite: bool = False,
    existing: Mapping[str, File] | None = None,
    imported: bool = False,
    quotas: Quotas = UNLIMITED,
    origin: Origin | None = None,
    guard: Guard | None = None,
    owner: str | None = None,
) -> Change:
    """Publish distributions of one project in one step. `existing`: files that are served besides.

    `imported`: they are not new, so fewer rules apply. `quotas`: those of requests; commands on the store have none.
    See `Index.publish` for more, and for the errors.
    """
    change = index.publish(
        uploads,
        overwrite=overwrite,
        existing=existing,
        imported=imported,
        quotas=quotas,
        origin=origin,
        guard=guard,
        owner=owner,
    )
    before = change.before.files if change.before is not None else {}
    after = change.after.files if change.after is not None else {}
    for upload in uploads:
        filename = upload.parsed.filename
        if before.get(filename) != after.get(filename):
            size = upload.staged.size
            log.info("published", project=change.name, file=filename, size=size, **_asker(index, origin))
        else:
            log.info("already published", project=change.name, file=filename, **_asker(index, origin))
    return change


def delete(
    index: Index,
    project: str,
    selection: Selection,
    fixed: Iterable[FixedFile],
    *,
    to_trash: bool = True,
    with_status: bool = False,
    origin: Origin | None = None,
    guard: Guard | None = None,
) -> Change:
    """Delete a file, a release, or a project. `to_trash`, `with_status`: see `Index.delete`. Raises NotFound,
    ReadOnlyFile, StoreError.
    """
    check_selection(selection, fixed, removes=True)
    change = index.delete(project, selection, to_trash=to_trash, with_status=with_status, origin=origin, guard=guard)
    _log_selection("deleted", index, origin, project, selection)
    return change


def restore(
    index: Index,
    project: str,
    is_meant: Callable[[TrashedFile], bool],
    *,
    existing: Mapping[str, File] | None = None,
    quotas: Quotas = UNLIMITED,
    origin: Origin | None = None,
    guard: Guard | None = None,
) -> Change:
    """Publish files of the trash again, all or none. `existing`: files that are served besides. `quotas`: as above.

    Raises NotFound, FileExists, QuotaExceeded, StoreError; see `Index.restore`.
    """
    change = index.restore(project, is_meant, existing=existing, quotas=quotas, origin=origin, guard=guard)
    before = change.before.files if change.before is not None else {}
    for filename in change.after.files if change.after is not None else ():
        if filename not in before:
            log.info("restored", project=change.name, file=filename, **_asker(index, origin))
    return change


def empty_trash(
    index: Index,
    project: str,
    is_meant: Callable[[TrashedFile], bool],
    *,
    is_over: bool = False,
    origin: Origin | None = None,
) -> tuple[File, ...]:
    """Remove files from the trash of a project for good; those that were in it. `is_over`: because their time is over.

    Raises StoreError.
    """
    removed = index.empty_trash(project, is_meant, action="expire" if is_over else "empty", origin=origin)
    for file in removed:
        log.info(
            "expired in the trash" if is_over else "removed from the trash",
            project=project,
            file=file.filename,
            **_asker(index, origin),
        )
    return removed


def yank(
    index: Index,
    project: str,
    selection: Selection,
    fixed: Iterable[FixedFile],
    reason: str | None = None,
    *,
    origin: Origin | None = None,
    guard: Guard | None = None,
) -> Change:
    """Yank a file or a release (PEP 592). Raises NotFound, ReadOnlyFile, StoreError."""
    check_selection(selection, fixed)
    change = index.yank(project, selection, reason, origin=origin, guard=guard)
    if change.changed:
        _log_selection("yanked", index, origin, project, selection)
    return change


def unyank(
    index: Index,
    project: str,
    selection: Selection,
    fixed: Iterable[FixedFile],
    *,
    origin: Origin | None = None,
    guard: Guard | None = None,
) -> Change:
    """Take the yanked mark away. Raises NotFound, ReadOnlyFile, StoreError."""
    check_selection(selection, fixed)
    change = index.unyank(project, selection, origin=origin, guard=guard)
    if change.changed:
        _log_selection("unyanked", index, origin, project, selection)
    return change


def set_status(
    index: Index,
    project: str,
    status: Status,
    reason: str | None = None,
    *,
    origin: Origin | None = None,
    guard: Guard | None = None,
) -> Change:
    """Set a project's status (PEP 792). Raises NotFound, StoreError."""
    change = index.set_status(project, status, reason, origin=origin, guard=guard)
    if change.changed:
        log.info("status set", project=project, status=str(status), **_asker(index, origin))
    return change


def repair(index: Index, project: str, transition: Transition, *, origin: Origin | None = None) -> Change:
    """Make a change that only a repair makes; see `Index.amend`. Raises StoreError, and the errors of `transition`."""
    change = index.amend(project, transition, origin=origin)
    if change.changed:
        log.info("repaired", project=change.name, **_asker(index, origin))
    return change


def carry(
    index: Index,
    project: str,
    transition: Transition,
    history: Sequence[Entry],
    *,
    follows: bool,
    until: float,
    origin: Origin | None = None,
) -> Change:
    """Take over a project from another store; see `Index.carry`. Raises StoreError, and the errors of `transition`."""
    change = index.carry(project, transition, history, follows=follows, origin=origin, until=until)
    if change.changed:
        log.info("imported", project=change.name, **_asker(index, origin))
    return change


def _log_selection(event: str, index: Index, origin: Origin | None, project: str, selection: Selection) -> None:
    fields = {"project": project, "what": str(selection)}
    if selection.version is not None:
        fields["version"] = selection.version
    log.info(event, **fields, **_asker(index, origin))


def _asker(index: Index, origin: Origin | None) -> dict[str, str | None]:
    """The author of a change: the user, and the request where it came by one."""
    origin = origin or index.origin
    request = {"request": origin.request} if origin.request is not None else {}
    return {"user": origin.user, **request}
