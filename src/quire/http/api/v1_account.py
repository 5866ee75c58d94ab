"""The tokens of the sender of a request, over the JSON API: users make and revoke their own.

A token of a user may never do more than the user: grants decide on both at each request. Where the settings decide,
a token has the rights of its scope alone, so here its maker needs each of them as well. `admin` is for administrators
to give, with `POST tokens`: no token that a user makes itself outlives that right.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import ALLOWED, Allowed, Right
from quire.access.changing import parse_permissions
from quire.access.decisions import AccessState
from quire.access.grants import ANY, parse_index
from quire.access.principals import Principal
from quire.access.tokens import new_identity, new_token
from quire.access.uses import read_uses
from quire.administration.access_documents import AccountTokens, Ended, IdsBody, NewToken, OwnTokenBody
from quire.administration.describing_access import token_entry
from quire.domain.errors import InvalidRequest, NotFound
from quire.http.api.messages import answered, received
from quire.http.api.v1_access import changing_access
from quire.http.app.access import CHALLENGE
from quire.http.app.problems import HttpError
from quire.http.app.worker import Worker, worker_of
from quire.operations import granting

_RIGHTS: Final = {"read": (Right.LIST, Right.DOWNLOAD), "upload": (Right.UPLOAD,), "manage": (Right.MANAGE,)}
"""The permissions that users give to their tokens, and what those may do."""


async def tokens(request: Request) -> Response:
    """GET account/tokens: those of the user, by id; of a sender with a token that one alone. And the indexes on which
    the user has rights to give."""
    worker = worker_of(request)
    principal, state = await worker.access.identify(request)
    uses = await worker.in_reader(read_uses, worker.default.store.records)
    now = datetime.now(UTC)
    found = [token_entry(each, state.document.tokens[each], now, uses.get(each)) for each in _own(principal, state)]
    return answered(AccountTokens(tokens=found, indexes=_indexes(worker, principal, state)))


async def create(request: Request) -> Response:
    """POST account/tokens."""
    worker = worker_of(request)
    await worker.access.identify(request)
    body = await received(request, OwnTokenBody)
    principal, state = await worker.access.identify_again(request)
    if principal.is_anonymous:
        raise HttpError(401, "To make a token for yourself needs a login; give a user name and a password.", CHALLENGE)
    if principal.token is not None or principal.username is None:
        raise HttpError(403, "A token makes no other tokens; log in as the user, with a password or at the provider.")
    if (body.id is None) != (body.digest is None):
        raise InvalidRequest("Send both id and digest of a token that you have made, or neither.")
    index = parse_index(body.index)
    _, access, origin = changing_access(request)
    owners = state.may_own(principal)  # rights on projects alone count too: each request with the token decides again
    for permission in parse_permissions(body.rights):
        if permission not in _RIGHTS:
            raise HttpError(403, f"Only administrators make tokens with the right {permission}: 'quire token create'.")
        for right in _RIGHTS[permission]:
            decision = worker.access.rules.authorize(principal, right, index, None, state, owners=owners)
            if not isinstance(decision, Allowed):
                raise HttpError(403, f"A token has no right that its user has not. {decision.sentence}")
    made = new_token(new_identity()) if body.id is None else None
    identity, digest = (made.identity, made.digest) if made is not None else (str(body.id), str(body.digest))
    token, is_new = await worker.in_writer(
        granting.create_token,
        access,
        body.rights,
        index,
        body.projects,
        identity=identity,
        digest=digest,
        user=principal.username,
        note=body.note,
        lifetime=timedelta(seconds=body.expires_in),
        origin=origin,
        is_own=True,
    )
    entry = token_entry(identity, token, datetime.now(UTC))
    return answered(NewToken(token=entry, changed=is_new, text=made.text if made is not None else None))


async def revoke(request: Request) -> Response:
    """POST account/tokens/revoke: all of them or none."""
    access = worker_of(request).access
    await access.identify(request)
    body = await received(request, IdsBody)
    principal, state = await access.identify_again(request)
    own = set(_own(principal, state))
    for each in body.ids:
        if each not in own:
            raise NotFound(f"You have no token {each[:50]!r}.")
    worker, records, origin = changing_access(request)
    changed = await worker.in_writer(granting.revoke_tokens, records, body.ids, origin)
    return answered(Ended(ids=body.ids, changed=changed))


def _own(principal: Principal, state: AccessState) -> list[str]:
    if principal.is_anonymous:
        return []
    if principal.token is not None:
        return [principal.token] if principal.token in state.document.tokens else []
    return sorted(key for key, token in state.document.tokens.items() if token.user == principal.username)


def _indexes(worker: Worker, principal: Principal, state: AccessState) -> list[str]:
    """The indexes on which a user has rights that its tokens may have, as tokens name them."""
    if principal.token is not None or principal.is_anonymous:
        return []
    stages = {name for name, each in state.document.indexes.items() if each.session is not None}
    names = [ANY, worker.default.name, *sorted(state.document.indexes.keys() - {worker.default.name} - stages)]
    rights = [right for each in _RIGHTS.values() for right in each]
    decide = worker.access.rules.authorize
    return [each for each in names if any(decide(principal, right, each, None, state) is ALLOWED for right in rights)]
