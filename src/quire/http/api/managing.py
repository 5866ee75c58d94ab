"""Shared by the requests that are about one project and need the right to manage it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from starlette.requests import Request

from quire.access.authorization import ALLOWED, NO_GRANTS, Right
from quire.catalog.served import ServedIndex
from quire.domain.errors import NoSuchProject
from quire.domain.names import normalize_name
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.index.audit.entries import Origin
from quire.index.index import Guard
from quire.operations.missing import no_such_project, similar


class Managed(NamedTuple):
    """The project of a request, which its sender may manage."""

    worker: Worker
    served: ServedIndex
    name: str
    """Normalized."""
    origin: Origin
    guard: Guard | None
    """Decides by the project's record in the step that changes it; None where projects have no owners."""


async def managed(request: Request, right: Right = Right.MANAGE) -> Managed:
    """`right`: what the request needs on the project. Raises HttpError 401, 403, InvalidName, and StoreError."""
    worker, index = worker_of(request), index_of(request)
    name = normalize_name(request.path_params["name"])
    permit = await worker.access.check_change(request, right, index.name, name)
    context = context_of(request.scope)
    context.project, context.action = name, request.url.path.rpartition("/")[2]
    if permit.guard is not None:  # so a sender without the right learns nothing of the project
        permit.guard(await worker.in_reader(index.hosted.stored, name))
    return Managed(worker, index, name, origin_of(request, context.user, worker.proxies), permit.guard)


async def missing(
    request: Request, index: ServedIndex, name: str, further: Callable[[], Iterable[str]] = tuple
) -> NoSuchProject:
    """The error for a name without a project, with the name that was probably meant: of those that the sender may
    read, or of deleted projects whose trash it may read.

    `further`: names beside those of the projects, such as those of deleted ones. It blocks.
    """
    worker, context = worker_of(request), context_of(request.scope)
    if not await worker.access.has(request, Right.LIST, index.name):
        return NoSuchProject(name)
    names, state = await index.own_names(), context.decided_by or NO_GRANTS
    inspects = partial(worker.access.rules.authorize, context.principal, Right.INSPECT, index.name, state=state)

    def found() -> NoSuchProject:
        others = [each for each in similar(name, sorted(further())) if inspects(each) is ALLOWED]
        return no_such_project(name, sorted({*names, *others}))

    return await worker.for_large_page(found)


@asynccontextmanager
async def suggesting(
    request: Request, index: ServedIndex, further: Callable[[], Iterable[str]] = tuple
) -> AsyncIterator[None]:
    """With the name that was probably meant in the error for one without a project. `further`: as for `missing`."""
    try:
        yield
    except NoSuchProject as error:
        raise await missing(request, index, error.project, further) from None
