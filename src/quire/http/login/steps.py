"""The steps that all logins to the web interface share, whichever way a user takes."""

from __future__ import annotations

from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from quire.access.document import Sessions
from quire.access.principals import Principal
from quire.domain.errors import NotFound
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import worker_of
from quire.http.login.web_sessions import WebSessions
from quire.operations.sessions import make_key

ACCOUNT: Final = "-/account/"

log = structlog.get_logger(__name__)


async def sessions_of(request: Request) -> WebSessions:
    """The sessions of a server with a login page. Raises NotFound, StoreError."""
    access = worker_of(request).access
    if access.sessions is None or not access.offers_login(await access.state()):
        raise NotFound("This index has no login page; programs and people give a user name and a password.")
    return access.sessions


async def key_of(request: Request, web: WebSessions) -> Sessions:
    """The key of sessions, made at the first login. Raises HttpError 403, StoreError."""
    worker = worker_of(request)
    found = (await worker.access.state()).document.sessions
    if found is None and worker.default.read_only:
        raise HttpError(
            403,
            "This index is served read-only, and its store has no key for sessions yet: the first login, at the server "
            "that takes uploads, makes one.",
        )
    if found is None:
        origin = origin_of(request, None, worker.proxies)
        await worker.in_writer(make_key, web.records, origin)
        found = (await worker.access.state()).document.sessions
    assert found is not None
    return found


def target_of(request: Request, web: WebSessions, target: str | None) -> str:
    """The page to which a login leads: a path of this index, so that no login leads to another site; the account's
    where none is named.

    Raises HttpError 400.
    """
    if target is None:
        return f"{web.cookies.base_path(request)}{ACCOUNT}"
    if not web.is_within(request, target):
        raise HttpError(400, "The address to go to after the login ('next') is no path of this index.")
    return target


def to(address: str) -> Response:
    """The answer that sends a browser on."""
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def logged_in(request: Request, principal: Principal) -> None:
    """Note a login, in the request's context and in the log."""
    worker, context = worker_of(request), context_of(request.scope)
    context.principal = principal
    client = worker.proxies.client_address(request)
    log.info("logged in", user=principal.name, token=principal.token, client=client, request=context.request_id)
