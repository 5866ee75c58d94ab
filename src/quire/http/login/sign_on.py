"""The login at an OpenID provider, as one worker has it: the provider, and the groups that are let in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from quire.access.claims import ClaimNames
from quire.access.login_limits import Limits, Throttle
from quire.access.principals import Principal
from quire.config.settings import Settings
from quire.domain.errors import InvalidRequest
from quire.identity.fetching import IdentityUnavailable
from quire.identity.openid import OpenIdProvider

SECRET_VARIABLE: Final = "QUIRE_OIDC_CLIENT_SECRET"  # noqa: S105 - the name of a variable
"""The environment variable with the client's secret. It is no setting, as settings are shown."""
_MAX_SECRET: Final = 1024
LIMITS: Final = Limits(failures=60, address_failures=60, network_failures=400)
"""Of logins that the provider did not confirm, within a minute: each costs it a request."""

log = structlog.get_logger(__name__)


class SignOn:
    """The login of the web interface at a provider."""

    def __init__(self, settings: Settings) -> None:
        """Only for settings with an issuer and a client."""
        assert settings.oidc_issuer is not None
        assert settings.oidc_client_id is not None
        self.claims = ClaimNames(settings.oidc_user_claim, settings.oidc_groups_claim)
        self.throttle = Throttle(LIMITS)
        self._allowed = frozenset(settings.oidc_allowed_groups)
        file = settings.oidc_client_secret_file
        self.provider = OpenIdProvider(
            settings.oidc_issuer,
            settings.oidc_client_id,
            lambda: read_secret(file, os.environ),
            settings.oidc_scopes,
        )

    def admit(self, principal: Principal) -> Principal:
        """The same user, if it is in one of the groups that are let in. Raises InvalidRequest."""
        if self._allowed and not self._allowed & principal.groups:
            raise InvalidRequest("You are in none of the groups that may log in here; ask for one of them.")
        return principal


def read_secret(file: str | None, environ: Mapping[str, str]) -> str | None:
    """The client's secret, from its file or from the environment; None when there is none.

    It is read for each login, so that a new one needs no restart. Raises IdentityUnavailable.
    """
    if file is None:
        return environ.get(SECRET_VARIABLE) or None
    try:
        with Path(file).open("rb") as opened:
            secret = opened.read(_MAX_SECRET + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        log.error("secret of the client not read", file=file, error=str(error))
        secret = ""
    if not 0 < len(secret) <= _MAX_SECRET:
        raise IdentityUnavailable("The secret of this server's client cannot be read (--oidc-client-secret-file).")
    return secret
