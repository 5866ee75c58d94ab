"""Downloads through a proxy mean what they mean without one: bytes, ranges, validators, caching."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.asking import Site, password_file, publish, serve
from tests.deploy.proxy_rig import BEHIND, PROXIES, Proxied, behind
from tests.distributions import make_wheel, wheel_name
from tests.serving import until

pytestmark = pytest.mark.deploy

BIG = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(20_000))
FOLDER = "old ones/50% & more? #1+1=2;é"
"""Every character that an address has to escape."""
OPEN = ("-a", ".", "-P", ".")


@dataclass(frozen=True)
class Both:
    """The same directory behind a proxy, and by a quire without one."""

    proxied: Proxied
    plain: Site

    def path(self, name: str) -> str:
        """The path of the project's one file, without the prefix."""
        url = httpx.URL(self.plain.file_url(name, wheel_name(name, "1.0")))
        return url.raw_path.decode().removeprefix("/pypi")


@pytest.fixture(scope="module", params=sorted(PROXIES))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A hosted wheel, and one in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp(request.param)
    other = folder / "plain"
    other.mkdir()
    (folder / "packages" / FOLDER).mkdir(parents=True)
    (folder / "packages" / FOLDER / wheel_name("dropped", "1.0")).write_bytes(
        make_wheel("dropped", "1.0", files={"data": BIG})
    )
    (other / "packages").symlink_to(folder / "packages")
    with behind(request.param, folder, *OPEN) as proxied, serve(other, *BEHIND, *OPEN) as plain:
        wheel = make_wheel("hosted", "1.0", files={"data": BIG})
        publish(proxied.site, wheel_name("hosted", "1.0"), wheel, name="hosted", version="1.0")
        until(lambda: "dropped" in plain.projects())
        yield Both(proxied, plain)


@pytest.fixture(params=["hosted", "dropped"])
def path(both: Both, request: pytest.FixtureRequest) -> str:
    return both.path(request.param)


def test_the_proxy_sends_the_bytes(both: Both, path: str) -> None:
    """To nginx quire sends an address and no byte; the client gets the bytes and never the address."""
    if both.proxied.name == "nginx":
        told = both.proxied.site.client.get(path)
        assert (told.status_code, told.content) == (200, b"")
        assert told.headers["x-accel-redirect"].startswith("/_files/")
    got = both.proxied.client.get(path)
    assert got.status_code == 200
    assert got.content == both.plain.client.get(path).content
    assert "x-accel-redirect" not in got.headers


def _asked(size: int, etag: str) -> list[tuple[str, dict[str, str]]]:
    return [
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"range": "bytes=0-0"}),
        ("GET", {"range": "bytes=100-49999"}),
        ("GET", {"range": f"bytes={size - 1}-"}),
        ("GET", {"range": "bytes=-7"}),
        ("GET", {"range": f"bytes=0-{size + 5}"}),
        ("GET", {"range": f"bytes={size}-"}),
        ("GET", {"range": "bytes=5-2"}),
        ("GET", {"range": "bytes=0-4,10-14"}),
        ("GET", {"range": "lines=1-2"}),
        ("GET", {"range": "bytes=0-9", "if-range": etag}),
        ("GET", {"range": "bytes=0-9", "if-range": '"another"'}),
        ("GET", {"if-none-match": etag}),
        ("GET", {"if-none-match": '"another"'}),
        ("GET", {"if-none-match": "*", "range": "bytes=0-9"}),
        ("HEAD", {"if-none-match": etag}),
        ("GET", {"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    ]


_MEANING = ("etag", "cache-control", "accept-ranges", "content-range", "content-length", "content-type")


def test_every_request_means_the_same(both: Both, path: str) -> None:
    """Status, bytes and the headers of the content, from either server."""
    whole = both.plain.client.get(path)
    for method, headers in _asked(len(whole.content), whole.headers["etag"]):
        expected = both.plain.client.request(method, path, headers=headers)
        found = both.proxied.client.request(method, path, headers=headers)
        case = f"{method} {headers}"
        if both.proxied.name == "nginx" and headers.get("range") == "bytes=5-2":
            assert found.status_code == 416, case  # RFC 9110, 14.1.1 would have it ignored; nginx refuses it
            continue
        assert found.status_code == expected.status_code, case
        assert found.content == expected.content, case
        for name in _MEANING:
            # a part says by Content-Range that there are ranges, and a 304 has no length
            if (found.status_code, name) not in {(304, "content-length"), (206, "accept-ranges")}:
                assert found.headers.get(name) == expected.headers.get(name), f"{case}: {name}"
        # of a file that it sends itself nginx says no date, by which it would judge what has changed
        assert found.headers.get("last-modified") in {None, expected.headers.get("last-modified")}, case


def test_companions_and_missing_files(both: Both, path: str) -> None:
    """quire sends documents that it makes itself, and its own 404 for files that it does not have."""
    metadata = both.proxied.client.get(f"{path}.metadata")
    assert metadata.content == both.plain.client.get(f"{path}.metadata").content
    assert metadata.headers["etag"] == f'"{hashlib.sha256(metadata.content).hexdigest()}"'
    missing = both.proxied.client.get(path.replace("1.0", "2.0"))
    assert missing.status_code == 404
    assert "does not exist" in missing.text


def test_the_internal_address_is_for_the_proxy(both: Both, path: str) -> None:
    """Neither the address itself, nor a way out of it, nor a header of the client's leads to a file."""
    location = both.proxied.site.client.get(path).headers.get("x-accel-redirect", "/_files/nothing")
    secret = both.proxied.site.root / "secret.txt"
    secret.write_text("nobody may read this")
    outside = f"https://127.0.0.1:{both.proxied.port}"
    tries = [
        location,
        "/_files/secret.txt",
        "/_files/../secret.txt",
        "/pypi/../_files/secret.txt",
        "/pypi/%2e%2e/_files/secret.txt",
        "/pypi/..%2f_files/secret.txt",
        "/pypi/packages/../../_files/secret.txt",
        "/pypi/packages/..%2f..%2fsecret.txt",
        "/pypi//_files/secret.txt",
        "//_files/secret.txt",
    ]
    client = both.proxied.client
    for address in tries:
        answer = client.get(httpx.URL(outside, raw_path=address.encode()))
        assert answer.status_code in {301, 303, 400, 404}, address
        assert "nobody may read this" not in answer.text, address
    spoken = client.get(
        "/simple/hosted/", headers={"X-Accel-Redirect": "/_files/secret.txt", "X-Accel-Buffering": "no"}
    )
    assert spoken.status_code == 200
    assert "nobody may read this" not in spoken.text


@pytest.mark.parametrize("kind", sorted(PROXIES))
def test_downloads_that_need_a_login(kind: str, tmp_path: Path) -> None:
    """No client gets a file without the password, on any path, and no shared cache may keep it."""
    passwords = password_file(tmp_path, alice="s3cret")
    with behind(kind, tmp_path, "-a", "download,list,update", "-P", passwords) as proxied:
        alice = httpx.BasicAuth("alice", "s3cret")
        proxied.site.client.auth = alice
        publish(proxied.site, wheel_name("secret", "1.0"), make_wheel("secret", "1.0"), name="secret", version="1.0")
        path = httpx.URL(proxied.site.file_url("secret", wheel_name("secret", "1.0"))).raw_path.decode()
        path = path.removeprefix("/pypi")
        assert proxied.client.get(path).status_code == 401
        assert proxied.client.get(path, auth=("alice", "wrong")).status_code == 401
        got = proxied.client.get(path, auth=alice)
        assert got.content == make_wheel("secret", "1.0")
        assert got.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_a_file_that_nginx_cannot_read(tmp_path: Path) -> None:
    """A wrong directory in nginx's configuration is an error of the proxy, which no cache may keep."""

    def elsewhere(text: str) -> str:
        assert text.count("alias ") == 1
        return text.replace("alias ", f"alias {tmp_path}/elsewhere")

    with behind("nginx", tmp_path, *OPEN, change=elsewhere) as proxied:
        publish(proxied.site, wheel_name("lost", "1.0"), make_wheel("lost", "1.0"), name="lost", version="1.0")
        path = httpx.URL(proxied.site.file_url("lost", wheel_name("lost", "1.0"))).raw_path.decode()
        answer = proxied.client.get(path.removeprefix("/pypi"))
        assert answer.status_code == 502
        assert "no-store" in answer.headers.get_list("cache-control")
        assert "etag" not in answer.headers


def test_nginx_follows_no_link_out_of_the_directory(tmp_path: Path) -> None:
    """A link in the directory to a file elsewhere is followed neither by quire's address nor by nginx."""
    outside = tmp_path / wheel_name("linked", "1.0")
    outside.write_bytes(make_wheel("linked", "1.0"))
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / outside.name).symlink_to(outside)
    with behind("nginx", tmp_path, *OPEN) as proxied:
        until(lambda: proxied.site.get("/health").status_code == 200)
        direct, through = proxied.site.get(f"/packages/{outside.name}"), proxied.client.get(f"/packages/{outside.name}")
        assert "x-accel-redirect" not in direct.headers
        assert (through.status_code, through.content) == (direct.status_code, direct.content)


def test_a_cache_in_nginx_keeps_no_listing(tmp_path: Path) -> None:
    """With proxy_cache switched on, listings are never kept: after an upload the next page has it."""

    def caching(text: str) -> str:
        text = text.replace(
            "upstream quire {", f"proxy_cache_path {tmp_path}/kept keys_zone=quire:1m;\nupstream quire {{"
        )
        return text.replace("proxy_pass http://quire;", "proxy_pass http://quire;\nproxy_cache quire;")

    with behind("nginx", tmp_path, *OPEN, change=caching) as proxied:
        for version in ("1.0", "2.0"):
            publish(
                proxied.site, wheel_name("kept", version), make_wheel("kept", version), name="kept", version=version
            )
            assert wheel_name("kept", version) in proxied.client.get("/simple/kept/").text
