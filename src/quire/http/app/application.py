"""The application: which handler answers what, and what surrounds every request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from quire.config.settings import Settings
from quire.domain.errors import QuireError, StoreError
from quire.http.api import openapi
from quire.http.app import metrics, ready
from quire.http.app.framing import Framing
from quire.http.app.lingering_close import LingeringClose
from quire.http.app.origins import Origins
from quire.http.app.problems import HttpError, problem_response
from quire.http.app.request_log import RequestLog, context_of
from quire.http.app.worker import build_worker, worker_of
from quire.http.simple import files, pages, redirects, uploads
from quire.http.ui import browse
from quire.observe.log_output import drain_all

Handler = Callable[[Request], Awaitable[Response]]

log = structlog.get_logger(__name__)


def create_application(settings: Settings) -> Starlette:
    """The ASGI application. Holds no thread and no open file until the first request.

    Raises ConfigurationError, StoreError, UnknownLayout.
    """
    worker = build_worker(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        tasks = [worker.start_periodic_sweep(), worker.metrics.begin()]
        yield
        for task in tasks:
            if task is not None:
                task.cancel()
        worker.metrics.close()
        worker.close()
        drain_all()

    routes = _routes(settings)
    prefix = settings.server_base_url
    application = Starlette(
        routes=_below(prefix, routes) if prefix else routes,
        middleware=[
            Middleware(RequestLog, settings=settings, tally=worker.metrics.tally),
            Middleware(Framing, trusts=worker.proxies.trusts),
            Middleware(LingeringClose),
            Middleware(Origins, settings=settings, proxies=worker.proxies, hosts=worker.hosts),
        ],
        exception_handlers={QuireError: _on_error, HTTPException: _on_http_exception, Exception: _on_bug},
        lifespan=lifespan,
    )
    application.router.redirect_slashes = False
    application.state.worker = worker
    return application


def _routes(settings: Settings) -> list[BaseRoute]:
    return [
        Route("/", _either(browse.home, uploads.post), methods=["GET", "POST"]),
        *(Route(path, uploads.post, methods=["POST"]) for path in redirects.UPLOADS),
        Route("/simple/", _either(pages.projects_page, uploads.post), methods=["GET", "POST"]),
        Route("/simple", _either(pages.add_slash, uploads.post), methods=["GET", "POST"]),
        Route("/simple/{name}/", pages.project_page, methods=["GET"]),
        Route("/simple/{name}", pages.add_slash, methods=["GET"]),
        Route("/packages", _either(pages.add_slash, uploads.post), methods=["GET", "POST"]),
        Route("/packages/", _either(browse.packages, uploads.post), methods=["GET", "POST"]),
        Route("/packages/{path:path}", files.download, methods=["GET"]),
        Route("/RPC2", _call, methods=["POST"]),
        Route("/pypi", _call_or_upload, methods=["POST"]),
        Route(settings.health_endpoint, browse.health, methods=["GET"]),
        Route("/ready", ready.ready, methods=["GET"]),
        Route("/metrics", metrics.metrics, methods=["GET"]),
        Route("/openapi.json", openapi.openapi, methods=["GET"]),
        Route("/favicon.ico", browse.nothing, methods=["GET"]),
        Route("/pypi/{name}/json", browse.project_json, methods=["GET"]),
        Route("/pypi/{name}/{version}/json", browse.project_json, methods=["GET"]),
        Route("/{name}/json", browse.project_json, methods=["GET"]),
        Route("/{name}", browse.to_project, methods=["GET"]),
        Route("/{name}/", browse.to_project, methods=["GET"]),
    ]


def _below(prefix: str, routes: list[BaseRoute]) -> list[BaseRoute]:
    """Everything under a prefix; the prefix without its slash is the home page too."""
    return [
        Route(prefix, _either(browse.home, uploads.post), methods=["GET", "POST"]),
        Mount(prefix, routes=routes),
    ]


def _either(get: Handler, post: Handler) -> Handler:
    """One route for both, so that the answer to other methods names both in its Allow (RFC 9110, 15.5.6)."""

    async def answer(request: Request) -> Response:
        return await (post if request.method == "POST" else get)(request)

    return answer


async def _call_or_upload(request: Request) -> Response:
    """POST /pypi: the public index took XML-RPC calls there, and uploads from old tools."""
    is_form = request.headers.get("content-type", "").strip().lower().startswith(("multipart/", "application/x-www-"))
    return await (uploads.post if is_form else _call)(request)


async def _call(request: Request) -> Response:
    from quire.http.api import xmlrpc  # noqa: PLC0415 - two XML parsers, for rare requests

    return await xmlrpc.call(request)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, QuireError)
    worker = worker_of(request)
    if isinstance(error, StoreError):
        worker.metrics.tally.store_error(error)
        log.error(
            "store error",
            path=request.url.path,
            error=str(error),
            cause=repr(error.__cause__),
            request=context_of(request.scope).request_id,
        )
    return problem_response(request, error, worker.without_paths(str(error)))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return redirects.unrouted_response(request, error)


async def _on_bug(request: Request, error: Exception) -> Response:
    """A defect of quire: the client gets a sentence, the log gets the traceback (from the server error middleware)."""
    return problem_response(request, HttpError(500, "The index has a defect here; its log has the details."))
