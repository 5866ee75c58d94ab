"""GET /metrics: the metrics of all workers of this server, with access rights."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from quire.domain.errors import NotFound
from quire.http.app.worker import worker_of


async def metrics(request: Request) -> Response:
    """GET /metrics: Prometheus' text format, or OpenMetrics for clients that accept it."""
    worker = worker_of(request)
    if worker.settings.metrics == "off":
        raise NotFound("This server does not show its metrics.")
    # not among the readers: they may all be waiting for a store that hangs, which is when operators need this page
    body, media_type = await asyncio.to_thread(worker.metrics.page, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
