"""Grants and groups over the JSON API, and the sender of a request."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

import quire
from quire.access.authorization import ALLOWED, Right
from quire.access.grants import parse_index
from quire.access.passwords import parse_users, read_password_file
from quire.access.records import AccessRecords
from quire.access.unmatched import unmatched_grants
from quire.administration.access_documents import (
    Ended,
    GrantBody,
    Granted,
    Group,
    GroupBody,
    GroupList,
    IdsBody,
    Sender,
)
from quire.administration.describing_access import explanation, grant_entry, grant_list
from quire.administration.describing_publishers import grants_checked
from quire.administration.publisher_documents import GrantsChecked
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name
from quire.http.api.messages import answered, received
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import Worker, worker_of
from quire.index.audit.entries import Origin
from quire.index.index import all_indexes
from quire.operations import granting

_SHOWN = {"read": Right.LIST, "upload": Right.UPLOAD, "manage": Right.MANAGE, "admin": Right.ADMIN}


async def whoami(request: Request) -> Response:
    """GET whoami: for any sender, with the credentials that it has sent checked."""
    worker = worker_of(request)
    principal, state = await worker.access.identify(request)
    index = worker.default.name
    rights = [
        word
        for word, right in _SHOWN.items()
        if worker.access.rules.authorize(principal, right, index, None, state) is ALLOWED
    ]
    return answered(
        Sender(
            user=principal.username,
            token=principal.token,
            groups=sorted(principal.groups | state.groups_of(principal)),
            rights=rights,
            index=index,
            quire="" if principal.is_anonymous else quire.__version__,
        )
    )


async def grants(request: Request) -> Response:
    """GET grants."""
    return answered(grant_list(await worker_of(request).access.state()))


async def check_grants(request: Request) -> Response:
    """GET grants/check: the users are those of the password file, where logins come from nowhere else."""
    worker = worker_of(request)
    document = (await worker.access.state()).document
    settings = worker.settings
    file = None if settings.user_headers or settings.oidc_issuer is not None else settings.passwords

    def check() -> GrantsChecked:
        users = None if file is None else parse_users(read_password_file(file), file).hashes
        indexes = {worker.default.name, *(index.name for index in all_indexes(worker.default.store))}
        found = unmatched_grants(document, users, indexes, datetime.now(UTC))
        return grants_checked(document, found, users_known=users is not None)

    return answered(await worker.for_large_page(check))


async def explain(request: Request) -> Response:
    """GET grants/explain."""
    worker, query = worker_of(request), request.query_params
    if "subject" not in query:
        raise InvalidRequest("Name the subject: ?subject=user:NAME.")
    project = query.get("project")
    index = parse_index(query.get("index", worker.default.name))
    name = None if project is None else normalize_name(project)
    state = await worker.access.state()
    served = worker.served(index, state)
    owned = await worker.in_reader(served.hosted.stored, name) if served is not None and name is not None else None
    owners = owned.owners if owned is not None else ()
    return answered(explanation(state, query["subject"][:300], index, name, owners))


async def grant(request: Request) -> Response:
    """POST grants: the same grant once more changes nothing."""
    body = await received(request, GrantBody)
    worker, access, origin = changing_access(request)
    identity, given, is_new = await worker.in_writer(
        granting.give, access, body.subject, body.rights, body.index, body.projects, origin=origin
    )
    return answered(Granted(grant=grant_entry(identity, given), changed=is_new))


async def revoke_grants(request: Request) -> Response:
    """POST grants/revoke: all of them or none."""
    body = await received(request, IdsBody)
    worker, access, origin = changing_access(request)
    taken = await worker.in_writer(granting.take_back, access, body.ids, origin)
    entries = [grant_entry(identity, each) for identity, each in zip(body.ids, taken, strict=True)]
    return answered(Ended(ids=body.ids, changed=bool(taken), grants=entries))


async def groups(request: Request) -> Response:
    """GET groups."""
    document = (await worker_of(request).access.state()).document
    return answered(GroupList(groups=[Group(group=name, users=list(users)) for name, users in document.groups.items()]))


async def set_group(request: Request) -> Response:
    """POST a group."""
    body, name = await received(request, GroupBody), request.path_params["group"]
    worker, access, origin = changing_access(request)
    changed = await worker.in_writer(granting.set_group, access, name, body.users, origin)
    return answered(Group(group=name, users=body.users, changed=changed))


def changing_access(request: Request) -> tuple[Worker, AccessRecords, Origin]:
    """The parts of a change of grants or tokens. Raises HttpError 403 where the store takes none."""
    worker = worker_of(request)
    if worker.default.read_only:
        raise HttpError(403, "This index is served read-only; ask the server that takes uploads.")
    context = context_of(request.scope)
    return worker, AccessRecords(worker.default.store), origin_of(request, context.user, worker.proxies)
