"""The namespaces of an index and of those behind it, at the addresses of PEP 752."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import NO_GRANTS
from quire.domain.errors import InvalidName, NotFound
from quire.domain.names import is_normalized, normalize_name
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of
from quire.http.simple.pages import moved, page_response
from quire.render.negotiation import choose
from quire.render.simple import make_page

OFFERED: Final = ("application/vnd.pypi.simple.v1+json", "application/json")
"""The media types, the preferred first."""


async def namespaces(request: Request) -> Response:
    """GET /namespaces: each with its name."""
    return await _answer(request, [{"name": name} for name in _granted(request)])


async def namespace(request: Request) -> Response:
    """GET /namespace/<name>: with the namespace above it, and those directly below.

    The owners are not told: readers learn the names of users and groups nowhere else.
    """
    asked = request.path_params["name"]
    if not is_normalized(asked):
        try:
            return moved(request, normalize_name(asked))
        except InvalidName as error:
            raise NotFound(str(error)) from error
    granted = _granted(request)
    if asked not in granted:
        raise NotFound(f"There is no namespace {asked[:200]}.")
    above = asked.rpartition("-")[0]
    children = [each for each in granted if each.rpartition("-")[0] == asked]
    return await _answer(request, {"name": asked, "parent": above if above in granted else None, "children": children})


def _granted(request: Request) -> list[str]:
    """The names of all, sorted, by the state that the rights of the request were decided with."""
    state, name = context_of(request.scope).decided_by or NO_GRANTS, index_of(request).name
    return sorted({each.name for index in (name, *state.behind(name)) for each in state.definition(index).namespaces})


async def _answer(request: Request, document: Any) -> Response:
    media_type = choose(request.headers.get("accept"), OFFERED)
    if media_type is None:
        raise HttpError(406, f"Namespaces are served as {' or '.join(OFFERED)}; accept one of them.")
    return await page_response(request, make_page(media_type, msgspec.json.encode(document)))
