"""Retention over the JSON API: what the next `quire gc` would delete."""

from __future__ import annotations

from bisect import bisect_right

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import NO_GRANTS
from quire.administration.retention_documents import retention_page
from quire.domain.retention import parse_rules
from quire.http.api.messages import answered, limit_of
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of, worker_of
from quire.index.index import Index
from quire.operations.retention import LetGo, preview


async def retention(request: Request) -> Response:
    """GET a page: of so many projects of the index those of which releases would go. Only this index's own files."""
    worker, index, limit = worker_of(request), index_of(request), limit_of(request)
    state, tried = context_of(request.scope).decided_by or NO_GRANTS, request.query_params.get("keep")
    keep = state.definition(index.name).keep if tried is None else parse_rules(tried.split(","))
    names = await worker.for_large_page(index.hosted.names) if keep else ()
    begin = bisect_right(names, request.query_params.get("cursor", ""))
    chosen = names[begin : begin + limit]
    found = await worker.for_large_page(_preview, index.hosted, keep, chosen)
    is_last = begin + limit >= len(names)
    return answered(retention_page(index.name, keep, found, None if is_last else chosen[-1]))


def _preview(index: Index, keep: tuple[str, ...], names: tuple[str, ...]) -> list[LetGo]:
    return list(preview(index, keep, names))
