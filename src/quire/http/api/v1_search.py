"""Searches over the JSON API. No upstream is asked because of one."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from quire.administration.search_documents import dependent_page, search_page
from quire.domain.names import normalize_name
from quire.http.api.managing import missing
from quire.http.api.messages import answered, limit_of
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of, worker_of
from quire.search.query import read_query
from quire.search.results import Reader


async def search(request: Request) -> Response:
    """GET search: in an index and those behind it, or in all that the sender may read."""
    worker = worker_of(request)
    query = read_query(request.query_params.multi_items(), now=datetime.now(UTC).date())
    index = index_of(request).name if "index" in request.path_params else None
    reader = Reader(*await worker.access.identify(request))
    return answered(search_page(await worker.searching.search(reader, query, index), query.page))


async def dependents(request: Request) -> Response:
    """GET the projects that need a project."""
    worker, index = worker_of(request), index_of(request)
    limit, name = limit_of(request), normalize_name(request.path_params["name"])
    context_of(request.scope).project = name
    reader = Reader(*await worker.access.identify(request))
    after = request.query_params.get("cursor", "")
    found = await worker.searching.dependents(reader, index.name, name, after, limit)
    if not found.found and not found.is_known:
        raise await missing(request, index, name)
    return answered(dependent_page(name, found))
