"""The identity of a CI job, as its platform's OpenID provider asserted it when a token was minted for it.

The claims are kept beside the token, since what the job may prove later - which repository and workflow signed an
attestation - is compared with them.
"""

from __future__ import annotations

import msgspec


class CiIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job of a trusted publisher. Every claim was verified before it was stored here."""

    id: str
    """Of the publisher in the access document."""
    kind: str
    """The platform, by the name that PEP 740's publisher objects have for it: `GitHub`, `GitLab`, `Google`,
    `CircleCI`; another word for a platform without such a name."""
    issuer: str
    """The URL of the OpenID provider: the claim `iss`."""
    claims: dict[str, str] = {}
    """Further claims that are text, by the issuer's names, such as `repository` and `workflow_ref` of GitHub."""
