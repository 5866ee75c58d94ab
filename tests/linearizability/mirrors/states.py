"""A project of an upstream, as its pages and those of a mirror show it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from tests.linearizability.model import Entry

_LINK = re.compile(r'<a href="([^"]*)"([^>]*)>([^<]*)</a>')
_YANKED = re.compile(r'data-yanked="([^"]*)"')
_METADATA = re.compile(r'data-core-metadata="sha256=([^"]*)"')
_STATUS = re.compile(r'<meta name="pypi:project-status(-reason)?" content="([^"]*)">')


class Shown(NamedTuple):
    """A project page."""

    status: str
    reason: str | None
    """Of the status."""
    files: frozenset[Entry]


class Link(NamedTuple):
    """Where a page says that a file is."""

    path: str
    sha256: str
    metadata: str | None
    """The SHA-256 of the metadata beside it; None for none."""


class Page(NamedTuple):
    """A project page with the addresses of its files."""

    shown: Shown
    links: Mapping[str, Link]
    """By filename."""


def read_json(body: bytes, path: str) -> Page:
    """`path`: of the page. Raises ValueError, KeyError for bytes that are no page."""
    document = json.loads(body)
    status = document.get("project-status", {})
    links, entries = {}, set()
    for file in document["files"]:
        yanked = file.get("yanked", False)
        reason = yanked if isinstance(yanked, str) else "" if yanked else None
        entries.add(Entry(file["filename"], file["hashes"]["sha256"], reason))
        metadata = file.get("core-metadata")
        digest = metadata["sha256"] if isinstance(metadata, dict) else None
        links[file["filename"]] = Link(_path(path, file["url"]), file["hashes"]["sha256"], digest)
    return Page(Shown(status.get("status", "active"), status.get("reason"), frozenset(entries)), links)


def read_html(body: bytes, path: str) -> Page:
    """The same. Raises ValueError."""
    text = body.decode()
    if not text.rstrip().endswith("</html>"):
        raise ValueError("the page is not complete")
    said = {bool(suffix): html.unescape(content) for suffix, content in _STATUS.findall(text)}
    links, entries = {}, set()
    for url, attributes, name in _LINK.findall(text):
        yanked, metadata = _YANKED.search(attributes), _METADATA.search(attributes)
        address, _, digest = html.unescape(url).partition("#sha256=")
        filename = html.unescape(name)
        entries.add(Entry(filename, digest, html.unescape(yanked[1]) if yanked else None))
        links[filename] = Link(_path(path, address), digest, metadata[1] if metadata else None)
    return Page(Shown(said.get(False, "active"), said.get(True), frozenset(entries)), links)


def _path(page: str, url: str) -> str:
    return urlsplit(urljoin(f"http://index.test{page}", url)).path
