"""How other indexes are reached: logins of a netrc file, proxies, and authorities of one's own."""

from __future__ import annotations

import asyncio
import base64
import ssl
import subprocess
from pathlib import Path

import pytest

from quire.domain.errors import ConfigurationError, UpstreamBusy, UpstreamError
from quire.upstream.reach import Reach
from quire.upstream.server import OtherServer
from tests.receivers import receiving
from tests.upstreams import Answer, FakeIndex


def ask(index_url: str, reach: Reach, *urls: str, hosts: tuple[str, ...] = ()) -> None:
    async def main() -> None:
        server = OtherServer(index_url, private_hosts=hosts, reach=reach)
        try:
            for url in urls:
                async with server.get(url) as response:
                    response.check()
        finally:
            await server.close()

    asyncio.run(main())


def basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def logins(index: FakeIndex) -> list[str | None]:
    return [headers.get("authorization") for _, headers in index.requests]


def test_a_login_goes_to_the_origin_of_the_index_alone(index: FakeIndex, tmp_path: Path) -> None:
    """Not where a redirect leads to, nor to a host of files, though the file had a login for all hosts."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login alice password s%3Acret\ndefault login anyone password x\n")
    elsewhere = index.base.replace("127.0.0.1", "localhost")
    index.at("/simple/a/", Answer(status=302, headers={"Location": f"{elsewhere}/simple/b/"}))
    index.at("/simple/b/", Answer(b"page"))
    reach = Reach(logins=str(file))
    ask(index.url, reach, f"{index.url}a/", f"{elsewhere}/simple/b/", hosts=("localhost",))
    assert logins(index) == [basic("alice:s%3Acret"), None, None]
    ask(f"{elsewhere}/simple/", reach, f"{elsewhere}/simple/b/")
    assert logins(index)[3:] == [None], "the entry `default` is for no index"

    file.write_text("machine 127.0.0.1 login alice password renewed-s3cret\n")
    ask(index.url, reach, f"{index.url}b/")
    ask(index.url.replace("//", "//bob:of%20url@"), reach, f"{index.url}b/")
    assert logins(index)[4:] == [basic("alice:renewed-s3cret"), basic("bob:of url")]


def test_an_unreadable_file_is_an_error_without_its_text(index: FakeIndex, tmp_path: Path) -> None:
    """Before the server starts, and at a request."""
    file = tmp_path / "netrc"
    for content in (b"machine a login b\npass-word hunter2\n", b"\xff\xfehunter2"):
        file.write_bytes(content)
        for check in (
            Reach(logins=str(file)).check,
            lambda: ask(index.url, Reach(logins=str(file)), f"{index.url}b/"),
        ):
            with pytest.raises((ConfigurationError, UpstreamError), match="--upstream-netrc") as caught:
                check()
            assert "hunter2" not in str(caught.value)
    file.unlink()
    for reach, setting in (
        (Reach(logins=str(file)), "--upstream-netrc"),
        (Reach(authorities=str(file)), "--upstream-ca"),
    ):
        with pytest.raises(ConfigurationError, match=f"cannot be asked with the file of {setting}"):
            reach.check()
    file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match="cannot be asked with the file of --upstream-ca"):
        Reach(authorities=str(file)).check()
    assert index.requests == []


def test_a_proxy_is_asked_in_place_of_the_host(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its own login and the host's name; hosts of NO_PROXY are asked directly."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    far = "http://packages.acme.test/simple/far/"
    index.at(far, Answer(b"page"))
    index.at("/simple/near/", Answer(b"page"))
    proxy = index.base.replace("//", "//proxy:s%3Acret@")
    ask("http://u:p@packages.acme.test/simple/", Reach(proxy=proxy), far)
    ask(index.url, Reach(proxy=proxy), f"{index.url}near/")
    monkeypatch.setenv("HTTP_PROXY", proxy)
    ask("http://packages.acme.test/simple/", Reach(), far)
    assert index.paths == [far, "/simple/near/", far]
    assert [headers.get("proxy-authorization") for _, headers in index.requests] == [
        basic("proxy:s:cret"),
        None,
        basic("proxy:s:cret"),
    ]
    assert logins(index) == [basic("u:p"), None, None]


def test_the_host_of_a_proxy_is_no_way_inside(index: FakeIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the proxy's own port is asked at an address that is not public, not the other servers of its machine."""
    index.at("/admin", Answer(b"secret"))
    monkeypatch.setenv("HTTPS_PROXY", "http://localhost:1")
    monkeypatch.setenv("HTTP_PROXY", "http://localhost:wrong")
    monkeypatch.setenv("NO_PROXY", "localhost")
    with pytest.raises(UpstreamError, match="not public"):
        ask("https://packages.acme.test/simple/", Reach(), f"{index.base.replace('127.0.0.1', 'localhost')}/admin")
    assert index.requests == []


def test_an_authority_of_ones_own_is_added(tmp_path: Path) -> None:
    """The certificate is still verified, by the name of the host."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with receiving(context) as receiver:
        named = receiver.url.replace("127.0.0.1", "localhost")
        own = Reach(authorities=str(certificate))
        for url, reach in ((named, Reach()), (receiver.url, own)):
            with pytest.raises(UpstreamBusy, match="certificate"):
                ask(url, reach, url)
        with pytest.raises(UpstreamError, match="answers"):
            ask(named, own, named)
