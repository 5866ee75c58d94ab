"""The page of an advisory: its ranges in words, and hostile documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.http.ui.advisory import MOST, advisory_page
from tests.advisories.taking import document, take_in, until
from tests.asking import OPEN, Site, password_file, publish_wheel, serve
from tests.http.ui.test_project import BROWSER, HOSTILE, shown


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("advised")
    with serve(folder, *OPEN) as site:
        publish_wheel(site, "acme-core", "1.0")
        take_in(
            folder / "packages",
            document(
                "ACME-1",
                "Acme.Core",
                "not-here",
                ranges=until("1.5"),
                summary=f"Bad {HOSTILE}",
                details=f"Long\n{HOSTILE}",
                aliases=["CVE-1", HOSTILE],
                references=[
                    {"type": "WEB", "url": "https://example.test/a"},
                    {"type": "WEB", "url": "javascript:alert(1)"},
                ],
            ),
            document("ACME-2", "acme-core", versions=["1.0"], withdrawn="2026-01-02T00:00:00Z"),
        )
        yield site


def test_the_page_of_an_advisory(site: Site) -> None:
    """The page of a project leads to it; it has the ranges, and links to no place that is none of the web."""
    assert '<a href="/-/advisories/ACME-1/">ACME-1</a>' in shown(site, "/project/acme-core/")
    text = shown(site, "/-/advisories/ACME-1/")
    assert "\u202e" not in text
    assert "before 1.5" in text
    assert "Fixed in 1.5" in text
    assert '<a href="/project/acme-core/">Acme.Core</a>' in text
    assert "/project/not-here/" not in text
    assert '<a href="https://example.test/a" rel="nofollow noopener noreferrer">' in text
    assert "CVE-1" in text
    assert "This advisory was withdrawn: " in shown(site, "/-/advisories/ACME-2/")
    assert 'href="/main/project/acme-core/"' in shown(site, "/main/-/advisories/ACME-1/")


def test_unknown_ones_and_rights(site: Site, tmp_path: Path) -> None:
    """404; and the right to list, as for OSV's API."""
    for path in ("/-/advisories/ACME-9/", f"/-/advisories/{'a' * 5000}/", "/nowhere/-/advisories/ACME-1/"):
        assert site.get(path, accept=BROWSER).status_code == 404
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, "-a", "list,download,update", "-P", "users") as closed:
        assert closed.get("/-/advisories/ACME-1/").status_code == 401
        assert closed.get("/-/advisories/ACME-1/", accept=BROWSER).status_code == 303


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"introduced": "0"}, {"fixed": "1.5"}], ("before 1.5",)),
        ([{"introduced": "1.0"}, {"last_affected": "1.4"}], ("from 1.0 up to 1.4",)),
        (
            [{"introduced": "1.0"}, {"fixed": "1.5"}, {"introduced": "2.0"}],
            ("from 1.0 before 1.5", "from 2.0"),
        ),
        ([{"introduced": "0"}], ("all versions",)),
        ([{"fixed": "1.0"}], ()),
        ([], ()),
    ],
)
def test_ranges_in_words(events: list[dict[str, str]], expected: tuple[str, ...]) -> None:
    """Each begin with its end."""
    made = document("A", "one", ranges=[{"type": "ECOSYSTEM", "events": events}])
    assert advisory_page(json.dumps(made).encode()).affected[0].ranges == expected


@pytest.mark.parametrize("value", [None, 1, "text", [], [1, None, "x", [{}]], {"a": 1}, {}])
def test_fields_of_any_type(value: Any) -> None:
    """They are left out."""
    fields = ("summary", "details", "aliases", "severity", "published", "withdrawn", "affected", "references")
    page = advisory_page(json.dumps({"id": "A", "modified": "x", **dict.fromkeys(fields, value)}).encode())
    assert page.id == "A"
    nested = {"affected": [dict.fromkeys(("package", "ranges", "versions", "severity"), value)]}
    assert len(advisory_page(json.dumps({"id": "A", **nested}).encode()).affected) == 1


def test_lists_are_bounded() -> None:
    """Of many entries some are shown."""
    made = document("A", *["one"] * 500, versions=[f"1.{number}" for number in range(500)])
    page = advisory_page(json.dumps(made).encode())
    assert (len(page.affected), len(page.affected[0].versions), page.affected[0].omitted) == (MOST, MOST, 500 - MOST)
