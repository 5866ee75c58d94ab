"""Failed requests: each is counted and logged here, and gets the sentence that its client may read."""

from __future__ import annotations

import structlog
from starlette.requests import Request

from quire.domain.errors import QuireError, StoreError, UpstreamError
from quire.http.app.request_log import context_of
from quire.http.app.worker import worker_of

log = structlog.get_logger(__name__)


def told(request: Request, error: QuireError) -> str:
    """The sentence without paths of this machine, and without what only operators may know of an upstream."""
    worker, path, request_id = worker_of(request), request.url.path, context_of(request.scope).request_id
    if isinstance(error, StoreError):
        worker.metrics.tally.store_error(error)
        log.error("store error", path=path, error=str(error), cause=repr(error.__cause__), request=request_id)
    if isinstance(error, UpstreamError):
        log.warning("upstream error", path=path, error=str(error), request=request_id)
        return error.told
    return worker.without_paths(str(error))
