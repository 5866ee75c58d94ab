"""The user that a trusted proxy names in a header: as it is (oauth2-proxy), or signed (an AWS load balancer).

Theory of operation. The proxy has checked the login, and sets or clears the header in every request. So the header
counts from a peer in `--trusted-proxies` and from no other; that a client sent it by itself is logged. A header that
the proxy passed on beside its own is refused: two lines by `quire.http.app.framing`, two values in one line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from starlette.requests import Request

from quire.access import identities
from quire.access.principals import Principal
from quire.config.settings import Settings
from quire.config.sign_on import LOAD_BALANCER_HEADER
from quire.domain.errors import InvalidRequest
from quire.http.app.problems import HttpError
from quire.http.app.proxies import TrustedProxies, peer_of
from quire.http.app.request_log import context_of

if TYPE_CHECKING:
    from quire.http.login.load_balancer_users import LoadBalancerUsers

log = structlog.get_logger(__name__)


class ProxyUsers:
    """Finds the user of a request in the headers of a trusted proxy."""

    def __init__(self, proxies: TrustedProxies, settings: Settings) -> None:
        self._proxies = proxies
        self._user_header = settings.user_header
        self._groups_header = settings.groups_header
        self._signed: LoadBalancerUsers | None = None
        if settings.alb_arn:
            from quire.http.login.load_balancer_users import LoadBalancerUsers  # noqa: PLC0415 - of the extra `oidc`

            self._user_header, self._signed = LOAD_BALANCER_HEADER, LoadBalancerUsers(settings)

    async def find(self, request: Request) -> Principal | None:
        """The user that the peer names, if it is a trusted proxy.

        Raises HttpError 400 for a name that is none, 401 for a signed header that does not count, 503.
        """
        name = self._user_header
        sent = None if name is None else request.headers.get(name)
        if name is None or sent is None:
            return None
        if not self._proxies.trusts(peer_of(request.scope)):
            self._log("user header ignored, its sender is no trusted proxy", request, name)
            return None
        try:
            return self._named(request, name, sent) if self._signed is None else await self._signed.find(sent)
        except HttpError as error:
            self._log("user header refused", request, name, str(error))
            raise

    def _named(self, request: Request, name: str, sent: str) -> Principal:
        try:
            user, groups = identities.user_in_header(sent), frozenset[str]()
            if self._groups_header is not None:
                name = self._groups_header
                groups = identities.groups_in_header(request.headers.get(name, ""))
        except InvalidRequest as error:
            sentence = f"The proxy sends a {name.title()} that names no user: {str(error).removesuffix('.')}."
            raise HttpError(400, sentence) from error
        return Principal(user, groups=groups)

    def _log(self, event: str, request: Request, name: str, reason: str | None = None) -> None:
        client, request_id = self._proxies.client_address(request), context_of(request.scope).request_id
        if reason is None:
            log.warning(event, header=name, client=client, request=request_id)
        else:
            log.warning(event, header=name, reason=reason, client=client, request=request_id)
