"""The home page: the lines to install from this index and to publish to it, as it is set; or an operator's template."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

import quire
from quire.access.authorization import ALLOWED, Right
from quire.config.settings import Settings
from quire.domain.errors import StoreError
from quire.http.app import policies
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.pages import PageHeaders, page_response
from quire.http.ui.layout import HTML, Reader, Site, render, site_and_reader, web_response
from quire.http.ui.usage import tabs_of, usage
from quire.render.simple import Page, make_page

if TYPE_CHECKING:
    import jinja2

MAX_HOME_PAGES = 8
"""Home pages that are remembered: one for each name that clients have for the index."""
MOST_INDEXES: Final = 100
"""That the page links to."""
_OLD_TAG = re.compile(r"\{\{\s*!")


class _Home(NamedTuple):
    """The facts that a home page depends on."""

    site: Site
    files: int | None
    read_only: bool
    is_mirroring: bool
    may_search: bool
    indexes: tuple[str, ...]
    """Those that the reader may list, the one at the root first."""


async def home(request: Request) -> Response:
    """GET /: never needs a login, so that health checks and people find something."""
    worker, index = worker_of(request), index_of(request)
    files = await index.file_count.get(worker.for_large_page)
    mirrors = worker.settings.upstream is not None or index.is_mirroring
    with suppress(StoreError):
        context_of(request.scope).decided_by = await worker.access.known_state()
    site, reader = await site_and_reader(request, keeps_query=False)
    indexes = [] if reader is None else _readable(worker.default.name, reader)
    may_search = index.name in indexes or site.user is not None
    key = _Home(site, files, index.read_only, mirrors, may_search, tuple(indexes[:MOST_INDEXES]))
    page = index.home_pages.known(key)
    if page is None:
        page = _home_page(worker.settings, key, index.name)
        index.home_pages.put(key, page, MAX_HOME_PAGES)
    if worker.settings.welcome is None:
        return await web_response(request, page)
    return await page_response(request, page, more=PageHeaders({}, policies.WELCOME))


def _readable(default: str, reader: Reader) -> list[str]:
    """The indexes that a reader may list, but for the stages of publishing sessions, whose names are secrets."""
    principal, state, rules = reader
    now = datetime.now(UTC)
    named = sorted(
        name
        for name, each in state.document.indexes.items()
        if each.session is None and not (each.expires and each.has_ended(now))
    )
    found = dict.fromkeys([default, *named])
    return [name for name in found if rules.authorize(principal, Right.LIST, name, None, state) is ALLOWED]


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
    return render(
        "home.html",
        site,
        files=home.files,
        is_mirroring=home.is_mirroring,
        may_search=home.may_search,
        usage=shown,
        tabs=tabs_of(shown, name, site.url, settings, is_only=home.is_mirroring),
        indexes=home.indexes,
    )


@cache
def _template(path: str) -> jinja2.Template:
    """The operator's page. pypiserver's templates use the same `{{URL}}`; its `{{!URL}}` (unescaped) is understood."""
    import jinja2  # noqa: PLC0415 - large, and for people's pages only

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.ChainableUndefined)
    return environment.from_string(_OLD_TAG.sub("{{", Path(path).read_text(encoding="utf-8")))
