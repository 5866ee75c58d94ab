"""The home page: the lines to install from this index and to publish to it, as it is set; or an operator's template."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

import quire
from quire.access.authorization import ALLOWED, Right
from quire.access.principals import ANONYMOUS
from quire.config.settings import Settings
from quire.domain.errors import StoreError
from quire.http.app import policies
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.pages import PageHeaders, page_response
from quire.http.ui.layout import HTML, Site, render, site_of, web_response
from quire.http.ui.usage import usage
from quire.render.simple import Page, make_page
from quire.render.snippets import SNIPPETS, Facts

if TYPE_CHECKING:
    import jinja2

MAX_HOME_PAGES = 8
"""Home pages that are remembered: one for each name that clients have for the index."""
_OLD_TAG = re.compile(r"\{\{\s*!")
_TO_INSTALL: Final = (("poetry", "poetry"), ("pdm", "pdm"))
_TO_PUBLISH: Final = ((".pypirc", "twine"), ("GitHub Actions", "github"), ("GitLab CI", "gitlab"))
"""The titles of tabs with further lines, and the names of their snippets."""

Tabs = list[tuple[str, list[str]]]
"""The title of a tab, and its lines."""


class _Home(NamedTuple):
    """The facts that a home page depends on."""

    site: Site
    files: int | None
    read_only: bool
    is_mirroring: bool
    may_search: bool


async def home(request: Request) -> Response:
    """GET /: never needs a login, so that health checks and people find something."""
    worker, index = worker_of(request), index_of(request)
    files = await index.file_count.get(worker.for_large_page)
    mirrors = worker.settings.upstream is not None or index.is_mirroring
    context, may_search = context_of(request.scope), False
    with suppress(StoreError):
        state = context.decided_by = await worker.access.known_state()
        may_search = worker.access.rules.authorize(ANONYMOUS, Right.LIST, index.name, None, state) is ALLOWED
    site = await site_of(request, keeps_query=False)
    may_search = may_search or site.user is not None
    key = _Home(site, files, index.read_only, mirrors, may_search)
    page = index.home_pages.known(key)
    if page is None:
        page = _home_page(worker.settings, key, index.name)
        index.home_pages.put(key, page, MAX_HOME_PAGES)
    if worker.settings.welcome is None:
        return await web_response(request, page)
    return await page_response(request, page, more=PageHeaders({}, policies.WELCOME))


def _home_page(settings: Settings, home: _Home, name: str) -> Page:
    site = home.site
    shown = usage(site.url, settings, read_only=home.read_only)
    if settings.welcome is not None:
        text = _template(settings.welcome).render(
            URL=site.url,
            VERSION=quire.__version__,
            NUMPKGS="some" if home.files is None else home.files,
            PACKAGES=f"{site.base}packages/",
            SIMPLE=f"{site.base}simple/",
            USAGE=shown,
        )
        return make_page(HTML, text.encode())
    facts = Facts(
        name=name,
        url=site.url,
        has_uploads=bool(shown.publish),
        needs_login=bool({"list", "download"} & set(settings.authenticate)),
        is_only=home.is_mirroring,
    )
    return render(
        "home.html",
        site,
        files=home.files,
        is_mirroring=home.is_mirroring,
        may_search=home.may_search,
        usage=shown,
        install=_tabs(shown.install, _TO_INSTALL, facts),
        publish=_tabs(shown.publish, _TO_PUBLISH, facts),
    )


def _tabs(lines: tuple[tuple[str, str], ...], snippets: tuple[tuple[str, str], ...], facts: Facts) -> Tabs:
    """The lines by their program, uv first; a line without one is of the program before it. None without a line."""
    if not lines:
        return []
    found: dict[str, list[str]] = {}
    program = ""
    for named, line in lines:
        program = named or program
        found.setdefault(program, []).append(line)
    tabs = sorted(found.items(), key=lambda tab: tab[0] != "uv")
    return [*tabs, *((title, [SNIPPETS[tool](facts).rstrip()]) for title, tool in snippets)]


@cache
def _template(path: str) -> jinja2.Template:
    """The operator's page. pypiserver's templates use the same `{{URL}}`; its `{{!URL}}` (unescaped) is understood."""
    import jinja2  # noqa: PLC0415 - large, and for people's pages only

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.ChainableUndefined)
    return environment.from_string(_OLD_TAG.sub("{{", Path(path).read_text(encoding="utf-8")))
