"""GET /metrics: the metrics of all workers of this server, for those who may read them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authenticator import Action
from quire.domain.errors import NotFound
from quire.http.app.problems import HttpError
from quire.http.app.service import Service
from quire.http.app.worker_metrics import WorkerMetrics


async def metrics(request: Request) -> Response:
    """GET /metrics: Prometheus' text format, or OpenMetrics for who accepts it."""
    service: Service = request.app.state.service
    worker: WorkerMetrics = request.app.state.service.metrics
    await _authorize(request, service)
    # not among the readers: they may all be waiting for a store that hangs, which is when somebody looks here
    body, media_type = await asyncio.to_thread(worker.page, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


async def _authorize(request: Request, service: Service) -> None:
    """Raises NotFound, HttpError 401, 403, 429, 503."""
    who = service.settings.metrics
    if who == "off":
        raise NotFound("This server does not show its metrics.")
    if who == "list":
        await service.authorize(request, Action.LIST)
    if who == "authenticated":
        if service.authenticator is None:
            raise HttpError(403, "The metrics need a login, and this server has no password file.")
        await service.login(request, "To read the metrics")
