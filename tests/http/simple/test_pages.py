"""The simple API over HTTP: negotiation, validators, encodings, redirects, fallback, prefixes and proxies."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest
import zstandard

from tests.asking import HTML_V1, JSON_V1, OPEN, Site, publish_wheel, serve

FALLBACK = "http://fallback.invalid/simple/"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    """An index with the projects one (a file) and many (forty files, so that its page is worth compressing)."""
    with serve(tmp_path_factory.mktemp("simple"), *OPEN, place=place) as site:
        publish_wheel(site, "one")
        for number in range(40):
            publish_wheel(site, "many", f"1.{number}")
        yield site


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    """An index under /python, behind a proxy on 127.0.0.1, with a fallback."""
    flags = ("-a", ".", "-P", ".", "--fallback-url", FALLBACK, "--server-base-url", "/python")
    trusted = ("--trusted-proxies", "127.0.0.1", "--trusted-headers", ",".join(FORWARDED))
    with serve(tmp_path_factory.mktemp("prefixed"), *flags, *trusted, place=place) as site:
        publish_wheel(site, "one")
        yield site


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.urls.append(dict(attrs)["href"] or "")


def _links(text: str) -> list[str]:
    parser = _Links()
    parser.feed(text)
    return parser.urls


@pytest.mark.parametrize("path", ["/simple/", "/simple/one/"])
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/html; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        (HTML_V1, HTML_V1),
        (JSON_V1, JSON_V1),
        ("application/vnd.pypi.simple.latest+json", JSON_V1),
        (f"{JSON_V1}, {HTML_V1};q=0.1, text/html;q=0.01", JSON_V1),
        (f"{JSON_V1};q=0.1, text/html;q=0.5", "text/html; charset=utf-8"),
        ("application/xml, */*;q=0.01", "text/html; charset=utf-8"),
    ],
)
def test_negotiates(site: Site, path: str, accept: str | None, content_type: str) -> None:
    """Each Accept header gets its media type, and what caches need to keep the answers apart."""
    headers = {} if accept is None else {"accept": accept}
    request = site.client.build_request("GET", path, headers=headers)
    if accept is None:
        del request.headers["accept"]
    answer = site.client.send(request)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/simple/", "/simple/one/"])
def test_refuses_what_it_cannot_serve(site: Site, path: str) -> None:
    """406, with a sentence that names what could be accepted; the query parameter counts more than the header."""
    for answer in (site.get(path, accept="application/xml"), site.get(f"{path}?format=text/xml", accept=JSON_V1)):
        assert answer.status_code == 406
        assert answer.text.startswith("None of the accepted media types can be served; accept one of")
        assert JSON_V1 in answer.text
        assert len(answer.text.splitlines()) == 1
    chosen = site.client.get(path, params={"format": JSON_V1}, headers={"accept": "text/html"})
    assert chosen.headers["content-type"] == JSON_V1


@pytest.mark.parametrize("path", ["/simple/", "/simple/many/", "/packages/", "/pypi/many/json"])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_revalidates(site: Site, path: str, encoding: str) -> None:
    """A strong ETag; with it the answer is 304, empty, with the headers a 200 would have had; HEAD has them too."""
    answer = site.get(path, accept_encoding=encoding)
    etag = answer.headers["etag"]
    assert etag.startswith('"')
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = site.get(path, accept_encoding=encoding, if_none_match=known)
        assert again.status_code == 304
        assert again.content == b""
        for header in ("etag", "cache-control", "vary"):
            assert again.headers[header] == answer.headers[header]
    assert site.get(path, accept_encoding=encoding, if_none_match='"other"').status_code == 200
    head = site.client.head(path, headers={"accept-encoding": encoding})
    assert head.status_code == 200
    assert head.content == b""
    for header in set(answer.headers) - {"date", "x-request-id"}:
        assert head.headers[header] == answer.headers[header], header


def test_each_representation_has_its_own_validator(site: Site) -> None:
    """A tag of one media type or coding never validates another; equal requests have equal tags."""
    tags = [
        site.get("/simple/many/", accept=accept, accept_encoding=encoding).headers["etag"]
        for accept in ("text/html", HTML_V1, JSON_V1)
        for encoding in ("identity", "gzip", "zstd")
    ]
    assert len(set(tags)) == 9
    assert site.get("/simple/many/", accept=JSON_V1, accept_encoding="zstd").headers["etag"] == tags[-1]


@pytest.mark.parametrize("path", ["/simple/many/", "/packages/", "/pypi/many/json"])
def test_codings_decode_to_the_same_bytes(site: Site, path: str) -> None:
    """gzip and zstd are the plain page, smaller; a page of less than a packet is not compressed."""
    plain = site.get(path, accept_encoding="identity")
    assert "content-encoding" not in plain.headers
    sizes = [len(plain.content)]
    for encoding in ("gzip", "zstd"):
        with site.client.stream("GET", path, headers={"accept-encoding": encoding}) as answer:
            assert answer.headers["content-encoding"] == encoding
            data = b"".join(answer.iter_raw())
        sizes.append(len(data))
        decoded = gzip.decompress(data) if encoding == "gzip" else zstandard.ZstdDecompressor().decompress(data)
        assert decoded == plain.content
        assert int(answer.headers["content-length"]) == len(data)
    assert max(sizes[1:]) < sizes[0]
    assert "content-encoding" not in site.get("/simple/", accept_encoding="gzip").headers


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("/simple", "/simple/"),
        ("/simple/one", "/simple/one/"),
        ("/simple/One", "/simple/one/"),
        ("/simple/One_Two..Three/", "/simple/one-two-three/"),
        ("/simple/Not-There/", "/simple/not-there/"),
        ("/packages", "/packages/"),
        ("/pypi/One/json", "/pypi/one/json"),
        ("/pypi/One/1.0/json", "/pypi/one/1.0/json"),
        ("/One/json", "/one/json"),
    ],
)
@pytest.mark.parametrize("query", ["", f"?format={JSON_V1.replace('+', '%2B')}"])
@pytest.mark.at_root("some of them are pypiserver's addresses, which are at the root")
def test_redirects_for_good(site: Site, prefixed: Site, asked: str, location: str, query: str) -> None:
    """301 to the normalized name with its slash, under any prefix; the query goes along."""
    for served in (site, prefixed):
        answer = served.get(asked + query)
        assert answer.status_code == 301
        assert urljoin(str(answer.url), answer.headers["location"]) == served.base[:-1] + location + query


@pytest.mark.parametrize("asked", ["/one", "/one/", "/some thing/", "/%3Cb%3E"])
@pytest.mark.at_root("pypiserver's addresses are at the root")
def test_anything_else_goes_to_its_project(site: Site, prefixed: Site, asked: str) -> None:
    """303 to /simple/<anything>/, as pypiserver has it."""
    for served in (site, prefixed):
        answer = served.get(asked)
        assert answer.status_code == 303
        expected = served.client.build_request("GET", f"/simple/{asked.strip('/')}/").url
        assert answer.url.join(answer.headers["location"]) == expected


@pytest.mark.at_root("pypiserver's addresses are at the root")
def test_a_line_break_in_an_address_makes_no_header(site: Site) -> None:
    """It stays escaped in the destination."""
    answer = site.get("/a%0D%0AX-Injected%3A%20c")
    assert (answer.status_code, answer.headers["location"]) == (303, "simple/a%0D%0AX-Injected%3A%20c/")
    assert "x-injected" not in answer.headers


@pytest.mark.at_root("the fallback is of the index at the root")
def test_falls_back_to_the_public_index(prefixed: Site) -> None:
    """303 for a project that is not here, 302 for a client of HTTP/1.0; never remembered, the project may come."""
    answer = prefixed.get("/simple/not-there/")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{FALLBACK}not-there/"
    assert answer.headers["cache-control"] == "no-cache"
    old = prefixed.raw(b"GET /python/simple/not-there/ HTTP/1.0\r\n\r\n")
    assert (old.status, old.headers["location"]) == (302, f"{FALLBACK}not-there/")
    assert prefixed.raw(b"GET /python/one HTTP/1.0\r\n\r\n").status == 302


def test_without_fallback_it_is_missing(site: Site) -> None:
    """404 and a sentence."""
    answer = site.get("/simple/not-there/")
    assert (answer.status_code, answer.text) == (404, "The project not-there does not exist.\n")


@pytest.mark.parametrize("name", ["-", "a%00b", "%2e%2e", "a" * 300, "%ff", "a%0ab", "%c3%a4"])
def test_impossible_names_are_missing(site: Site, prefixed: Site, name: str) -> None:
    """A name that no project can have is 404 with one sentence, and is never sent to the fallback."""
    for path in (f"/simple/{name}/", f"/simple/{name}", f"/pypi/{name}/json"):
        for served in (site, prefixed):
            answer = served.raw(f"GET {served.client.base_url.path.rstrip('/')}{path} HTTP/1.0\r\n\r\n".encode())
            assert answer.status == 404, (path, answer)
            assert len(answer.body.splitlines()) == 1


def test_letters_that_no_address_has(site: Site) -> None:
    """Unescaped, beyond ASCII (RFC 3986): a server may refuse them before the application."""
    answer = site.raw("GET /simple/ä/ HTTP/1.0\r\n\r\n".encode())
    assert answer.status in {400, 404}
    assert len(answer.body.splitlines()) == 1


@pytest.mark.at_root("it has a prefix already")
def test_pages_work_under_a_prefix(prefixed: Site) -> None:
    """From the prefix alone, with and without its slash, every link of every page resolves to something below it."""
    base = prefixed.base
    home = prefixed.client.get(base.rstrip("/"))
    assert home.status_code in {200, 301}
    assert urljoin(str(home.url), home.headers.get("location", base)) == base
    page = prefixed.get("/simple/")
    (project,) = (urljoin(str(page.url), link) for link in _links(page.text))
    assert project == f"{base}simple/one/"
    (file,) = (urljoin(project, link) for link in _links(prefixed.client.get(project).text))
    assert file.startswith(f"{base}packages/")
    assert prefixed.client.get(file).status_code == 200
    (listed,) = (urljoin(f"{base}packages/", link) for link in _links(prefixed.get("/packages/").text))
    assert listed == file
    assert prefixed.raw(b"GET /simple/ HTTP/1.0\r\n\r\n").status == 404


def test_relative_urls_carry_no_host(site: Site) -> None:
    """The page is the same whatever host it is asked under, so any proxy or tunnel works without configuration."""
    assert site.get("/simple/one/", host="a.example").content == site.get("/simple/one/", host="b.example").content


FORWARDED = {
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil.example, pypi.example",
    "x-forwarded-prefix": "/team/",
}


@pytest.mark.at_root("it compares whole addresses")
def test_believes_a_trusted_proxy(prefixed: Site) -> None:
    """Where absolute URLs are needed they are those that the trusted proxy reports in the named headers."""
    document = prefixed.client.get("/pypi/one/json", headers=FORWARDED).json()
    assert document["urls"][0]["url"].startswith("https://pypi.example/team/python/packages/one/")
    assert "https://pypi.example/team/python/" in prefixed.client.get("/", headers=FORWARDED).text
    bare = prefixed.client.get("/pypi/one/json", headers={"x-forwarded-prefix": "team"}).json()
    assert bare["urls"][0]["url"].startswith(f"http://127.0.0.1:{prefixed.served.port}/team/python/packages/one/")


def test_believes_no_other_proxy(site: Site) -> None:
    """Without a trusted proxy the headers are what an attacker wrote."""
    document = site.client.get("/pypi/one/json", headers=FORWARDED).json()
    assert document["urls"][0]["url"].startswith(f"{site.base}packages/one/")
    assert "example" not in site.client.get("/", headers=FORWARDED).text


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "wsgiref"])
def test_no_server_believes_by_itself(tmp_path: Path, server: str) -> None:
    """Neither a peer that is not trusted nor, from one that is, headers that the operator did not name."""
    lies = {**FORWARDED, "forwarded": "for=192.0.2.1;host=evil.example;proto=https", "x-forwarded-ssl": "on"}
    lies |= {"x-forwarded-protocol": "ssl", "script-name": "/evil", "script_name": "/evil"}
    with serve(tmp_path, *OPEN, "--server", server) as site:
        assert f"http://127.0.0.1:{site.served.port}/simple/" in site.client.get("/", headers=lies).text
    with serve(tmp_path, *OPEN, "--server", server, "--trusted-proxies", "127.0.0.1") as site:
        assert f"https://127.0.0.1:{site.served.port}/simple/" in site.client.get("/", headers=lies).text


def test_other_methods_are_refused(site: Site) -> None:
    """405 with a sentence and the methods that would do."""
    for method, path in (("DELETE", "/simple/one/"), ("PUT", "/"), ("POST", "/simple/one/"), ("PATCH", "/packages/")):
        answer = site.client.request(method, path)
        assert answer.status_code == 405, (method, path)
        assert "GET" in answer.headers["allow"]
        assert answer.text.startswith("This address does not take this method")


@pytest.mark.on_disk("two server processes share the store")
@pytest.mark.at_root("the second server is asked at the root")
def test_an_upload_is_in_the_very_next_listing(site: Site, tmp_path: Path) -> None:
    """A second server process over the same directory lists a file at once, and the first one its deletion."""
    with serve(site.root.parent, *OPEN) as other:
        for number in range(10):
            filename = publish_wheel(site, "fresh", f"1.{number}")
            assert filename in other.filenames("fresh")
        assert "fresh" in other.projects()
