"""Changes of projects over the JSON API. Each may be repeated: one that is made already answers `changed: false`."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.administration.documents import (
    DeleteBody,
    Deleted,
    ProjectStatus,
    Selected,
    StatusBody,
    YankBody,
    Yanked,
    YankedFile,
)
from quire.catalog.served import ServedIndex
from quire.catalog.views import ProjectView
from quire.domain.changes import Selection, check_reason
from quire.domain.errors import ChangedMeanwhile, InvalidRequest, ReadOnlyFile
from quire.domain.project import File, Status
from quire.http.api.managing import managed, missing
from quire.http.api.messages import answered, received
from quire.http.api.v1_projects import deleted_of, etag_of, record_of
from quire.http.app.conditions import is_unchanged
from quire.http.app.problems import HttpError
from quire.http.app.worker import Worker
from quire.index.audit.entries import Origin
from quire.index.commits import Change
from quire.index.index import Guard
from quire.operations import changing
from quire.operations.changing import FixedFile


class _Meant(NamedTuple):
    """The project that a request is to change."""

    worker: Worker
    served: ServedIndex
    view: ProjectView
    fixed: list[FixedFile]
    guard: Guard | None
    """Of a request with `If-Match`."""
    origin: Origin

    @property
    def name(self) -> str:
        return self.view.name


async def yank(request: Request) -> Response:
    """POST yank."""
    body = await received(request, YankBody)
    reason, selection = check_reason(body.reason), _selection(body)
    meant = await _meant(request)
    await _check_exists(request, meant)
    work = partial(changing.yank, meant.served.hosted, meant.name, selection, meant.fixed, reason)
    return _yanked(await meant.worker.in_writer(work, origin=meant.origin, guard=meant.guard), selection)


async def unyank(request: Request) -> Response:
    """POST unyank."""
    selection = _selection(await received(request, Selected))
    meant = await _meant(request)
    await _check_exists(request, meant)
    work = partial(changing.unyank, meant.served.hosted, meant.name, selection, meant.fixed)
    return _yanked(await meant.worker.in_writer(work, origin=meant.origin, guard=meant.guard), selection)


async def delete(request: Request) -> Response:
    """POST delete."""
    body = await received(request, DeleteBody)
    named = body.version is not None or body.filename is not None
    if named == body.all:
        raise InvalidRequest('Name the version or the filename to delete, or send "all": true for the whole project.')
    selection = _selection(body) if named else Selection()
    meant = await _meant(request)
    record = record_of(meant.view)
    files = [each for each in record.files.values() if selection.includes(each)] if record is not None else []
    changing.check_selection(selection, meant.fixed, removes=True)
    if not files and await meant.worker.in_reader(_was_deleted, meant, selection):
        return answered(_deleted(meant.name, selection, (), body, changed=False))
    await _check_exists(request, meant)
    if body.dry_run:
        if not files:
            raise changing.nothing_selected(meant.name, selection)
        return answered(_deleted(meant.name, selection, files, body, changed=False))
    work = partial(changing.delete, meant.served.hosted, meant.name, selection, meant.fixed)
    to_trash = not body.no_trash
    change: Change = await meant.worker.in_writer(work, to_trash=to_trash, origin=meant.origin, guard=meant.guard)
    if body.no_trash:
        await meant.worker.in_writer(meant.served.hosted.remove_blobs, change.removed)
    else:
        meant.worker.remove_blobs_later(meant.served.hosted, change.removed)
    done = _deleted(meant.name, selection, change.unlisted, body, changed=change.changed)
    if change.is_in_trash:
        days = meant.worker.settings.trash_days
        done = msgspec.structs.replace(done, in_trash=True, freed=False, trash_days=days)
    return answered(done)


async def set_status(request: Request) -> Response:
    """POST status."""
    body = await received(request, StatusBody)
    check_reason(body.reason)
    meant = await _meant(request)
    await _check_exists(request, meant)
    if record_of(meant.view) is None:
        raise ReadOnlyFile(f"The project {meant.name} has drop-in files only; import them first ('quire import').")
    work = partial(changing.set_status, meant.served.hosted, meant.name, Status(body.status), body.reason)
    change: Change = await meant.worker.in_writer(work, origin=meant.origin, guard=meant.guard)
    after = change.after
    return answered(
        ProjectStatus(
            project=meant.name,
            status=str(after.status) if after is not None else body.status,
            reason=after.status_reason if after is not None else None,
            changed=change.changed,
        )
    )


async def _meant(request: Request) -> _Meant:
    """The project of a request that may change it. Raises HttpError 401, 403, ChangedMeanwhile, and StoreError."""
    worker, index, name, origin, guard = await managed(request)
    view = await index.project(name)
    fixed = [
        FixedFile(each.file.filename, each.file.version, view.files[each.file.filename] is not each, problem)
        for each in view.all_files()
        if (problem := each.removal_problem) is not None
    ]
    if "if-match" in request.headers:
        try:
            is_unchanged(request.headers, etag_of(view))
        except HttpError as error:
            raise ChangedMeanwhile(changing.CHANGED_MEANWHILE) from error
        guard = changing.both(guard, changing.only_of(record_of(view)))
    return _Meant(worker, index, view, fixed, guard, origin)


async def _check_exists(request: Request, meant: _Meant) -> None:
    if not meant.view.exists:
        raise await missing(request, meant.served, meant.name)


def _selection(body: Selected) -> Selection:
    if (body.version is None) == (body.filename is None):
        raise InvalidRequest("Name a version or a filename, one of the two.")
    return Selection(filename=body.filename, version=body.version)


def _was_deleted(meant: _Meant, selection: Selection) -> bool:
    """Blocks."""
    deleted = deleted_of(meant.served, meant.view) if meant.view.had_record else {}
    return changing.was_deleted(selection, deleted, has_files=bool(meant.view.files))


def _yanked(change: Change, selection: Selection) -> Response:
    files = [file for file in change.after.files.values() if selection.includes(file)] if change.after else []
    return answered(
        Yanked(
            project=change.name,
            selection=str(selection),
            changed=change.changed,
            files=[YankedFile(filename=each.filename, version=each.version, yanked=each.yanked) for each in files],
        )
    )


def _deleted(
    name: str, selection: Selection, files: tuple[File, ...] | list[File], body: DeleteBody, *, changed: bool
) -> Deleted:
    """`freed`: this worker gives the space back by itself when downloads under way had their time."""
    return Deleted(
        project=name,
        selection=str(selection),
        changed=changed,
        deleted=[each.filename for each in files],
        bytes=sum(each.size for each in files),
        freed=not body.dry_run,
        dry_run=body.dry_run,
    )
