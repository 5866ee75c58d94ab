"""Requests to another index: which addresses are asked, where redirects lead, and the sentences of failures.

Replaced here: `get` of the HTTP library, to see which headers it is given without a proxy and a host with TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import aiohttp
import pytest

from quire.domain.errors import UpstreamBusy, UpstreamError
from quire.upstream.reach import Reach
from quire.upstream.server import OtherServer
from tests.upstreams import Answer, FakeIndex


def body_of(index: FakeIndex, url: str, private_hosts: Collection[str] | None = ()) -> bytes:
    """The body of a URL, for the client of an index."""

    async def main() -> bytes:
        server = OtherServer(index.url, private_hosts=private_hosts)
        try:
            async with server.get(url) as response:
                response.check()
                return await response.body(1000)
        finally:
            await server.close()

    return asyncio.run(main())


def test_the_host_of_the_index_is_asked_wherever_it_is(index: FakeIndex) -> None:
    """An operator named it."""
    index.at("/files/x", Answer(b"bytes"))
    assert body_of(index, f"{index.base}/files/x") == b"bytes"


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "127.0.0.2", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]", "[fe80::1%25eth0]"),
        *("[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::7f00:1]", "[2002:a00:1::1]", "168.63.129.16"),
        *("[fec0::1]", "[64:ff9b:1::7f00:1]", "[::ffff:0:127.0.0.1]", "[::127.0.0.1]", "[::]"),
    ],
)
def test_other_hosts_are_asked_at_public_addresses_only(index: FakeIndex, host: str) -> None:
    """A page could make the server read what only the inside of the network can: by a number, or by a name."""
    port = index.base.rpartition(":")[2]
    index.at("/files/x", Answer(b"secret"))
    with pytest.raises(UpstreamError, match=r"--upstream-hosts|cannot be asked"):
        body_of(index, f"http://{host}:{port}/files/x")
    assert index.requests == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1."])
def test_a_number_that_is_no_address_is_not_asked(index: FakeIndex, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """The C library takes it for one; the check does not wait for the HTTP library, some of which pass it on."""
    monkeypatch.setattr(aiohttp.ClientSession, "get", None)
    with pytest.raises(UpstreamError, match="no address, which is not asked"):
        body_of(index, f"http://{host}:{index.base.rpartition(':')[2]}/files/x")


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_the_login_of_a_proxy_is_not_sent_through_it(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """The headers of a request over TLS are read by its host, in whichever case the scheme of its URL is."""
    sent: list[dict[str, str]] = []

    async def get(*_: object, headers: dict[str, str], **__: object) -> None:
        sent.append(headers)
        raise aiohttp.ClientConnectionError

    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setattr(aiohttp.ClientSession, "get", get)

    async def main() -> None:
        reach = Reach(proxy="http://user:secret@proxy.test:3128")
        server = OtherServer("https://index.test/simple/", reach=reach)
        try:
            for each in ("http", scheme):
                with pytest.raises(UpstreamBusy):
                    async with server.get(f"{each}://files.test/x"):
                        pass
        finally:
            await server.close()

    asyncio.run(main())
    assert [sorted(headers) for headers in sent] == [["Proxy-Authorization"], []]


def test_a_host_that_was_named_is_asked(index: FakeIndex) -> None:
    """As for an index whose files are on another server of the same network."""
    port = index.base.rpartition(":")[2]
    index.at("/files/x", Answer(b"bytes"))
    assert body_of(index, f"http://localhost:{port}/files/x", {"localhost"}) == b"bytes"
    assert body_of(index, f"http://localhost:{port}/files/x", None) == b"bytes"


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "::ffff:169.254.169.254"),
        *("168.63.129.16", "::ffff:168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::23"),
        *("::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "::ffff:0:a9fe:a9fe"),
    ],
)
def test_the_credentials_of_a_machine_are_never_asked_for(index: FakeIndex, host: str) -> None:
    """Also where the host was named."""
    with pytest.raises(UpstreamError, match="never asked"):
        body_of(index, f"http://[{host}]/" if ":" in host else f"http://{host}/", {host})


def test_a_redirect_is_held_to_the_same_rules(index: FakeIndex) -> None:
    """It may lead to the same host, and to no address of the inside."""
    port = index.base.rpartition(":")[2]
    index.at("/a", Answer(status=302, headers={"Location": "/files/x"}))
    index.at("/b", Answer(status=302, headers={"Location": f"http://localhost:{port}/files/x"}))
    index.at("/files/x", Answer(b"bytes"))
    assert body_of(index, f"{index.base}/a") == b"bytes"
    with pytest.raises(UpstreamError, match="not public"):
        body_of(index, f"{index.base}/b")
    assert index.paths == ["/a", "/files/x", "/b"]


def test_the_path_of_a_url_is_sent_as_it_was_given(index: FakeIndex) -> None:
    """Signed URLs, and files of local versions (`%2B`), are others once a library has quoted them again."""
    path = "/files/torch-2.5.1%2Bcu121.whl?sig=a%2Fb%3D&x=%7e"
    index.at(path, Answer(b"bytes"))
    assert body_of(index, index.base + path) == b"bytes"


@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        (Answer(b"half", length=100), UpstreamBusy, "before it was complete"),
        (Answer(b"x" * 1001), UpstreamError, "longer than 1000"),
        (Answer(b"x", headers={"Content-Encoding": "br"}), UpstreamError, "encoding 'br'"),
        (Answer(status=503, headers={"Retry-After": "7"}), UpstreamBusy, "answers 503"),
        (Answer(status=404), UpstreamError, "answers 404"),
        (Answer(status=401), UpstreamError, "give a login"),
        (Answer(status=302, headers={"Location": "ftp://x.test/"}), UpstreamError, "cannot be followed"),
        (Answer(status=302, headers={"Location": "/files/x"}), UpstreamError, "redirects too often"),
    ],
)
def test_failures_are_sentences(index: FakeIndex, answer: Answer, error: type[UpstreamError], match: str) -> None:
    """Those that may pass are told from those that may not."""
    index.at("/files/x", answer)
    with pytest.raises(error, match=match) as caught:
        body_of(index, f"{index.base}/files/x")
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
