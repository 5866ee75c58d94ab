"""The session of a request: found, and its sender allowed, by the rights of this moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus

from starlette.requests import Request

from quire.access.authorization import NO_GRANTS, Right
from quire.access.decisions import AccessState
from quire.access.records import AccessRecords
from quire.catalog.served import ServedIndex
from quire.domain.errors import NameReserved, NamespaceReserved, NotFound
from quire.domain.indexes import IndexDefinition
from quire.domain.publishing_sessions import ENDED, PublishingSession
from quire.http.app.access import NO_OWNERS, Permit
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import Worker, index_of, worker_of
from quire.http.sessions.messages import Links, check_served
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations.publishing_sessions import Sessions


@dataclass(frozen=True, slots=True)
class Found:
    """A session, and all that a request needs to work on it."""

    worker: Worker
    index: ServedIndex
    """Where it is published."""
    token: str
    session: PublishingSession
    definition: IndexDefinition | None
    """Of its stage; None when it has ended."""
    permit: Permit
    origin: Origin
    links: Links

    @property
    def sessions(self) -> Sessions:
        return sessions_of(self.worker)

    @property
    def stage(self) -> Index:
        """The files of its stage."""
        return Index(self.index.store, self.token, self.origin)

    @property
    def expires(self) -> str:
        """When it expires, or did."""
        if self.session.ended is None and self.definition is not None and self.definition.expires is not None:
            return self.definition.expires
        return self.session.expires

    def with_session(self, session: PublishingSession) -> Found:
        return replace(self, session=session)


def sessions_of(worker: Worker) -> Sessions:
    """The sessions of a worker's store."""
    store = worker.default.store
    return Sessions(store, AccessRecords(store), worker.default.name)


async def find(request: Request, *, or_manages: bool = False) -> Found:
    """The session that a request names. `or_manages`: see `allowed`.

    Raises NotFound, HttpError 401, 403, 406, NameReserved, NamespaceReserved, StoreError.
    """
    check_served(request)
    worker, index = worker_of(request), index_of(request)
    token: str = request.path_params["session"]
    sessions = sessions_of(worker)
    session = await worker.in_reader(sessions.read, token)
    if session is None or session.index != index.name:
        raise NotFound("There is no such publishing session.")
    permit, state = await allowed(request, index, session.project, or_manages=or_manages)
    definition = state.document.indexes.get(token)
    origin = origin_of(request, context_of(request.scope).user, worker.proxies)
    if session.status not in ENDED or definition is not None:
        session = await worker.in_writer(sessions.settled, token, session, definition, index.hosted, origin)
    return Found(worker, index, token, session, definition, permit, origin, Links(request, index, token))


async def allowed(
    request: Request, index: ServedIndex, project: str, *, or_manages: bool = False
) -> tuple[Permit, AccessState]:
    """The decision that the sender may upload to a project now, and the state that it was made by.

    `or_manages`: also one that manages the project, and may upload to it or not: it looks at sessions and ends them,
    so that none keeps a name for ever.
    Raises NotFound, HttpError 401, 403, NameReserved, NamespaceReserved, StoreError.
    """
    worker, context = worker_of(request), context_of(request.scope)
    permit = NO_OWNERS
    try:
        permit = await worker.access.check_change(request, Right.UPLOAD, index.name, project)
        if permit.guard is not None:
            permit.guard(await worker.in_reader(index.hosted.stored, project))  # also of a project without files
    except (HttpError, NameReserved, NamespaceReserved) as error:
        is_forbidden = not isinstance(error, HttpError) or error.status == HTTPStatus.FORBIDDEN
        if not (or_manages and is_forbidden and await _manages(request, index, project)):
            raise
    state = context.decided_by or NO_GRANTS
    if worker.served(index.name, state) is None:
        raise NotFound(f"There is no index {index.name!r} any more.")
    if not or_manages and not state.definition(index.name).uploads:
        raise HttpError(403, f"The index {index.name} takes no uploads.")
    context.project = project
    return permit, state


async def _manages(request: Request, index: ServedIndex, project: str) -> bool:
    worker = worker_of(request)
    stored = await worker.in_reader(index.hosted.stored, project)
    owners = stored.owners if stored is not None else ()
    return await worker.access.manages(request, index.name, project, owners)
