"""The endpoints of trusted publishing, answered as uv and gh-action-pypi-publish read them, and as PEP 807 says.

They are at the root of the host, where these clients look for them whatever the address is that they publish to, and
below the prefix as well.
"""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import ALLOWED, Right
from quire.access.decisions import AccessState
from quire.access.minting import MintRefused
from quire.access.principals import ANONYMOUS
from quire.config.values import index_name
from quire.domain.errors import NotFound
from quire.domain.indexes import RESERVED
from quire.domain.structs import decode_as
from quire.http.app.policies import NO_SNIFFING
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.routes import UPLOADS, UPLOADS_OF_AN_INDEX
from quire.http.app.worker import Worker, worker_of
from quire.http.simple.forms import body_chunks

MAX_BODY: Final = 64 * 1024
PATIENCE: Final = 10.0
"""Seconds without a byte of a body."""
FEATURES: Final = ("multi-use-token",)
"""Of PEP 807: a minted token may upload all files of a release."""
MEDIA_TYPE: Final = "application/vnd.pypi.pytp.v1+json"
_ACCEPTED: Final = {MEDIA_TYPE, "application/json", "application/*", "*/*"}

log = structlog.stdlib.get_logger(__name__)


class _Request(msgspec.Struct):
    """The body of an exchange."""

    token: str
    features: list[str] = []


async def audience(request: Request) -> Response:
    """GET /_/oidc/audience: the audience for which a job asks its platform for a token."""
    try:
        _check_accept(request)
        found = await worker_of(request).exchange.audience()
    except MintRefused as error:
        return _refused(request, error)
    return _answer(request, {"audience": found})


async def mint_token(request: Request) -> Response:
    """POST /_/oidc/mint-token: a token of the index for the token of a job."""
    worker = worker_of(request)
    try:
        _check_accept(request)
        body = await _body(request)
        if unknown := set(body.features) - set(FEATURES):
            raise MintRefused("invalid-payload", f"The feature {min(unknown)[:50]!r} is not known here.")
        origin = origin_of(request, None, worker.proxies)
        minted = await worker.exchange.mint(body.token, worker.proxies.client_address(request), origin)
    except MintRefused as error:
        return _refused(request, error)
    return _answer(request, {"success": True, "token": minted.text.text, "expires": minted.expires})


async def burn_token(request: Request) -> Response:
    """POST /_/oidc/burn-token: end a minted token before its time. 202 whether or not it was one."""
    worker = worker_of(request)
    try:
        body = await _body(request)
        origin = origin_of(request, None, worker.proxies)
        await worker.exchange.burn(body.token, worker.proxies.client_address(request), origin)
    except MintRefused as error:
        return _refused(request, error)
    return _answer(request, {"success": True}, 202)


async def discovery(request: Request) -> Response:
    """GET /.well-known/pytp: where the endpoints are, for an address to publish to (PEP 807)."""
    worker = worker_of(request)
    try:
        _check_accept(request)
        await worker.exchange.audience()
    except MintRefused as error:
        raise HttpError(error.status, str(error)) from error
    base = worker.proxies.base_url(request, worker.settings.server_base_url)
    name = _index_at(worker, base, request.query_params.get("discover"))
    if name is None or not _takes_uploads(worker, name, await worker.access.state()):
        raise NotFound("No uploads are taken at that path; name the address that you publish to (discover=).")
    return _answer(
        request,
        {
            "audience-endpoint": f"{base}_/oidc/audience",
            "token-mint-endpoint": f"{base}_/oidc/mint-token",
            "features": FEATURES,
            "default-features": FEATURES,
        },
    )


def _index_at(worker: Worker, base: str, path: str | None) -> str | None:
    """The name of the index that has this path for an address to publish to, as the client knows it, if there is such
    an index. `base`: the address of the one at the server's root."""
    own = "/" + base.split("://", 1)[1].partition("/")[2]
    if path is None or not f"{path}/".startswith(own):
        return None
    below = path[len(own) - 1 :]
    if below in {"", "/", *UPLOADS}:
        return worker.default.name
    name, slash, rest = below[1:].partition("/")
    if slash + rest not in UPLOADS_OF_AN_INDEX or name in RESERVED:
        return None
    with contextlib.suppress(ValueError):
        return index_name(name)
    return None


def _takes_uploads(worker: Worker, name: str, state: AccessState) -> bool:
    """Whether an index takes uploads. Of one that needs a login this is not told, nor whether there is one: the request
    has none, and its sender may have no right to know."""
    if worker.access.rules.authorize(ANONYMOUS, Right.LIST, name, None, state) is not ALLOWED:
        return True
    return worker.served(name, state) is not None and state.definition(name).uploads


def _check_accept(request: Request) -> None:
    """Raises HttpError 406 for a client that takes no JSON."""
    sent = request.headers.get("accept")
    if sent and not {each.partition(";")[0].strip().lower() for each in sent.split(",")} & _ACCEPTED:
        raise HttpError(406, f"The answer is JSON; accept {MEDIA_TYPE} or application/json.")


async def _body(request: Request) -> _Request:
    """The body of a request. Raises MintRefused, HttpError 408."""
    body = bytearray()
    async for chunk in body_chunks(request, PATIENCE):
        body += chunk
        if len(body) > MAX_BODY:
            raise MintRefused("invalid-payload", f"The request has more than {MAX_BODY // 1024} KiB.", 413)
    try:
        return decode_as(body, _Request)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MintRefused("invalid-payload", 'The request is not JSON with a text "token".') from None


def _answer(request: Request, document: dict[str, Any], status: int = 200) -> Response:
    wants_own = MEDIA_TYPE in request.headers.get("accept", "").lower()
    headers = {"Cache-Control": "no-store", **NO_SNIFFING}
    media_type = MEDIA_TYPE if wants_own else "application/json"
    return Response(msgspec.json.encode(document), status, headers=headers, media_type=media_type)


def _refused(request: Request, error: MintRefused) -> Response:
    """The answer to a request that is refused: PyPI's fields, and those of problem details (RFC 9457)."""
    worker, sentence = worker_of(request), str(error)
    worker.metrics.tally.logins["wrong"] += error.status in {422, 429}
    log.info(
        "token exchange refused",
        code=error.code,
        reason=sentence,
        client=worker.proxies.client_address(request),
        request=context_of(request.scope).request_id,
    )
    headers = {"Cache-Control": "no-store", **NO_SNIFFING}
    if error.status in {429, 503}:
        headers["Retry-After"] = "60"
    document = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": sentence,
        "message": "Token request failed",
        "errors": [{"code": error.code, "description": sentence}],
    }
    return Response(msgspec.json.encode(document), error.status, headers=headers, media_type="application/problem+json")
