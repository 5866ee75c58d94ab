"""The cookies of the web interface. They count for its own pages alone: `Endpoint.takes_sessions` of the route table.

A browser sends a cookie with requests that a page of another site asks for, so no change is made for a cookie alone:
`SameSite=Lax` keeps it from such forms, `quire.http.app.origins` refuses them, and a form of ours has a token that no
other page knows.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.access.decisions import AccessState
from quire.access.sessions import Session, open_session
from quire.http.app.proxies import TrustedProxies
from quire.http.app.routes import mount_of, path_within

_SESSION: Final = "quire_session"
_LOGIN: Final = "quire_login"


class Cookies:
    """The cookies of requests and responses."""

    def __init__(self, proxies: TrustedProxies, prefix: str) -> None:
        """`prefix`: the path under which everything is served, as the setting has it."""
        self._proxies = proxies
        self._prefix = prefix

    def session(self, request: Request, state: AccessState) -> Session | None:
        """The session of a request, if it counts in this state of the grants."""
        text = request.cookies.get(self._name(request, _SESSION))
        return None if text is None else open_session(state.document.sessions, text, time.time())

    def set_session(self, request: Request, response: Response, text: str, seconds: int) -> None:
        self._set(request, response, _SESSION, text, seconds)

    def clear_session(self, request: Request, response: Response) -> None:
        self._set(request, response, _SESSION, "", 0)

    def login(self, request: Request) -> str | None:
        """The text that was kept of a login that has begun."""
        return request.cookies.get(self._name(request, _LOGIN))

    def set_login(self, request: Request, response: Response, text: str, seconds: int) -> None:
        self._set(request, response, _LOGIN, text, seconds)

    def clear_login(self, request: Request, response: Response) -> None:
        self._set(request, response, _LOGIN, "", 0)

    def path_of(self, request: Request, *, keeps_query: bool = True) -> str:
        """The path of a request, and its query, as its client has them."""
        query = f"?{request.url.query}" if keeps_query and request.url.query else ""
        within = path_within(request.scope).removeprefix(self._prefix)
        return f"{self.base_path(request)}{quote(within.removeprefix('/'))}{query}"

    def base_path(self, request: Request) -> str:
        """The path of the index as its client has it, ended by a slash."""
        return f"{self._proxies.outside(request).prefix}{quote(mount_of(request.scope))}{self._prefix}/"

    def _name(self, request: Request, name: str) -> str:
        """With the prefix of cookies that no other host, and no page without TLS, can set (RFC 6265bis)."""
        return f"__Host-{name}" if self._is_secure(request) else name

    def _is_secure(self, request: Request) -> bool:
        return self._proxies.outside(request).scheme == "https"

    def _set(self, request: Request, response: Response, name: str, text: str, seconds: int) -> None:
        response.set_cookie(
            self._name(request, name),
            text,
            max_age=seconds,
            path="/",
            secure=self._is_secure(request),
            httponly=True,
            samesite="lax",
        )
