"""What people and pypiserver's clients find beside the simple API: home page, file list, JSON, redirects, health."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

import quire
from quire.auth import Action
from quire.errors import InvalidName, NotFound, StoreError
from quire.metadata import CoreMetadata, parse_metadata
from quire.model import File
from quire.names import normalize_name
from quire.pypi_json import describing_file, render_release_json, select_release
from quire.repository import Listed, file_path, require
from quire.simple import Page, make_page
from quire.web import policies
from quire.web.overview import file_links
from quire.web.pages import moved, page_response, see_other, service_of
from quire.web.service import Service
from quire.web.usage import usage

if TYPE_CHECKING:
    import jinja2

_OLD_TAG = re.compile(r"\{\{\s*!")


@cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415 - large, and for people's pages only: installers ask for none of them

    return jinja2.Environment(
        loader=jinja2.PackageLoader("quire.web"), autoescape=True, undefined=jinja2.ChainableUndefined
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
    service = service_of(request)
    url = service.proxies.base_url(request, service.settings.server_base_url)
    prefix = "/" + url.split("://", 1)[1].partition("/")[2]
    number = await service.file_count.get(service.in_reader)
    text = _template(service.settings.welcome).render(
        URL=url,
        VERSION=quire.__version__,
        NUMPKGS="some" if number is None else number,
        PACKAGES=f"{prefix}packages/",
        SIMPLE=f"{prefix}simple/",
        USAGE=usage(url, service.settings, read_only=service.read_only),
    )
    return HTMLResponse(text, headers=policies.HOME if service.settings.welcome is None else policies.WELCOME)


async def packages(request: Request) -> Response:
    """GET /packages/: every file that can be downloaded."""
    service = service_of(request)
    await service.authorize(request, Action.LIST)

    def page() -> Page:
        links = file_links(service.index, service.folder)
        body = _environment().get_template("packages.html").render(links=links)
        return make_page("text/html; charset=utf-8", body.encode())

    return await page_response(request, await service.in_reader(page))


async def project_json(request: Request) -> Response:
    """GET /pypi/<name>/json, /pypi/<name>/<version>/json and pypiserver's /<name>/json."""
    service = service_of(request)
    await service.authorize(request, Action.LIST)
    asked, version = request.path_params["name"], request.path_params.get("version")
    try:
        name = normalize_name(asked)
    except InvalidName as error:
        raise NotFound(str(error)) from error
    if name != asked:
        depth = "../../" if version is not None else "../"
        rest = f"{quote(version)}/json" if version is not None else "json"
        return moved(request, f"{depth}{name}/{rest}")
    view = require(await service.project(name))
    base = service.proxies.base_url(request, service.settings.server_base_url)
    listed = list(view.files.values())
    files = [each.file for each in listed]

    def describing() -> File | None:
        return describing_file(files, select_release(files, version))

    def page(metadata: CoreMetadata | None) -> Page:
        body = render_release_json(
            view.hosted.name if view.hosted is not None else name,
            [(each.file, f"{base}{file_path(name, each)}") for each in listed],
            version,
            metadata,
            status=view.status,
            project_url=f"{base}simple/{name}/",
        )
        return make_page("application/json", body)

    # in a thread: sorting the releases of a project with thousands of them takes seconds
    described = await service.in_reader(describing)
    metadata = await _core_metadata(service, view.files[described.filename]) if described is not None else None
    return await page_response(request, await service.in_reader(page, metadata))


async def to_project(request: Request) -> Response:
    """GET /<anything>[/]: pypiserver sends it to the project's page."""
    name = request.path_params["name"]
    up = "../" if request.url.path.endswith("/") else ""
    return see_other(request, f"{up}simple/{quote(name)}/")


async def health(request: Request) -> Response:
    """The liveness endpoint: this process answers."""
    return PlainTextResponse("Ok")


async def nothing(request: Request) -> Response:
    """What browsers ask for by themselves."""
    raise NotFound("There is nothing here.")


async def _core_metadata(service: Service, listed: Listed) -> CoreMetadata | None:
    if listed.dropin is not None:
        document = await service.in_reader(service.folder.metadata_document, listed.dropin)
        return parse_metadata(document, strict=False) if document is not None else None

    def read() -> bytes:
        with service.store.blobs.open(f"{listed.file.blob}/{listed.file.filename}.metadata").file as file:
            return file.read()

    try:
        return parse_metadata(await service.in_reader(read), strict=False)
    except StoreError:
        return None  # the listing tells all that installers need
