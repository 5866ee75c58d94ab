"""A login at an OpenID provider that changes its keys, or goes away and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from quire.identity.fetching import IdentityUnavailable
from quire.identity.openid import LoginRefused, OpenIdProvider, new_attempt, parse_metadata
from tests.http.login.openid import CLIENT, METADATA, SECRET, Provider, provider, query_of

REDIRECT = "http://127.0.0.1:1/-/login/callback"


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as found:
        yield found


class Clock:
    """A clock that stands still."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def client_of(idp: Provider, clock: Clock) -> OpenIdProvider:
    return OpenIdProvider(idp.url, CLIENT, lambda: SECRET, ("email",), clock=clock)


async def log_in(client: OpenIdProvider) -> str:
    """The address of the user."""
    attempt = new_attempt()
    address = await client.begin(attempt, REDIRECT)
    async with httpx.AsyncClient() as browser:
        back = (await browser.get(address)).headers["location"]
    claims = await client.finish(attempt, query_of(back)["code"], REDIRECT, ("email",))
    return str(claims["email"])


def test_the_provider_rotates_its_keys(idp: Provider) -> None:
    """A token of a new key is believed as soon as keys may be read again, and none of the old key from then on."""
    clock = Clock()
    client = client_of(idp, clock)

    async def scenario() -> None:
        assert await log_in(client) == "ann@acme.example"
        old = idp.key
        idp.rotate("two")
        with pytest.raises(LoginRefused, match="does not have"):
            await log_in(client)
        assert idp.asked["/jwks"] == 1
        clock.now += 31
        assert await log_in(client) == await log_in(client) == "ann@acme.example"
        assert idp.asked["/jwks"] == 2
        idp.signing_key, idp.kid = old, "one"
        with pytest.raises(LoginRefused, match="does not have"):
            await log_in(client)

    asyncio.run(scenario())


def test_the_provider_goes_away(idp: Provider) -> None:
    """Its addresses are kept for some minutes; without them a login waits for one reading, and fails for all."""
    clock = Clock()
    client = client_of(idp, clock)

    async def scenario() -> None:
        idp.replaced[METADATA] = (503, b"")
        found = await asyncio.gather(*(log_in(client) for _ in range(20)), return_exceptions=True)
        assert {str(each) for each in found} == {f"{idp.url}{METADATA} answered with status 503."}
        with pytest.raises(IdentityUnavailable):
            await log_in(client)
        assert idp.asked[METADATA] == 1
        del idp.replaced[METADATA]
        clock.now += 6
        assert await log_in(client) == "ann@acme.example"
        idp.replaced[METADATA] = (503, b"")
        clock.now += 700
        assert await log_in(client) == await log_in(client) == "ann@acme.example"  # by what was read before
        assert idp.asked[METADATA] == 3

    asyncio.run(scenario())


def test_a_provider_that_does_not_listen() -> None:
    """Is one sentence, with its address."""
    client = OpenIdProvider("http://127.0.0.1:1", CLIENT, lambda: None, ())
    with pytest.raises(IdentityUnavailable, match=r"http://127\.0\.0\.1:1/\.well-known/openid-configuration cannot be"):
        asyncio.run(client.begin(new_attempt(), REDIRECT))


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"token_endpoint": None}, "does not say where its token_endpoint is"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "is not a URL"),
        ({"token_endpoint": "http://192.0.2.1/token"}, "need https"),
        ({"jwks_uri": "file:///etc/passwd"}, "is not a URL"),
        ({"userinfo_endpoint": 1}, "does not say where its userinfo_endpoint is"),
    ],
)
def test_addresses_that_are_none(idp: Provider, metadata: dict[str, object], sentence: str) -> None:
    """The provider's own word is not trusted with where requests and browsers go."""
    idp.metadata = metadata
    with pytest.raises(IdentityUnavailable, match=sentence):
        asyncio.run(client_of(idp, Clock()).begin(new_attempt(), REDIRECT))


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_a_provider_with_https_has_no_address_without(name: str, scheme: str) -> None:
    """However the scheme is spelt: the secret of the client and the codes of logins would go there."""
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
    metadata = {"issuer": "https://idp.example", **{each: f"https://idp.example/{each}" for each in names}}
    assert parse_metadata(metadata, "https://idp.example", "the metadata").token == "https://idp.example/token_endpoint"
    metadata[name] = f"{scheme}://127.0.0.1/x"
    with pytest.raises(IdentityUnavailable, match=f"names a {name} without https"):
        parse_metadata(metadata, "https://idp.example", "the metadata")
