"""Pages that show what a file of a release has in it: its members as a tree, and those that are text.

Nothing of an archive is sent but as text in a page of ours. An archive is read for each page, in a thread, one at a
time, within the bounds of `quire.archives`; requests for the same page at the same time share the work, and the members
of archives are remembered, so that wrong paths cost little. A file of another index that is not here is not fetched for
a look.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO, Final, NamedTuple, cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.archives import limits
from quire.archives.contents import Member, list_members, read_beginning
from quire.catalog.served import ServedIndex
from quire.catalog.sources import FetchedFile, ListedFile, file_path
from quire.domain.errors import BlobMissing, InvalidDistribution, InvalidName, NotFound
from quire.domain.names import ParsedFilename, guess_filename, normalize_name, quoted, same_version
from quire.http.app.looking import Looking
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.files import offered_file
from quire.http.simple.pages import moved
from quire.http.ui.archive_views import MOST_BYTES, shown, text_of, tree_of
from quire.http.ui.layout import Site, render, site_of, web_response
from quire.render.simple import Page
from quire.store.open_blob import OpenBlob

_NOT_HERE: Final = "not here"
_NOT_READ: Final = "not read"


class _Look(NamedTuple):
    """The subject of a page."""

    site: Site
    project: str
    """Normalized name."""
    version: str
    """As the address has it."""
    filename: str
    digest: str
    size: int
    download: str
    """The address of the file."""
    path: str
    """Of the member or, ended by a slash, of the folder; "" for the whole archive."""

    @property
    def address(self) -> str:
        """Of the page of the whole archive."""
        return f"{self.site.project(self.project, self.version)}files/{quote(self.filename)}/"

    def crumbs(self) -> list[tuple[str, str]]:
        """The names of the folders above, and their addresses."""
        parts = self.path.removesuffix("/").split("/")[:-1]
        return [(part, f"{self.address}{quote('/'.join(parts[: at + 1]))}/") for at, part in enumerate(parts)]

    def problem(self, kind: str, sentence: str = "") -> Page:
        """The page of an archive of which nothing can be shown, whatever the path."""
        return self._replace(path="").page("inside.html", problem=kind, sentence=sentence, tree=None)

    def page(self, template: str, **values: object) -> Page:
        return render(template, self.site, look=self, crumbs=self.crumbs(), **values)


async def inside(request: Request) -> Response:
    """GET /project/<name>/<version>/files/<filename>/<path>."""
    worker, index, site = worker_of(request), index_of(request), await site_of(request)
    asked, version, filename, path = (request.path_params[each] for each in ("name", "version", "filename", "path"))
    try:
        name = normalize_name(asked)
    except InvalidName as error:
        raise NotFound(str(error)) from error
    if name != asked:
        return moved(request, f"{site.project(name, version)}files/{quote(filename)}/{quote(path)}")
    if len(path) > limits.MAX_PATH_CHARS or path.count("/") > limits.MAX_DEPTH:
        raise NotFound(f"{quoted(filename)} has no member with so long a path.")
    listed, _ = await offered_file(index, name, filename, None)
    parsed = guess_filename(filename)
    if listed is None or parsed is None or not same_version(parsed.version, version):
        raise NotFound(f"The release {version[:100]} of {name} has no file {filename[:200]}.")
    file = listed.file
    download = f"{site.base}{file_path(listed)}"
    look = _Look(site, name, version, filename, file.sha256, file.size, download, path)

    async def make() -> Page:
        try:
            body, digest = await _open(index, listed)
        except BlobMissing:
            if not listed.needs_awaiting:
                raise
            return look.problem(_NOT_HERE)
        try:
            async with worker.looking.alone():
                return await worker.for_large_page(_page, worker.looking, look._replace(digest=digest), parsed, body)
        finally:
            if isinstance(body, OpenBlob):
                body.close()

    return await web_response(request, await worker.renderings.get(look, make))


async def _open(index: ServedIndex, listed: ListedFile) -> tuple[OpenBlob | bytes, str]:
    """The bytes of a file, and their digest. Raises BlobMissing for one that is not here (any more), NotFound,
    StoreError."""
    if listed.needs_awaiting:
        return await cast(FetchedFile, listed).open_here(), listed.file.sha256
    content = await index.open(listed, "")
    return content.body, content.digest


def _page(looking: Looking, look: _Look, parsed: ParsedFilename, body: OpenBlob | bytes) -> Page:
    """Blocks. Raises NotFound, StoreError."""
    file = io.BytesIO(body) if isinstance(body, bytes) else body.as_file()
    try:
        members = looking.known(look.digest)
        if members is None:
            members = list_members(file, parsed)
            if members is None:
                return look.problem(_NOT_READ)
            looking.remember(look.digest, members)
        if look.path and not look.path.endswith("/"):
            return _text_page(look, parsed, file, members)
    except InvalidDistribution as error:
        return look.problem(_NOT_READ, str(error))
    tree = tree_of(members, look.path)
    if tree is None:
        raise NotFound(f"{look.filename} has no folder {quoted(look.path)}.")
    return look.page("inside.html", problem=None, sentence="", tree=tree)


def _text_page(look: _Look, parsed: ParsedFilename, file: BinaryIO, members: Sequence[Member]) -> Page:
    """Raises NotFound, InvalidDistribution, StoreError."""
    member = next((each for each in members if shown(each.path) == look.path), None)
    if member is None:
        raise NotFound(f"{look.filename} has no file {quoted(look.path)}.")
    text = None
    if member.problem is None and (found := read_beginning(file, parsed, member.path, MOST_BYTES)) is not None:
        text = text_of(found[1], member.size)
    return look.page("inside_text.html", member=member, text=text)
