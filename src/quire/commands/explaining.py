"""The decisions of policies about a project, on a store: those of a server of it that asks no upstream."""

from __future__ import annotations

import asyncio

import msgspec

from quire.administration.describing_policies import policy_explanation
from quire.administration.policy_documents import PolicyExplanation
from quire.commands.common import Opened
from quire.domain.errors import NotFound
from quire.http.app.worker import build_worker


def explained(opened: Opened, index: str, project: str, version: str | None) -> PolicyExplanation:
    """The decisions about the files of a project. Raises NotFound, UpstreamError, StoreError."""

    async def explain() -> PolicyExplanation:
        settings = msgspec.structs.replace(opened.settings, index=opened.root, upstream_offline=True)
        worker = build_worker(settings)
        try:
            served = worker.served(index, await worker.access.state())
            if served is None:
                raise NotFound(f"There is no index {index!r} any more.")
            return policy_explanation(index, await served.project(project), served.policies, version)
        finally:
            await worker.close_mirrors()
            worker.close()

    return asyncio.run(explain())
