"""Changes of projects over the JSON API. Each may be repeated: one that is made already answers `changed: false`."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from quire.administration.describing_changes import deletion_of, status_of, yanked_of
from quire.administration.documents import DeleteBody, Selected, StatusBody, YankBody
from quire.catalog.hosted import record_of
from quire.catalog.served import ServedIndex
from quire.domain.changes import Selection, check_reason
from quire.domain.errors import ChangedMeanwhile, InvalidRequest
from quire.domain.project import Status
from quire.http.api.managing import managed, suggesting
from quire.http.api.messages import answered, received
from quire.http.api.v1_projects import etag_of
from quire.http.app.conditions import is_unchanged
from quire.http.app.problems import HttpError
from quire.http.app.worker import Worker
from quire.operations import changing, selecting
from quire.operations.changing import FixedFile
from quire.operations.selecting import Target


class _Meant(NamedTuple):
    """The project that a request is to change."""

    worker: Worker
    served: ServedIndex
    target: Target


async def yank(request: Request) -> Response:
    """POST yank."""
    body = await received(request, YankBody)
    reason, selection = check_reason(body.reason), _selection(body)
    worker, served, target = await _meant(request)
    async with suggesting(request, served):
        change = await worker.in_writer(selecting.yank, target, selection, reason)
    return answered(yanked_of(change, selection))


async def unyank(request: Request) -> Response:
    """POST unyank."""
    selection = _selection(await received(request, Selected))
    worker, served, target = await _meant(request)
    async with suggesting(request, served):
        change = await worker.in_writer(selecting.unyank, target, selection)
    return answered(yanked_of(change, selection))


async def delete(request: Request) -> Response:
    """POST delete."""
    body = await received(request, DeleteBody)
    named = body.version is not None or body.filename is not None
    if named == body.all:
        raise InvalidRequest('Name the version or the filename to delete, or send "all": true for the whole project.')
    selection = _selection(body) if named else Selection()
    worker, served, target = await _meant(request)
    async with suggesting(request, served):
        done = await worker.in_writer(
            selecting.delete, target, selection, to_trash=not body.no_trash, dry_run=body.dry_run
        )
    if body.no_trash:
        await worker.in_writer(served.hosted.remove_blobs, done.removed)
    else:
        worker.remove_blobs_later(served.hosted, done.removed)
    # this worker gives the space back by itself when downloads under way had their time
    freed, trash_days = not body.dry_run, worker.settings.trash_days
    return answered(deletion_of(target.name, selection, done, dry_run=body.dry_run, freed=freed, trash_days=trash_days))


async def set_status(request: Request) -> Response:
    """POST status."""
    body = await received(request, StatusBody)
    check_reason(body.reason)
    worker, served, target = await _meant(request)
    async with suggesting(request, served):
        change = await worker.in_writer(selecting.set_status, target, Status(body.status), body.reason)
    return answered(status_of(target.name, change.after, changed=change.changed))


async def _meant(request: Request) -> _Meant:
    """The project of a request that may change it. Raises HttpError 401, 403, ChangedMeanwhile, and StoreError."""
    worker, index, name, origin, guard = await managed(request)
    whole = await index.project(name)
    view = index.own(whole)
    fixed = [
        FixedFile(each.file.filename, each.file.version, view.files[each.file.filename] is not each, problem)
        for each in view.all_files()
        if (problem := each.removal_problem) is not None
    ]
    if "if-match" in request.headers:
        try:
            is_unchanged(request.headers, etag_of(whole))
        except HttpError as error:
            raise ChangedMeanwhile(changing.CHANGED_MEANWHILE) from error
        guard = changing.both(guard, changing.only_of(record_of(view)))
    return _Meant(worker, index, Target(index.hosted, name, record_of(view), fixed, origin, guard))


def _selection(body: Selected) -> Selection:
    if (body.version is None) == (body.filename is None):
        raise InvalidRequest("Name a version or a filename, one of the two.")
    return Selection(filename=body.filename, version=body.version)
