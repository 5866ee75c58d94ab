"""OSV's API for the advisories of the store: `/-/osv/v1/query`, `querybatch` and `vulns/ID`.

Scanners ask it as they ask api.osv.dev (https://google.github.io/osv.dev/api/), so the names of private packages stay
here, and advisories of one's own are found. Advisories are of the whole store; the right is to read the index that the
address names. A store without advisories answers 503, since a scanner would take an empty answer for a clean one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.advisories.known import KnownAdvisories
from quire.domain.errors import InvalidName, InvalidRequest, NotFound, TooLarge
from quire.domain.names import normalize_name
from quire.domain.osv import ECOSYSTEM, Entry
from quire.domain.structs import decode_as
from quire.http.app.advisories import advisories_of
from quire.http.app.policies import NO_SNIFFING
from quire.http.app.problems import HttpError
from quire.http.app.worker import index_of, worker_of
from quire.http.simple.forms import body_chunks

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_QUERIES: Final = 1000
PAGE: Final = 500
"""Advisories of one answer to a query; it has a token for the next ones."""
MOST_ENTRIES: Final = 3000
"""Of the answers to one batch; queries beyond it get a token instead."""
_MOST_SAID: Final = 200
_HEADERS: Final = {"Cache-Control": "no-store", **NO_SNIFFING}
_PURL: Final = "pkg:pypi/"


class _Package(msgspec.Struct):
    name: str | None = None
    ecosystem: str | None = None
    purl: str | None = None


class _Query(msgspec.Struct):
    package: _Package | None = None
    version: str | None = None
    commit: str | None = None
    page_token: str | None = None


class _Batch(msgspec.Struct):
    queries: Annotated[list[_Query], msgspec.Meta(max_length=MAX_QUERIES)]


async def query(request: Request) -> Response:
    """POST query: the advisories about a package, or a version of it, as whole documents."""
    known, asked = await _known(request), await _received(request, _Query)
    worker = worker_of(request)

    def find() -> bytes:
        found, further = _page(known, asked)
        documents = known.documents([each.id for each in found])
        answer: dict[str, Any] = {}
        if found:
            answer["vulns"] = [msgspec.Raw(documents[each.id]) for each in found if each.id in documents]
        if further is not None:
            answer["next_page_token"] = further
        return msgspec.json.encode(answer)

    return _answered(await worker.in_reader(find))


async def querybatch(request: Request) -> Response:
    """POST querybatch: for each query the ids of the advisories, and when they were modified."""
    known, asked = await _known(request), await _received(request, _Batch)

    def find() -> bytes:
        results: list[dict[str, Any]] = []
        left = MOST_ENTRIES
        for each in asked.queries:
            found, further = _page(known, each)
            if len(found) > left:  # the client asks for them with the token
                found, further = [], each.page_token or "0"
            left -= len(found)
            result: dict[str, Any] = {}
            if found:
                result["vulns"] = [{"id": entry.id, "modified": entry.modified} for entry in found]
            if further is not None:
                result["next_page_token"] = further
            results.append(result)
        return msgspec.json.encode({"results": results})

    return _answered(await worker_of(request).in_reader(find))


async def vulnerability(request: Request) -> Response:
    """GET an advisory, as its source has it."""
    known = await _known(request)
    identity: str = request.path_params["id"]
    document = (await worker_of(request).in_reader(known.documents, [identity])).get(identity)
    if document is None:
        raise NotFound(f"There is no advisory {identity[:_MOST_SAID]!r}.")
    return _answered(document)


async def _known(request: Request) -> KnownAdvisories:
    index_of(request)  # 404 where there is no such index
    known = await advisories_of(request)
    if known is None:
        raise HttpError(503, "There are no advisories in this store; its operator has to run 'quire osv update'.")
    return known


def _page(known: KnownAdvisories, asked: _Query) -> tuple[Sequence[Entry], str | None]:
    """A page of the entries that a query asks for, and the token of the next one. Raises InvalidRequest."""
    project, version = _release(asked)
    found = known.entries(project, version) if project is not None else []
    start = asked.page_token or "0"
    if not (start.isascii() and start.isdigit() and len(start) < 10):
        raise InvalidRequest("The page_token is none that this server gave.")
    end = int(start) + PAGE
    return found[int(start) : end], str(end) if end < len(found) else None


def _release(asked: _Query) -> tuple[str | None, str | None]:
    """The project and the version of a query; no project for a package that is none of PyPI.

    Raises InvalidRequest.
    """
    package = asked.package
    if package is None or asked.commit is not None:
        raise InvalidRequest("A query names a package, with a version or without; commits are not looked up here.")
    if package.purl is not None:
        if package.name is not None or package.ecosystem is not None:
            raise InvalidRequest("A query names its package by a purl, or by name and ecosystem, not by both.")
        if not package.purl.startswith(_PURL):
            return None, None
        name, at, version = package.purl.removeprefix(_PURL).partition("?")[0].partition("#")[0].partition("@")
        if at and asked.version is not None:
            raise InvalidRequest("The version stands in the purl or beside it, not in both.")
        name, found = unquote(name), unquote(version) if at else asked.version
    elif package.name is None or package.ecosystem is None:
        raise InvalidRequest("A query names its package by a purl, or by name and ecosystem.")
    elif package.ecosystem.partition(":")[0] != ECOSYSTEM:
        return None, None
    else:
        name, found = package.name, asked.version
    if found and len(found) > _MOST_SAID:
        raise InvalidRequest(f"A version has at most {_MOST_SAID} characters.")
    try:
        return normalize_name(name), found or None
    except InvalidName:
        return None, None


async def _received(request: Request, kind: type[Any]) -> Any:
    """The body. No media type is asked for: some scanners send none. Raises InvalidRequest, TooLarge, HttpError 408."""
    body = bytearray()
    async for chunk in body_chunks(request, worker_of(request).settings.body_timeout):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"The body is larger than {MAX_BODY_BYTES >> 10} KiB; send several requests.")
    try:
        return decode_as(bytes(body), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The body is no query of OSV's API: {str(error)[:_MOST_SAID].rstrip('.')}.") from None


def _answered(body: bytes) -> Response:
    return Response(body, headers=_HEADERS, media_type="application/json")
