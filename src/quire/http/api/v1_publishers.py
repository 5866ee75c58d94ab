"""Trusted publishers, and the end of sessions, over the JSON API."""

from __future__ import annotations

from bisect import bisect_right

from starlette.requests import Request
from starlette.responses import Response

from quire.administration.access_documents import Ended, IdsBody
from quire.administration.describing_publishers import Projects, projects_of, publisher_entry
from quire.administration.publisher_documents import (
    Audience,
    AudienceBody,
    NewPublisher,
    PublisherBody,
    PublisherPage,
    SessionsBody,
    SessionsEnded,
)
from quire.domain.errors import InvalidRequest
from quire.http.api.messages import answered, limit_of, received
from quire.http.api.v1_access import changing_access
from quire.http.app.worker import Worker, worker_of
from quire.index.index import all_indexes
from quire.operations import sessions, trusted_publishing


async def publishers(request: Request) -> Response:
    """GET publishers: by id."""
    worker, limit = worker_of(request), limit_of(request)
    document = (await worker.access.state()).document
    ids = sorted(document.publishers)
    begin = bisect_right(ids, request.query_params.get("cursor", ""))
    chosen = ids[begin : begin + limit]
    projects = await worker.for_large_page(_projects, worker) if chosen else {}
    found = [publisher_entry(identity, document.publishers[identity], projects) for identity in chosen]
    is_last = begin + limit >= len(ids)
    return answered(PublisherPage(audience=document.audience, publishers=found, next=None if is_last else chosen[-1]))


async def add_publisher(request: Request) -> Response:
    """POST publishers: the same publisher once more changes nothing."""
    body = await received(request, PublisherBody)
    worker, access, origin = changing_access(request)
    identity, document, changed = await worker.in_writer(
        trusted_publishing.add_publisher,
        access,
        body.platform,
        body.settings,
        body.claims,
        issuer=body.issuer,
        index=body.index or worker.default.name,
        projects=body.projects,
        origin=origin,
    )
    projects = await worker.for_large_page(_projects, worker)
    entry = publisher_entry(identity, document.publishers[identity], projects)
    return answered(NewPublisher(publisher=entry, audience=document.audience, changed=changed))


async def remove_publishers(request: Request) -> Response:
    """POST publishers/remove: all of them or none."""
    body = await received(request, IdsBody)
    worker, access, origin = changing_access(request)
    await worker.in_writer(trusted_publishing.remove_publishers, access, body.ids, origin)
    return answered(Ended(ids=body.ids, changed=bool(body.ids)))


async def set_audience(request: Request) -> Response:
    """POST publishers/audience."""
    body = await received(request, AudienceBody)
    worker, access, origin = changing_access(request)
    changed = await worker.in_writer(trusted_publishing.set_audience, access, body.audience, origin)
    return answered(Audience(audience=body.audience, changed=changed))


async def end_sessions(request: Request) -> Response:
    """POST sessions/end."""
    body = await received(request, SessionsBody)
    if bool(body.users) == body.all:
        raise InvalidRequest('Name the users whose sessions to end, or send "all": true to end every session.')
    worker, access, origin = changing_access(request)
    if body.all:
        await worker.in_writer(sessions.end_all_sessions, access, origin)
    else:
        await worker.in_writer(sessions.end_sessions, access, body.users, origin)
    return answered(SessionsEnded(users=body.users, all=body.all))


def _projects(worker: Worker) -> Projects:
    """Blocks."""
    return projects_of(all_indexes(worker.default.store))
