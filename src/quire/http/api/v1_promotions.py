"""Promotion of a stage over the JSON API."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import ALLOWED, Right
from quire.administration.describing_promotions import promotion_of
from quire.administration.promotion_documents import PromotionBody
from quire.catalog.served import ServedIndex
from quire.domain.errors import NamespaceReserved, NotFound
from quire.domain.quotas import Quotas
from quire.http.api.messages import answered, received
from quire.http.app.access import Permit
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.http.simple.uploads import check_name
from quire.operations import promoting
from quire.operations.promoting import Permission, Promoted, Target


async def _check_claim(worker: Worker, stage: ServedIndex, target: ServedIndex, project: str) -> None:
    """Refuse a project that the stage keeps for itself and the target does not: to publish it there, the upstreams
    would have to be asked for its name. Raises HttpError 403, StoreError."""
    if project not in stage.policy.reserved or project in target.policy.reserved:
        return
    if not target.is_mirroring or await worker.in_reader(target.hosted.was_written, project):
        return
    raise HttpError(
        403,
        f"The name {project} is kept for the stage {stage.name}, and not for the index {target.name}, whose upstreams "
        f"would be asked for it. An administrator keeps it with 'quire claim {project} --index {target.name}' first.",
    )


def promotion_target(
    index: ServedIndex, quotas: Quotas, permissions: Mapping[str, Permission], *, overwrite: bool
) -> Target:
    """The index as the target of a promotion for a request."""
    return Target(
        index.hosted,
        overwrite=overwrite,
        quotas=quotas,
        existing=index.existing_files,
        check=(lambda facts: None) if index.policies is None else index.policies.check_upload,
        permissions=permissions,
    )


async def promote(request: Request) -> Response:
    """POST promote of an index. The sender needs the right to upload to each project in both indexes."""
    body = await received(request, PromotionBody)
    worker, stage, context = worker_of(request), index_of(request), context_of(request.scope)
    access = worker.access
    state = await access.state()
    name = promoting.target_of(state.document, stage.name, worker.default.name)
    target = worker.served(name, state)
    if target is None:
        raise NotFound(f"There is no index {name!r} any more.")
    if target.read_only:
        raise HttpError(403, "The server is read-only; nothing was promoted.")
    projects = await worker.for_large_page(promoting.projects_of, stage.hosted, body.projects)
    refused: dict[str, str] = {}

    async def permitted(index: str, project: str) -> Permit | None:
        """None for a project that the sender may not upload to, in a dry run that names all of them."""
        try:
            permit = await access.check_change(request, Right.UPLOAD, index, project)
            if permit.guard is not None and index == stage.name:
                permit.guard(projects[project])
            if index == target.name:
                await _check_claim(worker, stage, target, project)
                await check_name(target, project)
        except (HttpError, NamespaceReserved) as error:
            is_forbidden = not isinstance(error, HttpError) or error.status == HTTPStatus.FORBIDDEN
            may_list = access.rules.authorize(context.principal, Right.LIST, stage.name, None, state) is ALLOWED
            if not (body.dry_run and is_forbidden and may_list):
                raise
            refused.setdefault(project, str(error))
            return None
        return permit

    for project in projects:
        await permitted(stage.name, project)
    await access.authorize(request, Right.UPDATE, name, takes_sessions=context.takes_sessions)
    permissions = {}
    for project in projects:
        if (permit := await permitted(target.name, project)) is not None:
            permissions[project] = Permission(permit.guard, permit.owner)
    definition = state.definition(name)
    if not definition.uploads:
        raise HttpError(403, f"The index {name} takes no uploads.")
    quotas = Quotas.of(definition)
    if quotas.index is not None:
        await target.usage(worker.for_large_page, is_urgent=True)
    context.action = "promote"
    origin = origin_of(request, context.user, worker.proxies)

    overwrite = target.policy.overwrite or definition.overwrite

    def work() -> list[Promoted]:
        into = promotion_target(target, quotas, permissions, overwrite=overwrite)
        allowed = {project: found for project, found in projects.items() if project not in refused}
        done = promoting.promote(stage.hosted, allowed, into, dry_run=body.dry_run, origin=origin)
        done += [Promoted(project, (), (), problem) for project, problem in refused.items()]
        return sorted(done, key=lambda each: each.project) if refused else done

    promoted = await worker.for_large_upload(work)
    return answered(promotion_of(stage.name, name, promoted, dry_run=body.dry_run))
