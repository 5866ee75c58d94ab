"""The page of an index: its kind and rules, the lines to paste for it, its projects by name, its newest releases.

No upstream is asked. Definition and policy are those that the API shows to the same reader; each project is as the
index has it now, and a page has so many of them that an index of a million names costs no more than another.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.administration.documents import IndexEntry
from quire.administration.policy_documents import PolicyEntry
from quire.domain.errors import NotFound
from quire.domain.rulings import age_text
from quire.domain.structs import convert_to
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.pages import moved
from quire.http.ui.asking import ask, ask_if_allowed
from quire.http.ui.layout import Site, render, site_of, web_response
from quire.http.ui.search import day_of, project_address
from quire.http.ui.usage import tabs_of, usage
from quire.search.facts import Facts
from quire.search.results import Hit, Reader, SearchUnavailable

PROJECTS: Final = 25
"""On one page."""
NEWEST: Final = 5
_MOST_CURSOR: Final = 200


class Row(NamedTuple):
    """A project."""

    address: str
    facts: Facts
    origins: tuple[str, ...]
    date: str
    """The day of the release that is shown; empty where that is not known."""


class Projects(NamedTuple):
    """The projects of a page."""

    rows: list[Row]
    newest: list[Row]
    next: str | None
    names: int


async def index_page(request: Request) -> Response:
    """GET /index/<name>/; a redirect without the slash."""
    worker, index = worker_of(request), index_of(request)
    if not request.url.path.endswith("/"):
        return moved(request, f"{quote(index.name)}/")
    is_default = index.name == worker.default.name
    listed = {each["name"]: each for each in (await ask(request, "GET", "/indexes"))["indexes"]}
    if index.name not in listed:
        raise NotFound("The stage of a publishing session has no page; its simple pages and its uploads are there.")
    entry = convert_to(listed[index.name], IndexEntry)
    policy = await ask_if_allowed(request, "/indexes/{index}/policy")
    site = await site_of(request)
    if is_default:
        site = replace(site, index=None, url=site.url.removesuffix(f"{quote(index.name)}/"))
    projects = await _projects(request, site)
    lines = usage(site.url, worker.settings, read_only=entry.read_only or not entry.uploads)
    page = await worker.for_large_page(
        render,
        "index.html",
        site,
        entry=entry,
        readable=frozenset(listed),
        policy=None if policy is None else convert_to(policy, PolicyEntry),
        age=lambda seconds: age_text(timedelta(seconds=seconds)),
        has_folders=any(source.may_have_files for source in index.own_sources[1:]),
        is_mirroring=index.is_mirroring,
        usage=lines,
        tabs=tabs_of(lines, index.name, site.url, worker.settings, is_only=index.is_mirroring),
        projects=projects,
        is_first="after" not in request.query_params,
    )
    return await web_response(request, page)


async def _projects(request: Request, site: Site) -> Projects | None:
    """None where there is no search."""
    worker, name = worker_of(request), index_of(request).name
    after = request.query_params.get("after", "")[:_MOST_CURSOR]
    try:
        searching = worker.searching
        reader = Reader(*await worker.access.identify(request))
        found = await searching.listing(reader, name, after, PROJECTS)
        newest = [] if after else await searching.newest(reader, name, NEWEST)
    except SearchUnavailable:
        return None

    def row(hit: Hit) -> Row:
        address = project_address(site, worker.default.name, hit.index, hit.name)
        return Row(address, hit.facts, hit.origins, day_of(hit.facts.released))

    return Projects([row(each) for each in found.hits], [row(each) for each in newest], found.next, found.names)
