"""Logins and rights of requests: `AccessRules.authorize` decides, and each refusal is counted and logged here."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

import structlog
from starlette.requests import Request

from quire.access.authenticator import Accepted, Authenticator, Busy, Credentials, Throttled, Wrong, parse_basic
from quire.access.authorization import (
    ALLOWED,
    UNKNOWN_OWNERS,
    AccessRules,
    Allowed,
    Forbidden,
    NeedsLogin,
    Right,
)
from quire.access.credentials import find_token_text, token_in
from quire.access.decisions import AccessState, TokenFault
from quire.access.document import Token
from quire.access.principals import ANONYMOUS, Principal
from quire.access.rates import NO_LIMIT, TokenRates
from quire.access.records import StoredAccess
from quire.access.tokens import USERNAME, TokenText
from quire.access.uses import TokenUses
from quire.catalog.freshness import Barrier
from quire.domain.errors import NameReserved, NamespaceReserved
from quire.domain.namespaces import Namespace
from quire.domain.project import Project
from quire.http.app.problems import HttpError
from quire.http.app.proxies import TrustedProxies
from quire.http.app.request_log import context_of
from quire.http.login.proxy_users import ProxyUsers
from quire.index.index import Guard
from quire.observe.metrics.tally import Tally

if TYPE_CHECKING:
    from quire.access.sessions import Session
    from quire.http.login.sign_on import SignOn
    from quire.http.login.web_sessions import WebSessions

CHALLENGE = {"WWW-Authenticate": 'Basic realm="pypi", charset="UTF-8"'}
"""distutils' `register` gives its password to the realm `pypi` alone, which is that of pypiserver too."""

METRICS_PATIENCE: Final = 1.0
"""Seconds that the metrics wait for the store to say which rights there are."""
DECIDED_AGAIN_SECONDS = 1.0
"""After so long the rights of a request are read again, and its credentials checked again: so an upload of some minutes
is published by none that its sender has lost since. One that takes less is decided by those at its arrival, for one
read in place of two."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Permit:
    """The decision on a change of a project, as far as it can be made without the project's record."""

    guard: Guard | None
    """Decides by the record; None where projects have no owners, and no session reserves the name."""
    owner: str | None
    """The owner of the project if the change creates it."""
    is_admin: bool


NO_OWNERS: Final = Permit(None, None, is_admin=False)


class Access:
    """Whether requests may do what they ask for."""

    def __init__(
        self,
        rules: AccessRules,
        authenticator: Authenticator | None,
        proxies: TrustedProxies,
        tally: Tally,
        stored: Barrier[StoredAccess],
        *,
        users: ProxyUsers,
        sign_on: SignOn | None,
        sessions: Callable[[Authenticator | None], WebSessions] | None,
        uses: TokenUses,
        rates: TokenRates,
    ) -> None:
        """`authenticator`: None where there is no password file. `stored`: of the store's grants and tokens, by the
        empty key. `sessions`: opens those of the web interface, when a request needs them; None where there are none.
        """
        self.uses = uses
        self.rates = rates
        self._warned: dict[str, str] = {}
        self.rules = rules
        self.authenticator = authenticator
        self.stored = stored
        self._proxies = proxies
        self._tally = tally
        self._users = users
        self.sign_on = sign_on
        self._open_sessions = sessions

    @cached_property
    def sessions(self) -> WebSessions | None:
        """The sessions of the web interface; None where the store's grants are not read, with which their key is."""
        return None if self._open_sessions is None else self._open_sessions(self.authenticator)

    def offers_login(self, state: AccessState) -> bool:
        """Whether people can log in to the web interface: with a password, a token, or at a provider."""
        has_ways = self.authenticator is not None or self.sign_on is not None or bool(state.document.tokens)
        return self._open_sessions is not None and has_ways

    async def viewer(self, request: Request, state: AccessState) -> Principal:
        """The user that reads a page which needs no login: by a session, or as a trusted proxy names it. A header that
        does not count is refused where a login is needed, and not here."""
        with contextlib.suppress(HttpError):
            named = await self._users.find(request)
            if named is not None:
                return named
        session = self.session_of(request, state)
        return ANONYMOUS if session is None else session.principal

    def session_of(self, request: Request, state: AccessState) -> Session | None:
        """The session of a request that counts now; None without one."""
        if self.sessions is None or "cookie" not in request.headers:
            return None
        return self.sessions.find(request, state)

    async def log_in(self, request: Request, credentials: Credentials, state: AccessState) -> Principal:
        """The principal that a user name and a password, or a token, are of: checked, counted and throttled as those
        of any request. Raises HttpError 400, 401, 429, 503."""
        return await self._verified(request, state, credentials, token_in(credentials))

    async def state(self) -> AccessState:
        """The grants and tokens as they were at some moment after this call began. Raises StoreError."""
        return (await self.stored.get("")).state

    async def known_state(self) -> AccessState:
        """The state as `state` has it; where the store does not say it within a second, as it was last known.

        For what is needed when the store hangs, too: metrics, the home page, which health checks ask for. Raises
        StoreError when nothing is known yet.
        """
        asked = asyncio.ensure_future(self.state())
        asked.add_done_callback(_retrieve)
        await asyncio.wait({asked}, timeout=METRICS_PATIENCE)
        known = self.stored.memory.get("")
        is_answered = asked.done() and not asked.cancelled() and asked.exception() is None
        return await asked if is_answered or known is None else known.state

    async def authorize(self, request: Request, right: Right, index: str, *, takes_sessions: bool = False) -> None:
        """Decide on a request before its project is known; `check` decides again when it is.

        `index`: its name. Credentials are checked only where a login is needed; they make the principal in the
        request's context. `takes_sessions`: whether a login to the web interface counts; a browser without one is sent
        to the page for it, then. Raises HttpError 303, 400, 401, 403, 429, 503, and StoreError.
        """
        context = context_of(request.scope)
        context.decided_at = time.monotonic()
        context.takes_sessions = takes_sessions
        state = context.decided_by = await (self.known_state() if right is Right.METRICS else self.state())
        decision = self.rules.authorize(ANONYMOUS, right, index, None, state)
        context.needed_no_login = decision is ALLOWED
        if isinstance(decision, NeedsLogin):
            context.principal = await self._principal(request, state)
            owners = state.may_own(context.principal)
            decision = self.rules.authorize(context.principal, right, index, None, state, owners=owners)
        if not isinstance(decision, Allowed):
            refusal = self._refusal(request, decision, right, index, None)
            if takes_sessions and refusal.status == 401 and _is_browser(request) and self.offers_login(state):
                assert self.sessions is not None
                raise HttpError(303, str(refusal), {"Location": self.sessions.login_address(request)})
            raise refusal

    async def authorize_again(self, request: Request) -> None:
        """Decide once more, by the rights and the credentials of now, whether a request may do what `authorize` let it
        do, if that was a while ago: a client may keep a body open for as long as it likes. Raises HttpError 401, 403,
        429, 503, and StoreError."""
        context = context_of(request.scope)
        if context.needs is not None and time.monotonic() - context.decided_at > DECIDED_AGAIN_SECONDS:
            right, index = context.needs
            await self._decide(request, right, index, None, may_be_owner=True)

    async def identify(self, request: Request) -> tuple[Principal, AccessState]:
        """The sender of a request, and the state that its credentials were checked by. Anonymous without credentials.

        It is the principal in the request's context from then on. Raises HttpError 401, 429, 503, and StoreError.
        """
        state, context = await self.state(), context_of(request.scope)
        context.principal = await self._principal(request, state)
        return context.principal, state

    async def identify_again(self, request: Request) -> tuple[Principal, AccessState]:
        """As `identify`, which has identified the sender, after the body of a request that needs no right by the route
        table: the body may have taken long. Raises HttpError 401, 503, and StoreError."""
        state = await self._read_again(request)
        return context_of(request.scope).principal, state

    async def has(self, request: Request, right: Right, index: str) -> bool:
        """Whether the sender of a request that `authorize` let pass has a right as well, on an index, or ANY.

        Credentials that were not needed until now are checked, and refused ones count as none: the request goes on.
        """
        context = context_of(request.scope)
        state = context.decided_by
        assert state is not None, "authorize has decided"
        if context.needed_no_login and self.rules.authorize(ANONYMOUS, right, index, None, state) is not ALLOWED:
            with contextlib.suppress(HttpError):
                context.principal = await self._principal(request, state)
        return self.rules.authorize(context.principal, right, index, None, state) is ALLOWED

    async def check(self, request: Request, right: Right, index: str, project: str) -> None:
        """Decide on a request for the principal that `authorize` found: by the same rights, or, where that was a while
        ago, as for a large upload, by those that it has now.

        Credentials that were not needed for some project may be for this one; then they are checked here.
        `project`: its normalized name. A project of which it is not known whether it has owners counts as one of
        others: see `check_change`. Raises HttpError 401, 403, 429, 503, and StoreError.
        """
        await self._decide(request, right, index, project, may_be_owner=False)

    async def check_change(self, request: Request, right: Right, index: str, project: str) -> Permit:
        """As `check`, for a request that the owners of the project may make. Its handler must have the guard called
        with the project's record: for a change in the very step that makes it.

        Raises HttpError 401, 403, 429, 503, NamespaceReserved for an upload, and StoreError; the guard raises HttpError
        and NameReserved.
        """
        context = context_of(request.scope)
        state = await self._decide(request, right, index, project, may_be_owner=True)
        if right is Right.UPLOAD and state.document.indexes:
            self._check_namespace(request, state, index, project)
        principal, loop = context.principal, asyncio.get_running_loop()
        is_reserved = right is Right.UPLOAD and state.is_reserved_against(principal, index, project, datetime.now(UTC))
        is_owned = bool(state.document.indexes) and state.has_owned_projects(index)
        if not is_owned and not is_reserved:
            return NO_OWNERS

        def guard(record: Project | None) -> None:
            if is_reserved and (record is None or not (record.files or record.deleted)):
                raise self._kept(request, index, project, loop)
            owners = record.owners if record is not None else ()
            decision = self.rules.authorize(principal, right, index, project, state, owners=owners)
            if not isinstance(decision, Allowed):
                raise self._refusal(request, decision, right, index, project, loop=loop)

        is_admin = self.rules.authorize(principal, Right.ADMIN, index, None, state) is ALLOWED
        return Permit(guard, state.owner_of_new(principal, index, project), is_admin)

    async def manages(self, request: Request, index: str, project: str, owners: Collection[str]) -> bool:
        """Whether the sender that `check_change` looked at manages a project. Raises HttpError, StoreError."""
        principal, state = context_of(request.scope).principal, await self.state()
        return isinstance(self.rules.authorize(principal, Right.MANAGE, index, project, state, owners=owners), Allowed)

    async def check_namespace(self, request: Request, index: str, project: str) -> None:
        """Refuse to publish below the namespace of others again what was published there before. Raises
        NamespaceReserved, HttpError, StoreError."""
        self._check_namespace(request, await self.state(), index, project)

    def _check_namespace(self, request: Request, state: AccessState, index: str, project: str) -> None:
        principal = context_of(request.scope).principal
        namespace = state.namespace_against(principal, index, project) if state.document.indexes else None
        if namespace is not None:
            raise self._reserved(request, index, project, namespace)

    async def _decide(
        self, request: Request, right: Right, index: str, project: str | None, *, may_be_owner: bool
    ) -> AccessState:
        context = context_of(request.scope)
        state = context.decided_by
        if state is None or time.monotonic() - context.decided_at > DECIDED_AGAIN_SECONDS:
            state = await self._read_again(request)
        is_asked = context.needed_no_login and may_be_owner and bool(state.document.indexes)
        is_asked = (
            is_asked
            and project is not None
            and (
                state.has_owned_projects(index)
                or (right is Right.UPLOAD and state.namespace_against(context.principal, index, project) is not None)
                or (right is Right.UPLOAD and bool(state.reserved_for(index, project, datetime.now(UTC))))
            )
        )
        if is_asked:  # credentials that the request could do without say which user is the owner
            context.principal = await self._principal(request, state)
        owners = state.may_own(context.principal) if may_be_owner else UNKNOWN_OWNERS
        decision = self.rules.authorize(context.principal, right, index, project, state, owners=owners)
        if isinstance(decision, NeedsLogin) and context.needed_no_login and not is_asked:
            context.principal = await self._principal(request, state)  # no credentials were needed until now
            owners = state.may_own(context.principal) if may_be_owner else UNKNOWN_OWNERS
            decision = self.rules.authorize(context.principal, right, index, project, state, owners=owners)
        if not isinstance(decision, Allowed):
            raise self._refusal(request, decision, right, index, project)
        context.decided_by = state
        return state

    async def _read_again(self, request: Request) -> AccessState:
        """The state of now, by which the credentials of a request count still. Raises HttpError 401, 429, 503, and
        StoreError."""
        context, now = context_of(request.scope), time.monotonic()
        state = await self.state()
        if context.checked_at is not None:
            sent = find_token_text(request.headers.get("authorization"))
            context.principal = await self._checked(request, state, sent, began=context.checked_at)
        context.decided_at, context.decided_by = now, state
        return state

    def _refusal(
        self,
        request: Request,
        decision: NeedsLogin | Forbidden,
        right: Right,
        index: str,
        project: str | None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> HttpError:
        """Count and log a request that is not allowed; the error for its client. `loop`: the worker's, from any other
        thread."""
        if isinstance(decision, NeedsLogin):
            reason, refusal = "login_needed", HttpError(401, decision.sentence, CHALLENGE)
        else:
            reason, refusal = "forbidden", HttpError(403, decision.sentence)
        if loop is None:
            self._count_refusal(reason)
        else:
            loop.call_soon_threadsafe(self._count_refusal, reason)
        self._log_refusal(request, reason, right, index=index, project=project)
        return refusal

    def _log_refusal(
        self,
        request: Request,
        reason: str,
        right: Right,
        *,
        index: str,
        project: str | None,
        namespace: Namespace | None = None,
    ) -> None:
        context = context_of(request.scope)
        log.info(
            "access refused",
            reason=reason,
            right=right.name.lower(),
            index=index,
            project=project,
            namespace=None if namespace is None else namespace.name,
            user=context.user or None,
            token=context.principal.token,
            client=self._proxies.client_address(request),
            request=context.request_id,
        )

    def _reserved(self, request: Request, index: str, project: str, namespace: Namespace) -> NamespaceReserved:
        """Count and log an upload below a namespace of others; the error for its client."""
        context = context_of(request.scope)
        self._count_refusal("forbidden")
        self._log_refusal(request, "namespace", Right.UPLOAD, index=index, project=project, namespace=namespace)
        sender = f"the user {context.principal.name[:100]} is" if context.principal.token is None else "this token is"
        sender = "a sender without a login is" if context.principal.is_anonymous else sender
        return NamespaceReserved(
            f"The name {project} is in the namespace {namespace.name}, which belongs to others; {sender} no owner of "
            f"it. Choose another name, or ask an administrator for 'quire namespace grant {namespace.name}'."
        )

    def _kept(self, request: Request, index: str, project: str, loop: asyncio.AbstractEventLoop) -> NameReserved:
        """Count and log an upload to a new project whose name is reserved for others; the error for its client. For any
        thread; `loop`: the worker's."""
        loop.call_soon_threadsafe(self._count_refusal, "forbidden")
        self._log_refusal(request, "session", Right.UPLOAD, index=index, project=project)
        return NameReserved(
            f"The name {project} is reserved for the first release of another sender, whose publishing session is not "
            "finished; repeat this when it has ended, or choose another name."
        )

    def _count_refusal(self, reason: str) -> None:
        self._tally.refused[reason] += 1

    async def _principal(self, request: Request, state: AccessState) -> Principal:
        """The principal whose credentials a request has. Raises HttpError 400, 401, 429, 503 for refused ones.

        A token counts before the user that a proxy names, since it narrows what that user may do. Anything else in
        Authorization is then what the proxy wants it to be.
        """
        sent, now = find_token_text(request.headers.get("authorization")), datetime.now(UTC)
        user = None if isinstance(sent, TokenText) else await self._users.find(request)
        if user is not None:
            self._tally.logins["proxy"] += 1
            return user
        principal = await self._checked(request, state, sent)
        context_of(request.scope).checked_at = None if principal.is_anonymous else now
        return principal

    async def _checked(
        self, request: Request, state: AccessState, sent: TokenText | str | None, *, began: datetime | None = None
    ) -> Principal:
        """The principal of a session, a token or a password. `sent`: as `find_token_text` has it; `began`: see
        `_verified`. Raises HttpError 400, 401, 429, 503."""
        header = request.headers.get("authorization")
        session = None
        if header is None and context_of(request.scope).takes_sessions:
            session = self.session_of(request, state)
        if session is None:
            return await self._verified(request, state, parse_basic(header), sent, began=began)
        if began is None:
            self._tally.logins["session"] += 1
            token = session.principal.token
            if token is not None:
                self._note_token(request, token, state.document.tokens[token])
        return session.principal

    async def _verified(
        self,
        request: Request,
        state: AccessState,
        credentials: Credentials | None,
        sent: TokenText | str | None,
        *,
        began: datetime | None = None,
    ) -> Principal:
        """The principal that credentials are of, and what was `sent` as a token in them or without them.

        `began`: of a request whose credentials counted already; they are not counted again, and a token that has
        expired since counts still. Raises HttpError 400, 401, 429, 503.
        """
        found: Token | TokenFault | None = None
        if isinstance(sent, TokenText):
            found = state.find_token(sent.identity, sent.digest, datetime.now(UTC), began)
        if isinstance(sent, TokenText) and isinstance(found, Token):
            if began is None:
                self._tally.logins["token"] += 1
                self._note_token(request, sent.identity, found)
                if found.expires is not None and state.expires_soon(sent.identity, datetime.now(UTC)):
                    self._warn(request, sent.identity, found.expires)
            return Principal(found.user, token=sent.identity, publisher=found.publisher)
        can_be_password = (
            credentials is not None and credentials.username != USERNAME and self.authenticator is not None
        )
        if sent is not None and not (can_be_password and found in {None, TokenFault.UNKNOWN}):
            raise self._token_refused(request, sent, found)
        if credentials is None or self.authenticator is None:
            return ANONYMOUS
        checks = self.authenticator.hash_checks
        client = self._proxies.client_address(request)
        verdict = await self.authenticator.authenticate(credentials, client)
        if sent is not None and isinstance(verdict, Wrong):
            raise self._token_refused(request, sent, found)
        if not isinstance(verdict, Accepted):
            request_id = context_of(request.scope).request_id
            raise self._login_refused(verdict, user=credentials.username[:100], client=client, request=request_id)
        if began is None:
            self._tally.logins["remembered" if self.authenticator.hash_checks == checks else "checked"] += 1
        return Principal(verdict.username)

    def _note_token(self, request: Request, identity: str, token: Token) -> None:
        """Note the use of a token, and count it. Raises HttpError 429."""
        self.uses.note(identity)
        self._count_request(request, identity, self.rates.limit_of(token))

    def _count_request(self, request: Request, identity: str, limit: int) -> None:
        """Raises HttpError 429 for a token that has sent more requests than it may."""
        wait = None if limit == NO_LIMIT else self.rates.take(identity, limit)
        if wait is None:
            return
        self._tally.refused["rate_limited"] += 1
        client, request_id = self._proxies.client_address(request), context_of(request.scope).request_id
        log.info("access refused", reason="rate_limited", token=identity, client=client, request=request_id)
        again = f"try again in {wait} second{'s' * (wait > 1)}."
        raise HttpError(
            429,
            f"The token {identity} may send {limit} requests a minute, and sends more; {again}",
            {"Retry-After": str(wait)},
        )

    def _warn(self, request: Request, identity: str, expires: str) -> None:
        """Say in the answer when a token expires; once a day also in the log."""
        context_of(request.scope).token_expires = expires
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        if self._warned.get(identity) != today:
            self._warned[identity] = today
            client = self._proxies.client_address(request)
            log.warning("token expires soon", token=identity, expires=expires, client=client)

    def _token_refused(self, request: Request, sent: TokenText | str, found: Token | TokenFault | None) -> HttpError:
        """Count and log a token that does not count; returns the error for the client. `sent`: the token, or the
        sentence on what was sent as one."""
        self._tally.logins["wrong"] += 1
        identity = sent.identity if isinstance(sent, TokenText) else None
        reason = str(found) if isinstance(found, TokenFault) else str(sent)
        client, request_id = self._proxies.client_address(request), context_of(request.scope).request_id
        log.warning("token refused", token=identity, reason=reason, client=client, request=request_id)
        return HttpError(401, reason, CHALLENGE)

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


def _is_browser(request: Request) -> bool:
    """Whether a person sees the answer: only browsers ask for HTML by name, and send no credentials of their own."""
    return "text/html" in request.headers.get("accept", "") and "authorization" not in request.headers


def _retrieve(asked: asyncio.Future[AccessState]) -> None:
    """The error of an answer that is not waited for is no defect."""
    if not asked.cancelled():
        asked.exception()
