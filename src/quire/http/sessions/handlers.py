"""The handlers of publishing sessions (PEP 694, draft): created, asked for, published, canceled."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from quire.access.publishing_sessions import SessionExists
from quire.catalog.hosted import record_of
from quire.domain.changes import check_takes_uploads
from quire.domain.errors import FileExists, InvalidName, InvalidRequest, QuotaExceeded, SessionConflict
from quire.domain.names import normalize_name, normalize_version
from quire.domain.publishing_sessions import ENDED, OpenSession, PublishingSession, Status
from quire.domain.quotas import Quotas
from quire.http.api.v1_promotions import promotion_target
from quire.http.app.problems import HttpError
from quire.http.app.request_log import context_of, origin_of
from quire.http.app.worker import index_of, worker_of
from quire.http.sessions.found import Found, allowed, find, sessions_of
from quire.http.sessions.messages import (
    Extension,
    Links,
    Message,
    NewSession,
    answered,
    deleted,
    received,
    session_document,
)
from quire.http.simple.uploads import check_name
from quire.operations.promoting import Permission


async def create(request: Request) -> Response:
    """POST of the root: a session for one release. 409 with its address where there is one that is open."""
    body = await received(request, NewSession)
    worker, index, context = worker_of(request), index_of(request), context_of(request.scope)
    try:
        project, version = normalize_name(body.name), normalize_version(body.version)
    except InvalidName as error:
        raise InvalidRequest(str(error)) from error
    _, state = await allowed(request, index, project)
    if index.is_mirroring:
        await check_name(index, project)
    view = index.own(await index.project(project))
    check_takes_uploads(record_of(view))
    is_first = not view.files and not await worker.in_reader(index.hosted.was_written, project)
    by = state.subject_of(context.principal, index.name, project)
    opened = OpenSession(project=project, version=version, by=by, is_first=is_first)
    origin = origin_of(request, context.user, worker.proxies)
    sessions = sessions_of(worker)
    context.action = "create"

    def work() -> tuple[str, PublishingSession | None]:
        for _ in range(2):
            try:
                return sessions.create(index.name, opened, origin)
            except SessionExists as error:
                there = sessions.read(error.token)
                if there is not None and there.status not in ENDED:
                    return error.token, None
                sessions.remove_stage(error.token, origin)  # its end was interrupted
        raise SessionConflict("Another session of this release ends in this moment; repeat this.")

    token, session = await worker.in_writer(work)
    links = Links(request, index, token)
    if session is None:
        raise HttpError(409, str(SessionExists(token)), {"Location": links.session})
    document = session_document(links, token, session, session.expires)
    return answered(document, 201, location=links.session)


async def status(request: Request) -> Response:
    """GET of a session."""
    found = await find(request, or_manages=True)
    return _answer(found, retry=found.session.status is Status.PROCESSING)


async def cancel(request: Request) -> Response:
    """DELETE of a session."""
    found = await find(request, or_manages=True)
    context_of(request.scope).action = "cancel"
    await found.worker.in_writer(found.sessions.cancel, found.token, found.definition, found.origin)
    return deleted()


async def extend(request: Request) -> Response:
    """POST extend of a session."""
    body = await received(request, Extension)
    return _answer(await extended(await find(request), body))


async def extended(found: Found, body: Extension) -> Found:
    """The session, which ends later, as the body of a request asks. Raises InvalidRequest, SessionConflict, NotFound,
    StoreError."""
    if body.extend_for <= 0:
        raise InvalidRequest("extend-for is a number of seconds, more than 0.")
    if found.definition is None or found.session.status in ENDED:
        raise SessionConflict(f"The session is {found.session.status}; create another one.")
    seconds = min(body.extend_for, 10**9)
    extend, session = found.sessions.extend, found.session
    definition = await found.worker.in_writer(extend, found.token, session, seconds, found.origin)
    return replace(found, definition=definition)


async def publish(request: Request) -> Response:
    """POST publish of a session. Of one that is published already the answer is the same as when it was."""
    await received(request, Message)
    found = await find(request)
    session = found.session
    if session.status not in {Status.PUBLISHED, Status.PROCESSING}:
        session = await _publish(request, found)
    found = found.with_session(session)
    is_done = session.status is Status.PUBLISHED
    return _answer(found, 201 if is_done else 202, location=found.links.session, retry=not is_done)


async def _publish(request: Request, found: Found) -> PublishingSession:
    worker, index, definition = found.worker, found.index, found.definition
    project, context = found.session.project, context_of(request.scope)
    if definition is None or found.session.status is Status.CANCELED:
        raise SessionConflict("The session is canceled; create another one.")
    if index.is_mirroring:
        await check_name(index, project)
    state = context.decided_by
    assert state is not None
    quotas = Quotas.of(state.definition(index.name))
    if quotas.index is not None:
        await index.usage(worker.for_large_page, is_urgent=True)
    context.action = "publish"
    permissions = {project: Permission(found.permit.guard, found.permit.owner)}

    def work() -> PublishingSession:
        # What is published is never replaced, also where an upload to the index may do that.
        target = promotion_target(index, quotas, permissions, overwrite=False)
        return found.sessions.publish(found.token, definition, target, found.origin)

    try:
        return await worker.for_large_upload(work)
    except (FileExists, QuotaExceeded) as error:
        raise SessionConflict(str(error)) from error


def _answer(found: Found, status: int = 200, *, location: str | None = None, retry: bool = False) -> Response:
    document = session_document(found.links, found.token, found.session, found.expires)
    return answered(document, status, location=location, retry=retry)
