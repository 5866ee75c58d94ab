"""From the claims of an identity provider (OpenID Connect Core 1.0, 5.1) to a user and its groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quire.access.identities import identified
from quire.access.principals import Principal
from quire.domain.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """The claims in which a provider has the user's name and its groups."""

    user: str = "email"
    groups: str = "groups"

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """The user. Raises InvalidRequest for claims without one.

        An address that the provider has not verified is no name: another user may have it.
        """
        name = claims.get(self.user)
        if not isinstance(name, str) or not name:
            raise InvalidRequest(f"The login provider does not say who the user is: it sends no claim {self.user!r}.")
        if self.user == "email" and claims.get("email_verified") not in (None, True, "true"):
            raise InvalidRequest(f"The login provider has not verified the address {name[:100]}.")
        groups = claims.get(self.groups, [])
        if isinstance(groups, str):
            groups = [groups]
        if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
            raise InvalidRequest(f"The login provider's claim {self.groups!r} is no list of groups.")
        return identified(name, groups)
