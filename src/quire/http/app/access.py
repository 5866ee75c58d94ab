"""Logins and rights of requests: `AccessRules.authorize` decides, and each refusal is counted and logged here."""

from __future__ import annotations

import structlog
from starlette.requests import Request

from quire.access.authenticator import Accepted, Authenticator, Busy, Throttled, Wrong, parse_basic
from quire.access.authorization import ALLOWED, ANONYMOUS, AccessRules, Allowed, Forbidden, NeedsLogin, Principal, Right
from quire.http.app.problems import HttpError
from quire.http.app.proxies import TrustedProxies
from quire.http.app.request_log import context_of
from quire.observe.metrics.tally import Tally

CHALLENGE = {"WWW-Authenticate": 'Basic realm="pypi", charset="UTF-8"'}
"""distutils' `register` gives its password to the realm `pypi` alone, which is that of pypiserver too."""

log = structlog.get_logger(__name__)


class Access:
    """Whether requests may do what they ask for."""

    def __init__(
        self, rules: AccessRules, authenticator: Authenticator | None, proxies: TrustedProxies, tally: Tally
    ) -> None:
        """`authenticator`: None where there is no password file, and so no login."""
        self.rules = rules
        self.authenticator = authenticator
        self._proxies = proxies
        self._tally = tally

    def is_open(self, right: Right, index: str) -> bool:
        """Whether a right needs no login."""
        return self.rules.authorize(ANONYMOUS, right, index, None) is ALLOWED

    async def authorize(self, request: Request, right: Right, index: str) -> None:
        """Decide on a request before its project is known; `check` decides again when it is.

        `index`: its name. Credentials are checked only where a login is needed; they make the principal in the
        request's context. Raises HttpError 401, 403, 429, 503.
        """
        decision = self.rules.authorize(ANONYMOUS, right, index, None)
        if isinstance(decision, NeedsLogin):
            context = context_of(request.scope)
            context.principal = await self._principal(request)
            decision = self.rules.authorize(context.principal, right, index, None)
        if not isinstance(decision, Allowed):
            raise self._refusal(request, decision, right, index, None)

    def check(self, request: Request, right: Right, index: str, project: str) -> None:
        """Decide on a request for the principal that `authorize` found. `project`: its normalized name.

        Raises HttpError 401, 403.
        """
        decision = self.rules.authorize(context_of(request.scope).principal, right, index, project)
        if not isinstance(decision, Allowed):
            raise self._refusal(request, decision, right, index, project)

    def _refusal(
        self, request: Request, decision: NeedsLogin | Forbidden, right: Right, index: str, project: str | None
    ) -> HttpError:
        """Count and log a request that is not allowed; what to tell the client."""
        context = context_of(request.scope)
        if isinstance(decision, NeedsLogin):
            reason, refusal = "login_needed", HttpError(401, decision.sentence, CHALLENGE)
        else:
            reason, refusal = "forbidden", HttpError(403, decision.sentence)
        self._tally.refused[reason] += 1
        log.info(
            "access refused",
            reason=reason,
            right=right.name.lower(),
            index=index,
            project=project,
            user=context.user or None,
            client=self._proxies.client_address(request),
            request=context.request_id,
        )
        return refusal

    async def _principal(self, request: Request) -> Principal:
        """The principal whose credentials a request has. Raises HttpError 401, 429, 503 for refused ones."""
        credentials = parse_basic(request.headers.get("authorization"))
        if credentials is None or self.authenticator is None:
            return ANONYMOUS
        checks = self.authenticator.hash_checks
        client = self._proxies.client_address(request)
        verdict = await self.authenticator.authenticate(credentials, client)
        if not isinstance(verdict, Accepted):
            request_id = context_of(request.scope).request_id
            raise self._login_refused(verdict, user=credentials.username[:100], client=client, request=request_id)
        self._tally.logins["remembered" if self.authenticator.hash_checks == checks else "checked"] += 1
        return Principal(verdict.username)

    def _login_refused(self, verdict: Wrong | Throttled | Busy, *, user: str, client: str, request: str) -> HttpError:
        """Count and log a login that was not accepted; returns the error for the client."""
        logins = self._tally.logins
        if isinstance(verdict, Wrong):
            logins["wrong"] += 1
            log.warning("login failed", user=user, client=client, request=request)
            return HttpError(401, "The user name or the password is wrong.", CHALLENGE)
        again = f"try again in {verdict.retry_after} second{'s' * (verdict.retry_after > 1)}."
        retry_after = {"Retry-After": str(verdict.retry_after)}
        if isinstance(verdict, Busy):
            logins["busy"] += 1
            log.info("login not looked at, too many are being checked", user=user, client=client, request=request)
            return HttpError(503, f"Too many logins are being checked; {again}", retry_after)
        logins["throttled"] += 1
        scope = verdict.scope.value
        log.info("login not looked at, too many failures", scope=scope, user=user, client=client, request=request)
        return HttpError(429, f"Too many failed logins {scope}; {again}", retry_after)
