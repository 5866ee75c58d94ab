"""Targets of fuzzing (see `tests.fuzz.targets`): readers of what others say of an identity.

Tokens, sets of keys, attestations, headers with users, cookies.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from quire.access import sessions
from quire.access.claims import ClaimNames
from quire.access.document import EMPTY, Sessions
from quire.access.identities import groups_in_header, user_in_header
from quire.attestations.statements import PREDICATES, read_attestations
from quire.domain.errors import InvalidRequest
from quire.identity.fetching import IdentityUnavailable, json_object
from quire.identity.keys import ALGORITHMS, IssuerKeys, parse_keys
from quire.identity.load_balancers import LoadBalancerTokens
from quire.identity.tokens import BadToken, decode_part, parse_token, verify_token

AUDIENCE, NAME = "packages.acme.example", "acme_tools-1.0-py3-none-any.whl"
SHA256 = hashlib.sha256(b"").hexdigest()
ARN = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/quire/0123456789abcdef"
KEY_SET: dict[str, Any] = {
    "keys": [
        {
            "kty": "EC",
            "crv": "P-256",
            "kid": "curve",
            "use": "sig",
            "alg": "ES256",
            "x": "WKn-ZIGevcwGIyyrzFoZNBdaq9_TsqzGl96oc0CWuis",
            "y": "y77t-RvAHRKTsSGdIYUfweuOvwrvDD-Q3Hv5J0fSKbE",
        },
        {
            "kty": "RSA",
            "kid": "one",
            "use": "sig",
            "alg": "RS256",
            "e": "AQAB",
            "n": base64.urlsafe_b64encode(b"\xc5" * 255 + b"\x01").rstrip(b"=").decode(),
        },
    ]
}
"""Keys of which no private half is known, so no token is of them (a point on the curve; any number)."""


def tokens(data: bytes) -> None:
    """JSON Web Tokens, as they are sent or as the bytes of their three parts in a line each. None is accepted that the
    keys of its issuer have not signed, and what is read of one is what another library reads."""
    parts = data.split(b"\n", 2)
    text = ".".join(map(_part, parts)) if len(parts) == 3 else data.decode("latin-1")

    async def keys(_: str) -> dict[str, Any]:
        return KEY_SET

    try:
        token = parse_token(text)
    except BadToken as error:
        str(error).encode()
        return
    assert token.algorithm in ALGORITHMS
    with contextlib.suppress(jwt.DecodeError):  # of a signature that is none
        header = jwt.get_unverified_header(text)
        assert (header["alg"], header["kid"]) == (token.algorithm, token.key)
        assert not {"jwk", "jku", "x5u", "x5c", "crit"} & header.keys()
    claims = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    assert claims["iss"] == token.issuer
    json.dumps(claims, ensure_ascii=False, allow_nan=False).encode()
    try:
        asyncio.run(verify_token(token, IssuerKeys(keys), AUDIENCE, jwks_url="https://issuer.example/keys"))
    except BadToken:
        return
    raise AssertionError("it was accepted")


def keys(data: bytes) -> None:
    """Sets of keys of an issuer: those that are taken are public and strong."""
    with contextlib.suppress(IdentityUnavailable):
        for (name, algorithm), key in parse_keys(json_object(data, "a URL"), "a URL").items():
            assert isinstance(name, str)
            if algorithm == "RS256":
                assert isinstance(key.key, rsa.RSAPublicKey)
                assert key.key.key_size >= 2048
            else:
                assert isinstance(key.key, ec.EllipticCurvePublicKey)
                assert (algorithm, key.key.curve.name) == ("ES256", "secp256r1")


def users(data: bytes) -> None:
    """Headers of proxies and load balancers, and claims of providers: they name one user that a log line and a
    grant can name, or none."""
    text = data.decode("latin-1")
    with contextlib.suppress(InvalidRequest):
        assert user_in_header(text).isprintable()
    with contextlib.suppress(InvalidRequest):
        assert all(each.isprintable() for each in groups_in_header(text))
    with contextlib.suppress(BadToken, InvalidRequest):
        found = ClaimNames().principal(decode_part(_part(data), "payload"))
        assert found.name
        assert found.name.isprintable()
        assert found.groups == {each for each in found.groups if each and each.isprintable()}

    async def nothing(url: str) -> tuple[int, bytes]:
        assert url.startswith("https://public-keys.auth.elb.eu-central-1.amazonaws.com/")
        assert url.count("/") == 3
        return 404, b""

    with contextlib.suppress(BadToken, IdentityUnavailable):
        asyncio.run(LoadBalancerTokens([ARN], fetch=nothing).verify(text))
        raise AssertionError("it was accepted")


def attestations(data: bytes) -> None:
    """The form field of an upload: what is taken is of this file alone."""
    try:
        found = read_attestations(data, NAME, SHA256)
    except InvalidRequest as error:
        str(error).encode()
        return
    assert 0 < len(found) <= len(PREDICATES)
    assert len({each.predicate for each in found}) == len(found)
    for each in found:
        statement = json.loads(each.statement.decode())
        (subject,) = statement["subject"]
        assert (subject["name"], subject["digest"]["sha256"]) == (NAME, SHA256)
        assert statement["predicateType"] == each.predicate


def cookies(data: bytes) -> None:
    """Cookies of sessions: none was made by this store."""
    text = data.decode("latin-1")
    for purpose in (sessions.SESSION, sessions.LOGIN):
        assert sessions.unseal(_sessions(), purpose, text, 0) is None


@cache
def _sessions() -> Sessions:
    found = sessions.with_key(EMPTY).sessions
    assert found is not None
    return found


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
