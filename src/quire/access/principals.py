"""The sender of a request, as far as its credentials prove it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from quire.access.ci_identities import CiIdentity


@dataclass(frozen=True, slots=True)
class Principal:
    """A user, a token, or an anonymous sender."""

    username: str | None = None
    """None for an anonymous one, and for a token that stands for itself."""
    groups: frozenset[str] = frozenset()
    """Those that a trusted proxy or an identity provider names; those of the store come on top."""
    token: str | None = None
    """The id of the token, where it came by one."""
    publisher: CiIdentity | None = field(default=None, compare=False)
    """The CI job for which the token was minted; None where it is of none."""

    @property
    def is_anonymous(self) -> bool:
        return self.username is None and self.token is None

    @property
    def name(self) -> str:
        """For logs: the user, the publisher of a minted token, or a token that stands for itself; empty for an
        anonymous one."""
        if self.publisher is not None:
            return f"publisher:{self.publisher.id}"
        return self.username or ("" if self.token is None else f"token:{self.token}")


ANONYMOUS: Final = Principal()
