"""Addresses without a route: a redirect to the address that was meant, or one sentence.

- Doubled slashes: 301 to the address without them. flit joins the repository's address and a name by a slash.
- A name, with or without a version, below the address that a person published to: 303 to the project's page, which
  for a browser is the one of the web interface.
  Publishing tools print such links: hatch `/NAME/VERSION/` below the repository's address, flit `/NAME` below it.
- An upload to any other address gets a sentence with the right address.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from quire.domain.errors import InvalidName
from quire.domain.indexes import RESERVED
from quire.domain.names import is_version, normalize_name
from quire.http.app.problems import HttpError, is_for_person, problem_response
from quire.http.app.routes import path_within
from quire.http.app.worker import worker_of
from quire.http.simple.pages import query_of, see_other

_INDEX = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_SLASHES = re.compile("//+")
_PRINTED = re.compile(r"/(?:(?:legacy|simple|upload|pypi)/)?([^/]+)(?:/([^/]+))?/?")


def unrouted_response(request: Request, error: HTTPException) -> Response:
    """The response when no route fits (404), or none with this method (405)."""
    headers = dict(error.headers) if error.headers else {}
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))  # out of a set: in the same order everywhere
    if error.status_code == 404 and request.method in {"GET", "HEAD"}:
        found = _redirect(request)
        if found is not None:
            return found
    sentences = {404: "There is nothing at this address", 405: "This address does not take this method"}
    sentence = sentences.get(error.status_code, error.detail.rstrip("."))
    if request.method == "POST" and error.status_code in sentences:
        sentence += f"; publish to {_publishing(request)}"
    return problem_response(request, HttpError(error.status_code, f"{sentence}.", headers))


def _redirect(request: Request) -> Response | None:
    prefix = worker_of(request).settings.server_base_url
    path = path_within(request.scope)
    single = _SLASHES.sub("/", path)
    if not single.startswith(f"{prefix}/"):
        return None
    below = single.removeprefix(prefix)
    if single != path:
        outside = _base(request).split("://", 1)[1].partition("/")[2]  # the prefix as the client knows it
        return RedirectResponse(f"/{outside}{quote(below[1:])}{query_of(request)}", 301)
    printed = _PRINTED.fullmatch(below)
    if printed is None or not (printed[2] is None or is_version(printed[2])):
        return None
    try:
        name = normalize_name(printed[1])
    except InvalidName:
        return None
    return to_page(request, "../" * (below.count("/") - 1), name, printed[2])


def to_page(request: Request, up: str, name: str, version: str | None = None) -> Response:
    """303 to the page of a project (normalized name): for a person that of the web interface, of this release. `up`:
    the relative path to the address of the index."""
    is_web = is_for_person(request)
    release = f"{quote(version, safe='!+')}/" if is_web and version is not None else ""
    response = see_other(request, f"{up}{'project' if is_web else 'simple'}/{name}/{release}")
    response.headers["Vary"] = "Accept"
    return response


def _publishing(request: Request) -> str:
    """The address to publish to. The path may begin with the name of an index. Whether there is one of that name is not
    told here: the client may have no right to know."""
    base, below = _base(request), path_within(request.scope).removeprefix(worker_of(request).settings.server_base_url)
    first = below.strip("/").partition("/")[0]
    if first in RESERVED or not _INDEX.fullmatch(first):
        return base
    return f"{base}, or to {base}{first}/ if {first} is an index"


def _base(request: Request) -> str:
    worker = worker_of(request)
    return worker.proxies.base_url(request, worker.settings.server_base_url)
