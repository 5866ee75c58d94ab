"""The pages of projects: of a project and its releases, and of the difference between two of them.

A page is kept with the view of its project, which is made again when anything of the project changes. Its key has all
else that it depends on: the release, the site, the pages that its reader may open, the list of names (of which the
links to dependencies are), advisories.
The README is kept by itself, since it takes longest and depends on the release alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from quire.archives.limits import MAX_METADATA_BYTES
from quire.archives.metadata import CoreMetadata, parse_metadata
from quire.catalog.served import ServedIndex
from quire.catalog.sources import Content, ListedFile
from quire.catalog.views import NamesView, ProjectView
from quire.domain.errors import QuireError
from quire.domain.names import is_normalized, same_version, version_sort_key
from quire.http.app.advisories import advisories_of
from quire.http.app.request_log import context_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.http.fast.fast_path_pages import drop_answers, keep_answer
from quire.http.simple.pages import moved, normalized
from quire.http.ui.errors import missing_project
from quire.http.ui.layout import (
    HEADERS,
    HTML,
    Offered,
    Site,
    environment,
    offered,
    render,
    site_and_reader,
    web_response,
)
from quire.http.ui.projects.difference import Side, difference
from quire.http.ui.projects.installing import install_tabs
from quire.http.ui.projects.page import Selected, no_such_release, project_page, selected
from quire.http.ui.projects.releases import files_of
from quire.render.simple import Page, make_page, release_versions

if TYPE_CHECKING:
    from quire.advisories.known import KnownAdvisories
    from quire.readme.process import Readme

MAX_PAGES: Final = 8
"""Of one project, that are kept: of releases and sites, which clients choose."""
MAX_READMES: Final = 4
"""Of one project, that are kept."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """All that a page depends on, beside the view. Weak references: a key keeps no old list of names in memory."""

    version: str | None
    site: Site
    offered: Offered
    names: weakref.ref[NamesView]
    advisories: weakref.ref[KnownAdvisories] | None


class _Known(NamedTuple):
    """The further lists that a page is made of."""

    names: NamesView
    advisories: KnownAdvisories | None


@dataclass(frozen=True, slots=True)
class _Compared:
    """The key of a page with a difference."""

    old: str | None
    new: str | None
    site: Site
    offered: Offered


@dataclass(frozen=True, slots=True)
class _Readme:
    """The key of a README."""

    version: str


async def project(request: Request) -> Response:
    """GET /project/<name>/ and /project/<name>/<version>/; a redirect without the slash."""
    worker, index, version = worker_of(request), index_of(request), request.path_params.get("version")
    name = request.path_params["name"]
    if not request.url.path.endswith("/"):
        return moved(request, f"{normalized(name) if version is None else quote(version, safe='!+')}/")
    if not is_normalized(name):
        rest = "" if version is None else f"{quote(version, safe='!+')}/"
        return moved(request, f"{'../' if version is None else '../../'}{normalized(name)}/{rest}")
    view = await _existing(request, index, name)
    known = _Known(await index.names(), await advisories_of(request))
    site, reader = await site_and_reader(request, keeps_query=False)
    key = _Shown(
        version,
        site,
        offered(site, reader, index.name, name, index.owners(view)),
        weakref.ref(known.names),
        None if known.advisories is None else weakref.ref(known.advisories),
    )
    page = await _kept_or_made(request, view, key, lambda: _project_page(worker, index, view, key, known))
    response = await web_response(request, page)
    is_for_all = reader is not None and reader.principal.is_anonymous
    if reader is not None and is_for_all and index.projects.is_inline and view.pages.known(key) is page:
        keep_answer(request, page, HEADERS, view=view, state=reader.state, names=known.names)
    drop_answers(view)
    index.projects.memory.account(name, view)
    return response


async def compared(request: Request) -> Response:
    """GET /project/<name>/diff/?old=&new=."""
    worker, index, name = worker_of(request), index_of(request), request.path_params["name"]
    if not is_normalized(name):
        return moved(request, f"../../{normalized(name)}/diff/")
    view = await _existing(request, index, name)
    query = request.query_params
    site, reader = await site_and_reader(request, keeps_query=False)
    key = _Compared(
        query.get("old") or None,
        query.get("new") or None,
        site,
        offered(site, reader, index.name, name, index.owners(view)),
    )
    page = await _kept_or_made(request, view, key, lambda: _compared_page(worker, index, view, key))
    response = await web_response(request, page)
    index.projects.memory.account(name, view)
    return response


async def _kept_or_made(
    request: Request, view: ProjectView, key: Hashable, make: Callable[[], Awaitable[Page]]
) -> Page:
    return view.pages.known(key) or await worker_of(request).renderings.get((view, key), make)


async def _existing(request: Request, index: ServedIndex, name: str) -> ProjectView:
    view = await index.look_up(name)
    context_of(request.scope).project = name
    if not view.exists:
        raise await missing_project(request, name)
    return view


async def _project_page(
    worker: Worker,
    index: ServedIndex,
    kept: ProjectView,
    key: _Shown,
    known: _Known,
) -> Page:
    view = await index.read(kept, lambda unread: unread.complete()) if kept.is_unread else kept
    release = await worker.for_large_page(selected, view, key.version)
    metadata, is_known = await _metadata(worker, index, release.describing)
    readme, is_rendered = await _readme(worker, kept, release, metadata)

    def rendered() -> Page:
        found = (
            known.advisories.of(view.name, release.version) if known.advisories and release.version is not None else ()
        )
        shown = project_page(view, release, metadata, exists=known.names.has, advisories=found)
        return render(
            "project.html",
            key.site,
            page=shown,
            readme=None if readme is None else Markup(readme.body.decode()),  # noqa: S704 - of the template above
            install=install_tabs(shown, key.site, worker.settings, index.name),
            has_advisories=bool(known.advisories),
            is_mirroring=index.is_mirroring,
            offered=key.offered,
        )

    page = await worker.for_large_page(rendered)
    if is_known and is_rendered:
        kept.pages.put(key, page, MAX_PAGES)
    return page


async def _compared_page(worker: Worker, index: ServedIndex, kept: ProjectView, key: _Compared) -> Page:
    view = await index.read(kept, lambda unread: unread.complete()) if kept.is_unread else kept
    versions, old, new = await worker.for_large_page(_chosen, view, key.old, key.new)
    found, is_final = None, True
    if old is not None and new is not None:
        sides = []
        for version in (old, new):
            release = await worker.for_large_page(selected, view, version)
            metadata, is_known = await _metadata(worker, index, release.describing)
            is_final = is_final and is_known
            files, _ = await worker.for_large_page(files_of, view, version)
            sides.append(Side(version, metadata, files))
        found = await worker.for_large_page(difference, *sides)
    page = await worker.for_large_page(
        render,
        "diff.html",
        key.site,
        offered=key.offered,
        name=view.name,
        versions=versions[::-1][:1000],
        old=old,
        new=new,
        found=found,
    )
    if is_final:
        kept.pages.put(key, page, MAX_READMES)
    return page


def _chosen(view: ProjectView, old: str | None, new: str | None) -> tuple[list[str], str | None, str | None]:
    """All releases of a project, and the two to compare: by default the newest and the one before it. Blocks. Raises
    NotFound."""
    versions = release_versions([each.file for each in view.files.values()])
    newer = _found(view.name, versions, new) or selected(view, None).version
    before = [each for each in versions if newer is not None and version_sort_key(each) < version_sort_key(newer)]
    return versions, _found(view.name, versions, old) or (before[-1] if before else None), newer


def _found(project: str, versions: list[str], wanted: str | None) -> str | None:
    """The release of a version; None where none is wanted. Raises NotFound."""
    if wanted is None:
        return None
    for version in versions:
        if same_version(version, wanted):
            return version
    raise no_such_release(project, wanted, versions)


async def _metadata(worker: Worker, index: ServedIndex, listed: ListedFile | None) -> tuple[CoreMetadata | None, bool]:
    """The core metadata, and whether that is all that there will be: another server may answer later."""
    if listed is None:
        return None, True
    try:
        if listed.needs_awaiting:
            document: bytes | None = await worker.in_reader(_read, await index.open(listed, ".metadata"))
        else:
            document = await worker.in_reader(listed.metadata_document)
        if document is None:
            return None, True
        return await worker.for_large_page(parse_metadata, document, strict=False), True
    except (QuireError, OSError):
        return None, False  # the page has all else; `quire check` says why


def _read(content: Content) -> bytes:
    if isinstance(content.body, bytes):
        return content.body
    with content.body as opened:
        return opened.read_at(0, min(opened.size, MAX_METADATA_BYTES))


async def _readme(
    worker: Worker, view: ProjectView, release: Selected, metadata: CoreMetadata | None
) -> tuple[Page | None, bool]:
    """The README as a part of a page, None where there is none, and whether that is all that there will be: it is shown
    as text while too many others wait."""
    description = None if metadata is None else metadata.fields.get("description")
    if metadata is None or release.version is None or not description or not description.strip():
        return None, True
    key, content_type = _Readme(release.version), metadata.fields.get("description_content_type")
    known = view.pages.known(key)
    if known is not None:
        return known, True
    readme, is_final = await worker.readmes.render(description, content_type)
    page = await worker.for_large_page(_part_of_page, readme)
    if is_final:
        view.pages.put(key, page, MAX_READMES)
    return page, is_final


def _part_of_page(readme: Readme) -> Page:
    return make_page(HTML, environment().get_template("readme.html").render(readme=readme).encode())
