"""GET /metrics: the metrics of all workers of this server, with access rights."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import Right
from quire.access.grants import ANY
from quire.domain.errors import NotFound
from quire.http.app.worker import worker_of
from quire.process.in_thread import in_thread


async def metrics(request: Request) -> Response:
    """GET /metrics: Prometheus' text format, or OpenMetrics for clients that accept it. Indexes and upstreams are named
    to senders that have the right on every index: the page of others is of numbers alone."""
    worker = worker_of(request)
    if worker.settings.metrics == "off":
        raise NotFound("This server does not show its metrics.")
    with_names = await worker.access.has(request, Right.METRICS, ANY)
    accept = request.headers.get("accept", "")
    # not among the readers: they may all be waiting for a store that hangs, which is when operators need this page
    body, media_type = await in_thread(None, worker.metrics.page, accept, with_names=with_names)
    worker.readiness.refresh()  # for the next page: this one does not wait for the store
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
