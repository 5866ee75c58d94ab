"""The search for projects, for people: a page with a form, and the results alone for a script that asks meanwhile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from quire.domain.names import is_normalized
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.pages import moved, normalized
from quire.http.ui.errors import missing_project
from quire.http.ui.layout import Site, offered, render, site_and_reader, site_of, web_response
from quire.search.query import ORIGINS, Query, read_query
from quire.search.results import Hit, Reader

PYTHONS: Final = tuple(f"3.{minor}" for minor in range(15, 6, -1))
"""The versions of Python that the form offers."""
USED_BY: Final = 50
"""Projects on a page of those that need another one."""
_VARY: Final = "HX-Request"


async def search(request: Request) -> Response:
    """GET /search: in all indexes that the reader may read; below the name of an index in that and those behind it."""
    worker = worker_of(request)
    values = request.query_params.multi_items()
    query = read_query(values, now=datetime.now(UTC).date())
    index = index_of(request).name if "index" in request.path_params else None
    reader = Reader(*await worker.access.identify(request))
    results = await worker.searching.search(reader, query, index)
    site = await site_of(request)
    # htmx asks for the whole page when it restores a page of the browser's history
    is_part = request.headers.get("hx-request") == "true" and "hx-history-restore-request" not in request.headers
    page = render(
        "search_results.html" if is_part else "search.html",
        site,
        query=query,
        since=request.query_params.get("since", ""),
        results=results,
        hits=[_shown(site, query, worker.default.name, each) for each in results.hits],
        pythons=PYTHONS,
        origins=ORIGINS,
        older=_address(query, request, query.page + 1) if results.has_more else None,
        newer=_address(query, request, query.page - 1) if query.page > 1 else None,
    )
    response = await web_response(request, page)
    response.headers["Vary"] = f"{response.headers['Vary']}, {_VARY}"
    return response


async def used_by(request: Request) -> Response:
    """GET /project/<name>/used-by/: the projects that need it, as far as the catalog has read them."""
    worker, index, name = worker_of(request), index_of(request), request.path_params["name"]
    if not is_normalized(name):
        return moved(request, f"../../{normalized(name)}/used-by/")
    context_of(request.scope).project = name
    reader = Reader(*await worker.access.identify(request))
    after = request.query_params.get("cursor", "")
    found = await worker.searching.dependents(reader, index.name, name, after, USED_BY)
    if not found.found and not found.is_known:
        raise await missing_project(request, name)
    site, viewer = await site_and_reader(request)
    rows = [(each, project_address(site, worker.default.name, each.index, each.name)) for each in found.found]
    record = await worker.in_reader(index.hosted.project, name)  # of this index alone: no upstream is asked
    pages = offered(site, viewer, index.name, name, () if record is None else record.owners)
    return await web_response(request, render("used_by.html", site, name=name, rows=rows, found=found, offered=pages))


def project_address(site: Site, default: str, index: str, name: str) -> str:
    """The address of the page of a project in an index. `default`: the name of the index at the root."""
    base = site.root if index == default and site.index is None else f"{site.root}{quote(index)}/"
    return f"{base}project/{quote(name)}/"


def _shown(site: Site, query: Query, default: str, hit: Hit) -> dict[str, object]:
    """A project as the template shows it."""
    facts = hit.facts
    return {
        "hit": hit,
        "address": project_address(site, default, hit.index, hit.name),
        "name": marked(facts.display, query.words),
        "summary": marked(facts.summary, query.words),
        "date": day_of(facts.released),
    }


def marked(text: str, words: Sequence[str]) -> list[tuple[str, bool]]:
    """Pieces of a text, and whether each is the begin of a word that was searched for."""
    if not words:
        return [(text, False)]
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    pieces = re.split(rf"(?<![^\W_])({pattern})", text, flags=re.IGNORECASE)
    return [(piece, place % 2 == 1) for place, piece in enumerate(pieces) if piece]


def day_of(moment: str) -> str:
    """The day of a time, as people read it; empty for none."""
    try:
        return f"{datetime.fromisoformat(moment):%-d %b %Y}" if moment else ""
    except ValueError:
        return ""


def _address(query: Query, request: Request, page: int) -> str:
    values = [(name, value) for name, value in request.query_params.multi_items() if value and name != "page"]
    return f"search?{urlencode([*values, ('page', str(replace(query, page=page).page))])}"
