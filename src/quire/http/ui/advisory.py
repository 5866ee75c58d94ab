"""The page of an advisory, of the document that its source has (OSV): as data, and the handler.

Documents are as hostile as all that strangers write: of each list some entries are shown, and a field that is not as
the format has it is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.domain.errors import InvalidName, NotFound
from quire.domain.foreign_text import one_line, visible
from quire.domain.names import normalize_name
from quire.domain.osv import ECOSYSTEM
from quire.http.app.advisories import advisories_of
from quire.http.app.worker import index_of, worker_of
from quire.http.ui.layout import render, site_of, web_response
from quire.http.ui.projects.described import Link, link
from quire.http.ui.projects.releases import When, when

MOST: Final = 50
"""Entries of one list that are shown."""
_MOST_TEXT: Final = 500
_MOST_DETAILS: Final = 20_000


@dataclass(frozen=True, slots=True)
class AffectedProject:
    """A project that an advisory is about."""

    name: str
    """As the document spells it."""
    project: str
    """Normalized; empty for a package that is none of PyPI."""
    ranges: tuple[str, ...]
    """In words."""
    versions: tuple[str, ...]
    """Single versions that it names; they may be those of the ranges."""
    omitted: int
    """More of them."""
    fixed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdvisoryPage:
    """All that the page shows."""

    id: str
    summary: str
    details: str
    is_cut: bool
    """Whether the details go on."""
    aliases: tuple[str, ...]
    severities: tuple[str, ...]
    published: When | None
    modified: When | None
    withdrawn: When | None
    affected: tuple[AffectedProject, ...]
    references: tuple[Link, ...]


async def advisory(request: Request) -> Response:
    """GET /-/advisories/<id>/: for readers of an index, as OSV's API."""
    worker, identity = worker_of(request), request.path_params["id"]
    index = index_of(request)
    known = await advisories_of(request)
    document = None if known is None else (await worker.in_reader(known.documents, [identity])).get(identity)
    if document is None:
        raise NotFound(f"There is no advisory {identity[:200]!r}.")
    names = await index.names()
    site, shown = await site_of(request), await worker.for_large_page(advisory_page, document)
    page = await worker.for_large_page(
        render, "advisory.html", site, page=shown, exists=names.has, is_mirroring=index.is_mirroring
    )
    return await web_response(request, page)


def advisory_page(data: bytes) -> AdvisoryPage:
    """The page of a document that was taken in."""
    document: Mapping[str, Any] = msgspec.json.decode(data)
    details = visible(_text(document.get("details"), _MOST_DETAILS + 1)).strip()
    of_packages = [each for affected in _maps(document.get("affected")) for each in _maps(affected.get("severity"))]
    return AdvisoryPage(
        id=_line(document.get("id")),
        summary=_line(document.get("summary")),
        details=details[:_MOST_DETAILS],
        is_cut=len(details) > _MOST_DETAILS,
        aliases=_lines(document.get("aliases")),
        severities=_lines([each.get("score") for each in [*_maps(document.get("severity")), *of_packages]]),
        published=when(_line(document.get("published"))),
        modified=when(_line(document.get("modified"))),
        withdrawn=when(_line(document.get("withdrawn"))),
        affected=tuple(map(_affected, _maps(document.get("affected")))),
        references=tuple(
            link(_line(each.get("type")).capitalize(), _text(each.get("url"), _MOST_TEXT))
            for each in _maps(document.get("references"))
        ),
    )


def _affected(affected: Mapping[str, Any]) -> AffectedProject:
    package = next(iter(_maps([affected.get("package")])), {})
    name, versions = _line(package.get("name")), affected.get("versions")
    ranges = [each for each in _maps(affected.get("ranges")) if each.get("type") in {"ECOSYSTEM", "SEMVER"}]
    events = [event for each in ranges for event in _maps(each.get("events"))]
    return AffectedProject(
        name=name,
        project=_project(_line(package.get("ecosystem")), name),
        ranges=tuple(_ranges(events)),
        versions=_lines(versions),
        omitted=max(len(versions) - MOST, 0) if isinstance(versions, list) else 0,
        fixed=_lines([event["fixed"] for event in events if "fixed" in event]),
    )


def _project(ecosystem: str, name: str) -> str:
    try:
        return normalize_name(name) if ecosystem.partition(":")[0] == ECOSYSTEM else ""
    except InvalidName:
        return ""


def _ranges(events: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Events of ranges as words: each begin with the end that follows it."""
    begin: str | None = None
    for event in events:
        if "introduced" in event:
            if begin is not None:
                yield f"{begin or 'all versions'}"
            introduced = _line(event["introduced"])
            begin = "" if introduced == "0" else f"from {introduced}"
        for key, words in (("fixed", "before"), ("last_affected", "up to"), ("limit", "before")):
            if key in event and begin is not None:
                yield f"{begin} {words} {_line(event[key])}".strip()
                begin = None
    if begin is not None:
        yield f"{begin or 'all versions'}"


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value[:MOST] if isinstance(each, dict)] if isinstance(value, list) else []


def _lines(value: object) -> tuple[str, ...]:
    found = [_line(each) for each in value[:MOST]] if isinstance(value, list) else []
    return tuple(dict.fromkeys(filter(None, found)))


def _line(value: object) -> str:
    return one_line(_text(value, _MOST_TEXT))


def _text(value: object, most: int) -> str:
    return value[:most] if isinstance(value, str) else ""
