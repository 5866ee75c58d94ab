"""Indexes over the JSON API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import ALLOWED, Right
from quire.access.grants import ANY
from quire.administration.describing_indexes import index_entries, index_entry, settings_of
from quire.administration.documents import (
    DeletedIndex,
    DeleteIndexBody,
    IndexBody,
    IndexChange,
    IndexList,
    NewIndexBody,
)
from quire.catalog.file_count import PATIENCE
from quire.catalog.served import ServedIndex
from quire.config.values import index_name
from quire.domain.errors import NotFound
from quire.http.api.messages import answered, received
from quire.http.api.v1_access import changing_access
from quire.http.app.worker import THE_DEFAULT, Worker, worker_of
from quire.index.index import Index
from quire.operations import defining


async def indexes(request: Request) -> Response:
    """GET indexes: those that the sender may read."""
    worker = worker_of(request)
    principal, state = await worker.access.identify(request)
    default = worker.default

    def may(right: Right, name: str) -> bool:
        return worker.access.rules.authorize(principal, right, name, None, state) is ALLOWED

    is_readable = partial(may, Right.LIST)

    limited = (name for name in worker.limited(state) if is_readable(name))
    used = await _used(worker, [index for name in limited if (index := worker.served(name, state)) is not None])
    entries = index_entries(state, default.name, read_only=default.read_only, used=used)
    if not may(Right.ADMIN, ANY):
        hidden = {"upstreams": None, "claims": None, "namespaces": None}
        # The name of the stage of a publishing session is a secret of its senders.
        listed = (each for each in entries if state.definition(each.name).session is None)
        entries = [msgspec.structs.replace(each, **hidden) for each in listed]
    readable = (each for each in entries if is_readable(each.name))
    found = [msgspec.structs.replace(each, downloads=may(Right.DOWNLOAD, each.name)) for each in readable]
    return answered(IndexList(indexes=found))


async def _used(worker: Worker, indexes: Sequence[ServedIndex]) -> dict[str, int | None]:
    """The bytes of these indexes as they were a moment ago; None where they are not known yet.

    They are counted one after the other, for a second at the most: there may be many, and all threads for large pages
    would be taken.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            for index in indexes:
                await index.usage(worker.for_large_page, is_urgent=False)
    return {index.name: known.bytes if (known := index.hosted.usage.known) is not None else None for index in indexes}


async def create_index(request: Request) -> Response:
    """POST indexes: make one."""
    body = await received(request, NewIndexBody)
    worker, access, origin = changing_access(request)
    default = worker.default.name
    definition, changed = await worker.in_writer(
        defining.create_index, access, body.name, settings_of(body), default=default, origin=origin
    )
    return answered(IndexChange(index=index_entry(body.name, definition, default, read_only=False), changed=changed))


async def delete_index(request: Request) -> Response:
    """POST delete of an index."""
    body = await received(request, DeleteIndexBody)
    worker, access, origin = changing_access(request)
    default, name = worker.default.name, _name(request)
    index = Index(worker.default.store, name, trash_seconds=worker.settings.trash_seconds)
    delete = partial(defining.delete_index, access, index, with_files=body.with_files, default=default, origin=origin)
    return answered(DeletedIndex(index=name, deleted_files=await worker.for_large_upload(delete)))


async def set_index(request: Request) -> Response:
    """POST an index: its settings."""
    body = await received(request, IndexBody)
    worker, access, origin = changing_access(request)
    default, name = worker.default.name, _name(request)
    definition, changed = await worker.in_writer(
        defining.set_index, access, name, settings_of(body), default=default, origin=origin
    )
    return answered(IndexChange(index=index_entry(name, definition, default, read_only=False), changed=changed))


def _name(request: Request) -> str:
    """The name that the path has. Raises NotFound for one that no index can have: it becomes a part of keys."""
    name: str = request.path_params["defined"]
    if name == THE_DEFAULT:
        return worker_of(request).default.name
    try:
        return index_name(name)
    except ValueError:
        raise NotFound(f"There is no index {name[:200]!r}; 'quire index list' lists them.") from None
