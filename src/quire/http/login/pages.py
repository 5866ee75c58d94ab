"""The pages of the login to the web interface, whose modules are imported at the first request for them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from quire.domain.errors import NotFound
from quire.http.app.lazily import lazily
from quire.http.app.worker import worker_of

login = lazily("login.form", "login")
log_in = lazily("login.form", "log_in")
logout = lazily("login.form", "logout")


async def provider(request: Request) -> Response:
    """GET /-/login/provider: to the login page of the provider."""
    return await _take(request, is_back=False)


async def callback(request: Request) -> Response:
    """GET /-/login/callback: back from there."""
    return await _take(request, is_back=True)


async def _take(request: Request, *, is_back: bool) -> Response:
    access = worker_of(request).access
    if access.sign_on is None or access.sessions is None:
        raise NotFound("This index has no login at a provider.")
    from quire.http.login import flow  # noqa: PLC0415 - of the extra `oidc`

    step = flow.callback if is_back else flow.begin
    return await step(request, access.sign_on, access.sessions)
