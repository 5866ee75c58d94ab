"""Policies of indexes over the JSON API."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from quire.administration.describing_policies import changes_of, policy_entry, policy_explanation
from quire.administration.policy_documents import PolicyBody, PolicyChange, TrialBody
from quire.administration.trying_policies import tried
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name
from quire.domain.policy import with_changes
from quire.domain.times import stamp
from quire.http.api.messages import answered, received
from quire.http.api.v1_access import changing_access
from quire.http.app.worker import index_of, worker_of
from quire.operations import defining


async def policy(request: Request) -> Response:
    """GET the policy of an index."""
    name = index_of(request).name
    state = await worker_of(request).access.state()
    return answered(policy_entry(name, state.definition(name).policy))


async def set_policy(request: Request) -> Response:
    """POST the policy of an index: changes of it."""
    body = await received(request, PolicyBody)
    name = index_of(request).name
    worker, access, origin = changing_access(request)
    changed_to, changed = await worker.in_writer(
        defining.set_policy, access, name, changes_of(body), default=worker.default.name, origin=origin
    )
    return answered(PolicyChange(policy=policy_entry(name, changed_to), changed=changed))


async def explain_policy(request: Request) -> Response:
    """GET policy/explain: the decisions about the files of a project."""
    worker, index, query = worker_of(request), index_of(request), request.query_params
    if "project" not in query:
        raise InvalidRequest("Name the project: ?project=NAME, with &version=VERSION for one release.")
    view = await index.project(normalize_name(query["project"]))
    explain = policy_explanation
    return answered(await worker.in_reader(explain, index.name, view, index.policies, query.get("version")))


async def try_policy(request: Request) -> Response:
    """POST policy/try: the effect of a change, which is not made."""
    body = await received(request, TrialBody)
    worker, index = worker_of(request), index_of(request)
    state = await worker.access.state()
    policy, after = state.definition(index.name).policy, index.policies
    if body.change is not None:
        policy = with_changes(policy, changes_of(body.change), at=stamp(datetime.now(UTC)), by=None)
        after = index.filter_by(worker.indexes.rules_with(index.name, state, policy))
    found = tried(index.name, body.releases, index.project, index.policies, after, is_change=body.change is not None)
    return answered(await found)
