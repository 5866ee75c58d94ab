"""The legacy JSON of projects and releases has the shape that PyPI gives it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.archives.metadata import parse_metadata
from quire.domain.errors import NotFound
from quire.domain.names import is_prerelease
from quire.domain.project import File, Status
from quire.render.pypi_json import describing_file, render_release_json, select_release
from tests.distributions import metadata_text

REFERENCE = Path(__file__).parent.parent.parent.parent / "docs" / "reference" / "http.md"


def make_file(filename: str, version: str, **facts: Any) -> File:
    hashes = {"sha256": "a" * 64} | facts.pop("hashes", {})
    return File(filename=filename, version=version, size=facts.pop("size", 10), hashes=hashes, **facts)


def with_urls(*files: File) -> list[tuple[File, str]]:
    return [(file, f"http://index.test/packages/{file.filename}") for file in files]


def render(*files: File, version: str | None = None, **options: Any) -> dict[str, Any]:
    metadata = options.pop("metadata", None)
    document: dict[str, Any] = json.loads(render_release_json("Foo", with_urls(*files), version, metadata, **options))
    return document


WHEEL = make_file(
    "foo-1.0-cp311-abi3-linux_x86_64.whl",
    "1.0",
    size=1234,
    hashes={"md5": "b" * 32, "blake2b_256": "c" * 64, "sha512": "d" * 128},
    uploaded="2026-01-02T03:04:05.678901Z",
    requires_python=">=3.8",
    yanked="broken",
    metadata_sha256="e" * 64,
    signed=True,
)
SDIST = make_file("foo-1.0.tar.gz", "1.0")

EXTRA = """\
Author: A. Person
Author-email: a@example.org
Maintainer: B. Person
Maintainer-email: b@example.org
License-Expression: MIT
License-File: LICENSE
Keywords: one,two
Platform: any
Classifier: Topic :: Software Development
Classifier: Typing :: Typed
Home-page: https://example.org
Download-URL: https://example.org/download
Project-URL: Source, https://example.org/source
Requires-Dist: bar>=1
Requires-Dist: baz; extra == 'more'
Provides-Extra: more
Description-Content-Type: text/markdown
"""


def test_a_file_with_everything() -> None:
    """Every key PyPI gives a file, with its digests under PyPI's names and no others."""
    assert render(WHEEL)["urls"] == [
        {
            "comment_text": "",
            "core-metadata": {"sha256": "e" * 64},
            "digests": {"blake2b_256": "c" * 64, "md5": "b" * 32, "sha256": "a" * 64},
            "downloads": -1,
            "filename": "foo-1.0-cp311-abi3-linux_x86_64.whl",
            "has_sig": True,
            "md5_digest": "b" * 32,
            "packagetype": "bdist_wheel",
            "python_version": "cp311",
            "requires_python": ">=3.8",
            "size": 1234,
            "upload_time": "2026-01-02T03:04:05",
            "upload_time_iso_8601": "2026-01-02T03:04:05.678901Z",
            "url": "http://index.test/packages/foo-1.0-cp311-abi3-linux_x86_64.whl",
            "yanked": True,
            "yanked_reason": "broken",
        }
    ]


def test_a_file_with_nothing() -> None:
    """Unknown facts are null or left out, never made up."""
    entry = render(SDIST)["urls"][0]
    assert entry["digests"] == {"sha256": "a" * 64}
    assert entry["core-metadata"] is entry["has_sig"] is entry["yanked"] is False
    for key in ("md5_digest", "requires_python", "upload_time", "upload_time_iso_8601", "yanked_reason"):
        assert entry[key] is None


def test_info_of_full_metadata() -> None:
    """The fields of the core metadata stand under PyPI's keys, in PyPI's types."""
    metadata = parse_metadata(metadata_text("Foo", "1.0", extra=EXTRA).encode())
    assert render(SDIST, metadata=metadata, project_url="http://index.test/simple/foo/")["info"] == {
        "author": "A. Person",
        "author_email": "a@example.org",
        "bugtrack_url": None,
        "classifiers": ["Topic :: Software Development", "Typing :: Typed"],
        "description": "The description of Foo.\n",
        "description_content_type": "text/markdown",
        "docs_url": None,
        "download_url": "https://example.org/download",
        "downloads": {"last_day": -1, "last_month": -1, "last_week": -1},
        "dynamic": None,
        "home_page": "https://example.org",
        "keywords": "one, two",
        "license": None,
        "license_expression": "MIT",
        "license_files": ["LICENSE"],
        "maintainer": "B. Person",
        "maintainer_email": "b@example.org",
        "name": "Foo",
        "package_url": "http://index.test/simple/foo/",
        "platform": "any",
        "project_url": "http://index.test/simple/foo/",
        "project_urls": {
            "Download": "https://example.org/download",
            "Homepage": "https://example.org",
            "Source": "https://example.org/source",
        },
        "provides_extra": ["more"],
        "release_url": "http://index.test/simple/foo/",
        "requires_dist": ["bar>=1", "baz; extra == 'more'"],
        "requires_python": ">=3.8",
        "summary": "Foo for tests",
        "version": "1.0",
        "yanked": False,
        "yanked_reason": None,
    }


def test_info_without_metadata() -> None:
    """A release without core metadata has the same keys; what its files know is still said."""
    with_metadata = render(SDIST, metadata=parse_metadata(metadata_text("Foo", "1.0").encode()))
    info = render(WHEEL)["info"]
    assert info.keys() == with_metadata["info"].keys()
    assert (info["author"], info["summary"], info["keywords"], info["classifiers"]) == (None, None, None, [])
    assert info["requires_dist"] is info["project_urls"] is info["license_expression"] is info["platform"] is None
    assert info["requires_python"] == ">=3.8"


def test_what_distutils_left_unknown_is_left_out() -> None:
    """`UNKNOWN` in a field or in a list says nothing, as on PyPI; only a project may be named so."""
    names = ("Summary", "Home-page", "Author", "Author-email", "License", "Download-URL", "Platform", "Keywords")
    fields = "".join(f"{name}: UNKNOWN\n" for name in names)
    document = f"Metadata-Version: 1.1\nName: UNKNOWN\nVersion: 1.0\n{fields}Platform: Linux\n\n  UNKNOWN\n"
    metadata = parse_metadata(document.encode())
    assert metadata.name == metadata.fields["name"] == "UNKNOWN"
    info = render(SDIST, metadata=metadata)["info"]
    assert [field for field, value in info.items() if "UNKNOWN" in str(value)] == []
    assert info["platform"] == "Linux"
    assert render(SDIST)["info"].keys() == info.keys()


# -- every key, its type and where it comes from ----------------------------------------------------------------------

FROM_METADATA: dict[str, tuple[object, str, object]] = {
    # without the field, a field, and with it
    "author": (None, "Author: A", "A"),
    "author_email": (None, "Author-email: a@example.org", "a@example.org"),
    "classifiers": ([], "Classifier: Typing :: Typed", ["Typing :: Typed"]),
    "description": ("", "Description: Long", "Long"),
    "description_content_type": (None, "Description-Content-Type: text/x-rst", "text/x-rst"),
    "download_url": (None, "Download-URL: https://example.org/d", "https://example.org/d"),
    "dynamic": (None, "Dynamic: requires-dist", ["Requires-Dist"]),
    "home_page": (None, "Home-page: https://example.org", "https://example.org"),
    "keywords": (None, "Keywords: a,b", "a, b"),
    "license": (None, "License: MIT", "MIT"),
    "license_expression": (None, "License-Expression: MIT OR 0BSD", "MIT OR 0BSD"),
    "license_files": (None, "License-File: LICENSE", ["LICENSE"]),
    "maintainer": (None, "Maintainer: M", "M"),
    "maintainer_email": (None, "Maintainer-email: m@example.org", "m@example.org"),
    "platform": (None, "Platform: any\nPlatform: Linux", "any"),
    "project_urls": (None, "Project-URL: Source, https://example.org/s", {"Source": "https://example.org/s"}),
    "provides_extra": (None, "Provides-Extra: Dev_Tools", ["dev-tools"]),
    "requires_dist": (None, "Requires-Dist: bar >=1", ["bar >=1"]),
    "requires_python": (None, "Requires-Python: >=3.8", ">=3.8"),
    "summary": (None, "Summary: Short", "Short"),
}
FROM_FILES = {"name", "version", "package_url", "project_url", "release_url", "yanked", "yanked_reason"}
ALWAYS: dict[str, object] = {
    "info.bugtrack_url": None,
    "info.docs_url": None,
    "info.downloads": {"last_day": -1, "last_month": -1, "last_week": -1},
    "last_serial": -1,
    "ownership": {"organization": None, "roles": []},
    "urls.comment_text": "",
    "urls.downloads": -1,
    "vulnerabilities": [],
}
"""Keys without a value in a private index; docs/reference/http.md says so."""


def info_with(*lines: str) -> dict[str, Any]:
    document = "\n".join(("Metadata-Version: 2.4", "Name: Foo", "Version: 1.0", *lines, ""))
    info: dict[str, Any] = render(SDIST, metadata=parse_metadata(document.encode()))["info"]
    return info


@pytest.mark.parametrize("key", FROM_METADATA)
def test_a_key_comes_from_its_field(key: str) -> None:
    """With the field it has the field's value in PyPI's type, without it PyPI's value for nothing, as null or empty."""
    without, line, expected = FROM_METADATA[key]
    bare = info_with()
    assert bare[key] == without
    info = info_with(line)
    assert info[key] == expected
    also = {"project_urls"} if key in {"home_page", "download_url"} else set()
    assert {other for other in info if info[other] != bare[other]} == {key} | also


def test_every_key_is_known() -> None:
    """No key but those from the metadata, those from the files, and those that never say anything."""
    always = {key.removeprefix("info.") for key in ALWAYS if key.startswith("info.")}
    assert info_with().keys() == FROM_METADATA.keys() | FROM_FILES | always


@pytest.mark.parametrize("key", ALWAYS)
def test_a_key_that_never_says_anything(key: str) -> None:
    """It is there, in PyPI's type, whatever is published; and the reference names it."""
    metadata = parse_metadata(metadata_text("Foo", "1.0", extra=EXTRA).encode())
    value: Any = render(WHEEL, metadata=metadata, project_url="http://index.test/simple/foo/")
    for part in key.split("."):
        value = value[0][part] if isinstance(value, list) else value[part]
    assert value == ALWAYS[key]
    assert (
        f"`{key.rpartition('.')[2]}`" in REFERENCE.read_text().partition("## JSON of projects")[2].partition("\n## ")[0]
    )


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Project-URL: Docs, https://a.test", "Project-URL: Docs, https://b.test"], {"Docs": "https://a.test"}),
        (
            [
                "Project-URL: Docs, https://a.test",
                "Project-URL: docs, https://b.test",
                "Project-URL: Docs, https://c.test",
            ],
            {"Docs": "https://a.test", "docs": "https://b.test"},
        ),
        (["Home-page: https://a.test", "Project-URL: home-page, https://a.test"], {"Homepage": "https://a.test"}),
        (
            ["Home-page: https://a.test", "Project-URL: Home Page, https://b.test"],
            {"Homepage": "https://a.test", "Home Page": "https://b.test"},
        ),
        (["Home-page: https://a.test", "Project-URL: Homepage, https://b.test"], {"Homepage": "https://b.test"}),
        (["Download-URL: https://a.test", "Project-URL: Download URL, https://a.test"], {"Download": "https://a.test"}),
    ],
)
def test_project_urls(lines: list[str], expected: dict[str, str]) -> None:
    """The first of one label counts; the old fields are among them, and not twice."""
    assert info_with(*lines)["project_urls"] == expected


# -- releases ---------------------------------------------------------------------------------------------------------


def test_project_and_release_documents() -> None:
    """The project's document has all releases in order of version, a release's only its own files."""
    files = [make_file(f"foo-{version}.tar.gz", version) for version in ("1.10", "1.9", "2.0rc1")]
    project = render(*files)
    assert list(project) == ["info", "last_serial", "ownership", "releases", "urls", "vulnerabilities"]
    assert (project["last_serial"], project["vulnerabilities"]) == (-1, [])
    assert list(project["releases"]) == ["1.9", "1.10", "2.0rc1"]
    assert project["info"]["version"] == "1.10"
    assert [entry["filename"] for entry in project["urls"]] == ["foo-1.10.tar.gz"]
    assert project["releases"]["1.10"] == project["urls"]
    release = render(*files, version="1.9.0")
    assert list(release) == ["info", "last_serial", "ownership", "urls", "vulnerabilities"]
    assert release["info"]["version"] == "1.9"
    assert [entry["filename"] for entry in release["urls"]] == ["foo-1.9.tar.gz"]


def test_spellings_of_one_version_are_one_release() -> None:
    """`1.0` and `1.0.0` meet in one release, and a file without a version is in none."""
    files = [make_file("foo-1.0.0.tar.gz", "1.0.0"), WHEEL, make_file("foo.zip", "")]
    releases = render(*files)["releases"]
    assert list(releases) == ["1.0"]
    assert [entry["filename"] for entry in releases["1.0"]] == [
        "foo-1.0-cp311-abi3-linux_x86_64.whl",
        "foo-1.0.0.tar.gz",
    ]


@pytest.mark.parametrize(
    ("releases", "expected"),
    [
        ({"1.0": False, "2.0": False, "1.5": False}, "2.0"),
        ({"1.9": False, "1.10": False}, "1.10"),
        ({"1.0": False, "2.0": "bad"}, "1.0"),
        ({"1.0": False, "2.0": True}, "1.0"),
        ({"1.0": False, "2.0rc1": False, "2.0.dev1": False}, "1.0"),
        ({"1.0": "bad", "2.0rc1": False}, "2.0rc1"),
        ({"1.0a1": False, "1.0b1": False}, "1.0b1"),
        ({"1.0": "bad", "2.0": "bad", "3.0rc1": "bad"}, "2.0"),
        ({"2004d": False, "1.0rc1": False}, "1.0rc1"),
        ({"2004d": False, "1.0": "bad"}, "2004d"),
        ({"2004d": False, "0.1": False}, "0.1"),
        ({"1.0.post1": False, "1.0": False}, "1.0.post1"),
    ],
)
def test_which_release_a_project_shows(releases: dict[str, bool | str], expected: str) -> None:
    """As on PyPI: not yanked before yanked, final before pre-releases before what is no version, then the newest."""
    files = [make_file(f"foo-{version}.tar.gz", version, yanked=yanked) for version, yanked in releases.items()]
    assert select_release(files, None) == expected
    assert render(*files)["info"]["version"] == expected


def test_a_release_is_yanked_when_all_its_files_are() -> None:
    """One file left makes it available; a yanked one gives the first reason there is."""
    assert render(WHEEL, SDIST)["info"]["yanked"] is False
    assert render(WHEEL, SDIST)["info"]["yanked_reason"] is None
    both = render(make_file("foo-1.0.tar.gz", "1.0", yanked=True), WHEEL)
    assert (both["info"]["yanked"], both["info"]["yanked_reason"]) == (True, "broken")


def test_unknown_release() -> None:
    """A version or project that is not there is NotFound, whatever the version looks like."""
    for version in ("2.0", "", "../..", "x" * 10_000):
        with pytest.raises(NotFound):
            render(SDIST, version=version)
    with pytest.raises(NotFound):
        render()
    with pytest.raises(NotFound):
        render(make_file("foo.zip", ""))


def test_quarantined_project_offers_no_file() -> None:
    """PEP 792: the releases are named, their files are not."""
    for version in (None, "1.0"):
        body = render_release_json("Foo", with_urls(WHEEL), version, None, status=Status.QUARANTINED)
        assert b"foo-1.0" not in body
        assert json.loads(body)["urls"] == []
    assert render(WHEEL, status=Status.QUARANTINED)["releases"] == {"1.0": []}


@pytest.mark.parametrize(
    ("filename", "packagetype", "python_version"),
    [
        ("foo-1.0-py2.py3-none-any.whl", "bdist_wheel", "py2.py3"),
        ("foo-1.0-2build-cp311-abi3-linux_x86_64.whl", "bdist_wheel", "cp311"),
        ("foo-1.0.tar.gz", "sdist", "source"),
        ("foo-1.0.zip", "sdist", "source"),
        ("foo-1.0-py3.8.egg", "bdist_egg", "3.8"),
        ("foo-1.0-py2.7-linux-x86_64.egg", "bdist_egg", "2.7"),
        ("foo-1.0.egg", "bdist_egg", "any"),
        ("foo-1.0.win32-py2.7.exe", "bdist_wininst", "any"),
        ("foo-1.0.win-amd64-py3.8.msi", "bdist_msi", "any"),
        ("foo-1.0-1.noarch.rpm", "bdist_rpm", "any"),
        ("foo-1.0-py2.7-macosx10.6.dmg", "bdist_dmg", "any"),
        ("foo-1.0.linux-x86_64.tar.gz", "bdist_dumb", "any"),
        ("no distribution", "bdist_dumb", "any"),
    ],
)
def test_package_types(filename: str, packagetype: str, python_version: str) -> None:
    """Every kind of file a directory may hold has PyPI's name for it."""
    entry = render(make_file(filename, "1.0"))["urls"][0]
    assert (entry["packagetype"], entry["python_version"]) == (packagetype, python_version)


def test_describing_file() -> None:
    """A release is described by a wheel with metadata, else by whatever has some, else by nothing."""
    sdist = make_file("foo-1.0.tar.gz", "1.0", metadata_sha256="f" * 64)
    bare = make_file("foo-1.0-py3-none-any.whl", "1.0")
    assert describing_file([sdist, WHEEL], "1.0") is WHEEL
    assert describing_file([sdist, bare], "1.0.0") is sdist
    assert describing_file([SDIST, bare], "1.0") is None
    with pytest.raises(NotFound):
        describing_file([sdist], "2.0")


VERSIONS = st.sampled_from(["1.0", "1.0.0", "2.0", "2.0rc1", "3.dev0", "10.0", "2004d", "v1", ""])


@given(st.lists(st.tuples(VERSIONS, st.sampled_from([False, True, "bad"])), min_size=1), st.randoms())
def test_document_of_any_project(facts: list[tuple[str, bool | str]], random: Any) -> None:
    """Every file with a version is in exactly one release, the shown one is among them, and order is irrelevant."""
    files = [make_file(f"foo-{n}.tar.gz", version, yanked=yanked) for n, (version, yanked) in enumerate(facts)]
    if not any(file.version for file in files):
        with pytest.raises(NotFound):
            render(*files)
        return
    document = render(*files)
    listed = [entry["filename"] for entries in document["releases"].values() for entry in entries]
    assert sorted(listed) == sorted(file.filename for file in files if file.version)
    shown = document["info"]["version"]
    assert document["releases"][shown] == document["urls"] != []
    if any(file.yanked is False and file.version and not is_prerelease(file.version) for file in files):
        assert not is_prerelease(shown)
        assert document["info"]["yanked"] is False
    shuffled = list(files)
    random.shuffle(shuffled)
    assert render(*shuffled) == document
