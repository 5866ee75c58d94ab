"""The login page of the web interface and its like, where there are any: `quire.http.login.flow` has their steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from quire.domain.errors import NotFound
from quire.http.app.worker import worker_of

if TYPE_CHECKING:
    from quire.http.login.sign_on import SignOn

Step = Callable[[Request, "SignOn"], Awaitable[Response]]


async def login(request: Request) -> Response:
    """GET /-/login."""
    return await _take(request, "login")


async def callback(request: Request) -> Response:
    """GET /-/login/callback."""
    return await _take(request, "callback")


async def account(request: Request) -> Response:
    """GET /-/account/."""
    return await _take(request, "account")


async def logout(request: Request) -> Response:
    """POST /-/logout."""
    return await _take(request, "logout")


async def _take(request: Request, name: str) -> Response:
    sign_on = worker_of(request).access.sign_on
    if sign_on is None:
        raise NotFound("This index has no login page; programs and people give a user name and a password.")
    from quire.http.login import flow  # noqa: PLC0415 - of the extra `oidc`

    step: Step = getattr(flow, name)
    return await step(request, sign_on)
