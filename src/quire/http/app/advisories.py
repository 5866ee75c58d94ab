"""The advisories of the store, for requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from quire.domain.errors import StoreError
from quire.http.app.request_log import context_of
from quire.http.app.routes import API
from quire.http.app.worker import worker_of

if TYPE_CHECKING:
    from quire.advisories.known import KnownAdvisories


async def advisories_of(request: Request) -> KnownAdvisories | None:
    """Those that the access document names by the state that decided on the request, loaded: lookups do not wait.

    None where the document names none, and where the settings alone decide (`--rights settings`), since it does not
    count there. Raises StoreError for data that cannot be read.
    """
    worker = worker_of(request)
    state = context_of(request.scope).decided_by
    if state is None or not state.document.advisories:
        return None
    known = worker.advisories.at(state.document.advisories)
    if not known.is_loaded:
        await worker.in_reader(known.load)
    return known


async def load_for_policies(request: Request) -> None:
    """Load what the policies of the store look up, if that was not done since it was last taken in: what follows in the
    request waits for nothing then.

    Raises StoreError for data that cannot be read: no file is served unchecked. Administrators get their answers.
    """
    state = context_of(request.scope).decided_by
    if state is None or not state.document.advisories:
        return
    if not any(each.policy.reads_advisories for each in state.document.indexes.values()):
        return
    try:
        await advisories_of(request)
    except StoreError:
        if API not in request.url.path:
            raise
