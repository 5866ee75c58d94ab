"""GET /metrics: the metrics of all workers of this server, for those who may read them."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from quire.auth import Accepted, Action, Throttled, parse_basic
from quire.errors import NotFound
from quire.web.problems import HttpError
from quire.web.service import Service
from quire.web.worker_metrics import WorkerMetrics


async def metrics(request: Request) -> Response:
    """GET /metrics: Prometheus' text format, or OpenMetrics for who accepts it."""
    service: Service = request.app.state.service
    worker: WorkerMetrics = request.app.state.service.metrics
    await _authorize(request, service)
    # not among the readers: they may all be waiting for a store that hangs, which is when somebody looks here
    body, media_type = await asyncio.to_thread(worker.page, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


async def _authorize(request: Request, service: Service) -> None:
    """Raises NotFound, HttpError 401, 403, 429."""
    who = service.settings.metrics
    if who == "off":
        raise NotFound("This server does not show its metrics.")
    if who == "list":
        await service.authorize(request, Action.LIST)
    if who != "authenticated":
        return
    if service.authenticator is None:
        raise HttpError(403, "The metrics need a login, and this server has no password file.")
    challenge = {"WWW-Authenticate": 'Basic realm="quire", charset="UTF-8"'}
    credentials = parse_basic(request.headers.get("authorization"))
    if credentials is None:
        raise HttpError(401, "To read the metrics needs a login; give a user name and a password.", challenge)
    verdict = await service.authenticator.authenticate(credentials, service.proxies.client_address(request))
    if isinstance(verdict, Throttled):
        raise HttpError(429, "Too many failed logins; try again later.", {"Retry-After": str(verdict.retry_after)})
    if not isinstance(verdict, Accepted):
        raise HttpError(401, "The user name or the password is wrong.", challenge)
