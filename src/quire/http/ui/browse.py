"""Endpoints beside the simple API, for people and pypiserver's clients: file list, JSON, redirects, health."""

from __future__ import annotations

import contextlib
from typing import NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from quire.access.authorization import ALLOWED, Right
from quire.access.principals import ANONYMOUS
from quire.archives.metadata import CoreMetadata, parse_metadata
from quire.catalog.sources import ListedFile, file_path
from quire.catalog.views import ProjectView
from quire.domain.errors import InvalidName, NotFound, StoreError
from quire.domain.names import normalize_name
from quire.http.app.problems import HttpError, is_for_person
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.pages import moved, not_here, page_response, see_other
from quire.http.simple.redirects import to_page
from quire.render.pypi_json import describing_file, render_release_json, select_release
from quire.render.simple import Page, make_page

MAX_DOCUMENTS = 8
"""JSON documents that are remembered with a project: of releases, and for hosts, both of which clients choose."""


class _Document(NamedTuple):
    """The key of a JSON document among the pages of a project."""

    version: str | None
    base: str


async def packages(request: Request) -> Response:
    """GET /packages/: every file that can be downloaded."""
    worker, index = worker_of(request), index_of(request)
    files = await index.file_list.get("")
    response = await page_response(request, files.page, compress=worker.for_large_page)
    index.file_list.memory.account("", files)
    return response


async def project_json(request: Request) -> Response:
    """GET /pypi/<name>/json, /pypi/<name>/<version>/json and pypiserver's /<name>/json."""
    worker, index = worker_of(request), index_of(request)
    asked, version = request.path_params["name"], request.path_params.get("version")
    try:
        name = normalize_name(asked)
    except InvalidName as error:
        raise NotFound(str(error)) from error
    if name != asked:
        depth = "../../" if version is not None else "../"
        rest = f"{quote(version)}/json" if version is not None else "json"
        return moved(request, f"{depth}{name}/{rest}")
    view = await index.project(name)
    if not view.exists:
        raise not_here(request, f"The project {name}")
    base = worker.proxies.base_url(request, worker.settings.server_base_url)
    base = base if "index" not in request.path_params else f"{base}{index.name}/"
    key = _Document(version, base)
    document = view.pages.known(key)
    if document is None:

        async def render() -> Page:
            rendered = await worker.for_large_page(_render, view, version, base)
            view.pages.put(key, rendered, MAX_DOCUMENTS)
            return rendered

        document = await worker.renderings.get((view, key), render)
    response = await page_response(request, document, compress=worker.for_large_page)
    index.projects.memory.account(name, view)
    return response


def _render(view: ProjectView, version: str | None, base: str) -> Page:
    """Blocks: sorting the releases of a project with thousands of them takes seconds. Raises NotFound."""
    listed = list(view.files.values())
    files = [each.file for each in listed]
    described = describing_file(files, select_release(files, version))
    metadata = None if described is None else _core_metadata(view.files[described.filename])
    body = render_release_json(
        view.display_name or view.name,
        [(each.file, f"{base}{file_path(each)}") for each in listed],
        version,
        metadata,
        status=view.status,
        project_url=f"{base}simple/{view.name}/",
    )
    return make_page("application/json", body)


async def to_project(request: Request) -> Response:
    """GET /<anything>[/]: the list of an index of that name that the sender may read, for a person the page about it;
    else, as pypiserver does, the project's page."""
    name, has_slash = request.path_params["index"], request.url.path.endswith("/")
    if await _may_list(request, name):
        up, below = ("../", "") if has_slash else ("", f"{quote(name)}/")
        person = is_for_person(request)
        response = see_other(request, f"{up}index/{quote(name)}/" if person else f"{below}simple/")
        response.headers["Vary"] = "Accept"
        return response
    return to_page(request, "../" if has_slash else "", quote(name))


async def _may_list(request: Request, name: str) -> bool:
    """Whether there is an index of this name that the sender may list.

    Credentials are checked before the name is looked at, and refused ones are none: so neither the answer nor its time
    tells a stranger which indexes there are.
    """
    access, principal = worker_of(request).access, ANONYMOUS
    state = await access.state()
    if state.document.indexes:
        with contextlib.suppress(HttpError):
            principal, state = await access.identify(request)
    is_index = name in state.document.indexes
    return is_index and access.rules.authorize(principal, Right.LIST, name, None, state) is ALLOWED


async def health(request: Request) -> Response:
    """The liveness endpoint: this process answers."""
    return PlainTextResponse("Ok")


async def nothing(request: Request) -> Response:
    """The endpoint of a path that browsers ask for by themselves: always a 404."""
    raise NotFound("There is nothing here.")


def _core_metadata(listed: ListedFile) -> CoreMetadata | None:
    """Blocks."""
    try:
        document = listed.metadata_document()
    except StoreError:
        return None  # the listing has all that installers need
    return None if document is None else parse_metadata(document, strict=False)
