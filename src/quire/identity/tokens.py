"""JSON Web Tokens of issuers that an operator named: the form first, then the signature, then the claims.

Everything that a token says about its own verification is ignored or refused: the algorithm must be RS256 or ES256 and
fit the key; the key comes from the issuer by its id, never from the token (`jwk`, `jku`, `x5u`, `x5c`); extensions that
must be understood (`crit`) are not. A claim is read only after the signature has been verified, but for `iss`, which
says whose keys to take.

Sources: RFC 7515 (signatures), 7519 (claims), 8725 (best current practices).
"""

from __future__ import annotations

import binascii
import hashlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from quire.domain.errors import QuireError
from quire.domain.strict_json import decode_strictly
from quire.identity.keys import ALGORITHMS, IssuerKeys

if TYPE_CHECKING:
    from jwt.types import Options

MAX_CHARACTERS: Final = 16 * 1024
"""Longest token. Those of CI systems have 1 to 3 KB."""
LEEWAY: Final = 30
"""Seconds by which the clocks of issuer and server may differ."""
MAX_LIFETIME: Final = 24 * 3600
"""Seconds. A token that is valid for longer is refused: it would have to be remembered for as long."""
_KEYS_OF_ITS_OWN: Final = ("jwk", "jku", "x5u", "x5c")


class BadToken(QuireError):
    """A JSON Web Token that is refused; the sentence says why, and is for the client that sent it."""


_SIGNATURE_ALONE: Final[Options] = {
    "verify_signature": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}
"""The claims are checked here, each with a sentence of its own."""


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A token whose form is right, and of which nothing is proven."""

    text: str = field(repr=False)
    issuer: str
    """As the token says: look it up among those that are trusted, and use it for nothing else."""
    algorithm: str
    key: str
    """The id of the key (`kid`)."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token that its issuer has signed, which is valid now, and for this audience."""

    claims: Mapping[str, Any]
    identity: str
    """A digest that no other token of any issuer has: by it a token is recognised when it comes again."""
    expires: float
    """Seconds since 1970, after which it is refused in any case."""


def is_available() -> bool:
    """Whether the extra `oidc` is installed."""
    return importlib.util.find_spec("jwt") is not None and importlib.util.find_spec("cryptography") is not None


def parse_token(text: str) -> ParsedToken:
    """The form of a token. Raises BadToken."""
    if len(text) > MAX_CHARACTERS:
        raise BadToken(f"The token has more than {MAX_CHARACTERS // 1024} KiB.")
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):
        raise BadToken("The token is no signed JSON Web Token: three parts with dots between them.")
    header, claims = decode_part(parts[0], "header"), decode_part(parts[1], "payload")
    algorithm, key, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if algorithm not in ALGORITHMS:
        raise BadToken(f"The token's algorithm {str(algorithm)[:20]!r} is not taken; it must be RS256 or ES256.")
    for name in _KEYS_OF_ITS_OWN:
        if name in header:
            raise BadToken(f"The token brings a key of its own ({name}); keys are taken from its issuer alone.")
    if "crit" in header or header.get("b64", True) is not True:
        raise BadToken("The token needs an extension (crit) that is not known here.")
    if not isinstance(key, str) or not key:
        raise BadToken("The token does not name the key that signed it (kid).")
    if not isinstance(issuer, str) or not issuer:
        raise BadToken("The token does not name its issuer (iss).")
    return ParsedToken(text, issuer, str(algorithm), key)


async def verify_token(
    token: ParsedToken,
    keys: IssuerKeys,
    audience: str,
    *,
    jwks_url: str | None = None,
    clock: Callable[[], float] = time.time,
) -> VerifiedToken:
    """The token's claims, proven. The caller has made sure that its issuer is one to trust.

    Raises BadToken, and IdentityUnavailable when the issuer's keys cannot be read.
    """
    import jwt  # noqa: PLC0415 - of the extra `oidc`

    key = await keys.find(token.issuer, token.key, token.algorithm, jwks_url=jwks_url)
    if key is None:
        raise BadToken("The token is signed with a key that its issuer does not have (kid).")
    try:
        claims = jwt.decode(token.text, key, algorithms=[token.algorithm], options=_SIGNATURE_ALONE)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise BadToken("The token's signature is wrong.") from None
    expires = _check_times(claims, clock())
    if claims.get("iss") != token.issuer:
        raise BadToken("The token is of another issuer.")
    sent = claims.get("aud")
    if sent not in (audience, [audience]):
        raise BadToken(f"The token is for another audience; ask for one for {audience!r}.")
    return VerifiedToken(claims, _identity(token, claims), expires + LEEWAY)


def decode_part(part: str, name: str) -> dict[str, Any]:
    """The JSON object of a token's `header` or `payload`. Raises BadToken."""
    try:
        document = decode_strictly(decode_base64url(part))
    except ValueError:  # not base64, no JSON, too deep, a name twice
        document = None
    if not isinstance(document, dict):
        raise BadToken(f"The token's {name} is no JSON object in base64url.")
    return document


def decode_base64url(part: str) -> bytes:
    """Raises ValueError."""
    return binascii.a2b_base64(part.encode("ascii").translate(_URL_SAFE) + b"=" * (-len(part) % 4), strict_mode=True)


_URL_SAFE: Final = bytes.maketrans(b"-_+/=", b"+/\x00\x00\x00")


def _check_times(claims: Mapping[str, Any], now: float) -> float:
    """The time at which a token expires, which is not over yet. Raises BadToken."""
    expires, issued, begins = (_time(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None:
        raise BadToken("The token does not say when it expires (exp).")
    if issued is None:
        raise BadToken("The token does not say when it was issued (iat).")
    if expires + LEEWAY <= now:
        raise BadToken("The token has expired; ask for a new one, and use it at once.")
    if issued - LEEWAY > now or (begins is not None and begins - LEEWAY > now):
        raise BadToken("The token is not valid yet; look at the clocks of its issuer and of this server.")
    if expires - issued > MAX_LIFETIME or expires - now > MAX_LIFETIME + LEEWAY:
        raise BadToken(f"The token is valid for more than {MAX_LIFETIME // 3600} hours.")
    return expires


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        raise BadToken(f"The token's claim {name} is no time.")
    return float(value)


def _identity(token: ParsedToken, claims: Mapping[str, Any]) -> str:
    """Of the token's own id (`jti`), or for an issuer that gives none, of the text that was signed. The signature
    itself is left out: of one text there may be many."""
    own = claims.get("jti")
    unique = f"jti {own}" if isinstance(own, str) and own else f"text {token.text.rpartition('.')[0]}"
    return hashlib.sha256(f"{token.issuer}\n{unique}".encode()).hexdigest()
