"""Pages that show what a file of a release has in it: its members as a tree, and those that are text.

Nothing of an archive is sent but as text in a page of ours. An archive is read for each page, in a thread, within
the bounds of `quire.archives`; requests for the same page at the same time share the work. A file of another index
that is not here is not fetched for a look.
"""

from __future__ import annotations

import io
from typing import Final, NamedTuple, cast
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.archives.contents import list_members, read_beginning
from quire.catalog.served import ServedIndex
from quire.catalog.sources import FetchedFile, ListedFile, file_path
from quire.domain.errors import BlobMissing, InvalidDistribution, InvalidName, NotFound
from quire.domain.names import ParsedFilename, guess_filename, normalize_name, quoted, same_version
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.files import offered_file
from quire.http.simple.pages import moved
from quire.http.ui.archive_views import MOST_BYTES, shown, text_of, tree_of
from quire.http.ui.errors import missing_project
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
    listed, _ = await offered_file(index, name, filename, None)
    parsed = guess_filename(filename)
    if listed is None or parsed is None or not same_version(parsed.version, version):
        if not (await index.look_up(name)).exists:
            raise await missing_project(request, name)
        raise NotFound(f"The release {version[:100]} of {name} has no file {filename[:200]}.")
    file = listed.file
    download = f"{site.base}{file_path(listed)}"
    look = _Look(site, name, version, filename, file.sha256, file.size, download, path)

    async def make() -> Page:
        try:
            body = await _open(index, listed)
        except BlobMissing:
            if not listed.needs_awaiting:
                raise
            return look.page("inside.html", problem=_NOT_HERE, sentence="", tree=None)
        try:
            return await worker.for_large_page(_page, look, parsed, body)
        finally:
            if isinstance(body, OpenBlob):
                body.close()

    return await web_response(request, await worker.renderings.get(look, make))


async def _open(index: ServedIndex, listed: ListedFile) -> OpenBlob | bytes:
    """Raises BlobMissing for a file that is not here (any more), NotFound, StoreError."""
    if listed.needs_awaiting:
        return await cast(FetchedFile, listed).open_here()
    return (await index.open(listed, "")).body


def _page(look: _Look, parsed: ParsedFilename, body: OpenBlob | bytes) -> Page:
    """Blocks. Raises NotFound, StoreError."""
    file = io.BytesIO(body) if isinstance(body, bytes) else body.as_file()
    try:
        if look.path and not look.path.endswith("/"):
            found = read_beginning(file, parsed, lambda each: shown(each) == look.path, MOST_BYTES)
            if found is None:
                raise NotFound(f"{look.filename} has no file {quoted(look.path)}.")
            member, data = found
            text = None if member.problem else text_of(data, member.size)
            return look.page("inside_text.html", member=member, text=text)
        members = list_members(file, parsed)
    except InvalidDistribution as error:
        return look.page("inside.html", problem=_NOT_READ, sentence=str(error), tree=None)
    if members is None:
        return look.page("inside.html", problem=_NOT_READ, sentence="", tree=None)
    tree = tree_of(members, look.path)
    if tree is None:
        raise NotFound(f"{look.filename} has no folder {quoted(look.path)}.")
    return look.page("inside.html", problem=None, sentence="", tree=tree)
