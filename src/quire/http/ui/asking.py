"""The web interface asks the JSON API, in the same process: pages show its answers, and forms send it bodies.

So the web can do nothing that the API cannot, needs the same rights for it (those of the endpoint's line in the route
table), and writes the same entries into the logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.types import Message

from quire.domain.errors import QuireError
from quire.http.app.advisories import load_for_policies
from quire.http.app.failures import told
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of
from quire.http.app.routes import API, Endpoint, endpoints
from quire.http.app.worker import THE_DEFAULT, authorize

_BASE: Final = f"{API}v1"
_PART: Final = re.compile(r"\{(\w+)(?::path)?\}")
_NEVER_PASSED: Final = frozenset(
    {b"content-type", b"content-length", b"transfer-encoding", b"if-match", b"if-none-match"}
)


async def ask(
    request: Request,
    method: Literal["GET", "POST"],
    path: str,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, str] | None = None,
    **parts: str,
) -> Any:
    """The decoded answer of an endpoint. `path`: as the route table has it below `/-/api/v1`, whose parameters are
    `parts`; `index` is the one of this request where it is not given.

    Raises HttpError 401, 403, 404, and all that the endpoint raises.
    """
    endpoint = _endpoint(method, f"{_BASE}{path}")
    if "{index}" in path:
        parts = {"index": request.path_params.get("index", THE_DEFAULT)} | parts
    inner = _request(request, endpoint, parts, body, query or {})
    context_of(request.scope).takes_sessions = True
    if endpoint.needs is not None:
        await authorize(inner, endpoint.needs, takes_sessions=True)
        await load_for_policies(inner)
    module, _, function = endpoint.handler.partition(":")
    answer = await getattr(import_module(f"quire.http.{module}"), function)(inner)
    return msgspec.json.decode(answer.body)


async def ask_if_allowed(request: Request, path: str, query: Mapping[str, str] | None = None, **parts: str) -> Any:
    """The answer to a GET; None where the reader of the page may not have it, and where there is nothing."""
    try:
        return await ask(request, "GET", path, None, query, **parts)
    except HttpError as error:
        if error.status in {303, 401, 403}:
            return None
        raise


def _endpoint(method: str, path: str) -> Endpoint:
    return next(each for each in endpoints("/health") if (each.method, each.path) == (method, path))


def _request(
    request: Request,
    endpoint: Endpoint,
    parts: Mapping[str, str],
    body: Mapping[str, Any] | None,
    query: Mapping[str, str],
) -> Request:
    """A request for the endpoint by the same sender: the same credentials, and the same context of the log."""
    context_of(request.scope)  # shared with the new scope
    headers = [line for line in request.scope["headers"] if line[0] not in _NEVER_PASSED]
    encoded = b"" if body is None else msgspec.json.encode(body)
    if body is not None:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(encoded)).encode())]
    scope = {
        **request.scope,
        "method": endpoint.method,
        "path": _PART.sub(lambda part: quote(parts[part[1]], safe=""), endpoint.path),
        "query_string": urlencode(query).encode(),
        "path_params": dict(parts),
        "headers": headers,
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": encoded, "more_body": False}

    return Request(scope, receive)


def sentence_of(request: Request, error: QuireError) -> str:
    """The sentence of an error on one line, as its client may read it."""
    return " ".join(told(request, error).split())
