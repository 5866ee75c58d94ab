"""The operator's page of jobs: checks and collections of garbage, with their progress."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from quire.http.api.v1_access import changing_access
from quire.http.ui.asking import ask
from quire.http.ui.changes import Action, Done, made
from quire.http.ui.forms import Form, page_with_forms

_COUNTED_IN_BYTES: Final = frozenset({"bytes", "mirror_bytes"})


async def jobs(request: Request) -> Response:
    """GET /-/admin/jobs/: the last jobs of the store."""
    return await _page(request, None)


async def begin(request: Request) -> Response:
    """POST /-/admin/jobs/: begin one, and the page with it."""
    changing_access(request)  # a read-only server refuses it whatever it is
    return await _page(request, *await made(request, _ACTIONS, "that is a job"))


async def _page(request: Request, done: Done | None, status: int = 200) -> Response:
    found = (await ask(request, "GET", "/jobs"))["jobs"]
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


async def _begin(request: Request, body: dict[str, Any], sentence: str) -> str:
    await ask(request, "POST", "/jobs", body)
    return sentence


async def _check(request: Request, form: Form) -> str:
    return await _begin(
        request, {"kind": "check", "quick": "quick" in form}, "The check has begun; it goes on beside this page."
    )


async def _preview(request: Request, form: Form) -> str:
    body = {"kind": "gc", "dry_run": True}
    return await _begin(request, body, "The search for what can be removed has begun; it removes nothing.")


async def _collect(request: Request, form: Form) -> str:
    return await _begin(request, {"kind": "gc", "dry_run": False}, "The removal has begun; it goes on by itself.")


_ACTIONS: Final[dict[str, Action]] = {"check": _check, "preview": _preview, "collect": _collect}
"""By the field `do` of a form."""
