"""Tokens over the JSON API."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from quire.access.tokens import new_identity, new_token
from quire.access.uses import read_uses
from quire.administration.access_documents import Ended, IdsBody, NewToken, RotateBody, TokenBody, TokenList
from quire.administration.describing_access import token_entry
from quire.domain.errors import InvalidRequest
from quire.http.api.messages import answered, limit_of, received
from quire.http.api.v1_access import changing_access
from quire.http.app.worker import worker_of
from quire.operations import granting


async def tokens(request: Request) -> Response:
    """GET tokens: by id, those that ended as well."""
    worker, limit = worker_of(request), limit_of(request)
    document = (await worker.access.state()).document
    uses = await worker.in_reader(read_uses, worker.default.store.records)
    ids = sorted(document.tokens)
    begin = bisect_right(ids, request.query_params.get("cursor", ""))
    chosen, now = ids[begin : begin + limit], datetime.now(UTC)
    found = [token_entry(identity, document.tokens[identity], now, uses.get(identity)) for identity in chosen]
    return answered(TokenList(tokens=found, next=None if begin + limit >= len(ids) else chosen[-1]))


async def create_token(request: Request) -> Response:
    """POST tokens."""
    body = await received(request, TokenBody)
    if (body.id is None) != (body.digest is None):
        raise InvalidRequest("Send both id and digest of a token that you have made, or neither.")
    made = new_token(new_identity()) if body.id is None else None
    identity, digest = (made.identity, made.digest) if made is not None else (str(body.id), str(body.digest))
    worker, access, origin = changing_access(request)
    token, is_new = await worker.in_writer(
        granting.create_token,
        access,
        body.rights,
        body.index,
        body.projects,
        identity=identity,
        digest=digest,
        user=body.user,
        note=body.note,
        lifetime=None if body.expires_in is None else timedelta(seconds=body.expires_in),
        origin=origin,
        rate=body.rate,
    )
    entry = token_entry(identity, token, datetime.now(UTC))
    return answered(NewToken(token=entry, changed=is_new, text=made.text if made is not None else None))


async def revoke_tokens(request: Request) -> Response:
    """POST tokens/revoke: all of them or none."""
    body = await received(request, IdsBody)
    worker, access, origin = changing_access(request)
    changed = await worker.in_writer(granting.revoke_tokens, access, body.ids, origin)
    return answered(Ended(ids=body.ids, changed=changed))


async def rotate_token(request: Request) -> Response:
    """POST a token's rotate."""
    body, identity = await received(request, RotateBody), request.path_params["token"]
    made = new_token(identity) if body.digest is None else None
    worker, access, origin = changing_access(request)
    token, changed = await worker.in_writer(
        granting.rotate_token,
        access,
        identity,
        made.digest if made is not None else str(body.digest),
        timedelta(seconds=body.grace),
        origin,
    )
    entry = token_entry(identity, token, datetime.now(UTC))
    return answered(NewToken(token=entry, changed=changed, text=made.text if made is not None else None))
