"""The user that a trusted proxy names in a header, as oauth2-proxy does.

Theory of operation. The proxy has checked the login, and sets or clears the header in every request. So the header
counts from a peer in `--trusted-proxies` and from no other; that a client sent it by itself is logged. A header that
the proxy passed on beside its own is refused: two lines by `quire.http.app.framing`, two values in one line here.
"""

from __future__ import annotations

import structlog
from starlette.requests import Request

from quire.access import identities
from quire.access.principals import Principal
from quire.domain.errors import InvalidRequest
from quire.http.app.problems import HttpError
from quire.http.app.proxies import TrustedProxies, peer_of
from quire.http.app.request_log import context_of

log = structlog.get_logger(__name__)


class ProxyUsers:
    """Finds the user of a request in the headers of a trusted proxy."""

    def __init__(self, proxies: TrustedProxies, user_header: str | None, groups_header: str | None) -> None:
        """The names of the headers, in lower case; None for none."""
        self._proxies = proxies
        self._user_header = user_header
        self._groups_header = groups_header

    def find(self, request: Request) -> Principal | None:
        """The user that the peer names, if it is a trusted proxy. Raises HttpError 400 for a name that is none."""
        name = self._user_header
        sent = None if name is None else request.headers.get(name)
        if name is None or sent is None:
            return None
        if not self._proxies.trusts(peer_of(request.scope)):
            self._log("user header ignored, its sender is no trusted proxy", request, header=name)
            return None
        try:
            user = identities.user_in_header(sent)
            name = self._groups_header
            groups = frozenset[str]() if name is None else identities.groups_in_header(request.headers.get(name, ""))
        except InvalidRequest as error:
            self._log("user header refused", request, header=name, reason=str(error))
            raise HttpError(
                400, f"The proxy sends a {str(name).title()} that names no user: {str(error).removesuffix('.')}."
            ) from error
        return Principal(user, groups=groups)

    def _log(self, event: str, request: Request, **fields: str | None) -> None:
        client, request_id = self._proxies.client_address(request), context_of(request.scope).request_id
        log.warning(event, **fields, client=client, request=request_id)
