"""The decisions of policies on a store: those of a server of it that asks no upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from quire.access.decisions import AccessState
from quire.administration.describing_policies import changes_of, policy_explanation
from quire.administration.policy_documents import PolicyBody, PolicyExplanation, Trial
from quire.administration.trying_policies import tried
from quire.catalog.served import ServedIndex
from quire.commands.common import Opened
from quire.domain.errors import NotFound
from quire.domain.policy import with_changes
from quire.domain.times import stamp
from quire.http.app.building import build_worker
from quire.http.app.worker import Worker

T = TypeVar("T")


def explained(opened: Opened, index: str, project: str, version: str | None) -> PolicyExplanation:
    """The decisions about the files of a project. Raises NotFound, UpstreamError, StoreError."""

    async def explain(worker: Worker, served: ServedIndex, state: AccessState) -> PolicyExplanation:
        return policy_explanation(index, await served.project(project), served.policies, version)

    return _served(opened, index, explain)


def tried_on(opened: Opened, index: str, releases: Sequence[str], change: PolicyBody | None) -> Trial:
    """The effect of a change of the policy. Raises InvalidRequest, UpstreamError, StoreError."""

    async def find(worker: Worker, served: ServedIndex, state: AccessState) -> Trial:
        after = served.policies
        if change is not None:
            now, before = stamp(datetime.now(UTC)), state.definition(index).policy
            policy = with_changes(before, changes_of(change), at=now, by=None)
            after = served.filter_by(worker.indexes.rules_with(index, state, policy))
        changes = change is not None
        return await tried(index, releases, served.project, served.policies, after, is_change=changes)

    return _served(opened, index, find)


def _served(opened: Opened, index: str, ask: Callable[[Worker, ServedIndex, AccessState], Awaitable[T]]) -> T:
    async def run() -> T:
        worker = build_worker(msgspec.structs.replace(opened.settings, index=opened.root, upstream_offline=True))
        try:
            state = await worker.access.state()
            served = worker.served(index, state)
            if served is None:
                raise NotFound(f"There is no index {index!r} any more.")
            return await ask(worker, served, state)
        finally:
            await worker.close_mirrors()
            worker.close()

    return asyncio.run(run())
