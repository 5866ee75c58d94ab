"""The steps of a login to the web interface: to the provider and back, the page of the account, and the way out."""

from __future__ import annotations

import hmac
import re
import time
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from quire.access import sessions
from quire.access.document import Sessions
from quire.access.login_limits import attempt_at
from quire.domain.errors import InvalidRequest
from quire.http.app import policies
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import Worker, worker_of
from quire.http.login.sign_on import SignOn
from quire.http.simple.forms import body_chunks
from quire.identity.fetching import IdentityUnavailable
from quire.identity.openid import MAX_CODE, Attempt, LoginRefused, new_attempt
from quire.operations.sessions import end_sessions, make_key

if TYPE_CHECKING:
    import jinja2

LOGIN_SECONDS: Final = 600
"""Within which a user comes back from the provider."""
MAX_FORM: Final = 4096
_ACCOUNT: Final = "-/account/"
_NEXT: Final = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=@:-]+)*/?(?:\?[A-Za-z0-9._~%!$&'()*+,;=@:/?-]*)?")
_STATE: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")

log = structlog.get_logger(__name__)


async def login(request: Request, sign_on: SignOn) -> Response:
    """GET /-/login: to the provider. `next`: the path of a page of this index, to which the user comes back."""
    worker = worker_of(request)
    attempt, target = new_attempt(), _target(request, sign_on)
    try:
        address = await sign_on.provider.begin(attempt, _redirect_uri(request, worker))
    except IdentityUnavailable as error:
        raise _unavailable(request, worker, error) from error
    ends = int(time.time()) + LOGIN_SECONDS
    content = {"s": attempt.state, "v": attempt.verifier, "o": attempt.nonce, "t": target, "e": ends}
    text = sessions.seal(await _key(request, worker, sign_on), sessions.LOGIN, content)
    response = _to(address)
    sign_on.cookies.set_login(request, response, text, LOGIN_SECONDS)
    return response


async def callback(request: Request, sign_on: SignOn) -> Response:
    """GET /-/login/callback: back from the provider, with a code or with the reason why there is none."""
    worker = worker_of(request)
    given, key = request.query_params, await _key(request, worker, sign_on)
    begun = sessions.unseal(key, sessions.LOGIN, sign_on.cookies.login(request) or "", time.time())
    state, code, error = (given.get(name, "") for name in ("state", "code", "error"))
    if begun is None or not _STATE.fullmatch(state) or not hmac.compare_digest(begun["s"], state):
        raise _refused(request, worker, 400, "This login was not begun here, or took too long; log in again.")
    if given.get("iss", sign_on.provider.issuer) != sign_on.provider.issuer:
        raise _refused(request, worker, 400, "This login was answered by another provider.")
    if error:
        shown = error if re.fullmatch(r"[a-z_]{1,60}", error) else "error"
        raise _refused(request, worker, 403, f"The login provider refused the login ({shown}).")
    if not code or len(code) > MAX_CODE:
        raise _refused(request, worker, 400, "The login provider sent no code; log in again.")
    attempt, bucket = Attempt(begun["s"], begun["v"], begun["o"]), attempt_at(worker.proxies.client_address(request))
    if (wait := sign_on.throttle.wait(bucket)) is not None:
        sentence = f"Too many failed logins; try again in {wait[0]} second{'s' * (wait[0] > 1)}."
        raise _refused(request, worker, 429, sentence, {"Retry-After": str(wait[0])})
    sign_on.throttle.take(bucket)  # before the work, as for passwords: attempts at once are as many attempts
    wanted = (sign_on.claims.user, sign_on.claims.groups)
    try:
        claims = await sign_on.provider.finish(attempt, code, _redirect_uri(request, worker), wanted)
        principal = sign_on.admit(sign_on.claims.principal(claims))
        text = sign_on.seal(await worker.access.state(), principal, time.time())
    except IdentityUnavailable as unavailable:
        raise _unavailable(request, worker, unavailable) from unavailable
    except LoginRefused as refused:
        raise _refused(request, worker, 400, str(refused)) from refused
    except InvalidRequest as refused:
        raise _refused(request, worker, 403, str(refused)) from refused
    sign_on.throttle.refund(bucket)
    context_of(request.scope).principal = principal
    client, request_id = worker.proxies.client_address(request), context_of(request.scope).request_id
    log.info("logged in", user=principal.name, client=client, request=request_id)
    response = _to(begun["t"])
    sign_on.cookies.set_session(request, response, text, sign_on.seconds)
    sign_on.cookies.clear_login(request, response)
    return response


async def account(request: Request, sign_on: SignOn) -> Response:
    """GET /-/account/: the user that has logged in, and the way out; the way in for others."""
    worker = worker_of(request)
    state = await worker.access.state()
    session = sign_on.cookies.session(request, state)
    token = ""
    if session is not None and state.document.sessions is not None:
        context_of(request.scope).principal = session.principal
        token = sessions.form_token(state.document.sessions, session)
    page = _template().render(
        SESSION=session,
        TOKEN=token,
        BASE=sign_on.cookies.base_path(request),
        LOGIN=sign_on.login_address(request),
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store", **policies.FORM})


async def logout(request: Request, sign_on: SignOn) -> Response:
    """POST /-/logout: end the sessions of the user, in this browser and in others, so that no copy of a cookie counts.

    A read-only server has the browser forget its cookie, and no more.
    Raises HttpError 400, 403, 408, 413, InvalidRequest, StoreError.
    """
    worker = worker_of(request)
    state = await worker.access.state()
    session = sign_on.cookies.session(request, state)
    if session is not None and state.document.sessions is not None:
        context_of(request.scope).principal = session.principal
        sent = (await _form(request)).get("token", [""])[0]
        expected = sessions.form_token(state.document.sessions, session)
        if not hmac.compare_digest(sent.encode(), expected.encode()):
            raise HttpError(403, "This form is of another session, or of no page of this index; open the page again.")
        if not worker.default.read_only:
            origin = origin_of(request, session.principal.name, worker.proxies)
            await worker.in_writer(end_sessions, sign_on.records, [session.principal.name], origin)
    response = _to(f"{sign_on.cookies.base_path(request)}{_ACCOUNT}")
    sign_on.cookies.clear_session(request, response)
    return response


def _to(address: str) -> Response:
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})


def _redirect_uri(request: Request, worker: Worker) -> str:
    """The address of `callback`, which the provider has to know."""
    base = worker.settings.public_url or worker.proxies.base_url(request, worker.settings.server_base_url)
    return f"{base}-/login/callback"


def _target(request: Request, sign_on: SignOn) -> str:
    """The page to which a login leads: a path of this index, so that no login leads to another site.

    Raises HttpError 400.
    """
    base = sign_on.cookies.base_path(request)
    target = request.query_params.get("next", f"{base}{_ACCOUNT}")
    rest = target.removeprefix(base.removesuffix("/"))
    is_path = (
        target.startswith(base) and _NEXT.fullmatch(rest) and ".." not in unquote(target.partition("?")[0]).split("/")
    )
    if not is_path or len(target) > 1000:
        raise HttpError(400, "The address to go to after the login ('next') is no path of this index.")
    return target


async def _key(request: Request, worker: Worker, sign_on: SignOn) -> Sessions:
    """The key of sessions, made at the first login. Raises StoreError."""
    found = (await worker.access.state()).document.sessions
    if found is None:
        origin = origin_of(request, None, worker.proxies)
        await worker.in_writer(make_key, sign_on.records, origin)
        found = (await worker.access.state()).document.sessions
    assert found is not None
    return found


async def _form(request: Request) -> dict[str, list[str]]:
    """A small form. Raises HttpError 400, 408, 413, InvalidRequest."""
    body = bytearray()
    async for chunk in body_chunks(request, worker_of(request).settings.body_timeout):
        body += chunk
        if len(body) > MAX_FORM:
            raise HttpError(413, f"A form of this page has at most {MAX_FORM} bytes.")
    try:
        return parse_qs(body.decode("ascii"), max_num_fields=10)
    except ValueError:
        raise HttpError(400, "The form cannot be read.") from None


def _refused(
    request: Request, worker: Worker, status: int, sentence: str, headers: dict[str, str] | None = None
) -> HttpError:
    worker.metrics.tally.logins["wrong"] += 1
    client, request_id = worker.proxies.client_address(request), context_of(request.scope).request_id
    log.warning("login refused", reason=sentence, client=client, request=request_id)
    return HttpError(status, sentence, headers)


def _unavailable(request: Request, worker: Worker, error: IdentityUnavailable) -> HttpError:
    client, request_id = worker.proxies.client_address(request), context_of(request.scope).request_id
    log.error("login provider unavailable", error=str(error), client=client, request=request_id)
    return HttpError(503, f"The login provider cannot be asked now. {error}")


@cache
def _template() -> jinja2.Template:
    import jinja2  # noqa: PLC0415 - large, and for people's pages only

    loader = jinja2.PackageLoader("quire.http.ui")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        "account.html"
    )
