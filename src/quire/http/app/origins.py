"""Requests that a browser makes for a foreign page: changes from other sites, names of other hosts.

Theory of operation. A page of any site can have a browser send a form to this index, with the login that the browser
has for it, or with none where none is needed. The page cannot read the answer, but the change is made. Browsers say
where such a request comes from, in Origin (RFC 6454) and Sec-Fetch-Site (Fetch Metadata); tools that publish send
neither. So a request that can change something is refused when one of them names another site.

A page can also have a name of its own site lead to this index's address (DNS rebinding); the browser then takes both
for one site, and lets the page read everything. Only the Host line shows it: it has that name. `--allowed-hosts`
refuses it, for every request but those of health checks, which ask under any name and learn nothing of the index.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from quire.config.network import LOCAL_NAMES
from quire.config.settings import Settings
from quire.http.app.problems import HttpError, problem_response
from quire.http.app.proxies import Outside, TrustedProxies
from quire.http.app.request_log import context_of
from quire.http.app.routes import endpoints

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, 9.2.1; nothing here changes by them
_OWN_SITE: Final = frozenset({"same-origin", "none"})
"""The values that browsers send for our own pages and for a person's actions; `same-site`: a page of another host."""
_PORTS: Final = {"http": 80, "https": 443}

log = structlog.get_logger(__name__)


class AllowedHosts:
    """The names under which the index answers."""

    def __init__(self, names: Sequence[str]) -> None:
        """`names`: as the setting has them; none for every name."""
        self.is_any = not names
        self._names = frozenset(names)
        self._has_local = LOCAL_NAMES in names
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))

    def allow(self, host: str) -> bool:
        """Whether a Host line has one of these names, with any port; also when it has none (HTTP/1.0)."""
        if self.is_any or not host:
            return True
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        name = name.lower().removesuffix(".")
        if name.startswith("["):
            try:
                name = str(ipaddress.ip_address(name[1:-1]))
            except ValueError:
                return False
        is_local = self._has_local and "." not in name and ":" not in name
        return is_local or name in self._names or name.endswith(self._suffixes)


class Origins:
    """Middleware: refuses changes that pages of other sites ask for, and names that the index does not have."""

    def __init__(self, app: ASGIApp, settings: Settings, proxies: TrustedProxies, hosts: AllowedHosts) -> None:
        self._app = app
        self._proxies = proxies
        self._hosts = hosts
        self._for_any_host = {
            f"{settings.server_base_url}{each.path}"
            for each in endpoints(settings.health_endpoint)
            if each.has_any_host
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["method"] not in _SAFE or not self._hosts.is_any):
            try:
                self._check(Request(scope))
            except HttpError as error:
                await problem_response(Request(scope), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, request: Request) -> None:
        """Raises HttpError 403, 421."""
        outside = self._proxies.outside(request)
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        if path not in self._for_any_host and not self._hosts.allow(outside.host):
            self._log("host name refused", request, host=outside.host)
            sentence = (
                f"This index does not have the name {outside.host[:100]!r}; --allowed-hosts can give it that name."
            )
            raise HttpError(421, sentence)
        if request.method in _SAFE:
            return
        origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
        if (origin is None or is_own(origin, outside)) and (site is None or site.strip().lower() in _OWN_SITE):
            return
        self._log("change from another site refused", request, origin=origin, site=site)
        raise HttpError(
            403,
            "A web page of another site asks for this change; the index takes changes from tools that publish "
            "and from its own pages only.",
        )

    def _log(self, event: str, request: Request, **fields: str | None) -> None:
        shown = {name: value[:200] for name, value in fields.items() if value is not None}
        client, request_id = self._proxies.client_address(request), context_of(request.scope).request_id
        log.warning(event, **shown, client=client, request=request_id)


def is_own(origin: str, outside: Outside) -> bool:
    """Whether an Origin is that of the index as the client addresses it; `null` is never its own.

    That the connection is not secure is not known here: a proxy may end TLS and not say so. So the schemes are compared
    when the connection is secure for certain; a port that was left out is that of the origin's scheme.
    """
    try:
        parts, own = urlsplit(origin.strip()), urlsplit(f"//{outside.host}")
        port = _PORTS.get(parts.scheme)
        if port is None or parts.hostname is None or (outside.scheme == "https" and parts.scheme != "https"):
            return False
        return (parts.hostname, parts.port or port) == (own.hostname, own.port or port)
    except ValueError:
        return False
