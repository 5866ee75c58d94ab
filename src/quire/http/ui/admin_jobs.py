"""The operator's page of jobs: checks and collections of garbage, with their progress."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from quire.http.api.v1_access import changing_access
from quire.http.app.worker import worker_of
from quire.http.ui.asking import ask
from quire.http.ui.changes import Action, Done, made
from quire.http.ui.forms import Form, page_with_forms
from quire.http.ui.layout import root_of

_COUNTED_IN_BYTES: Final = frozenset({"bytes", "mirror_bytes"})


async def jobs(request: Request) -> Response:
    """GET /-/admin/jobs/: the last jobs of the store; `begun`: the id of one that a form has just begun."""
    return await _page(request, None)


async def begin(request: Request) -> Response:
    """POST /-/admin/jobs/: begin one, and lead to the page with it, which begins no other when it is loaded again."""
    changing_access(request)  # a read-only server refuses it whatever it is
    done, status = await made(request, _ACTIONS, "that is a job")
    if done.is_error:
        return await _page(request, done, status)
    page = f"{root_of(request, worker_of(request))}-/admin/jobs/?begun={quote(done.sentence)}"
    return Response(status_code=303, headers={"Location": page, "Cache-Control": "no-store"})


async def _page(request: Request, done: Done | None, status: int = 200) -> Response:
    found = (await ask(request, "GET", "/jobs"))["jobs"]
    begun = next((each for each in found if each["id"] == request.query_params.get("begun")), None)
    if begun is not None:
        done = Done(_BEGUN[begun["kind"], begun["dry_run"]])
    collected = next((each for each in found if each["kind"] == "gc"), None)
    return await page_with_forms(
        request,
        "admin_jobs.html",
        status,
        section="jobs",
        jobs=found,
        done=done,
        runs=any(each["state"] == "running" for each in found),
        may_remove=collected is not None and collected["dry_run"] and collected["state"] == "done",
        in_bytes=_COUNTED_IN_BYTES,
    )


async def _begin(request: Request, **body: Any) -> str:
    return str((await ask(request, "POST", "/jobs", body))["id"])


async def _check(request: Request, form: Form) -> str:
    return await _begin(request, kind="check", quick="quick" in form)


async def _preview(request: Request, form: Form) -> str:
    return await _begin(request, kind="gc", dry_run=True)


async def _collect(request: Request, form: Form) -> str:
    return await _begin(request, kind="gc", dry_run=False)


_ACTIONS: Final[dict[str, Action]] = {"check": _check, "preview": _preview, "collect": _collect}
"""By the field `do` of a form. Each gives the id of the job that was begun, in place of a sentence."""
_BEGUN: Final = {
    ("check", False): "The check has begun; it goes on beside this page.",
    ("gc", True): "The search for what can be removed has begun; it removes nothing.",
    ("gc", False): "The removal has begun; it goes on by itself.",
}
"""By the kind of a job, and whether it only says what it would remove."""
