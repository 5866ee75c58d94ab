"""The keys of issuers: found by discovery, refreshed with bounds, and kept while the issuer is in trouble.

Replaced here: the numbers of issuers and keys that are kept, which no setting changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from quire.access.minting import MOST_PUBLISHERS
from quire.identity.fetching import IdentityUnavailable, check_url, fetch_json
from quire.identity.keys import MAX_AGE, MAX_ISSUERS, MAX_STALE, MIN_INTERVAL, IssuerKeys, parse_keys
from tests.issuers import DISCOVERY, KEYS, Answer, Issuer, endless, hanging, issuing, public, redirecting, send


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as found:
        yield found


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def impatient(url: str) -> dict[str, Any]:
    """`fetch_json`, with less patience."""
    return await fetch_json(url, seconds=0.5)


def test_keys_are_read_once_for_all_that_wait(issuer: Issuer) -> None:
    """A hundred tokens at once cost one reading, also when one of their clients hangs up."""

    async def ask() -> None:
        keys = IssuerKeys()
        first = asyncio.create_task(keys.find(issuer.url, "one", "RS256"))
        await asyncio.sleep(0)
        others = [asyncio.create_task(keys.find(issuer.url, "one", "RS256")) for _ in range(100)]
        await asyncio.sleep(0)
        first.cancel()
        assert all(await asyncio.gather(*others))

    asyncio.run(ask())
    assert issuer.asked == [DISCOVERY, KEYS]


def test_a_new_key_is_found_after_a_rotation(issuer: Issuer) -> None:
    """An id that is not known leads to one more reading, and invented ids to no more than one in a while."""
    clock = Clock()
    keys = IssuerKeys(clock=clock)

    async def ask() -> None:
        assert await keys.find(issuer.url, "one", "RS256")
        issuer.keys = [public("two", "other")]
        assert await keys.find(issuer.url, "two", "RS256") is None, "it was read a moment ago"
        clock.now += MIN_INTERVAL
        assert await keys.find(issuer.url, "two", "RS256")
        assert await keys.find(issuer.url, "one", "RS256") is None
        for number in range(50):
            assert await keys.find(issuer.url, f"invented {number}", "RS256") is None

    asyncio.run(ask())
    assert issuer.asked.count(KEYS) == 2


def test_known_keys_go_on_while_the_issuer_is_in_trouble(issuer: Issuer) -> None:
    """For a day, and not for ever."""
    clock = Clock()
    keys = IssuerKeys(clock=clock)

    async def ask() -> None:
        assert await keys.find(issuer.url, "one", "RS256")
        issuer.answers[KEYS] = lambda handler: send(handler, b"", 500)
        clock.now += MAX_AGE
        assert await keys.find(issuer.url, "one", "RS256")
        assert await keys.find(issuer.url, "two", "RS256") is None
        clock.now += MAX_STALE
        with pytest.raises(IdentityUnavailable, match="status 500"):
            await keys.find(issuer.url, "one", "RS256")
        del issuer.answers[KEYS]
        clock.now += MIN_INTERVAL
        assert await keys.find(issuer.url, "one", "RS256")

    asyncio.run(ask())


def test_a_key_that_was_taken_back_counts_until_the_keys_are_old(issuer: Issuer) -> None:
    """From then on no token is verified before the issuer's keys are read again, with any number of tokens at once."""
    clock = Clock()
    keys = IssuerKeys(clock=clock)

    async def ask() -> None:
        assert await keys.find(issuer.url, "one", "RS256")
        issuer.keys = [public("two", "other")]
        clock.now += MAX_AGE - 1
        assert await keys.find(issuer.url, "one", "RS256")
        clock.now += 1
        assert await asyncio.gather(*(keys.find(issuer.url, "one", "RS256") for _ in range(10))) == [None] * 10

    asyncio.run(ask())
    assert issuer.asked.count(KEYS) == 2


class Many:
    """Any number of issuers with some keys each, and how often they were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: dict[str, int] = {}
        self.asked: list[str] = []
        self.clock = Clock()
        self.keys = IssuerKeys(self.fetch, self.clock)
        monkeypatch.setattr("quire.identity.keys.MAX_ISSUERS", 50)
        monkeypatch.setattr("quire.identity.keys.MAX_KEYS_OF_ALL", 150)

    async def fetch(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        return {"keys": [public(str(number), "rsa") for number in range(self.sizes.get(url, 2))]}

    async def find(self, number: int) -> object:
        return await self.keys.find(f"issuer {number}", "0", "RS256", jwks_url=f"{number}")


def test_there_is_room_for_every_publisher() -> None:
    """An issuer is forgotten only when more were named than there are publishers at a time."""
    assert MAX_ISSUERS > MOST_PUBLISHERS


def test_tokens_that_name_many_issuers_have_none_read_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at most once in a while, also when more were named than there is room for."""
    many = Many(monkeypatch)

    async def ask() -> None:
        for _ in range(3):
            for number in range(50):
                assert await many.find(number)
        assert len(many.asked) == 50
        with pytest.raises(IdentityUnavailable, match="too many issuers"):
            await many.find(50)
        many.clock.now += MIN_INTERVAL
        assert await many.find(50)
        assert await many.find(1), "the first one made room, no other"
        assert len(many.asked) == 51

    asyncio.run(ask())


def test_an_issuer_with_many_keys_leaves_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own are let go."""
    many = Many(monkeypatch)
    many.sizes["0"] = 100

    async def ask() -> None:
        assert await many.find(0)
        for number in range(1, 40):
            assert await many.find(number)
        with pytest.raises(IdentityUnavailable, match="more keys than there is room for"):
            await many.find(0)
        for number in range(1, 40):
            assert await many.find(number)
        assert len(many.asked) == 40

    asyncio.run(ask())


def misbehaviours() -> dict[str, tuple[Callable[[Issuer], Answer], str]]:
    return {
        "hangs": (hanging, "was not read within 0.5 seconds"),
        "redirects": (lambda issuer: redirecting(f"{issuer.url}/secret"), "answered with status 302"),
        "is 100 MB": (lambda _: endless, "has more than 512 KiB"),
        "is no JSON": (lambda _: lambda handler: send(handler, b"<html>"), "is no JSON object"),
        "is deep": (lambda _: lambda handler: send(handler, b'{"keys":' + b"[" * 100_000), "is no JSON object"),
        "is compressed": (lambda _: lambda handler: send(handler, b"{}", Content_Encoding="gzip"), "compressed"),
        "is cut": (lambda _: lambda handler: send(handler, b"", Content_Length="7"), "cannot be read|no JSON"),
        "is no set": (lambda _: lambda handler: send(handler, b'{"keys": {"a": 1}}'), "is no set of keys"),
        "is empty": (lambda _: lambda handler: send(handler, b'{"keys": []}'), "has no key for RS256 or ES256"),
        "is large": (lambda _: lambda handler: send(handler, b'{"keys": [' + b"1," * 200 + b"1]}"), "more than 100"),
    }


@pytest.mark.parametrize("name", misbehaviours())
@pytest.mark.parametrize("path", [KEYS, DISCOVERY])
def test_an_issuer_that_misbehaves_costs_little(issuer: Issuer, name: str, path: str) -> None:
    """Each has a sentence, and nothing else is asked because of it."""
    make, reason = misbehaviours()[name]
    if path == DISCOVERY and name in {"is no set", "is empty", "is large"}:
        reason = "is of another issuer"
    issuer.answers[path] = make(issuer)
    keys = IssuerKeys(impatient)

    async def ask() -> None:
        for _ in range(3):  # only the first of them asks
            with pytest.raises(IdentityUnavailable, match=reason):
                await keys.find(issuer.url, "one", "RS256")

    asyncio.run(ask())
    assert issuer.asked == ([DISCOVERY] if path == DISCOVERY else [DISCOVERY, KEYS])


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"issuer": "https://example.com", "jwks_uri": "https://example.com/keys"}, "is of another issuer"),
        ({"jwks_uri": "https://example.com/keys"}, "is of another issuer"),
        ({"issuer": None}, "does not say where its jwks_uri is"),
        ({"issuer": None, "jwks_uri": 7}, "does not say where its jwks_uri is"),
        ({"issuer": None, "jwks_uri": "http://169.254.169.254/keys"}, "need https"),
        ({"issuer": None, "jwks_uri": "file:///etc/passwd"}, "need https|not a URL"),
        ({"issuer": None, "jwks_uri": "https://user:word@example.com/"}, "is not a URL"),
        ({"issuer": None, "jwks_uri": "https://[::1"}, "is not a URL"),
    ],
)
def test_discovery_that_is_refused(issuer: Issuer, document: dict[str, Any], reason: str) -> None:
    """Of another issuer, or with keys at an address that is not to be asked."""
    issuer.discovery = {**document, "issuer": issuer.url} if document.get("issuer", 0) is None else document
    with pytest.raises(IdentityUnavailable, match=reason):
        asyncio.run(IssuerKeys().find(issuer.url, "one", "RS256"))


@pytest.mark.parametrize("scheme", ["http", "HTTP", "hTTp"])
def test_an_issuer_with_https_has_keys_with_https(scheme: str) -> None:
    """Also on this machine: else an issuer could have the server ask a program that listens on loopback alone."""
    asked = []

    async def answer(url: str) -> dict[str, Any]:
        asked.append(url)
        return {"issuer": "https://issuer.example", "jwks_uri": f"{scheme}://127.0.0.1:9200/keys"}

    with pytest.raises(IdentityUnavailable, match="without https"):
        asyncio.run(IssuerKeys(answer).find("https://issuer.example", "one", "RS256"))
    assert asked == [f"https://issuer.example{DISCOVERY}"]


def test_keys_at_a_fixed_address_need_no_discovery(issuer: Issuer) -> None:
    """As those of a load balancer, which has none."""
    assert asyncio.run(IssuerKeys().find("anything", "one", "RS256", jwks_url=f"{issuer.url}{KEYS}"))
    assert issuer.asked == [KEYS]


def test_keys_of_other_kinds_are_left_out() -> None:
    """Weak ones, private ones, secret ones, those for encryption, and those that are broken."""
    good, curve = public("good", "rsa"), public("curve", "ec")
    weak = RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key(), as_dict=True
    )
    entries: list[Any] = [
        good,
        curve,
        {**weak, "kid": "weak"},
        {**good, "kid": "private", "d": "AQAB"},
        {**good, "kid": "encryption", "use": "enc"},
        {**good, "kid": "other", "alg": "RS512"},
        {**good, "kid": 7},
        {**good, "kid": "broken", "n": "!!"},
        {**good, "kid": "number", "n": 7},
        {**curve, "kid": "outside", "y": curve["x"]},
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "EC", "crv": ["P-256"], "kid": "list"},
        "text",
        None,
    ]
    assert set(parse_keys({"keys": entries}, "a URL")) == {("good", "RS256"), ("curve", "ES256")}


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        ("https://gitlab.example.com/keys", True),
        ("http://127.0.0.1:8000/keys", True),
        ("http://[::1]:8000/keys", True),
        ("http://localhost/keys", True),
        ("http://127.0.0.1.example.com/keys", False),
        ("http://example.com/keys", False),
        ("ftp://example.com/keys", False),
        ("https:///keys", False),
        ("https://example.com:port/", False),
        ("https://example.com/ x", False),
        ("https://example.com/\n", False),
        (f"https://example.com/{'x' * 600}", False),
    ],
)
def test_which_addresses_are_asked(url: str, is_taken: bool) -> None:
    """https, and for one's own machine http."""
    try:
        assert (check_url(url) == url) is is_taken
    except IdentityUnavailable:
        assert not is_taken
