"""The login to the web interface: the page that offers all ways, the form for a password or a token, the way out."""

from __future__ import annotations

import base64
import time
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authenticator import Credentials, parse_basic
from quire.access.credentials import token_in
from quire.access.sessions import account_of
from quire.access.tokens import USERNAME, TokenText
from quire.domain.errors import InvalidRequest
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import worker_of
from quire.http.login.steps import ACCOUNT, key_of, logged_in, sessions_of, target_of, to
from quire.http.login.web_sessions import WebSessions
from quire.http.ui.forms import page_with_forms, received_form
from quire.operations.sessions import end_sessions

_MOST_NAME: Final = 200
_WRONG: Final = "The user name or the password is wrong."


async def login(request: Request) -> Response:
    """GET /-/login: the ways to log in; where there is a provider alone, on to that. `next`: see `target_of`."""
    web = await sessions_of(request)
    target = target_of(request, web, request.query_params.get("next"))
    access = worker_of(request).access
    if access.authenticator is None and not (await access.state()).document.tokens:
        return to(_provider(request, web, target))
    return await _page(request, web, target)


async def log_in(request: Request) -> Response:
    """POST /-/login: a user name and a password, or a token, checked as those of any request. A form that is refused is
    shown again, with the sentence and the status that any request would get."""
    web = await sessions_of(request)
    form = await received_form(request)
    target = target_of(request, web, form.get("next", [None])[0])
    user, secret = (form.get(name, [""])[0] for name in ("user", "password"))
    if not secret:
        return await _page(request, web, target, user=user, status=400, sentence="Give a password, or a token.")
    access = worker_of(request).access
    credentials = _credentials(user or USERNAME, secret)
    if credentials is None:
        return await _page(request, web, target, user=user, status=401, sentence=_WRONG)
    stored = None if access.authenticator is None else access.authenticator.stored_hash(credentials.username)
    try:
        principal = await access.log_in(request, credentials, await access.state())
        if principal.is_anonymous:
            raise HttpError(401, "No user has a password here; log in with a token.")
        await key_of(request, web)
        sent = token_in(credentials)
        digest = sent.digest if principal.token is not None and isinstance(sent, TokenText) else None
        response = to(target)
        web.begin(
            request,
            response,
            await access.state(),
            principal,
            now=time.time(),
            digest=digest,
            stored=stored if digest is None else None,
        )
    except (HttpError, InvalidRequest) as error:
        status = error.status if isinstance(error, HttpError) else 403
        response = await _page(request, web, target, user=user, status=status, sentence=str(error))
        if isinstance(error, HttpError) and "Retry-After" in (error.headers or {}):
            response.headers["Retry-After"] = error.headers["Retry-After"]
        return response
    logged_in(request, principal)
    return response


async def logout(request: Request) -> Response:
    """POST /-/logout: end the sessions of the user, in this browser and in others, so that no copy of a cookie counts.

    A read-only server has the browser forget its cookie, and no more.
    Raises HttpError 400, 403, 408, 413, InvalidRequest, StoreError.
    """
    worker, web = worker_of(request), await sessions_of(request)
    session = worker.access.session_of(request, await worker.access.state())
    if session is not None:
        context_of(request.scope).principal = session.principal
        await received_form(request)
        if not worker.default.read_only:
            origin = origin_of(request, session.principal.name, worker.proxies)
            await worker.in_writer(end_sessions, web.records, [account_of(session.principal)], origin)
    response = to(f"{web.cookies.base_path(request)}{ACCOUNT}")
    response.headers["Clear-Site-Data"] = '"cache"'  # the pages that the browser has kept; over https alone
    web.cookies.clear_session(request, response)
    return response


def _credentials(user: str, password: str) -> Credentials | None:
    """As those of a request, with the same bounds; None where no request could have sent them."""
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return parse_basic(f"Basic {encoded}")


def _provider(request: Request, web: WebSessions, target: str) -> str:
    return f"{web.cookies.base_path(request)}-/login/provider?next={quote(target)}"


async def _page(
    request: Request, web: WebSessions, target: str, *, user: str = "", status: int = 200, sentence: str | None = None
) -> Response:
    access = worker_of(request).access
    return await page_with_forms(
        request,
        "login.html",
        status=status,
        action=f"{web.cookies.base_path(request)}-/login",
        target=target,
        user=user[:_MOST_NAME],
        sentence=sentence,
        has_passwords=access.authenticator is not None,
        provider=None if access.sign_on is None else _provider(request, web, target),
    )
