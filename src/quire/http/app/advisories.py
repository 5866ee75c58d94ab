"""The advisories of the store, for requests."""

from __future__ import annotations

from starlette.requests import Request

from quire.advisories.known import NO_ADVISORIES, KnownAdvisories
from quire.http.app.request_log import context_of
from quire.http.app.worker import worker_of


async def advisories_of(request: Request) -> KnownAdvisories:
    """Those that the access document names by the state that decided on the request, loaded: lookups do not wait.

    None of them where the settings alone decide (`--rights settings`), as the document does not count there.
    Raises StoreError for data that cannot be read.
    """
    worker = worker_of(request)
    state = context_of(request.scope).decided_by
    if state is None or not state.document.advisories:
        return NO_ADVISORIES
    known = worker.advisories.at(state.document.advisories)
    if not known.is_loaded:
        await worker.in_reader(known.load)
    return known
