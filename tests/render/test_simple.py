"""The pages of the Simple API, read back by independent parsers."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pypi_simple import IndexPage, ProjectPage, ProjectStatus

from quire.domain.project import File, Status
from quire.render.negotiation import MediaType
from quire.render.simple import (
    Page,
    ProjectListing,
    make_page,
    patch_projects,
    release_versions,
    render_project,
    render_projects,
    sort_files,
)

SHA256 = "a" * 64
BASE = "http://index.test/simple/foo/"


def make_file(filename: str = "foo-1.0-py3-none-any.whl", version: str = "1.0", **facts: Any) -> File:
    hashes = {"sha256": SHA256} | facts.pop("hashes", {})
    return File(filename=filename, version=version, size=facts.pop("size", 10), hashes=hashes, **facts)


def listing_of(*files: File, status: Status = Status.ACTIVE, reason: str | None = None) -> ProjectListing:
    return ProjectListing("foo", status, reason, tuple((file, f"../../packages/foo/{file.filename}") for file in files))


def project_json(listing: ProjectListing) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(render_project(listing, MediaType.JSON_V1).body)
    return document


class Tags(HTMLParser):
    """All tags of a page, and the text of its links, as the standard library sees them."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self.meta: dict[str | None, str | None] = {}
        self._in_link = False
        self.feed(page.body.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "a":
            assert len(dict(attrs)) == len(attrs), "an attribute is there twice"
            self.links.append(dict(attrs))
            self.texts.append("")
            self._in_link = True
        if tag == "meta" and "name" in dict(attrs):
            self.meta[dict(attrs)["name"]] = dict(attrs)["content"]

    def handle_endtag(self, tag: str) -> None:
        self._in_link = self._in_link and tag != "a"

    def handle_data(self, data: str) -> None:
        if self._in_link:
            self.texts[-1] += data


FULL = make_file(
    size=1234,
    hashes={"md5": "b" * 32, "blake2b_256": "c" * 64, "sha512": "d" * 128},
    uploaded="2026-01-02T03:04:05.678901Z",
    requires_python=">=3.8,<4",
    yanked="broken <b>",
    metadata_sha256="e" * 64,
    signed=True,
    attested=True,
)


INTEGRITY = "https://packages.example/integrity/"


# -- JSON -------------------------------------------------------------------------------------------------------------


def test_json_of_a_file_with_everything() -> None:
    """Every key of API version 1.4, and none beside; of the hashes those that every installer takes from a lock."""
    assert project_json(listing_of(FULL)) == {
        "meta": {"api-version": "1.4"},
        "name": "foo",
        "project-status": {"status": "active"},
        "versions": ["1.0"],
        "files": [
            {
                "filename": "foo-1.0-py3-none-any.whl",
                "url": "../../packages/foo/foo-1.0-py3-none-any.whl",
                "hashes": {"sha256": SHA256, "sha512": "d" * 128},
                "requires-python": ">=3.8,<4",
                "core-metadata": {"sha256": "e" * 64},
                "gpg-sig": True,
                "yanked": "broken <b>",
                "size": 1234,
                "upload-time": "2026-01-02T03:04:05.678901Z",
                "provenance": None,
            }
        ],
    }


def test_namespaces_of_a_project() -> None:
    """PEP 752: API version 1.5 in an index that has any, null for a project below none; HTML says nothing of them."""
    listing = dataclasses.replace(listing_of(FULL), namespaces=[("foo", True)])
    document = project_json(listing)
    assert document["namespaces"] == [{"name": "foo", "owned": True}]
    assert project_json(dataclasses.replace(listing, namespaces=[]))["namespaces"] is None
    assert document.pop("meta") == {"api-version": "1.5"}
    del document["namespaces"]
    assert document.items() <= project_json(listing_of(FULL)).items()
    assert render_project(listing, MediaType.HTML).body == render_project(listing_of(FULL), MediaType.HTML).body


def test_provenance_has_an_absolute_url() -> None:
    """In both forms, for files that have it, where the page's own URL is known (PEP 740)."""
    file = make_file(version="1.0+local", provenance_sha256="f" * 64)
    listing = dataclasses.replace(
        listing_of(file, make_file(filename="foo-2.tar.gz", version="2")), integrity=INTEGRITY
    )
    url = f"{INTEGRITY}foo/1.0+local/foo-1.0-py3-none-any.whl/provenance"
    assert [each["provenance"] for each in project_json(listing)["files"]] == [url, None]
    html = render_project(listing, MediaType.HTML).body.decode()
    assert html.count("data-provenance") == html.count(f' data-provenance="{url}"') == 1
    unknown = dataclasses.replace(listing, integrity=None)
    assert "data-provenance" not in render_project(unknown, MediaType.HTML).body.decode()


def test_json_of_a_file_with_nothing() -> None:
    """Unknown values are left out; values known to be absent are false."""
    assert project_json(listing_of(make_file()))["files"] == [
        {
            "filename": "foo-1.0-py3-none-any.whl",
            "url": "../../packages/foo/foo-1.0-py3-none-any.whl",
            "hashes": {"sha256": SHA256},
            "core-metadata": False,
            "gpg-sig": False,
            "yanked": False,
            "size": 10,
            "provenance": None,
        }
    ]


def test_json_never_has_the_key_that_crashes_old_pip() -> None:
    """pip 22.3 to 23.1 raise TypeError for any value of dist-info-metadata in JSON (PEP 714)."""
    for file in (FULL, make_file()):
        assert "dist-info-metadata" not in project_json(listing_of(file))["files"][0]


def test_pypi_simple_reads_the_json() -> None:
    """An independent parser finds every fact."""
    page = ProjectPage.from_json_data(project_json(listing_of(FULL, status=Status.ARCHIVED, reason="see bar")), BASE)
    package = page.packages[0]
    assert page.repository_version == "1.4"
    assert (page.project, page.versions) == ("foo", ["1.0"])
    assert (page.status, page.status_reason) == (ProjectStatus.ARCHIVED, "see bar")
    assert package.url == "http://index.test/packages/foo/foo-1.0-py3-none-any.whl"
    assert (package.size, package.upload_time) == (1234, datetime(2026, 1, 2, 3, 4, 5, 678901, UTC))
    assert (package.is_yanked, package.yanked_reason) == (True, "broken <b>")
    assert package.metadata_digests == {"sha256": "e" * 64}
    assert (package.has_metadata, package.has_sig, package.provenance_url) == (True, True, None)


# -- HTML -------------------------------------------------------------------------------------------------------------


def test_html_of_a_file_with_everything() -> None:
    """Every attribute of PEP 503, 592, 658 and 714 with its value; nothing newer than the frozen HTML (PEP 833)."""
    page = Tags(render_project(listing_of(FULL), MediaType.HTML))
    assert page.meta == {"pypi:repository-version": "1.4"}
    assert page.texts == ["foo-1.0-py3-none-any.whl"]
    assert page.links == [
        {
            "href": f"../../packages/foo/foo-1.0-py3-none-any.whl#sha256={SHA256}",
            "data-requires-python": ">=3.8,<4",
            "data-core-metadata": "sha256=" + "e" * 64,
            "data-dist-info-metadata": "sha256=" + "e" * 64,
            "data-yanked": "broken <b>",
            "data-gpg-sig": "true",
        }
    ]


def test_html_of_a_file_with_nothing() -> None:
    """No attribute is there without a fact behind it; a yank without reason is an empty attribute."""
    href = f"../../packages/foo/foo-1.0-py3-none-any.whl#sha256={SHA256}"
    assert Tags(render_project(listing_of(make_file()), MediaType.HTML)).links == [{"href": href}]
    yanked = Tags(render_project(listing_of(make_file(yanked=True)), MediaType.HTML))
    assert yanked.links == [{"href": href, "data-yanked": ""}]


@pytest.mark.parametrize(
    ("algorithm", "fragment"),
    [("sha256", f"#sha256={SHA256}"), ("md5", f"#md5={'b' * 32}"), ("sha384", f"#sha256={SHA256}"), (None, "")],
)
def test_html_hash_algorithm(algorithm: str | None, fragment: str) -> None:
    """The fragment has the asked digest, sha256 where the file lacks it, and is absent when switched off."""
    page = Tags(render_project(listing_of(FULL), MediaType.HTML, algorithm))
    assert page.links[0]["href"] == f"../../packages/foo/foo-1.0-py3-none-any.whl{fragment}"


def test_html_under_both_media_types() -> None:
    """The same document, each under its own content type and ETag."""
    versioned = render_project(listing_of(FULL), MediaType.HTML_V1)
    plain = render_project(listing_of(FULL), MediaType.HTML)
    assert versioned.content_type == "application/vnd.pypi.simple.v1+html"
    assert plain.content_type == "text/html; charset=utf-8"
    assert versioned.body == plain.body
    assert versioned.etag != plain.etag


def test_html_is_valid_html5() -> None:
    """Doctype first, then the elements that HTML5 asks for, in their order (PEP 503)."""
    page = render_project(listing_of(FULL), MediaType.HTML)
    assert page.body.startswith(b"<!DOCTYPE html>\n")
    assert Tags(page).tags == ["html", "head", "meta", "meta", "title", "body", "h1", "a", "br"]


def test_pypi_simple_reads_the_html() -> None:
    """An independent parser finds the facts that HTML carries."""
    body = render_project(listing_of(FULL, status=Status.DEPRECATED, reason='"use" <bar>'), MediaType.HTML).body
    page = ProjectPage.from_html("foo", body, BASE)
    package = page.packages[0]
    assert page.repository_version == "1.4"
    assert (page.status, page.status_reason) == (ProjectStatus.DEPRECATED, '"use" <bar>')
    assert package.url == "http://index.test/packages/foo/foo-1.0-py3-none-any.whl"
    assert package.digests == {"sha256": SHA256}
    assert package.requires_python == ">=3.8,<4"
    assert (package.is_yanked, package.yanked_reason) == (True, "broken <b>")
    assert package.metadata_digests == {"sha256": "e" * 64}
    assert package.has_sig is True


TEXT = st.text(max_size=30) | st.text(st.sampled_from("<>&\"' =/a;#x27\r\n\t\0é\u2028"), max_size=30)


@given(TEXT, TEXT, TEXT, TEXT, st.sampled_from(list(Status)))
def test_hostile_text_stays_text(filename: str, requires: str, yanked: str, reason: str, status: Status) -> None:
    """No filename, requirement or reason adds a tag or an attribute, and each comes out as it went in."""
    file = make_file(filename, requires_python=requires, yanked=yanked or True)
    listing = ProjectListing("foo", status, reason, ((file, filename),))
    page = Tags(render_project(listing, MediaType.HTML, None))
    expected = {"href": filename, "data-yanked": yanked} | ({"data-requires-python": requires} if requires else {})
    offered = status is not Status.QUARANTINED
    assert page.links == ([expected] if offered else [])
    assert page.texts == ([filename] if offered else [])
    assert set(page.tags) <= {"html", "head", "meta", "title", "body", "h1", "a", "br"}
    assert page.meta.get("pypi:project-status", "active") == status
    if status is not Status.ACTIVE:
        assert page.meta.get("pypi:project-status-reason", "") == reason
    document = project_json(listing)
    assert document["project-status"].get("reason", "") == reason
    assert [entry["filename"] for entry in document["files"]] == ([filename] if offered else [])


# -- status (PEP 792) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(Status))
def test_status(status: Status) -> None:
    """JSON always says the status, HTML unless it is active; the reason is there when there is one."""
    for reason in (None, "because"):
        listing = listing_of(make_file(), status=status, reason=reason)
        expected = {"status": str(status)} | ({"reason": reason} if reason else {})
        assert project_json(listing)["project-status"] == expected
        meta = Tags(render_project(listing, MediaType.HTML)).meta
        active = status is Status.ACTIVE
        assert meta.get("pypi:project-status") == (None if active else status)
        assert meta.get("pypi:project-status-reason") == (None if active else reason)


def test_quarantined_project_offers_no_file() -> None:
    """PEP 792: neither page has a file, nor its name or digest anywhere; the versions stay, as in the PEP's example."""
    listing = listing_of(make_file(), status=Status.QUARANTINED)
    for media_type in MediaType:
        body = render_project(listing, media_type).body
        assert b"foo-1.0" not in body
        assert SHA256.encode() not in body
    assert project_json(listing)["files"] == []
    assert project_json(listing)["versions"] == ["1.0"]


# -- versions and order -----------------------------------------------------------------------------------------------


def test_files_are_sorted_by_version_then_filename() -> None:
    """PEP 440 orders the versions, not the text; what is no such version comes first."""
    names = [("b", "1.10"), ("a", "1.10"), ("c", "1.9"), ("d", "1.10rc1"), ("e", "2004d"), ("f", "1!0.1"), ("g", "")]
    files = [make_file(filename, version) for filename, version in names]
    assert [file.filename for file in sort_files(files)] == ["g", "e", "c", "d", "a", "b", "f"]


def test_versions_are_a_normalized_sorted_set() -> None:
    """PEP 700: no duplicates, also not of two spellings; normalized where PEP 440 can; none for files without one."""
    spelled = ["1.10", "v1.0.0", "1.0", "1.0-rc1", "1.0.RC1", "2004d", "1.9", "1.0+Local_1", ""]
    files = [make_file(f"f{number}", version) for number, version in enumerate(spelled)]
    expected = ["2004d", "1.0rc1", "1.0", "1.0+local.1", "1.9", "1.10"]
    assert release_versions(files) == expected
    assert release_versions(reversed(files)) == expected
    assert project_json(listing_of(*files))["versions"] == expected


@given(st.permutations([make_file(f"{letter}-{n}", v) for letter in "ab" for n, v in enumerate(["1", "1.0", "x", ""])]))
def test_order_does_not_depend_on_the_order_of_publication(files: list[File]) -> None:
    """Whatever order the record has, the page is the same."""
    assert sort_files(files) == sort_files(sorted(files, key=lambda file: file.filename))
    assert release_versions(files) == ["x", "1"]


# -- the list of projects ---------------------------------------------------------------------------------------------


def test_project_list() -> None:
    """Each project once, linked relative to the list, in the order given; independent parsers agree."""
    names = ["bar", "foo", "zope-interface"]
    html = render_projects(names, MediaType.HTML)
    assert [link["href"] for link in Tags(html).links] == ["bar/", "foo/", "zope-interface/"]
    assert Tags(html).texts == names
    parsed = IndexPage.from_html(html.body)
    assert (parsed.projects, parsed.repository_version) == (names, "1.4")
    document = json.loads(render_projects(names, MediaType.JSON_V1).body)
    assert document == {"meta": {"api-version": "1.4"}, "projects": [{"name": name} for name in names]}
    assert IndexPage.from_json_data(document).projects == names


def test_empty_lists() -> None:
    """No projects and no files are pages like any other."""
    assert json.loads(render_projects([], MediaType.JSON_V1).body)["projects"] == []
    assert Tags(render_projects([], MediaType.HTML)).links == []
    assert project_json(listing_of())["files"] == []
    assert project_json(listing_of())["versions"] == []


# -- pages ------------------------------------------------------------------------------------------------------------


def test_etag_is_strong_and_of_type_and_bytes() -> None:
    """Equal pages have equal ETags; another byte or another content type makes another."""
    page = make_page("text/html", b"body")
    assert page.etag == make_page("text/html", b"body").etag
    assert page.etag[0] == page.etag[-1] == '"'
    assert page.etag[1:-1].isalnum()
    assert len({page.etag, make_page("text/html", b"body2").etag, make_page("text/plain", b"body").etag}) == 3
    assert make_page("a", b"bc").etag != make_page("ab", b"c").etag


def test_encodings_of_a_large_page() -> None:
    """Each coding gives back the body, has its own ETag, and is made once."""
    page = make_page("text/html", b"0123456789" * 1000)
    assert page.size_in_memory == 10_000
    zstd, zstd_etag = page.encoded("zstd")
    gzipped, gzip_etag = page.encoded("gzip")
    assert zstandard.ZstdDecompressor().decompress(zstd) == gzip.decompress(gzipped) == page.body
    assert page.encoded("identity") == (page.body, page.etag)
    assert len({zstd_etag, gzip_etag, page.etag}) == 3
    assert zstd_etag == page.etag[:-1] + '-zstd"'
    assert page.encoded("zstd")[0] is zstd
    assert page.encoded("gzip")[0] is gzipped
    assert page.size_in_memory == 10_000 + len(zstd) + len(gzipped)
    assert make_page("text/html", page.body).encoded("gzip") == (gzipped, gzip_etag)


def test_small_pages_are_not_compressed() -> None:
    """Up to 1 KiB the body goes out as it is, and `encoding_for` says so, so that no false header is sent."""
    small, large = make_page("text/html", b"x" * 1024), make_page("text/html", b"x" * 1025)
    assert small.encoded("zstd") == small.encoded("gzip") == (small.body, small.etag)
    assert (small.encoding_for("zstd"), small.encoding_for("gzip")) == ("identity", "identity")
    assert (large.encoding_for("zstd"), large.encoding_for("gzip")) == ("zstd", "gzip")
    assert large.encoding_for("identity") == "identity"
    assert large.encoded("gzip")[0] != large.body


_PRINT_ETAGS = """
from quire.domain.project import File, Status
from quire.render.negotiation import MediaType
from quire.render.simple import ProjectListing, render_project
files = tuple(
    (File(filename=f"foo-{v}.tar.gz", version=v, size=1, hashes={"sha256": "0" * 64, "md5": "1", "sha1": "2"}), "u")
    for v in ("1.0", "1.0.0", "1.1", "2004d", "1.0rc1") for _ in range(20)
)
for media_type in MediaType:
    page = render_project(ProjectListing("foo", Status.ACTIVE, None, files), media_type)
    print(page.etag, page.encoded("gzip")[0].hex()[-64:], page.encoded("zstd")[0].hex()[-64:])
"""


def test_pages_are_equal_in_every_process() -> None:
    """Processes with different hash seeds render the same bytes, and so the same ETags."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", _PRINT_ETAGS],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count("\n") == 3


_SOME_NAMES = st.sets(st.from_regex(r"[a-c](-?[a-c0-9]){0,3}", fullmatch=True), max_size=12)


@given(before=_SOME_NAMES, after=_SOME_NAMES, media_type=st.sampled_from(list(MediaType)))
def test_a_patched_list_is_the_rendered_one(before: set[str], after: set[str], media_type: MediaType) -> None:
    """After any change: the same bytes and validator as a new rendering, or no patch at all."""
    old, new = sorted(before), sorted(after)
    patched = patch_projects(render_projects(old, media_type), media_type, old, new)
    if patched is not None:
        assert patched == render_projects(new, media_type)


@pytest.mark.parametrize("media_type", list(MediaType))
@pytest.mark.parametrize("name", ["a", "m1", "z"])
def test_one_name_more_or_less_is_patched(name: str, media_type: MediaType) -> None:
    """At the beginning, in the middle, at the end."""
    names = [f"m{number}" for number in range(10)]
    more = sorted({*names, name, "m1"} - ({"m1"} if name == "m1" else set()))
    for before, after in ((names, more), (more, names)):
        patched = patch_projects(render_projects(before, media_type), media_type, before, after)
        assert patched == render_projects(after, media_type)
