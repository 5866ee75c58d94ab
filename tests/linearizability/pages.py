"""A page, read as an observation. Strict: a page that is not understood is a failure, not an empty one."""

from __future__ import annotations

import html
import json
import re

from tests.linearizability.model import Entry, Page

_LINK = re.compile(r'<a href="([^"]*)"([^>]*)>([^<]*)</a>')
_YANKED = re.compile(r'data-yanked="([^"]*)"')


def project_json(body: bytes) -> Page:
    files = json.loads(body)["files"]
    return Page(
        frozenset(
            Entry(file["filename"], file["hashes"]["sha256"], _reason(file.get("yanked", False))) for file in files
        )
    )


def project_html(body: bytes) -> Page:
    entries = []
    for url, attributes, text in _LINK.findall(_whole(body)):
        yanked = _YANKED.search(attributes)
        digest = html.unescape(url).rpartition("#sha256=")[2]
        entries.append(Entry(html.unescape(text), digest, html.unescape(yanked[1]) if yanked else None))
    return Page(frozenset(entries))


def names_json(body: bytes) -> set[str]:
    return {project["name"] for project in json.loads(body)["projects"]}


def names_html(body: bytes) -> set[str]:
    return {html.unescape(text) for _, _, text in _LINK.findall(_whole(body))}


def _reason(yanked: bool | str) -> str | None:
    return yanked if isinstance(yanked, str) else "" if yanked else None


def _whole(body: bytes) -> str:
    text = body.decode()
    if not text.rstrip().endswith("</html>"):
        raise ValueError("the page is not complete")
    return text
