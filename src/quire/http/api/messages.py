"""Bodies and parameters of the JSON API: decoded against their types and bounded, with a sentence for what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.administration.documents import DEFAULT_LIMIT, MAX_LIMIT, MAX_REQUEST_BYTES, Body
from quire.domain.errors import InvalidRequest, TooLarge
from quire.domain.structs import decode_as
from quire.http.app.policies import NO_SNIFFING
from quire.http.app.worker import worker_of
from quire.http.simple.forms import body_chunks

B = TypeVar("B", bound=Body)

_MOST_SAID = 200
_HEADERS = {"Cache-Control": "no-store", **NO_SNIFFING}
"""Answers tell of users and tokens; no cache keeps them."""


async def received(request: Request, kind: type[B]) -> B:
    """The body of a request. Raises InvalidRequest, TooLarge, and HttpError 408."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise InvalidRequest("The body must be JSON, and say so: Content-Type: application/json.")
    try:
        return decode_as(await body_of(request), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        problem = str(error)[:_MOST_SAID].rstrip(".")
        raise InvalidRequest(f"The body is not what this address takes: {problem}; see /openapi.json.") from None


async def body_of(request: Request) -> bytes:
    """The body of a request, bounded. Raises TooLarge, InvalidRequest, and HttpError 408."""
    body = bytearray()
    async for chunk in body_chunks(request, worker_of(request).settings.body_timeout):
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            raise TooLarge(f"The body is larger than {MAX_REQUEST_BYTES >> 10} KiB; send several requests.")
    return bytes(body)


def answered(document: Any, headers: dict[str, str] | None = None) -> Response:
    """A document as the answer."""
    body = msgspec.json.encode(document)
    return Response(body, headers={**_HEADERS, **(headers or {})}, media_type="application/json")


def limit_of(request: Request) -> int:
    """The parameter `limit`. Raises InvalidRequest."""
    raw = request.query_params.get("limit")
    if raw is None:
        return DEFAULT_LIMIT
    if not (raw.isascii() and raw.isdigit() and len(raw) <= 4 and 1 <= int(raw) <= MAX_LIMIT):
        raise InvalidRequest(f"limit is a number from 1 to {MAX_LIMIT}.")
    return int(raw)


def moment_of(name: str, raw: str | None) -> datetime | None:
    """A moment that a request names, in UTC where it has no offset. Raises InvalidRequest."""
    if raw is None:
        return None
    try:
        found = datetime.fromisoformat(raw)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{name} is a time such as 2026-11-23T12:00Z, or a date.") from None
