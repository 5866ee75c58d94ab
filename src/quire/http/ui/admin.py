"""The operator's pages: indexes and their sources, rights, the log, storage. (`admin_policy.py` has the policies.)"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from quire.access.history import ACCESS_ACTIONS
from quire.domain.errors import InvalidRequest, QuireError
from quire.http.api.v1_access import changing_access
from quire.http.app.worker import THE_DEFAULT, worker_of
from quire.http.ui.asking import ask, sentence_of
from quire.http.ui.changes import Action, Done, made, needed, typed
from quire.http.ui.forms import Form, first, page_with_forms
from quire.http.ui.layout import Site, page_response_of, site_of
from quire.http.ui.results import led_on, result_of
from quire.observe.metrics.catalog import CHANGE_ACTIONS, TRASH_ACTIONS

_NUMBER: Final = re.compile("[0-9]{1,6}")
RIGHTS: Final = ("read", "upload", "manage", "admin")
_LOG_QUERY: Final = ("cursor", "user", "action", "since")
_CHANGES: Final = tuple(sorted((*CHANGE_ACTIONS, *TRASH_ACTIONS, *ACCESS_ACTIONS)))
_MOST_ASKED: Final = 5
"""Pages of the API's log that one page here has in the order of time."""
_SHOWN: Final = 100


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
    """GET /-/admin/log/: the changes of all projects of an index, and of rights, the newest first."""
    index, names = await chosen(request)
    query = {key: value for key in _LOG_QUERY if (value := request.query_params.get(key))}
    entries, cursor = await _logged(request, index, query)
    given = request.query_params.get("skip", "")
    skip = int(given) if _NUMBER.fullmatch(given) else 0
    kept = {"of": index} | query
    further = kept | {"skip": str(skip + _SHOWN)} if len(entries) > skip + _SHOWN else None
    if further is None and cursor is not None:
        further = kept | {"cursor": cursor}
    return await page_response_of(
        request,
        "admin_log.html",
        shown=await _site_of(request, index),
        section="log",
        index=index,
        indexes=names,
        entries=entries[skip : skip + _SHOWN],
        further=None if further is None else urlencode(further),
        is_part=cursor is not None or "cursor" in query,
        query=query,
        changes=_CHANGES,
    )


async def _logged(request: Request, index: str, query: dict[str, str]) -> tuple[list[dict[str, Any]], str | None]:
    """The entries of a log, the newest first, and the cursor for those of further projects. The API has them project by
    project, so all of them are read before the first is known."""
    entries: list[dict[str, Any]] = []
    for _ in range(_MOST_ASKED):
        found = await ask(request, "GET", "/indexes/{index}/log", None, query | {"limit": "500"}, index=index)
        entries += found["entries"]
        if found["next"] is None:
            break
        query = query | {"cursor": found["next"]}
    entries.reverse()  # of two at the same moment the later one is first, too
    newest = sorted(entries, key=lambda each: str(each.get("at") or each.get("time")), reverse=True)
    return newest, found["next"]


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
    return await _access_page(request, await result_of(request))


async def change_access(request: Request) -> Response:
    """POST /-/admin/access/: one change of rights, which leads to the page with its result; or why there is none."""
    changing_access(request)  # a read-only server refuses it whatever it is
    done, status = await made(request, _ACTIONS, "of rights")
    return await _access_page(request, done, status) if done.is_error else await led_on(request, done)


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
        typed=typed(done),
        given_rights=[] if done is None else done.given.get("rights", []),
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
