"""The documentation as a site: links and images lead somewhere, the navigation is whole, nothing is foreign."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.documents import DOCS, ROOT

pytestmark = [pytest.mark.proofs, pytest.mark.xdist_group("site")]

_SECONDS = 900.0
_LOADING = {
    ("script", "src"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
    ("embed", "src"),
}
"""Attributes that a browser follows by itself; those of `link` as well, but for hints about other pages."""
_HINTS = {"next", "prev", "search", "index", "author", "canonical", "license"}


class Page(HTMLParser):
    """A page of the site, as a browser reads it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids = set[str]()
        self.links = list[str]()
        self.loaded = list[str]()
        self.navigation = list[str]()
        self._in_navigation = 0
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.ids.add(found["id"])
        self.loaded += [value for name, value in found.items() if (tag, name) in _LOADING]
        if tag == "link" and not set(found.get("rel", "").split()) & _HINTS:
            self.loaded.append(found["href"])
        if tag == "div" and (self._in_navigation or "sidebar-tree" in found.get("class", "").split()):
            self._in_navigation += 1
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
            if self._in_navigation:
                self.navigation.append(found["href"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "div" and self._in_navigation:
            self._in_navigation -= 1


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does; every warning is an error."""
    folder = tmp_path_factory.mktemp("built") / "site"
    command = [ROOT / "scripts" / "site", folder]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def _target(page: Path, link: str) -> Path:
    return (page.parent / unquote(urlsplit(link).path)).resolve() if urlsplit(link).path else page


def test_links_anchors_and_images_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = _target(path, link)
            there = target.is_file() and target.is_relative_to(site)
            if not there or (parts.fragment and unquote(parts.fragment) not in pages[target].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_no_page_asks_another_host(site: Path, pages: dict[Path, Page]) -> None:
    loaded = {link for page in pages.values() for link in page.loaded}
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    loaded |= set(re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", styles))
    assert {link for link in loaded if urlsplit(link).netloc or urlsplit(link).scheme not in {"", "data"}} == set()


def test_each_page_is_in_the_navigation_once(site: Path, pages: dict[Path, Page]) -> None:
    home = site / "docs" / "README.html"
    times = Counter(_target(home, link) for link in pages[home].navigation)
    sources = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(set(DOCS.rglob("*.md")) - {DOCS / "README.md"})]
    wanted = [site / path.relative_to(ROOT).with_suffix(".html") for path in sources]
    assert {path: times[path] for path in wanted if times[path] != 1} == {}


def test_the_entrance_leads_to_the_first_page(site: Path) -> None:
    assert "url=docs/README.html" in (site / "index.html").read_text()


def test_the_search_needs_no_network(site: Path) -> None:
    """The words of the pages are in a script that a page loads from beside it, also from a folder without a server."""
    index = (site / "searchindex.js").read_text()
    assert index.startswith("Search.setIndex(")
    assert "docs/how-to/mirror" in index
