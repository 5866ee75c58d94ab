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

from quire.http.app.worker import index_of, worker_of
from quire.http.ui.layout import Site, render, site_of, web_response
from quire.search.query import ORIGINS, Query, read_query
from quire.search.results import Hit, Reader

PYTHONS: Final = tuple(f"3.{minor}" for minor in range(15, 6, -1))
"""The versions of Python that the form offers."""
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


def _shown(site: Site, query: Query, default: str, hit: Hit) -> dict[str, object]:
    """A project as the template shows it."""
    base = site.root if hit.index == default and site.index is None else f"{site.root}{quote(hit.index)}/"
    facts = hit.facts
    return {
        "hit": hit,
        "address": f"{base}project/{quote(hit.name)}/",
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
