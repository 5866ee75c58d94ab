"""Indexes over the JSON API."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from quire.administration.describing_indexes import index_entries, index_entry, settings_of
from quire.administration.documents import IndexBody, IndexChange, IndexList
from quire.http.api.messages import answered, received
from quire.http.api.v1_access import changing_access
from quire.http.app.worker import THE_DEFAULT, worker_of
from quire.operations import defining


async def indexes(request: Request) -> Response:
    """GET indexes."""
    worker = worker_of(request)
    state, default = await worker.access.state(), worker.default
    return answered(IndexList(indexes=index_entries(state, default.name, read_only=default.read_only)))


async def set_index(request: Request) -> Response:
    """POST an index: its settings."""
    body = await received(request, IndexBody)
    worker, access, origin = changing_access(request)
    default, name = worker.default.name, request.path_params["defined"]
    name = default if name == THE_DEFAULT else name
    definition, changed = await worker.in_writer(
        defining.set_index, access, name, settings_of(body), default=default, origin=origin
    )
    return answered(IndexChange(index=index_entry(name, definition, default, read_only=False), changed=changed))
