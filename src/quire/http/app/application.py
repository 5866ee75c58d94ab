"""The application: the handler of each route, and the middleware around every request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from quire.config.deprecations import Deprecation, deprecated_routes
from quire.config.settings import Settings
from quire.domain.errors import QuireError
from quire.http.app.advisories import load_for_policies
from quire.http.app.building import build_worker
from quire.http.app.failures import told
from quire.http.app.framing import Framing
from quire.http.app.lingering_close import LingeringClose
from quire.http.app.origins import Origins
from quire.http.app.periodic import PeriodicWork
from quire.http.app.problems import HttpError, is_for_person, problem_response
from quire.http.app.request_log import RequestLog, context_of
from quire.http.app.routes import Endpoint, endpoints
from quire.http.app.routing import Routes
from quire.http.app.worker import authorize
from quire.http.simple import redirects
from quire.observe.log_output import drain_all

Handler = Callable[[Request], Awaitable[Response]]


def create_application(settings: Settings) -> Starlette:
    """The ASGI application. Holds no thread and no open file until the first request.

    Raises ConfigurationError, StoreError, UnknownLayout.
    """
    worker = build_worker(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        periodic = PeriodicWork(worker)
        tasks = [*periodic.start(), worker.metrics.begin()]
        yield
        for task in tasks:
            if task is not None:
                task.cancel()
        await worker.close_mirrors()
        await periodic.end()
        worker.metrics.close()
        worker.close()
        drain_all()

    application = Starlette(
        routes=_routes(settings),
        middleware=[
            Middleware(RequestLog, settings=settings, tally=worker.metrics.tally, on_defect=_on_bug),
            Middleware(Framing, trusts=worker.proxies.trusts, singletons=settings.user_headers),
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
    """The routes of the table; below a prefix all of them, and the prefix without its slash is the home page too."""
    by_path: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints(settings.health_endpoint):
        by_path.setdefault(endpoint.path, []).append(endpoint)
    prefix = settings.server_base_url
    routes = Routes([_route(path, found, prefix) for path, found in by_path.items()])
    if not prefix:
        return [routes]
    at_root = [_route(path, found, prefix) for path, found in by_path.items() if found[0].is_at_root]
    return [_route(prefix, by_path["/"], prefix), Mount(prefix, routes=[routes]), *at_root]


def _route(path: str, found: list[Endpoint], prefix: str) -> Route:
    """One route for all methods, so that the answer to others names each in its Allow (RFC 9110, 15.5.6)."""
    by_method: dict[str, list[tuple[Endpoint, Handler]]] = {}
    for each in found:
        by_method.setdefault(each.method, []).append((each, _handler(each.handler)))

    async def answer(request: Request) -> Response:
        method = request.scope["method"]  # the property of the request costs every request two calls
        (endpoint, handler), *others = by_method["GET" if method == "HEAD" else method]
        if endpoint.takes_forms_only and not _has_form(request):
            ((endpoint, handler),) = others
        if endpoint.needs is not None:
            await authorize(request, endpoint.needs, takes_sessions=endpoint.takes_sessions)
            await load_for_policies(request)
        elif endpoint.takes_sessions:
            context_of(request.scope).takes_sessions = True
        return await handler(request)

    return Route(path, answer, methods=list(by_method), middleware=_announcing(found, prefix))


def _announcing(found: list[Endpoint], prefix: str) -> list[Middleware]:
    """For an address that is deprecated, none else."""
    deprecated = deprecated_routes()
    by_method: dict[str, Deprecation] = {
        each.method: deprecated[f"{each.method} {each.path}"]
        for each in found
        if f"{each.method} {each.path}" in deprecated
    }
    if not by_method:
        return []
    from quire.http.app.deprecated import Announcing  # noqa: PLC0415 - few versions have a deprecated address

    return [Middleware(Announcing, by_method=by_method, document=f"{prefix}/openapi.json")]


def _handler(name: str) -> Handler:
    module, _, function = name.partition(":")
    handler: Handler = getattr(import_module(f"quire.http.{module}"), function)
    return handler


def _has_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").strip().lower()
    return kind.startswith(("multipart/", "application/x-www-"))


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, QuireError)
    return await _shown(request, problem_response(request, error, told(request, error)), error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return await _shown(request, redirects.unrouted_response(request, error))


async def _shown(request: Request, plain: Response, error: Exception | None = None) -> Response:
    """The answer to a request that failed: a page where a person reads it."""
    if plain.status_code < 400 or not is_for_person(request):
        return plain
    from quire.http.ui.errors import error_page  # noqa: PLC0415 - the templates, which installers ask for none of

    return await error_page(request, plain, error)


async def _on_bug(request: Request, error: Exception) -> Response:
    """A defect of quire: the client gets a sentence, the log gets the traceback (from the server)."""
    return problem_response(request, HttpError(500, "The index has a defect here; its log has the details."))
