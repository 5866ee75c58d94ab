"""The page of a project as data, and the difference between two releases."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from quire.archives.metadata import CoreMetadata, parse_metadata
from quire.catalog.composing import Projects
from quire.catalog.hosted import Hosted
from quire.catalog.views import ProjectView
from quire.domain.advisories import Advisory, Severity
from quire.domain.changes import Selection
from quire.domain.errors import NotFound
from quire.domain.project import Status
from quire.http.ui.projects.difference import (
    DependencyChange,
    Difference,
    ListChange,
    ReadmeLine,
    Side,
    TextChange,
    difference,
)
from quire.http.ui.projects.page import Banner, ProjectPage, project_page, selected
from quire.http.ui.projects.releases import MOST_VERSIONS, Job, When, files_of, releases_of, when
from quire.index.index import Index
from quire.store.memory import MemoryStore
from tests.distributions import make_wheel, metadata_text, wheel_name
from tests.index.test_index import staged_wheel


def published(*versions: str, name: str = "Demo.Project") -> Index:
    index = Index(MemoryStore())
    for version in versions:
        index.publish([staged_wheel(index.store, name, version)])
    return index


def view_of(index: Index, name: str = "demo-project") -> ProjectView:
    return Projects([Hosted(index)]).load_blocking(name)


def page_of(index: Index, version: str | None = None, advisories: Sequence[Advisory] = ()) -> ProjectPage:
    view = view_of(index)
    release = selected(view, version)
    document = None if release.describing is None else release.describing.metadata_document()
    metadata = None if document is None else parse_metadata(document, strict=False)
    return project_page(view, release, metadata, exists=lambda _: False, advisories=advisories)


def test_the_newest_release_is_shown() -> None:
    """Its name as it is spelled, its files, and the list of all releases in series."""
    page = page_of(published("1.0", "2.0", "2.1", "3.0rc1"))
    assert (page.name, page.shown_name) == ("demo-project", "Demo.Project")
    assert (page.version, page.newest, page.is_newest, page.is_prerelease) == ("2.1", "2.1", True, False)
    assert [(each.title, [row.version for row in each.versions]) for each in page.releases.groups] == [
        ("3.x", ["3.0rc1"]),
        ("2.x", ["2.1", "2.0"]),
        ("1.x", ["1.0"]),
    ]
    assert page.releases.groups[0].versions[0].is_prerelease
    (file,) = page.files
    assert file.filename == wheel_name("Demo.Project", "2.1")
    assert file.path == f"packages/demo-project/{file.sha256}/{file.filename}"
    assert (file.purpose.words, file.origin) == ("any Python 3, any system", "hosted")
    assert (file.uploader, file.is_attested, file.is_yanked, file.warning) == ("", False, False, "")
    assert file.size.endswith("B")
    assert file.uploaded is not None
    assert page.uploaded == file.uploaded
    assert page.origins == ("hosted",)
    assert page.requires_python == ">=3.8"
    assert page.described.summary == "Demo.Project for tests"
    assert page.banner is None


def test_a_release_that_is_asked_for() -> None:
    """In any spelling of its version; one that is not there is not found."""
    index = published("1.0", "2.0rc1")
    assert page_of(index, "1.0.0").version == "1.0"
    page = page_of(index, "2.0.rc1")
    assert (page.version, page.is_newest, page.newest, page.is_prerelease) == ("2.0rc1", False, "1.0", True)
    with pytest.raises(NotFound):
        page_of(index, "4")


def test_a_yanked_release_says_why() -> None:
    """An older one is shown for the project."""
    index = published("1.0", "2.0")
    index.yank("demo-project", Selection(version="2.0"), "loses rows")
    assert page_of(index).version == "1.0"
    page = page_of(index, "2.0")
    assert (page.is_yanked, page.yank_reasons) == (True, ("loses rows",))
    assert page.files[0].reason == "loses rows"
    row = page.releases.groups[0].versions[0]
    assert (row.version, row.is_yanked, row.reasons) == ("2.0", True, ("loses rows",))


@pytest.mark.parametrize("status", [Status.ARCHIVED, Status.DEPRECATED, Status.QUARANTINED])
def test_a_project_with_a_status(status: Status) -> None:
    """A banner with the reason; a quarantined one offers no files."""
    index = published("1.0")
    index.set_status("demo-project", status, "see ticket 12")
    page = page_of(index)
    assert page.banner == Banner(str(status), "see ticket 12")
    assert len(page.files) == (status is not Status.QUARANTINED)


def test_a_project_without_files() -> None:
    """One that has a status alone."""
    index = published("1.0")
    index.set_status("demo-project", Status.ARCHIVED, "done")
    index.delete("demo-project", Selection(version="1.0"))
    page = page_of(index)
    assert (page.version, page.files, page.releases.number) == (None, (), 0)


def test_advisories() -> None:
    """Those that stand."""
    advisories = [
        Advisory(id="GHSA-1", severity=Severity.HIGH, summary="a\u202eb", fixed=("2.0",)),
        Advisory(id="GHSA-2", withdrawn="2024-01-01T00:00:00Z"),
        Advisory(id="MAL-3", is_malicious=True),
    ]
    page = page_of(published("1.0"), advisories=advisories)
    assert [(each.id, each.severity, each.summary, each.fixed) for each in page.vulnerabilities] == [
        ("GHSA-1", "high", "a[U+202E]b", ("2.0",)),
        ("MAL-3", "", "", ()),
    ]


def test_long_lists_of_releases_are_cut() -> None:
    """The newest are shown, and how many there are."""
    index = published("1.0")
    file = next(iter(view_of(index).files.values())).file
    files = [type(file)(filename=f"d-{n}.tar.gz", version=f"{n}", size=1, hashes=file.hashes) for n in range(1, 251)]
    releases = releases_of(files)
    assert (releases.number, releases.omitted) == (250, 250 - MOST_VERSIONS)
    assert releases.groups[0].versions[0].version == "250"
    odd = releases_of([type(file)(filename="d-x.zip", version="x\u202e", size=1, hashes=file.hashes)])
    assert [(each.title, each.versions[0].version) for each in odd.groups] == [("other", "x[U+202E]")]


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [
        ("2026-11-12T09:08:07.123456Z", When("12 Nov 2026", "2026-11-12T09:08:07Z")),
        ("2026-01-02T01:00:00+02:00", When("1 Jan 2026", "2026-01-01T23:00:00Z")),
        ("0001-01-01T00:00:00+02:00", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times(stamp: str | None, shown: When | None) -> None:
    """In UTC; text that is no time is not shown."""
    assert when(stamp) == shown


def side(version: str, *fields: str, body: str = "Text.\n") -> Side:
    text = metadata_text("demo", version, extra="".join(f"{field}\n" for field in fields)).partition("\n\n")[0]
    return Side(version, parse_metadata(f"{text}\n\n{body}".encode(), strict=False), ())


def of(old: Side, new: Side) -> Difference:
    return difference(old, new)


def test_nothing_differs() -> None:
    """But the version."""
    found = of(side("1.0"), side("2.0"))
    assert (found.texts, found.lists, found.dependencies, found.files, found.readme) == ((), (), (), (), ())


def test_fields_that_differ() -> None:
    """Texts with both values, lists with the entries that came and went."""
    found = of(
        side("1.0", "License: MIT", "Keywords: a,b", "Project-URL: Docs, https://e.org/1"),
        side("2.0", "Author: A\u202eB", "Keywords: b,c", "Project-URL: Docs, https://e.org/2"),
    )
    assert found.texts == (TextChange("License text", "MIT", ""), TextChange("Author", "", "A[U+202E]B"))
    assert found.lists == (
        ListChange("Keywords", ("a",), ("c",)),
        ListChange("Links", ("Docs: https://e.org/1",), ("Docs: https://e.org/2",)),
    )


def test_dependencies_that_differ() -> None:
    """By name and extra; the order and the spelling do not count."""
    found = of(
        side("1.0", "Requires-Dist: Attrs>=20,<30", "Requires-Dist: six", "Requires-Dist: idna>=2; extra == 'net'"),
        side(
            "2.0",
            "Requires-Dist: idna>=3; extra == 'net'",
            "Requires-Dist: attrs<30,>=20",
            "Requires-Dist: httpx; python_version >= '3.9'",
        ),
    )
    assert found.dependencies == (
        DependencyChange("httpx", None, None, 'any version if python_version >= "3.9"'),
        DependencyChange("six", None, "any version", None),
        DependencyChange("idna", "net", ">=2", ">=3"),
    )


@pytest.mark.parametrize(
    ("url", "address"),
    [("https://ci.example/7", "https://ci.example/7"), ("javascript:alert(1)", None), ("http://ci.example/7", None)],
)
def test_the_job_that_published_a_file(url: str, address: str | None) -> None:
    """By name, in one line; only an address of https becomes a link."""
    index = Index(MemoryStore())
    job = {"platform": "GitHub", "repository": "acme/\u202etools", "run": "7", "url": url, "commit": "0123456789abcdef"}
    job["workflow"] = "acme/tools/.github/workflows/release.yml@refs/tags/v1"
    index.publish([replace(staged_wheel(index.store, "one", "1.0"), job=job)])
    assert page_of_one(index).files[0].job == Job(
        "GitHub acme/[U+202E]tools", "7", address, "release.yml", "0123456789ab"
    )


def page_of_one(index: Index) -> ProjectPage:
    view = view_of(index, "one")
    return project_page(view, selected(view, None), None, exists=lambda _: False)


def test_files_are_compared_by_their_purpose() -> None:
    """A wheel for another Python is another file; the version in the name does not count."""
    index = published("1.0", "2.0")
    extra = wheel_name("Demo.Project", "2.0").replace("py3", "py2")
    assert make_wheel("a", "1")
    rows = {version: files_of(view_of(index), version)[0] for version in ("1.0", "2.0")}
    other = type(rows["2.0"][0])(
        **{**{field: getattr(rows["2.0"][0], field) for field in rows["2.0"][0].__slots__}, "filename": extra}
    )
    found = difference(Side("1.0", None, rows["1.0"]), Side("2.0", None, [*rows["2.0"], other]))
    assert [(each.before is not None, each.after is not None) for each in found.files] == [(True, True), (False, True)]
    assert found.undescribed == ("1.0", "2.0")


def test_readmes_are_compared_by_line() -> None:
    """With some lines around; a very long difference is cut."""
    found = of(side("1.0", body="a\nb\nc\n"), side("2.0", body="a\nB\u202e\nc\n"))
    assert found.readme == (
        ReadmeLine("@", ""),
        ReadmeLine(" ", "a"),
        ReadmeLine("-", "b"),
        ReadmeLine("+", "B[U+202E]"),
        ReadmeLine(" ", "c"),
    )
    long = of(side("1.0", body="a\n" * 10), side("2.0", body="".join(f"{number}\n" for number in range(9000))))
    assert (len(long.readme), long.is_readme_cut) == (400, True)


def test_one_line_in_a_long_readme_is_compared() -> None:
    """Behind thousands that are the same, and before as many."""
    lines = [f"{number}" for number in range(9000)]
    found = of(side("1.0", body="\n".join(lines)), side("2.0", body="\n".join([*lines[:5000], "new", *lines[5000:]])))
    assert [f"{each.sign}{each.text}" for each in found.readme] == ["@", " 4998", " 4999", "+new", " 5000", " 5001"]
    assert not found.is_readme_cut
    cut = of(side("1.0", body="\n".join(lines)), side("2.0", body="\n".join(["x", *lines[1:4000], "x", *lines[4001:]])))
    assert [each.text for each in cut.readme if each.sign == "+"] == ["x"]
    assert cut.is_readme_cut


def test_hostile_readmes_are_compared_in_a_moment() -> None:
    """Common lines, just rare enough to be compared with each other, alternate with unique ones."""
    texts = ("".join(f"common {number % 50}\n{which} {number}\n" for number in range(2000)) for which in "ab")
    old, new = (side(version, body=text) for version, text in zip(("1.0", "2.0"), texts, strict=True))
    began = time.process_time()
    assert of(old, new).is_readme_cut
    assert time.process_time() - began < 3


def test_metadata_is_typed() -> None:
    """For the helpers above."""
    assert isinstance(side("1.0").metadata, CoreMetadata)
