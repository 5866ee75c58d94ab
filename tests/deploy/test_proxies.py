"""The nginx and Caddy examples in front of a real quire: addresses, uploads, refusals, rights."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

import pytest

from quire.config.network import FORWARDING_HEADERS, IDENTITY_HEADERS
from quire.config.resolving import resolve
from tests.asking import content_type, multipart, password_file, raw_answer, twine_form
from tests.deploy.proxy_rig import DEPLOY, PREFIX, PROXIES, Proxied, behind
from tests.distributions import make_wheel, wheel_name
from tests.serving import until

pytestmark = pytest.mark.deploy

LOGIN = ("alice", "s3cret")
PIECE = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(32_768))
"""A megabyte that no compression makes smaller."""


@pytest.fixture(scope="module", params=sorted(PROXIES))
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A quire whose uploads need a login, behind one of the proxies."""
    folder = tmp_path_factory.mktemp(request.param)
    passwords = password_file(folder, **dict([LOGIN]))
    with behind(request.param, folder, "-v", "-a", "update", "-P", passwords) as proxied:
        yield proxied


def _form(name: str, megabytes: int) -> bytes:
    wheel = make_wheel(name, "1.0", files={"data": PIECE * megabytes})
    return multipart(twine_form(wheel_name(name, "1.0"), wheel, name=name, version="1.0"))


def _head(proxied: Proxied, length: int, *more: str) -> bytes:
    lines = [
        f"POST {PREFIX}/ HTTP/1.1",
        f"Host: 127.0.0.1:{proxied.port}",
        f"Content-Type: {content_type()}",
        f"Content-Length: {length}",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


BASIC = "Authorization: Basic YWxpY2U6czNjcmV0"  # alice:s3cret


def test_an_upload_arrives_while_it_is_still_being_sent(proxied: Proxied) -> None:
    """Half of an upload is on quire's disk before the proxy has the other half, and nothing on the proxy's own."""
    body = _form("streamed", 4)
    half = len(body) // 2

    def arrived() -> int:
        incoming = proxied.site.root / "quire" / "incoming"
        return max((path.stat().st_size for path in incoming.iterdir()), default=0)

    with proxied.connect() as connection:
        connection.sendall(_head(proxied, len(body), BASIC) + body[:half])
        until(lambda: arrived() > half // 2)
        kept = [path for path in proxied.folder.rglob("client_body/**/*") if path.is_file()]
        assert kept == []
        connection.sendall(body[half:])
        assert raw_answer(connection).status == 200
    assert proxied.site.filenames("streamed") == [wheel_name("streamed", "1.0")]


def test_a_large_upload_goes_through(proxied: Proxied) -> None:
    """Forty megabytes, far beyond the limits of proxies by themselves, arrive as they were sent, and come back."""
    wheel = make_wheel("large", "1.0", files={f"data{number}": PIECE + bytes([number]) for number in range(40)})
    body = multipart(twine_form(wheel_name("large", "1.0"), wheel, name="large", version="1.0"))
    answer = proxied.client.post("/", content=body, headers={"content-type": content_type()}, auth=LOGIN)
    assert answer.status_code == 200, answer.text
    page = proxied.client.get("/simple/large/", headers={"accept": "application/vnd.pypi.simple.v1+json"})
    (file,) = page.json()["files"]
    assert file["hashes"]["sha256"] == hashlib.sha256(wheel).hexdigest()
    assert proxied.client.get(str(page.url.join(file["url"]))).content == wheel


def test_a_body_without_a_length_goes_through(proxied: Proxied) -> None:
    """An upload in chunks, whose length is not known before its end."""
    body = _form("chunked", 1)
    pieces = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    answer = proxied.client.post("/", content=pieces, headers={"content-type": content_type()}, auth=LOGIN)
    assert answer.status_code == 200, answer.text


def test_a_refusal_reaches_a_client_that_still_sends(proxied: Proxied) -> None:
    """A client without the right to upload gets the answer, also in the middle of twenty megabytes; nothing is kept."""
    body = _form("refused", 20)
    wrong = proxied.client.post("/", content=body, headers={"content-type": content_type()}, auth=("alice", "not this"))
    assert wrong.status_code == 401
    assert "The user name or the password is wrong." in wrong.text
    missing = proxied.client.post("/", content=body, headers={"content-type": content_type()})
    assert missing.status_code == 401
    assert missing.headers["www-authenticate"].startswith("Basic ")
    assert "refused" not in proxied.site.projects()


def test_quire_learns_the_clients_address(proxied: Proxied) -> None:
    """Absolute URLs are those of the outside; what a client says of itself in X-Forwarded-* is not believed."""
    page = proxied.client.get("/")
    assert page.status_code == 200
    assert proxied.url in page.text
    lies = {
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-For": "192.0.2.1",
    }
    assert proxied.client.get("/", headers=lies).text == page.text


EXAMPLES = {
    "nginx/quire.conf": r"proxy_set_header {} ",
    "compose/nginx.conf": r"proxy_set_header {} ",
    # Caddy sets X-Forwarded-For, -Proto and -Host itself
    "caddy/Caddyfile": r"header_up -{}$",
}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("header", [*FORWARDING_HEADERS, *IDENTITY_HEADERS])
def test_every_header_that_quire_may_believe_is_set_or_cleared(example: str, header: str) -> None:
    """So that nothing that a client writes into one of them gets through, whatever quire is told to believe."""
    if example.startswith("caddy") and header in FORWARDING_HEADERS[:3]:
        return
    lines = EXAMPLES[example].format(header)
    assert re.search(rf"^\s*{lines}", (DEPLOY / example).read_text(), re.M | re.I)


def test_the_address_without_its_slash(proxied: Proxied) -> None:
    """/pypi leads to /pypi/, with the method kept."""
    answer = proxied.client.get(f"https://127.0.0.1:{proxied.port}{PREFIX}")
    assert answer.status_code == 308
    assert answer.headers["location"] in {f"{PREFIX}/", proxied.url}


@pytest.mark.parametrize("path", ["/pypi/metrics", "/", "/simple/", "/_files/", "/_files"])
def test_protected_addresses(proxied: Proxied, path: str) -> None:
    """The operator's figures, what is outside the prefix, and the files' internal address are not to be had."""
    assert proxied.client.get(f"https://127.0.0.1:{proxied.port}{path}").status_code == 404


def test_listings_are_quires(proxied: Proxied) -> None:
    """Pages come through as quire compressed and validated them."""
    for encoding in ("identity", "gzip"):
        headers = {"accept-encoding": encoding, "accept": "application/vnd.pypi.simple.v1+json"}
        direct = proxied.site.client.get("/simple/", headers=headers)
        through = proxied.client.get("/simple/", headers=headers)
        for name in ("etag", "cache-control", "vary", "content-type", "content-encoding"):
            assert through.headers.get(name) == direct.headers.get(name), name
        assert through.content == direct.content
        again = proxied.client.get("/simple/", headers=headers | {"if-none-match": direct.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_the_proxy_is_content_with_its_configuration(proxied: Proxied) -> None:
    """nginx warns of nothing, Caddy of nothing in the file; what Caddy says of having no admin port is the rig's."""
    said = proxied.log.read_text()
    assert not {"[warn]", "[alert]", "[crit]", '"level":"error"', "deprecated"} & set(said.split()), said
    assert "not formatted" not in said.replace(" bind", "") or proxied.name == "caddy"


def test_the_proxies_close_idle_connections_first() -> None:
    """quire keeps them longer than Caddy is told to, and than nginx does by itself (60 s), as it is told nothing."""
    found = re.search(r"^\s*keepalive ([0-9]+)s$", (DEPLOY / "caddy" / "Caddyfile").read_text(), re.M)
    assert found is not None
    assert int(found[1]) < resolve({}, {}).keep_alive_seconds
    assert "keepalive_timeout" not in (DEPLOY / "nginx" / "quire.conf").read_text()
    assert resolve({}, {}).keep_alive_seconds > 60
