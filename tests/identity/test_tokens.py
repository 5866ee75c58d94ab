"""Tokens of issuers: those that are right are taken, and each kind of bad one is refused with a sentence of its own."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from quire.identity.keys import IssuerKeys
from quire.identity.tokens import MAX_CHARACTERS, BadToken, VerifiedToken, parse_token, verify_token
from tests.issuers import AUDIENCE, DISCOVERY, KEYS, PRIVATE, Issuer, b64, issuing


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as found:
        yield found


def verify(text: str, keys: IssuerKeys | None = None, audience: str = AUDIENCE) -> VerifiedToken:
    return asyncio.run(verify_token(parse_token(text), keys or IssuerKeys(), audience))


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{b64(header)}.{b64(claims)}"


@pytest.mark.parametrize(("kid", "key"), [("one", "rsa"), ("curve", "ec")])
def test_a_token_of_the_issuer_is_taken(issuer: Issuer, kid: str, key: str) -> None:
    """By RS256 and by ES256; also with the audience in a list of one."""
    assert verify(issuer.token(kid=kid, key=key, job="7")).claims["job"] == "7"
    assert verify(issuer.token(kid=kid, key=key, aud=[AUDIENCE])).claims["sub"] == "a job"


def claims_refused(now: int) -> list[tuple[dict[str, Any], str]]:
    return [
        ({"exp": now - 100}, "has expired"),
        ({"nbf": now + 100}, "not valid yet"),
        ({"iat": now + 100}, "not valid yet"),
        ({"exp": None}, "does not say when it expires"),
        ({"iat": None}, "does not say when it was issued"),
        ({"exp": "tomorrow"}, "claim exp is no time"),
        ({"exp": True}, "claim exp is no time"),
        ({"nbf": 1e300}, "claim nbf is no time"),
        ({"exp": now + 2 * 24 * 3600}, "valid for more than 24 hours"),
        ({"iat": now - 2 * 24 * 3600}, "valid for more than 24 hours"),
        ({"aud": "pypi"}, "for another audience"),
        ({"aud": [AUDIENCE, "pypi"]}, "for another audience"),
        ({"aud": None}, "for another audience"),
        ({"aud": {"a": 1}}, "for another audience"),
    ]


@pytest.mark.parametrize("number", range(len(claims_refused(0))))
def test_claims_that_are_refused(issuer: Issuer, number: int) -> None:
    """Each with its reason: the times, and the audience, which has to be this server alone."""
    claims, reason = claims_refused(int(time.time()))[number]
    with pytest.raises(BadToken, match=reason):
        verify(issuer.token(**claims))


def test_clocks_may_differ_a_little(issuer: Issuer) -> None:
    """By less than half a minute in either direction."""
    now = int(time.time())
    assert verify(issuer.token(exp=now - 5, iat=now - 300))
    assert verify(issuer.token(nbf=now + 15, iat=now + 15))


def test_a_token_of_another_key_is_refused(issuer: Issuer) -> None:
    """Forged: signed with a key that the issuer does not have, under the id of one that it has."""
    with pytest.raises(BadToken, match="signature is wrong"):
        verify(issuer.token(key="other"))


def test_a_token_that_was_changed_is_refused(issuer: Issuer) -> None:
    """In its claims, in its signature, or without one."""
    header, claims, signature = issuer.token().split(".")
    changed = b64(issuer.claims(repository="acme/other"))
    for text in (f"{header}.{changed}.{signature}", f"{header}.{claims}.{signature[:-8]}AAAAAAAA"):
        with pytest.raises(BadToken, match="signature is wrong"):
            verify(text)
    with pytest.raises(BadToken, match="three parts"):
        verify(f"{header}.{claims}.")


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS256", "RS512", "PS256", "EdDSA", None, ["RS256"], 256])
def test_other_algorithms_are_refused(issuer: Issuer, algorithm: object) -> None:
    """Above all `none`, and HS256 with the public key for a secret."""
    text = unsigned({"alg": algorithm, "kid": "one", "typ": "JWT"}, issuer.claims())
    with pytest.raises(BadToken, match=r"algorithm .* is not taken"):
        verify(f"{text}.{b64(b'x')}")


def test_a_public_key_is_no_secret(issuer: Issuer) -> None:
    """HS256 with the bytes of the public key, under each algorithm's name."""
    pem = (
        PRIVATE["rsa"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for algorithm, reason in (("HS256", "is not taken"), ("RS256", "signature is wrong")):
        text = unsigned({"alg": algorithm, "kid": "one"}, issuer.claims())
        signature = b64(hmac.new(pem, text.encode(), hashlib.sha256).digest())
        with pytest.raises(BadToken, match=reason):
            verify(f"{text}.{signature}")


def test_an_algorithm_that_does_not_fit_the_key_is_refused(issuer: Issuer) -> None:
    """The key with this id is of another kind."""
    with pytest.raises(BadToken, match="a key that its issuer does not have"):
        verify(issuer.token(kid="curve", key="rsa"))


@pytest.mark.parametrize(
    ("kid", "reason"),
    [
        (None, "does not name the key"),
        ("", "does not name the key"),
        (7, "does not name the key|kid"),
        ("../../../etc/passwd", "a key that its issuer does not have"),
        ("one' OR '1'='1", "a key that its issuer does not have"),
        ("http://127.0.0.1:1/key", "a key that its issuer does not have"),
        ("one\x00", "a key that its issuer does not have"),
    ],
)
def test_ids_of_keys_are_only_compared(issuer: Issuer, kid: object, reason: str) -> None:
    """An id is no path, no query and no address."""
    header = {"alg": "RS256"} if kid is None else {"alg": "RS256", "kid": kid}
    with pytest.raises(BadToken, match=reason):
        verify(f"{unsigned(header, issuer.claims())}.{b64(b'x')}")


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_a_token_does_not_bring_its_own_key(issuer: Issuer, name: str) -> None:
    """It is refused, and the address in it is not asked."""
    with issuing() as other:
        value: Any = {"jwk": other.keys[0], "x5c": ["MII"]}.get(name, f"{other.url}{KEYS}")
        with pytest.raises(BadToken, match=f"a key of its own \\({name}\\)"):
            verify(issuer.token(header={name: value}))
        assert other.asked == []


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": False, "crit": ["b64"]}, {"crit": []}, {"b64": "no"}])
def test_extensions_are_refused(issuer: Issuer, header: dict[str, Any]) -> None:
    """A header that says it must be understood, and is not."""
    text = unsigned({"alg": "RS256", "kid": "one", **header}, issuer.claims())
    with pytest.raises(BadToken, match="an extension"):
        verify(f"{text}.{b64(b'x')}")


PAYLOAD, SURROGATE = b'{"iss":"x","exp":7}', rb'"\ud800"'
HEADER, NAMED = b'{"alg":"RS256"}', b'{"alg":"RS256","kid":"one"}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "three parts"),
        ("a", "three parts"),
        ("a.b", "three parts"),
        ("a.b.c.d", "three parts"),
        ("....", "three parts"),
        ("é.é.é", "header is no JSON object"),
        ("a.b.c", "header is no JSON object"),
        (f"{b64(b'[]')}.{b64({})}.x", "header is no JSON object"),
        (f"{b64(b'null')}.{b64({})}.x", "header is no JSON object"),
        (f"{b64(b'[' * 9000)}.{b64({})}.x", "header is no JSON object"),
        (f"{b64(HEADER)}.{b64(b'[' * 9000)}.x", "payload is no JSON object"),
        (f"{b64(b'{' + HEADER[1:-1] + b',' + HEADER[1:])}.{b64({})}.x", "header is no JSON object"),
        (f"{b64(HEADER)}=.{b64({})}.x", "header is no JSON object"),
        (f"{b64(HEADER)}\n.{b64({})}.x", "header is no JSON object"),
        (f"{b64(HEADER)}.{b64(bytes([0xFF, 0xFE]))}.x", "payload is no JSON object"),
        (f"{b64(HEADER)}.{b64(PAYLOAD.decode().encode('utf-16'))}.x", "payload is no JSON object"),
        (f"{b64(HEADER)}.{b64(b'{' + PAYLOAD[1:-1] + b',' + PAYLOAD[1:])}.x", "payload is no JSON object"),
        (f"{b64(HEADER)}.{b64(PAYLOAD.replace(b'7', b'[{' + PAYLOAD[1:-1] + b',' + PAYLOAD[1:] + b']'))}.x", "no JSON"),
        (f"{b64(HEADER)}.{b64(PAYLOAD.replace(b'7', b'NaN'))}.x", "payload is no JSON object"),
        (f"{b64(HEADER)}.{b64(PAYLOAD.replace(b'7', b'9' * 5000))}.x", "payload is no JSON object"),
        (f"{b64(HEADER)}.{b64(PAYLOAD.replace(b'7', SURROGATE))}.x", "payload is no JSON object"),
        (f"{b64(HEADER)}.{b64(PAYLOAD.replace(b'7', b'{' + SURROGATE + b':1}'))}.x", "payload is no JSON object"),
        (f"{b64(NAMED)}.{b64(b'a.b.c')}.x", "payload is no JSON object"),
        (f"{b64(NAMED)}.{b64({'iss': 7})}.x", "does not name its issuer"),
        (f"{b64(NAMED)}.{b64({})}.x", "does not name its issuer"),
        ("x" * (MAX_CHARACTERS + 1), "more than 16 KiB"),
    ],
)
def test_what_is_no_token_is_refused(text: str, reason: str) -> None:
    """Before anything is looked up: too long, too deep, a name twice, no JSON."""
    with pytest.raises(BadToken, match=reason):
        parse_token(text)


def test_signed_claims_may_be_deep(issuer: Issuer) -> None:
    """A payload that is deeper than Python likes is refused with a sentence as well when it is signed."""
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    assert verify(issuer.token(deep=deep))


def test_a_token_is_recognised_when_it_comes_again(issuer: Issuer) -> None:
    """By its id and issuer; without an id by its text, whichever signature it has."""
    first = verify(issuer.token(jti="abc"))
    assert verify(issuer.token(jti="abc", sub="another")).identity == first.identity
    assert verify(issuer.token(jti="abd")).identity != first.identity
    with issuing() as other:
        assert verify(other.token(jti="abc")).identity != first.identity
    claims = issuer.claims(jti=None)
    again = {verify(issuer.token(kid="curve", key="ec", jti=None, **claims)).identity for _ in range(2)}
    assert len(again) == 1, "signatures by ES256 are random"


def test_an_issuer_is_asked_only_by_the_token_that_names_it(issuer: Issuer) -> None:
    """A token of one issuer is not checked with the keys of another that has the same id."""
    with issuing() as other:
        other.keys = [{**issuer.keys[0]}]
        other_issuer = json.loads(json.dumps(issuer.claims(iss=other.url)))
        assert verify(issuer.token(**other_issuer)).claims["iss"] == other.url
        other.keys = [{**other.keys[0], "kid": "two"}]
        with pytest.raises(BadToken, match="a key that its issuer does not have"):
            verify(issuer.token(**other_issuer))
        assert set(other.asked) == {DISCOVERY, KEYS}
