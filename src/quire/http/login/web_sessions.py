"""The sessions of the web interface, as one worker has them: found in requests, begun by a login, whichever it was."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from quire.access import sessions
from quire.access.authenticator import Authenticator
from quire.access.decisions import AccessState
from quire.access.document import Sessions, Token, subject_of
from quire.access.grants import SubjectKind
from quire.access.principals import Principal
from quire.access.records import AccessRecords
from quire.access.sessions import Session
from quire.config.settings import Settings
from quire.domain.errors import InvalidRequest
from quire.http.app.proxies import TrustedProxies
from quire.http.login.cookies import Cookies

_MOST: Final = 1000
_WITHIN: Final = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=@:-]+)*/?(?:\?[A-Za-z0-9._~%!$&'()*+,;=@:/?-]*)?")


class WebSessions:
    """Sessions in cookies."""

    def __init__(
        self, settings: Settings, proxies: TrustedProxies, records: AccessRecords, authenticator: Authenticator | None
    ) -> None:
        """`records`: where the key of sessions is. `authenticator`: of users with a password; None without them."""
        self.records = records
        self.cookies = Cookies(proxies, settings.server_base_url)
        self.seconds = settings.session_seconds
        self._authenticator = authenticator

    def find(self, request: Request, state: AccessState) -> Session | None:
        """The session of a request, if it counts in this state of the grants, and the login that began it does, too."""
        found = self.cookies.session(request, state)
        document = state.document.sessions
        if found is None or document is None:
            return None
        if found.principal.token is not None:
            token = state.find_token(found.principal.token, found.digest or "", datetime.now(UTC))
            return found if isinstance(token, Token) and token.user == found.principal.username else None
        if found.mark is not None:
            return found if found.mark == self._mark(document, found.principal) else None
        return found

    def begin(
        self,
        request: Request,
        response: Response,
        state: AccessState,
        principal: Principal,
        *,
        now: float,
        digest: str | None = None,
        stored: str | None = None,
    ) -> None:
        """Give a browser the cookie of a new session. `digest`: of the token that it logged in with; `stored`: the hash
        of the password, as it was before that was checked. Of more groups than a cookie holds, those that grants name
        are kept.

        Raises InvalidRequest.
        """
        document, expires, user = state.document.sessions, now + self.seconds, principal.username
        assert document is not None
        mark = None if stored is None or user is None else sessions.password_mark(document, user, stored)
        if mark is not None and mark != self._mark(document, principal):
            raise InvalidRequest("The password was changed in this moment; log in again.")
        text = sessions.seal_session(document, principal, expires, digest=digest, mark=mark)
        if len(text) > sessions.MAX_SEALED:
            subjects = (subject_of(grant) for grant in state.document.grants.values())
            named = {each.name for each in subjects if each is not None and each.kind is SubjectKind.GROUP}
            fewer = Principal(principal.username, groups=principal.groups & named)
            text = sessions.seal_session(document, fewer, expires, digest=digest, mark=mark)
        if len(text) > sessions.MAX_SEALED:
            raise InvalidRequest("You are in more groups than a session holds; have the provider send fewer.")
        self.cookies.set_session(request, response, text, self.seconds)

    def login_address(self, request: Request, *, keeps_query: bool = True) -> str:
        """The page for the login, which leads back to the page that a request asks for, if that is another one: without
        its query where that is not wanted, is longer, or has other characters, than a login takes back."""
        login = f"{self.cookies.base_path(request)}-/login"
        path = self.cookies.path_of(request, keeps_query=keeps_query)
        bare = path.partition("?")[0]
        if bare == login:
            return login
        found = next((each for each in (path, bare) if self.is_within(request, each)), None)
        return login if found is None else f"{login}?next={quote(found)}"

    def is_within(self, request: Request, target: str) -> bool:
        """Whether a text is a path of this index, perhaps with a query, and so never leads to another site."""
        base = self.cookies.base_path(request)
        rest, path = target.removeprefix(base.removesuffix("/")), target.partition("?")[0]
        is_path = target.startswith(base) and _WITHIN.fullmatch(rest) is not None and len(target) <= _MOST
        return is_path and ".." not in unquote(path).split("/")

    def _mark(self, document: Sessions, principal: Principal) -> str | None:
        """Of the password of a user as it is now."""
        user = principal.username
        stored = None if self._authenticator is None or user is None else self._authenticator.stored_hash(user)
        return None if stored is None or user is None else sessions.password_mark(document, user, stored)
