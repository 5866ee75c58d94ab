"""Forms of the web interface, which no page of another site can send.

Theory of operation. A browser sends the cookies and the remembered password of a site also with forms that other sites
make. `quire.http.app.origins` refuses those by what browsers say of their origin. Beside that, each form has a token.
That of a session is made of the session by a key of the store. A reader without a session (the browser sends a
password, or a proxy speaks for the reader, or no login is needed) has a random cookie, which the form repeats: a page
of another site can neither read nor set it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from quire.access import sessions
from quire.domain.errors import InvalidRequest, TooLarge
from quire.http.app import policies
from quire.http.app.problems import HttpError
from quire.http.app.worker import Worker, worker_of
from quire.http.simple.forms import body_chunks
from quire.http.ui.layout import render, site_of

FIELD: Final = "token"
"""The hidden field of every form."""
_COOKIE: Final = "quire_form"
RESULT: Final = "quire_result"
"""The cookie with the result of a form, for one page (`quire.http.ui.results`)."""
_TOKEN: Final = re.compile("[A-Za-z0-9_-]{43}")
_MAX_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 200
_NOT_OURS: Final = "This form is of another session, or of no page of this index; open the page again."

Form = dict[str, list[str]]
"""The values of a form by the names of its fields, in their order; empty ones are left out."""


async def page_with_forms(request: Request, template: str, /, status: int = 200, **values: object) -> Response:
    """A page whose forms can be sent back. It is never kept: it may show what a form has just done."""
    worker = worker_of(request)
    token = await _session_token(request, worker)
    cookie = None
    if token is None:
        known = cookie_of(request, _COOKIE)
        token = known if _TOKEN.fullmatch(known) else secrets.token_urlsafe(32)
        cookie = token
    # Not as a large page, of which too many may wait: the page may show a token that was just made, or the login.
    page = await worker.in_writer(render, template, await site_of(request), token=token, **values)
    response = Response(page.body, status, media_type=page.content_type)  # whatever the request's conditions are
    response.headers.update({**policies.WEB, "Cache-Control": "no-store", "Vary": "Accept, Cookie, Authorization"})
    if cookie is not None:
        put_cookie(request, response, _COOKIE, cookie)
    if cookie_of(request, RESULT):
        put_cookie(request, response, RESULT, "", 0)
    return response


async def received_form(request: Request) -> Form:
    """The fields of a form that a page of ours sent, without its token.

    Raises HttpError 403, 408, 415, InvalidRequest, TooLarge, StoreError.
    """
    form = await parsed_form(request)
    sent = form.pop(FIELD, [""])[0]
    expected = await token_of(request)
    if expected is None or not hmac.compare_digest(sent.encode(), expected.encode()):
        raise HttpError(403, _NOT_OURS)
    return form


async def token_of(request: Request) -> str | None:
    """The token of the reader's forms; None for a reader that no page with forms was sent to. Raises StoreError."""
    token = await _session_token(request, worker_of(request))
    if token is not None:
        return token
    known = cookie_of(request, _COOKIE)
    return known if _TOKEN.fullmatch(known) else None


async def parsed_form(request: Request) -> Form:
    """A small form, whose token is not looked at. Raises HttpError 408, 415, InvalidRequest, TooLarge."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise HttpError(415, "This address takes the forms of its own pages (application/x-www-form-urlencoded).")
    body = bytearray()
    async for chunk in body_chunks(request, worker_of(request).settings.body_timeout):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise TooLarge(f"A form of this page has at most {_MAX_BYTES >> 10} KiB.")
    found: Form = {}
    try:
        for name, value in parse_qsl(body.decode("ascii"), max_num_fields=_MAX_FIELDS, errors="strict"):
            found.setdefault(name, []).append(value)
    except ValueError:
        raise InvalidRequest("The form cannot be read; open its page again.") from None
    return found


def first(form: Form, name: str) -> str | None:
    """The value of a field, without spaces around it; None for an empty one."""
    return form.get(name, [""])[0].strip() or None


async def _session_token(request: Request, worker: Worker) -> str | None:
    if "authorization" in request.headers:
        return None
    state = await worker.access.state()
    session, document = worker.access.session_of(request, state), state.document.sessions
    return None if session is None or document is None else sessions.form_token(document, session)


def cookie_of(request: Request, name: str) -> str:
    """The value of a cookie of these pages; "" for none."""
    return request.cookies.get(_sent_as(request, name), "")


def put_cookie(request: Request, response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Give the browser a cookie, for these pages alone. `seconds`: that it is kept; None until the browser ends."""
    response.set_cookie(
        _sent_as(request, name),
        value,
        seconds,
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )


def _sent_as(request: Request, name: str) -> str:
    return f"__Host-{name}" if _is_secure(request) else name


def _is_secure(request: Request) -> bool:
    return worker_of(request).proxies.outside(request).scheme == "https"
