"""The pages of another index: both formats, and whatever a damaged or hostile one may send."""

from __future__ import annotations

import contextlib
import json
import random
import time
from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.errors import UpstreamError
from quire.domain.names import normalize_name
from quire.domain.project import File, Status
from quire.render.negotiation import MediaType
from quire.render.simple import ProjectListing, render_project
from quire.upstream.pages import MOST_COMMAS, MOST_TAGS, UpstreamFile, UpstreamPage, parse_page
from tests.upstreams import JSON, page

URL = "http://host.test/simple/foo/"
SHA = "a" * 64


def file(name: str, version: str, **fields: object) -> File:
    return File(filename=name, version=version, size=7, hashes={"sha256": SHA}, **fields)  # type: ignore[arg-type]


OURS = (
    file("foo-1.0.tar.gz", "1.0", signed=True),
    file("foo-1.1-py3-none-any.whl", "1.1", yanked=True, requires_python=">=3.9,<4", metadata_sha256="b" * 64),
    file("foo-1.2+local-py3-none-any.whl", "1.2+local", yanked="broken & <bad>", provenance_sha256="c" * 64),
)


def listed(media_type: MediaType, status: Status = Status.ACTIVE, reason: str | None = None) -> UpstreamPage:
    """A page of this project's own, read back."""
    listing = ProjectListing(
        name="foo",
        status=status,
        status_reason=reason,
        files=tuple((each, f"../../packages/foo/{each.filename}") for each in OURS),
        integrity="http://host.test/integrity/",
    )
    rendered = render_project(listing, media_type)
    return parse_page("foo", rendered.content_type, rendered.body, URL)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<a " * 7000),
        ("text/html", b"<!--" * 7000),
        ("text/html", b'<a href="x' * 7000),
        ("text/html", b"</" * 7000),
        ("text/html; charset=punycode", b"a" * 600_000),
    ],
)
def test_a_hostile_page_takes_the_time_of_its_length(content_type: str, body: bytes) -> None:
    """No reading holds up the other threads for longer."""
    begun = time.thread_time()
    with pytest.raises(UpstreamError):
        parse_page("foo", content_type, body, URL)
    assert time.thread_time() - begun < 2


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"meta":{"api-version":"1.0"},"name":"foo","files":[0' + b",0" * MOST_COMMAS + b"]}"),
        ("text/html", b"<a href=a>" * (MOST_TAGS + 1)),
    ],
)
def test_a_page_of_too_many_entries_is_refused_before_it_is_read(content_type: str, body: bytes) -> None:
    """Each entry takes far more memory than its bytes, which are few when they are packed."""
    with pytest.raises(UpstreamError, match="more than"):
        parse_page("foo", content_type, body, URL)


@pytest.mark.parametrize("media_type", [MediaType.HTML, MediaType.HTML_V1, MediaType.JSON_V1])
def test_our_own_pages_are_read_back(media_type: MediaType) -> None:
    """All that a page says of a file is read: absolute URL, digests, yanked with its reason, Python, metadata,
    provenance, signature; JSON has the size as well."""
    size = 7 if media_type is MediaType.JSON_V1 else None
    base = "http://host.test/packages/foo/"
    name = OURS[2].filename
    assert listed(media_type).files == (
        UpstreamFile(
            filename=OURS[0].filename,
            url=base + OURS[0].filename,
            version="1.0",
            hashes={"sha256": SHA},
            size=size,
            signed=True,
        ),
        UpstreamFile(
            filename=OURS[1].filename,
            url=base + OURS[1].filename,
            version="1.1",
            hashes={"sha256": SHA},
            size=size,
            yanked=True,
            requires_python=">=3.9,<4",
            metadata="b" * 64,
        ),
        UpstreamFile(
            filename=name,
            url=base + name,
            version="1.2+local",
            hashes={"sha256": SHA},
            size=size,
            yanked="broken & <bad>",
            provenance=f"http://host.test/integrity/foo/1.2+local/{name}/provenance",
        ),
    )


@pytest.mark.parametrize("media_type", [MediaType.HTML, MediaType.JSON_V1])
def test_the_status_of_a_project_is_read(media_type: MediaType) -> None:
    """PEP 792, with its reason."""
    page = listed(media_type, Status.DEPRECATED, "use bar")
    assert (page.status, page.status_reason) == (Status.DEPRECATED, "use bar")


def test_further_fields_are_read_where_they_are_what_they_should_be() -> None:
    """Upload time, serial number, metadata without a digest; other types are as good as absent, the file stays."""
    entry = {"filename": "foo-1.0.tar.gz", "url": "foo-1.0.tar.gz", "hashes": {"sha256": SHA}}
    files = [
        {**entry, "upload-time": "2024-05-06T07:08:09.123456Z", "core-metadata": True, "yanked": ""},
        {**entry, "filename": "foo-1.1.tar.gz", "upload-time": "<yesterday>", "core-metadata": 7, "size": "large"},
        {**entry, "filename": "foo-1.2.tar.gz", "dist-info-metadata": {"sha256": SHA}, "requires-python": [3]},
        {**entry, "filename": "foo-1.3.tar.gz", "requires-python": ">=3\n.8", "yanked": "a\x00b" + "c" * 1000},
    ]
    body = {"meta": {"api-version": "1.4", "_last-serial": 12}, "files": files, "project-status": {"status": "lost"}}
    page = parse_page("foo", JSON, json.dumps(body).encode(), URL)
    assert (page.serial, page.status) == (12, Status.ACTIVE)
    first, second, third, fourth = page.files
    assert (first.uploaded, first.metadata, first.yanked) == ("2024-05-06T07:08:09.123456Z", True, True)
    assert (second.uploaded, second.metadata, second.size) == (None, False, None)
    assert (third.metadata, third.requires_python) == (SHA, None)
    assert (fourth.requires_python, fourth.yanked) == (">=3.8", "ab" + "c" * 497)


def test_files_of_all_ages_are_listed() -> None:
    """Eggs, installers and archives that are uploaded no more were once, and are still installed from."""
    names = ("Foo-0.1.zip", "foo-0.2-py2.7.egg", "foo-0.3.win32-py2.7.exe", "foo-0.4.tar.bz2", "foo-0.5-1.noarch.rpm")
    answer = page([{"filename": name, "url": name} for name in names])
    files = parse_page("foo", JSON, answer.body, URL).files
    assert [(each.filename, each.version) for each in files] == list(
        zip(names, ("0.1", "0.2", "0.3", "0.4", "0.5"), strict=True)
    )
    assert [each.is_upload for each in files] == [True, True, False, False, False]


def test_of_one_name_the_first_file_is_listed() -> None:
    """A second entry of the same name is another file that claims to be it."""
    answer = page([{"filename": "foo-1.0.tar.gz", "url": url} for url in ("http://a.test/x", "http://b.test/x")])
    assert [each.url for each in parse_page("foo", JSON, answer.body, URL).files] == ["http://a.test/x"]


@pytest.mark.parametrize("host", ["https://index.test", "http://127.0.0.1:54321", "http://10.0.0.1:8080"])
@pytest.mark.parametrize(
    "folder",
    ["/packages/aa/bb/", "/", "/a/./b/", "/a/../b/", "/..a/b/", "/a//b/", "//other.test/a/", "/%2e%2e/a/", "/a b/",
     "a/", "../../packages/", "/../x/", "/a/..", "https://other.test/a/", "https://other.test:54321/a/"],
)  # fmt: skip
def test_links_mean_what_urls_mean(host: str, folder: str) -> None:
    """Those that are taken apart by a pattern, and those that are not (RFC 3986, 5)."""
    base = f"{host}/simple/foo/"
    answer = page([{"filename": "foo-1.0.tar.gz", "url": f"{folder}foo-1.0.tar.gz"}])
    (file,) = parse_page("foo", JSON, answer.body, base).files
    assert file.url == urljoin(base, f"{folder}foo-1.0.tar.gz")


def test_html_of_old_indexes_is_understood() -> None:
    """A base URL, upper-case digests, a query, quoted names, no digest, and an unknown charset."""
    body = f"""<html><head><base href="https://files.test/x/"></head><body>
        <A HREF="foo-1.0%2Blocal.tar.gz?token=1#SHA256={SHA.upper()}&egg=foo">foo</A>
        <a href='/abs/Foo-1.1.zip' data-yanked>x</a><a>no link</a></body>"""
    first, second = parse_page("foo", "text/html; charset=x-nobody", body.encode(), URL).files
    assert first.parsed.version == "1.0+local"
    assert first.url == "https://files.test/x/foo-1.0%2Blocal.tar.gz?token=1"
    assert first.hashes == {"sha256": SHA}
    assert (second.url, second.hashes, second.yanked) == ("https://files.test/abs/Foo-1.1.zip", {}, True)


@pytest.mark.parametrize(
    ("filename", "url"),
    [
        ("bar-1.0.tar.gz", "bar-1.0.tar.gz"),
        ("../foo-1.0.tar.gz", "x"),
        ("foo-1.0.txt", "foo-1.0.txt"),
        ("foo-1.0-py3-none-any\n.whl", "x"),
        (7, "x"),
        ("foo-1.0.tar.gz", ["x"]),
        (".foo-1.0.tar.gz", "x"),
        ("foo-1.0.tar.gz", "file:///etc/passwd"),
        ("foo-1.0.tar.gz", "javascript:alert(1)"),
        ("foo-1.0.tar.gz", "http://[bad/foo-1.0.tar.gz"),
        ("foo-1.0.tar.gz", "https://host.test:99999999/foo-1.0.tar.gz"),
    ],
)
def test_files_that_could_mean_harm_are_left_out(filename: object, url: object) -> None:
    """Another project's file, a name that is no distribution's, a URL that is not http, and entries of other types are
    not listed; the others on the page are."""
    answer = page([{"filename": filename, "url": url}, {"filename": "foo-2.0.tar.gz", "url": "foo-2.0.tar.gz"}])
    files = parse_page("foo", JSON, answer.body, URL).files
    assert [file.parsed.filename for file in files] == ["foo-2.0.tar.gz"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("", b"{}"),
        ("application/json", b"{}"),
        ("text/plain", b"hello"),
        (JSON, b"no JSON"),
        (JSON, b"\xff\xfe"),
        (JSON, b"[" * 100_000),
        (JSON, b'{"files": []}'),
        (JSON, b'{"meta": {"api-version": "2.0"}, "files": []}'),
        (JSON, b'{"meta": {"api-version": "one"}, "files": []}'),
        ("text/html", b'<meta name="pypi:repository-version" content="2.0">'),
        ("text/html", b'<base href="http://[bad/">'),
        ("text/html", b"<h1>Log in</h1><a href='/login'>here</a>"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(content_type: str, body: bytes) -> None:
    """Wrong types, damaged documents and newer versions of the API are UpstreamErrors, each of one line."""
    with pytest.raises(UpstreamError) as caught:
        parse_page("foo", content_type, body, URL)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters",
    ["charset*=utf-8''x; charset*0=y", "a*=x; a*0=y", f"a*{'9' * 5000}=x", "charset*=x'y'%ff", "charset=\0", "=", ";;"],
)
def test_odd_parameters_of_a_type_are_read_past(parameters: str) -> None:
    """They are of no use to a page, and the email package fails at some."""
    body = b'<a href="foo-1.0.tar.gz">foo</a>'
    assert len(parse_page("foo", f"text/html; {parameters}", body, URL).files) == 1
    assert parse_page("foo", f"{JSON}; {parameters}", page([]).body, URL).files == ()


def test_numbers_that_nothing_has_are_not_passed_on() -> None:
    """A size beyond all floats cannot be shown in words; a file of that size is left out."""
    sizes = [-1, 2**63, 10**400, 0, 2**63 - 1, 1.5]
    entries = [
        {"filename": f"foo-{at}.tar.gz", "url": f"foo-{at}.tar.gz", "size": size} for at, size in enumerate(sizes)
    ]
    found = parse_page("foo", JSON, page(entries).body, URL)
    assert {each.version: each.size for each in found.files} == {"3": 0, "4": 2**63 - 1, "5": None}
    body = page([]).body.replace(b'"api-version"', f'"_last-serial": {10**400}, "api-version"'.encode())
    assert b"_last" in body
    assert parse_page("foo", JSON, body, URL).serial is None


def test_a_page_of_no_files_says_that_it_is_one() -> None:
    """Then it is believed; else it could be anything that a proxy sends in the place of a page."""
    empty = b'<meta name="pypi:repository-version" content="1.0">'
    assert parse_page("foo", "text/html", empty, URL).files == ()


@given(
    st.sampled_from(["text/html", JSON, 'text/html; charset="\x00"', "x"]),
    st.binary(max_size=300) | st.text().map(str.encode),
)
def test_no_answer_makes_the_parser_fail_otherwise(content_type: str, body: bytes) -> None:
    """Whatever the bytes, they are read or refused by UpstreamError."""
    with contextlib.suppress(UpstreamError):
        parse_page("foo", content_type, body, URL)


def test_names_are_what_the_page_is_compared_with() -> None:
    """A file counts for every spelling of its project's name."""
    body = json.dumps(
        {"meta": {"api-version": "1.0"}, "files": [{"filename": "Foo_Bar-1.0.tar.gz", "url": "Foo_Bar-1.0.tar.gz"}]}
    ).encode()
    assert len(parse_page(normalize_name("foo.BAR"), JSON, body, URL).files) == 1


@pytest.mark.parametrize("seed", range(6))
def test_many_entries_are_read_as_each_by_itself(seed: int) -> None:
    """Those of a large page are checked together; one that is odd in any way changes nothing for its neighbours."""
    choose = random.Random(seed)
    odd: dict[str, list[Any]] = {
        "filename": ["foo-1.0\n.tar.gz", "foo-1.0.tar.gz\n", "bar-1.tar.gz", "Foo-9-py3-none-any.whl", ".foo", ""],
        "url": ["x", "../y", "/a/../b", "//other.test/x", "ftp://x/y", "https://h:0/x", "https://h/x\n/y", "/a b"],
        "hashes": [
            {},
            {"sha256": "A" * 64},
            {"sha256": "0" * 63 + "\n"},
            {"md5": "0" * 32},
            {"sha256": ""},
            {"x": "?"},
        ],
        "upload-time": [None, 1, "2024", "2024-01-01T00:00:00Z\n", ["2024-01-01T00:00:00Z"]],
        "requires-python": [None, "", ">=3.8\n", ["x"], 7],
        "size": [-1, True, 1.5, None, "1"],
        "core-metadata": [True, False, {"sha256": "b" * 64}, {"sha256": 1}, None],
    }
    entries = []
    for number in range(600):
        entry: dict[str, Any] = {
            "filename": f"foo-{number}.0-py3-none-any.whl" if number % 3 else f"foo-{number}.0.tar.gz",
            "url": f"/packages/{number}" if seed % 2 else f"https://files.test/{number}",
            "hashes": {"sha256": f"{number:064x}"},
            "upload-time": "2024-01-01T00:00:00.123Z",
            "requires-python": ">=3.8",
            "size": number,
        }
        if seed and choose.random() < 0.01 * seed:
            field = choose.choice([*odd])
            entry[field] = choose.choice(odd[field])
        entries.append(entry)

    def read(some: list[dict[str, Any]]) -> tuple[UpstreamFile, ...]:
        body = json.dumps({"meta": {"api-version": "1.0"}, "files": some}).encode()
        return parse_page("foo", JSON, body, "https://index.test/simple/foo/").files

    alone = {file.filename: file for entry in reversed(entries) for file in read([entry])}
    assert {file.filename: file for file in read(entries)} == alone
    assert len(alone) > 500
