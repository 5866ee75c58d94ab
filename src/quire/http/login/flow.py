"""The steps of a login at an OpenID provider: to the provider, and back from it."""

from __future__ import annotations

import hmac
import re
import time
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from quire.access import sessions
from quire.access.login_limits import attempt_at
from quire.domain.errors import InvalidRequest
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of
from quire.http.app.worker import Worker, worker_of
from quire.http.login.sign_on import SignOn
from quire.http.login.steps import key_of, logged_in, target_of, to
from quire.http.login.web_sessions import WebSessions
from quire.identity.fetching import IdentityUnavailable
from quire.identity.openid import MAX_CODE, Attempt, LoginRefused, new_attempt

LOGIN_SECONDS: Final = 600
"""Within which a user comes back from the provider."""
_STATE: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")

log = structlog.get_logger(__name__)


async def begin(request: Request, sign_on: SignOn, web: WebSessions) -> Response:
    """To the provider. `next`: the path of a page of this index, to which the user comes back."""
    worker = worker_of(request)
    attempt, target = new_attempt(), target_of(request, web, request.query_params.get("next"))
    try:
        address = await sign_on.provider.begin(attempt, _redirect_uri(request, worker))
    except IdentityUnavailable as error:
        raise _unavailable(request, worker, error) from error
    ends = int(time.time()) + LOGIN_SECONDS
    content = {"s": attempt.state, "v": attempt.verifier, "o": attempt.nonce, "t": target, "e": ends}
    text = sessions.seal(await key_of(request, web), sessions.LOGIN, content)
    response = to(address)
    web.cookies.set_login(request, response, text, LOGIN_SECONDS)
    return response


async def callback(request: Request, sign_on: SignOn, web: WebSessions) -> Response:
    """Back from the provider, with a code or with the reason why there is none."""
    worker = worker_of(request)
    given, key = request.query_params, await key_of(request, web)
    begun = sessions.unseal(key, sessions.LOGIN, web.cookies.login(request) or "", time.time())
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
        response = to(begun["t"])
        web.begin(request, response, await worker.access.state(), principal, now=time.time())
    except IdentityUnavailable as unavailable:
        raise _unavailable(request, worker, unavailable) from unavailable
    except LoginRefused as refused:
        raise _refused(request, worker, 400, str(refused)) from refused
    except InvalidRequest as refused:
        raise _refused(request, worker, 403, str(refused)) from refused
    sign_on.throttle.refund(bucket)
    logged_in(request, principal)
    web.cookies.clear_login(request, response)
    return response


def _redirect_uri(request: Request, worker: Worker) -> str:
    """The address of `callback`, which the provider has to know."""
    base = worker.settings.public_url or worker.proxies.base_url(request, worker.settings.server_base_url)
    return f"{base}-/login/callback"


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
