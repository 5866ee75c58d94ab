"""The trash over the JSON API: a page at a time, by project and filename; restoring and emptying one project's.

So a page reads the records of a few projects, and a request changes one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import Right
from quire.administration.describing_trash import emptied_of, restored_of, trash_entry
from quire.administration.trash_documents import TrashBody, TrashEntry, TrashPage
from quire.catalog.served import ServedIndex
from quire.domain.changes import Selection
from quire.http.api.managing import managed, suggesting
from quire.http.api.messages import answered, limit_of, moment_of, received
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.quotas import quotas_of
from quire.operations import trash as operations
from quire.operations.trash import TrashFilter

_MOST_READ = 500
"""Projects whose trash one page reads; it may have few entries, or none."""
_MOST_READ_FAR = 100
"""The same where each takes a round trip or more."""


async def trash(request: Request) -> Response:
    """GET the trash of all projects."""
    worker, index, limit, filter_ = worker_of(request), index_of(request), limit_of(request), _asked_for(request)
    names = (await worker.in_reader(index.hosted.trash.names)).names
    cursor = request.query_params.get("cursor", "")
    return answered(await worker.for_large_page(_page, index, names, filter_, cursor, limit))


async def project_trash(request: Request) -> Response:
    """GET the trash of one project."""
    limit, filter_ = limit_of(request), _asked_for(request)
    worker, index, name, *_ = await managed(request, Right.INSPECT)
    cursor = request.query_params.get("cursor", "")
    page = await worker.for_large_page(_page, index, (name,), filter_, cursor, limit)
    if not page.files:
        async with _suggesting(request, index):
            await worker.in_reader(operations.check_known, index.hosted, name)
    return answered(page)


async def restore(request: Request) -> Response:
    """POST trash/restore."""
    body = await received(request, TrashBody)
    filter_ = _filter(body)
    worker, index, name, origin, guard = await managed(request)
    await worker.access.check_namespace(request, index.name, name)
    quotas = quotas_of(request, index)

    def work() -> tuple[str, ...]:
        return operations.restore(
            index.hosted,
            name,
            filter_,
            existing=index.existing_files(name),
            dry_run=body.dry_run,
            quotas=quotas,
            origin=origin,
            guard=guard,
        )

    async with _suggesting(request, index):
        restored = await worker.in_writer(work)
    return answered(restored_of(name, restored, dry_run=body.dry_run))


async def empty(request: Request) -> Response:
    """POST trash/empty."""
    body = await received(request, TrashBody)
    filter_ = _filter(body)
    worker, index, name, origin, _ = await managed(request)
    async with _suggesting(request, index):
        removed = await worker.in_writer(
            operations.empty, index.hosted, name, filter_, dry_run=body.dry_run, origin=origin
        )
    return answered(emptied_of(name, removed, dry_run=body.dry_run))


def _suggesting(request: Request, index: ServedIndex) -> AbstractAsyncContextManager[None]:
    return suggesting(request, index, lambda: index.hosted.trash.names().names)


def _page(index: ServedIndex, names: Sequence[str], filter_: TrashFilter, cursor: str, limit: int) -> TrashPage:
    """Blocks. The files behind a cursor, which is the last project and filename of the page before."""
    after, _, filename = cursor.partition("/")
    hosted = index.hosted
    begin = bisect_left(names, after)
    end = begin + (_MOST_READ if hosted.store.validates_inline else _MOST_READ_FAR)
    files: list[TrashEntry] = []
    for name in names[begin:end]:
        for found in operations.find(hosted, name, filter_):
            if name == after and found.entry.file.filename <= filename:
                continue
            if len(files) == limit:
                return TrashPage(index=index.name, files=files, next=f"{files[-1].project}/{files[-1].filename}")
            files.append(trash_entry(found))
    return TrashPage(index=index.name, files=files, next=f"{names[end]}/" if end < len(names) else None)


def _asked_for(request: Request) -> TrashFilter:
    """The filter of a query. Raises InvalidRequest."""
    query = request.query_params
    return _filter(
        TrashBody(
            version=query.get("version"),
            filename=query.get("filename"),
            by=query.get("by"),
            before=query.get("before"),
            since=query.get("since"),
        )
    )


def _filter(body: TrashBody) -> TrashFilter:
    """Raises InvalidRequest."""
    return TrashFilter(
        selection=Selection(filename=body.filename, version=body.version),
        by=body.by,
        before=moment_of("before", body.before),
        since=moment_of("since", body.since),
    )
