"""GET /metrics: the metrics of all workers of this server, for those who may read them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authenticator import Action
from quire.domain.errors import NotFound
from quire.http.app.problems import HttpError
from quire.http.app.worker import Worker, worker_of


async def metrics(request: Request) -> Response:
    """GET /metrics: Prometheus' text format, or OpenMetrics for who accepts it."""
    worker = worker_of(request)
    await _authorize(request, worker)
    # not among the readers: they may all be waiting for a store that hangs, which is when somebody looks here
    body, media_type = await asyncio.to_thread(worker.metrics.page, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


async def _authorize(request: Request, worker: Worker) -> None:
    """Raises NotFound, HttpError 401, 403, 429, 503."""
    who = worker.settings.metrics
    if who == "off":
        raise NotFound("This server does not show its metrics.")
    if who == "list":
        await worker.authorize(request, Action.LIST)
    if who == "authenticated":
        if worker.authenticator is None:
            raise HttpError(403, "The metrics need a login, and this server has no password file.")
        await worker.login(request, "To read the metrics")
