"""The page with links to all files of all projects.

Theory of operation. The page is one value behind a read barrier (`quire.catalog.freshness`): requests that come
together share one validation. It reads the list of projects and asks each record
whether it changed. Of a project that did not, the lines are taken out of the page before; so a page after one upload
costs the decoding of one record, and a page of the same state is the same object, with its compressed forms.

The page, the places in it where each project's lines end, and each record's tag are remembered, and charged to the
worker's budget. Projects with drop-in files have no tag: they are read each time. So are those with a file that a
policy holds back, or lets pass, until a certain time.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from html import escape

import structlog

from quire.catalog.composing import ProjectNames, Projects
from quire.catalog.filtering import Filter
from quire.catalog.hosted import Hosted
from quire.catalog.sources import AnySource, file_path
from quire.catalog.views import NamesView, ProjectView
from quire.domain.errors import StoreError
from quire.render.simple import Page, make_page

_TOP = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Index of packages</title>
</head>
<body>
<h1>Index of packages</h1>
"""
_BOTTOM = b"</body>\n</html>"

log = structlog.get_logger(__name__)


class FileList:
    """The page of one state of the index."""

    def __init__(self, names: NamesView, tags: Sequence[str], ends: array[int], page: Page) -> None:
        """`tags`, `ends`: by name, the tag of its record, "" for what has to be read each time, and the place in the
        page where its lines end."""
        self.names = names
        self.page = page
        self.tags = tags
        self._ends = ends
        self._places = {name: place for place, name in enumerate(names.names)}
        table = (57 + 8 + 8 + 140) * len(tags) + sum(map(len, tags))
        self._fixed_bytes = 2000 + names.bytes_in_memory + table

    @property
    def bytes_in_memory(self) -> int:
        return self._fixed_bytes + self.page.size_in_memory

    def tag(self, name: str) -> str:
        """The tag that the record of a project must have for `lines` to be true; "" when nothing is known of it."""
        place = self._places.get(name)
        return "" if place is None else self.tags[place]

    def lines(self, name: str) -> bytes:
        """The lines of a project whose tag is known."""
        place = self._places[name]
        return self.page.body[self._ends[place - 1] if place else len(_TOP) : self._ends[place]]


class FileLists:
    """A `quire.catalog.freshness.Source` of the one page; its key is the empty one."""

    def __init__(self, hosted: Hosted, sources: Sequence[AnySource], policies: Filter | None = None) -> None:
        """`sources`: as for Projects, `hosted` among them, and none that needs awaiting; `policies`: as there."""
        self._hosted = hosted
        self._projects = Projects(sources, policies=policies)
        self._names = ProjectNames(sources)

    def begin_tick(self) -> None:
        """There are no inline loads."""

    def load_inline(self, key: str, known: FileList | None) -> FileList | None:
        """None: each load takes a while."""
        return None

    def load(self, key: str, known: FileList | None) -> FileList:
        """The page now; `known` if it is still that. A project that cannot be read is left out, and the others stay:
        its own page tells what is wrong. Raises StoreError when it is not that project alone.
        """
        names = self._names.load_blocking(None if known is None else known.names)
        body, tags, ends = bytearray(_TOP), list[str](), array("Q")
        elsewhere = {name for source, part in names.parts if source is not self._hosted for name in part.names}
        for name in names.names:
            try:
                tag, lines = self._project(name, None if name in elsewhere else known)
            except StoreError as error:
                self._names.load_blocking(names)
                log.error("left out of the list of files", project=name, error=str(error))
                tag, lines = "", b""
            tags.append(tag)
            body += lines
            ends.append(len(body))
        body += _BOTTOM
        if known is None or known.page.body != body:
            return FileList(names, tags, ends, make_page("text/html; charset=utf-8", bytes(body)))
        # A change may show nowhere in the page, as a yank does; with its old tag the record would be read each time.
        return known if known.names is names and known.tags == tags else FileList(names, tags, ends, known.page)

    def _project(self, name: str, known: FileList | None) -> tuple[str, bytes]:
        """The tag and the lines of a project."""
        if known is not None and (tag := known.tag(name)) and self._hosted.has_tag(name, tag):
            return tag, known.lines(name)
        view = self._projects.load_blocking(name)
        tag = "" if view.held.until is not None else self._hosted.tag(view.parts)
        return tag, b"".join(_lines(view))


def _lines(view: ProjectView) -> list[bytes]:
    lines = []
    for each in view.offered.values():
        path = file_path(each).removeprefix("packages/")
        lines.append(f'<a href="{escape(path)}#sha256={each.file.sha256}">{escape(each.label)}</a><br>\n'.encode())
    return lines
