"""The operator's pages: indexes and their sources, rights, the log, storage. (`admin_policy.py` has the policies.)"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from quire.domain.errors import InvalidRequest, QuireError
from quire.http.api.v1_access import changing_access
from quire.http.app.worker import THE_DEFAULT, worker_of
from quire.http.ui.asking import ask, sentence_of
from quire.http.ui.changes import Action, Done, made, needed
from quire.http.ui.forms import Form, first, page_with_forms
from quire.http.ui.layout import Site, page_response_of, site_of

RIGHTS: Final = ("read", "upload", "manage", "admin")
_LOG_QUERY: Final = ("cursor", "user", "action", "since")


async def overview(request: Request) -> Response:
    """GET /-/admin/: the indexes with their sources, and how full they are."""
    indexes = await ask(request, "GET", "/indexes")
    advisories = await ask(request, "GET", "/advisories")
    webhooks = await ask(request, "GET", "/webhooks")
    problem = await worker_of(request).readiness.problem()
    return await page_response_of(
        request,
        "admin_overview.html",
        section="overview",
        indexes=indexes["indexes"],
        advisories=advisories,
        webhooks=webhooks["webhooks"],
        problem=problem,
    )


async def log(request: Request) -> Response:
    """GET /-/admin/log/: the changes of all projects of an index, and of rights."""
    index, names = await chosen(request)
    query = {key: value for key in _LOG_QUERY if (value := request.query_params.get(key))}
    found = await ask(request, "GET", "/indexes/{index}/log", None, query, index=index)
    return await page_response_of(
        request,
        "admin_log.html",
        shown=await _site_of(request, index),
        section="log",
        index=index,
        indexes=names,
        entries=found["entries"],
        next=found["next"],
        query=query,
    )


async def storage(request: Request) -> Response:
    """GET /-/admin/storage/: the projects of an index with their sizes, and what retention would delete."""
    index, names = await chosen(request)
    cursor = request.query_params.get("cursor")
    query = {} if cursor is None else {"cursor": cursor}
    projects = await ask(request, "GET", "/indexes/{index}/projects", None, query, index=index)
    retention = await ask(request, "GET", "/indexes/{index}/retention", None, {"limit": "500"}, index=index)
    trash = await ask(request, "GET", "/indexes/{index}/trash", None, {"limit": "500"}, index=index)
    return await page_response_of(
        request,
        "admin_storage.html",
        shown=await _site_of(request, index),
        section="storage",
        index=index,
        indexes=names,
        projects=sorted(projects["projects"], key=lambda each: -each["size"]),
        next=projects["next"],
        retention=retention,
        trash=trash,
    )


async def access(request: Request) -> Response:
    """GET /-/admin/access/: grants, groups and tokens; with `subject` the rights of one."""
    return await _access_page(request, None)


async def change_access(request: Request) -> Response:
    """POST /-/admin/access/: one change of rights, and the page with its result."""
    changing_access(request)  # a read-only server refuses it whatever it is
    return await _access_page(request, *await made(request, _ACTIONS, "of rights"))


async def _access_page(request: Request, done: Done | None, status: int = 200) -> Response:
    explained = problem = None
    subject = request.query_params.get("subject", "").strip()
    if subject:
        wanted = {
            "subject": subject,
            **{key: request.query_params.get(key, "").strip() for key in ("index", "project")},
        }
        try:
            given = {key: value for key, value in wanted.items() if value}
            explained = await ask(request, "GET", "/grants/explain", None, given)
        except QuireError as error:
            problem = sentence_of(request, error)
    grants = await ask(request, "GET", "/grants")
    tokens = await ask(request, "GET", "/tokens", None, {"limit": "500"})
    publishers = await ask(request, "GET", "/publishers", None, {"limit": "500"})
    return await page_with_forms(
        request,
        "admin_access.html",
        status,
        section="access",
        grants=grants,
        tokens=tokens["tokens"],
        publishers=publishers["publishers"],
        subject=subject,
        explained=explained,
        problem=problem,
        done=done,
        rights=RIGHTS,
    )


async def _grant(request: Request, form: Form) -> str:
    body: dict[str, Any] = {"subject": needed(form, "subject"), "rights": form.get("rights", [])}
    body |= {"index": needed(form, "index"), "projects": needed(form, "projects").split()}
    found = await ask(request, "POST", "/grants", body)
    words = ", ".join(found["grant"]["rights"])
    return f"{body['subject']} has {words} now." if found["changed"] else f"{body['subject']} had {words} already."


async def _revoke_grant(request: Request, form: Form) -> str:
    await ask(request, "POST", "/grants/revoke", {"ids": [needed(form, "id")]})
    return "The grant is taken back: the next request of every worker is decided without it."


async def _revoke_token(request: Request, form: Form) -> str:
    identity = needed(form, "id")
    await ask(request, "POST", "/tokens/revoke", {"ids": [identity]})
    return f"The token {identity} is revoked: the next request with it is refused."


async def _set_group(request: Request, form: Form) -> str:
    name, users = needed(form, "group"), (first(form, "users") or "").split()
    await ask(request, "POST", "/groups/{group:path}", {"users": users}, group=name)
    return f"The group {name} has {len(users)} user{'s' * (len(users) != 1)} now."


_ACTIONS: Final[dict[str, Action]] = {
    "grant": _grant,
    "revoke-grant": _revoke_grant,
    "revoke-token": _revoke_token,
    "set-group": _set_group,
}
"""By the field `do` of a form."""


async def _site_of(request: Request, index: str) -> Site:
    """The site for links to projects of an index."""
    default = worker_of(request).default.name
    return replace(await site_of(request), index=None if index in {default, THE_DEFAULT} else index)


async def chosen(request: Request) -> tuple[str, list[str]]:
    """The index that a page is about (`?of=NAME`; the default one without it), and the names of all."""
    found = (await ask(request, "GET", "/indexes"))["indexes"]
    names = [each["name"] for each in found]
    wanted = request.query_params.get("of", "")
    default = next((each["name"] for each in found if each["is_default"]), THE_DEFAULT)
    if wanted and wanted not in names:
        raise InvalidRequest(f"There is no index {wanted[:100]!r}.")
    return wanted or default, names
