"""The user that an AWS Application Load Balancer names in a signed header."""

from __future__ import annotations

from quire.access.claims import ClaimNames
from quire.access.principals import Principal
from quire.config.settings import Settings
from quire.config.sign_on import LOAD_BALANCER_HEADER
from quire.domain.errors import InvalidRequest
from quire.http.app.problems import HttpError
from quire.identity.fetching import IdentityUnavailable
from quire.identity.load_balancers import LoadBalancerTokens
from quire.identity.tokens import BadToken


class LoadBalancerUsers:
    """Finds the user in the value of the header."""

    def __init__(self, settings: Settings) -> None:
        self._claims = ClaimNames(settings.oidc_user_claim, settings.oidc_groups_claim)
        self._tokens = LoadBalancerTokens(settings.alb_arn, settings.alb_keys_url)

    async def find(self, sent: str) -> Principal:
        """Raises HttpError 400, 401, 503 for a value that does not count."""
        try:
            return self._claims.principal(await self._tokens.verify(sent))
        except BadToken as error:
            raise HttpError(401, f"The load balancer's {LOAD_BALANCER_HEADER} does not count. {error}") from error
        except InvalidRequest as error:
            raise HttpError(400, str(error)) from error
        except IdentityUnavailable as error:
            raise HttpError(503, f"The load balancer's key cannot be read now. {error}") from error
