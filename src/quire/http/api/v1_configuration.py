"""A declared configuration over the JSON API."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import ALLOWED, NO_GRANTS, Right
from quire.access.decisions import AccessState
from quire.access.document import AccessDocument
from quire.access.grants import ANY
from quire.administration.declared_documents import ConfigurationBody, applied_of, configuration_of, tables_of
from quire.http.api.messages import answered, received
from quire.http.api.v1_access import changing_access
from quire.http.app.request_log import context_of
from quire.http.app.worker import worker_of
from quire.operations.declaring.applying import apply
from quire.operations.declaring.reading import parse_declared
from quire.operations.declaring.writing import export


async def configuration(request: Request) -> Response:
    """GET the state of the store as a configuration file declares it."""
    state = context_of(request.scope).decided_by or NO_GRANTS
    return answered(configuration_of(export(state.document, worker_of(request).default.name)))


async def apply_configuration(request: Request) -> Response:
    """POST a configuration: all of it is applied, or nothing."""
    body = await received(request, ConfigurationBody)
    worker, access, origin = changing_access(request)
    declared, rules, sender = parse_declared(tables_of(body)), worker.access.rules, context_of(request.scope).principal

    def keeps_its_right(document: AccessDocument) -> bool:
        return rules.authorize(sender, Right.ADMIN, ANY, None, AccessState(document)) is ALLOWED

    work = partial(
        apply,
        access,
        declared,
        default=worker.default.name,
        prune=body.prune,
        dry_run=body.dry_run,
        origin=origin,
        keeps_its_right=keeps_its_right,
    )
    return answered(applied_of(await worker.for_large_upload(work), dry_run=body.dry_run))
