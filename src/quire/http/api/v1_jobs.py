"""Jobs over the JSON API: `quire check` and `quire gc` in a child process of the server."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quire.access.tokens import new_identity
from quire.administration.job_documents import JobBody, JobList, job_entry
from quire.domain.errors import InvalidRequest, reason_of
from quire.domain.times import stamp
from quire.http.api.messages import answered, received
from quire.http.api.v1_access import changing_access
from quire.http.app.problems import HttpError
from quire.http.app.worker import worker_of
from quire.operations import jobs as operations
from quire.operations.jobs import Job
from quire.store.opening import is_in_memory

_MODULE: Final = "quire.commands.job"
"""The program of the child. It is above this module, so it is named and not imported."""


async def jobs(request: Request) -> Response:
    """GET jobs: the last ones of the store, whichever server runs them."""
    worker = worker_of(request)
    found = await worker.in_reader(operations.jobs, worker.default.store.records, datetime.now(UTC))
    return answered(JobList(jobs=[job_entry(each) for each in found]))


async def job(request: Request) -> Response:
    """GET a job."""
    worker, identity = worker_of(request), request.path_params["job"]
    records = worker.default.store.records
    return answered(job_entry(await worker.in_reader(operations.job, records, identity, datetime.now(UTC))))


async def begin_job(request: Request) -> Response:
    """POST jobs: begin one."""
    body = await received(request, JobBody)
    worker, _, origin = changing_access(request)
    if is_in_memory(worker.settings.root):
        raise InvalidRequest("No other process can work on a store that is in the memory of this one.")
    now = stamp(datetime.now(UTC))
    wanted = Job(
        id=new_identity(),
        kind=body.kind,
        dry_run=body.kind == "gc" and body.dry_run,
        quick=body.kind == "check" and body.quick,
        by=origin.user,
        container=socket.gethostname(),
        started=now,
        heard=now,
    )
    running = await worker.in_writer(operations.begin, worker.default.store.records, wanted)
    if running is not None:
        raise HttpError(
            409, f"A {body.kind} runs already, since {running.started} in {running.container}; wait for its end."
        )
    task = msgspec.json.encode({"settings": worker.settings.dump(), "job": wanted})
    try:
        await worker.in_writer(worker.children.start, _MODULE, (), task)
    except OSError as error:
        why = f"No process can be made for it ({reason_of(error)})."
        failed = operations.ended(wanted, "failed", {}, [why], datetime.now(UTC))
        await worker.in_writer(operations.renew, worker.default.store.records, failed)
        raise HttpError(503, why) from error
    return answered(job_entry(wanted))
