"""Endpoints beside the simple API, for people and pypiserver's clients: home, file list, JSON, redirects, health."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

import quire
from quire.access.authorization import ALLOWED, Right
from quire.archives.metadata import CoreMetadata, parse_metadata
from quire.catalog.sources import ListedFile, file_path
from quire.catalog.views import ProjectView, require
from quire.config.settings import Settings
from quire.domain.errors import InvalidName, NotFound, StoreError
from quire.domain.names import normalize_name
from quire.http.app import policies
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.pages import moved, page_response, see_other
from quire.http.ui.usage import usage
from quire.render.pypi_json import describing_file, render_release_json, select_release
from quire.render.simple import Page, make_page

if TYPE_CHECKING:
    import jinja2

MAX_DOCUMENTS = 8
"""JSON documents that are remembered with a project: of releases, and for hosts, both of which clients choose."""
MAX_HOME_PAGES = 8
"""Home pages that are remembered: one for each name that clients have for the index."""
_OLD_TAG = re.compile(r"\{\{\s*!")


class _Document(NamedTuple):
    """The key of a JSON document among the pages of a project."""

    version: str | None
    base: str


class _Home(NamedTuple):
    """The facts that a home page depends on."""

    url: str
    files: int | None
    read_only: bool


@cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - large, and for people's pages only: installers ask for none of them

    return jinja2.Environment(
        loader=jinja2.PackageLoader("quire.http.ui"), autoescape=True, undefined=jinja2.ChainableUndefined
    )


@cache
def _template(path: str | None) -> jinja2.Template:
    """The welcome page. pypiserver's templates use the same `{{URL}}`; its `{{!URL}}` (unescaped) is understood."""
    if path is None:
        return _environment().get_template("welcome.html")
    text = Path(path).read_text(encoding="utf-8")
    return _environment().from_string(_OLD_TAG.sub("{{", text))


async def home(request: Request) -> Response:
    """GET /: never needs a login, so that health checks and people find something."""
    worker, index = worker_of(request), index_of(request)
    url = worker.proxies.base_url(request, worker.settings.server_base_url)
    key = _Home(url, await index.file_count.get(worker.for_large_page), index.read_only)
    page = index.home_pages.known(key)
    if page is None:
        page = _home_page(worker.settings, key)
        index.home_pages.put(key, page, MAX_HOME_PAGES)
    response = await page_response(request, page)
    if response.status_code == 200:
        response.headers.update(policies.HOME if worker.settings.welcome is None else policies.WELCOME)
    return response


def _home_page(settings: Settings, home: _Home) -> Page:
    prefix = "/" + home.url.split("://", 1)[1].partition("/")[2]
    text = _template(settings.welcome).render(
        URL=home.url,
        VERSION=quire.__version__,
        NUMPKGS="some" if home.files is None else home.files,
        PACKAGES=f"{prefix}packages/",
        SIMPLE=f"{prefix}simple/",
        ACCOUNT=None if settings.oidc_issuer is None else f"{prefix}-/account/",
        USAGE=usage(home.url, settings, read_only=home.read_only),
    )
    return make_page("text/html; charset=utf-8", text.encode())


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
    view = require(await index.project(name))
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
    """GET /<anything>[/]: the list of an index of that name that the sender may read; else, as pypiserver does, the
    project's page."""
    name, has_slash = request.path_params["index"], request.url.path.endswith("/")
    worker = worker_of(request)
    if name in (await worker.access.state()).document.indexes:
        principal, state = await worker.access.identify(request)
        if worker.access.rules.authorize(principal, Right.LIST, name, None, state) is ALLOWED:
            return see_other(request, "simple/" if has_slash else f"{quote(name)}/simple/")
    return see_other(request, f"{'../' if has_slash else ''}simple/{quote(name)}/")


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
