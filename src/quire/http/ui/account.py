"""The page of an account: the user that has logged in, its tokens, and what is done with them: by the JSON API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.access.grants import ANY
from quire.access.tokens import new_identity, new_token, parse_identity
from quire.domain.errors import InvalidRequest, NotFound, QuireError
from quire.http.app.problems import status_of
from quire.http.app.worker import worker_of
from quire.http.ui.asking import ask, sentence_of
from quire.http.ui.changes import Done
from quire.http.ui.forms import Form, first, page_with_forms, received_form
from quire.http.ui.layout import site_of
from quire.http.ui.results import led_on, result_of
from quire.http.ui.token_lines import Tabs, lines_of

_DAY: Final = 86_400
_DAYS: Final = {"7": 7, "30": 30, "90": 90, "365": 365}
_USUAL_DAYS: Final = 90
_MADE: Final = (
    "This form has made the token {} already, whose text was shown then, and is not kept. If you have not copied it, "
    "revoke it below and make another one."
)


class _Given(NamedTuple):
    """The values of the form of a new token."""

    note: str = ""
    rights: tuple[str, ...] = ("read",)
    place: str = ""
    """The index."""
    projects: str = ""
    days: int = _USUAL_DAYS


class _Made(NamedTuple):
    """A token that was made by this request."""

    text: str
    lines: Tabs


async def account(request: Request) -> Response:
    """GET /-/account/."""
    await _check_served(request)
    done = await result_of(request)
    return await _page(request, sentence=None if done is None else done.sentence)


async def create(request: Request) -> Response:
    """POST /-/account/tokens: a form sent twice makes one token, as the page has chosen its id.

    The page with the token is the answer itself: its text is kept nowhere, so no other page can show it.
    """
    await _check_served(request)
    form = await received_form(request)
    given = _Given(
        first(form, "note") or "",
        tuple(form.get("right", ())),
        first(form, "index") or "*",
        first(form, "projects") or "",
        _DAYS.get(first(form, "days") or "", _USUAL_DAYS),
    )
    identity = parse_identity(first(form, "id") or "")
    if identity is None:
        raise InvalidRequest("The form is not complete; open its page again.")
    text = new_token(identity)
    body = {
        "rights": list(given.rights),
        "index": given.place,
        "projects": given.projects.replace(",", " ").split(),
        "note": given.note or None,
        "expires_in": given.days * _DAY,
        "id": text.identity,
        "digest": text.digest,
    }
    own = await ask(request, "GET", "/account/tokens")
    if identity in {each["id"] for each in own["tokens"]}:
        return await _page(request, sentence=_MADE.format(identity), kind="bad", status=409)
    try:
        await ask(request, "POST", "/account/tokens", body)
    except QuireError as error:
        return await _refused(request, error, given)
    url, default = (await site_of(request)).url, worker_of(request).default.name
    url = url if given.place in {ANY, default} else f"{url}{quote(given.place)}/"
    made = _Made(text.text, lines_of(text.text, url, given.place, given.rights))
    return await _page(request, made=made)


async def revoke(request: Request) -> Response:
    """POST /-/account/tokens/revoke."""
    await _check_served(request)
    form: Form = await received_form(request)
    identity = first(form, "id") or ""
    try:
        await ask(request, "POST", "/account/tokens/revoke", {"ids": [identity]})
    except QuireError as error:
        return await _refused(request, error, _Given())
    return await led_on(request, Done(f"The token {identity} is revoked; no request with it counts any more."), "../")


async def _check_served(request: Request) -> None:
    """Raises NotFound where there are no accounts: no login page, and no proxy that names users. StoreError."""
    worker = worker_of(request)
    is_named = bool(worker.settings.user_headers) and worker.access.sessions is not None
    if not is_named and not worker.access.offers_login(await worker.access.state()):
        raise NotFound("This index has no login page, and no accounts; it has no users, and no tokens.")


async def _refused(request: Request, error: QuireError, given: _Given) -> Response:
    status = status_of(error, request)
    return await _page(request, sentence=sentence_of(request, error), kind="bad", status=status, given=given)


async def _page(
    request: Request,
    *,
    made: _Made | None = None,
    sentence: str | None = None,
    kind: str = "good",
    status: int = 200,
    given: _Given | None = None,
) -> Response:
    access = worker_of(request).access
    sender: Mapping[str, Any] = await ask(request, "GET", "/whoami")
    is_known = bool(sender["quire"])
    own: Mapping[str, Any] = await ask(request, "GET", "/account/tokens")
    return await page_with_forms(
        request,
        "account.html",
        status=status,
        sender=sender if is_known else None,
        has_session=access.session_of(request, await access.state()) is not None,
        tokens=own["tokens"],
        indexes=own["indexes"],
        can_make=own["indexes"] and sender["token"] is None,
        made=made,
        sentence=sentence,
        kind=kind,
        given=given or _Given(),
        new_id=new_identity(),
    )
