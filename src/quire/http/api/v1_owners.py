"""The owners of a project over the JSON API: for its owners, and for people that manage it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import Right
from quire.administration.documents import OwnerBody, Owners
from quire.catalog.served import ServedIndex
from quire.domain.names import normalize_name
from quire.domain.project import Project
from quire.http.api.managing import missing
from quire.http.api.messages import answered, received
from quire.http.app.access import Permit
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.operations import owning
from quire.operations.selecting import only_drop_ins


async def owners(request: Request) -> Response:
    """GET owners."""
    index, project, _ = await _owned(request)
    return await _answer(request, index, project.owners, changed=False)


async def add_owner(request: Request) -> Response:
    """POST owners/add: the same owner once more changes nothing."""
    body = await received(request, OwnerBody)
    index, before, permit = await _owned(request, changes=True)
    work = partial(owning.add_owner, index.hosted, _name(request), body.subject, guard=permit.guard)
    return await _change(request, index, before, work)


async def remove_owner(request: Request) -> Response:
    """POST owners/remove. The last one is removed by an administrator, or with `force`."""
    body = await received(request, OwnerBody)
    index, before, permit = await _owned(request, changes=True)
    may_be_last = body.force or permit.is_admin
    work = partial(
        owning.remove_owner, index.hosted, _name(request), body.subject, may_be_last=may_be_last, guard=permit.guard
    )
    return await _change(request, index, before, work)


async def _owned(request: Request, *, changes: bool = False) -> tuple[ServedIndex, Project, Permit]:
    """The project, also one whose files are all deleted, and the right to change it. Raises HttpError 401, 403.

    Where projects are shared, only an administrator sets owners, for the time when they will be owned: each user that
    manages projects could take them otherwise.
    """
    worker, index, name = worker_of(request), index_of(request), _name(request)
    right = Right.MANAGE if changes else Right.INSPECT
    permit = await worker.access.check_change(request, right, index.name, name)
    project: Project | None = await worker.in_reader(index.hosted.stored, name)
    if permit.guard is not None:
        permit.guard(project)
    elif changes:
        await worker.access.check(request, Right.ADMIN, index.name, name)
    if project is None:
        if (await index.project(name)).exists:
            raise only_drop_ins(name)
        raise await missing(request, index, name)
    return index, project, permit


async def _change(request: Request, index: ServedIndex, before: Project, work: partial[tuple[str, ...]]) -> Response:
    worker, context = worker_of(request), context_of(request.scope)
    context.project, context.action = _name(request), work.func.__name__.replace("_", "-")
    after = await worker.in_writer(work, origin=origin_of(request, context.user, worker.proxies))
    return await _answer(request, index, after, changed=after != before.owners)


async def _answer(request: Request, index: ServedIndex, found: Sequence[str], *, changed: bool) -> Response:
    worker: Worker = worker_of(request)
    count = (await worker.access.state()).has_owned_projects(index.name)
    return answered(Owners(project=_name(request), owners=list(found), changed=changed, count=count))


def _name(request: Request) -> str:
    return normalize_name(request.path_params["name"])
