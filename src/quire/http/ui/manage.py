"""The pages of a project for its owners: the changes of it, and its history."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import Right
from quire.domain.errors import InvalidName, InvalidRequest, NotFound, QuireError
from quire.domain.names import normalize_name, same_version, version_sort_key
from quire.http.api.managing import managed
from quire.http.app.worker import worker_of
from quire.http.ui import publishing
from quire.http.ui.asking import ask, ask_if_allowed
from quire.http.ui.changes import Action, Done, made, needed, typed
from quire.http.ui.entries import entry_of_index, entry_of_project
from quire.http.ui.forms import Form, first, page_with_forms
from quire.http.ui.layout import page_response_of
from quire.http.ui.results import led_on, result_of
from quire.publishing.platforms import PLATFORMS

_PROJECT: Final = "/indexes/{index}/projects/{name}"
STATUSES: Final = ("active", "archived", "deprecated", "quarantined")
_LOG_QUERY: Final = ("user", "action", "since")
_MOST_SHOWN: Final = 500
"""Entries of the history: the newest ones."""
_MOST_PAGES: Final = 40
MOST_RELEASES: Final = 200
"""On one page, each with its forms."""


class _Releases(NamedTuple):
    """Releases that were published here, the newest first."""

    shown: list[dict[str, Any]]
    number: int
    """Of all."""
    older: str | None
    """The first one that is not shown; None where the last one is."""


async def manage(request: Request) -> Response:
    """GET /project/<name>/manage/?version=: with the releases from this version on, to older ones."""
    await managed(request, Right.INSPECT)
    return await _page(request, await result_of(request))


async def change(request: Request) -> Response:
    """POST /project/<name>/manage/: one change, which leads to the page with its result; or why there is none."""
    await managed(request)
    done, status = await made(request, _ACTIONS, "of a project", _entry)
    is_shown_here = done.is_error or done.action == publishing.PLAN  # nothing was changed
    return await _page(request, done, status) if is_shown_here else await led_on(request, done)


async def _entry(request: Request, since: str, index: str | None) -> str | None:
    found = await entry_of_project(request, _name(request), since, index)
    return found or await entry_of_index(request, since, index)


async def history(request: Request) -> Response:
    """GET /project/<name>/history/: the log of its changes, the newest first."""
    name = _name(request)
    query = {key: value for key in _LOG_QUERY if (value := request.query_params.get(key))}
    entries: deque[Any] = deque(maxlen=_MOST_SHOWN)
    for _ in range(_MOST_PAGES):
        found = await ask(request, "GET", f"{_PROJECT}/log", None, {"limit": "500"} | query, name=name)
        entries.extend(found["entries"])
        if found["next"] is None:
            break
        query["cursor"] = found["next"]
    return await page_response_of(request, "history.html", name=name, entries=list(reversed(entries)), most=_MOST_SHOWN)


async def _page(request: Request, done: Done | None, status: int = 200) -> Response:
    name = _name(request)
    try:
        project = await ask_if_allowed(request, _PROJECT, name=name)
    except NotFound:
        if done is None and not await has_trash(request, name):
            raise
        project = None  # it was deleted
    owners = await _or_nothing(ask_if_allowed(request, f"{_PROJECT}/owners", name=name))
    trash = await _or_nothing(ask_if_allowed(request, f"{_PROJECT}/trash", name=name))
    publishers = await publishing.publishers(request, name, done)
    version = request.query_params.get("version", "").strip()
    return await page_with_forms(
        request,
        "manage.html",
        status,
        name=name,
        project=project,
        releases=await worker_of(request).for_large_page(_releases, project, version),
        version=version,
        owners=owners,
        trash=trash,
        publishers=publishers,
        platforms=PLATFORMS,
        fields=[] if publishers is None else publishing.fields_of(publishers.platform),
        claim=await publishing.claim(request, name),
        promotion=await publishing.promotion(request, done),
        done=done,
        typed=typed(done),
        statuses=STATUSES,
    )


async def has_trash(request: Request, name: str) -> bool:
    """Whether files of a project (normalized name) lie in the trash that the reader may restore."""
    trash = await _or_nothing(ask_if_allowed(request, f"{_PROJECT}/trash", name=name))
    return bool(trash and trash["files"])


async def _or_nothing(asked: Awaitable[Any]) -> Any:
    """The answer; None for what a project of drop-ins or of an upstream does not have."""
    try:
        return await asked
    except QuireError:
        return None


def _releases(project: dict[str, Any] | None, version: str) -> _Releases:
    """The releases that one page shows: from this version on, or from the newest one. Blocks."""
    found = [] if project is None else _published(project)
    begin = 0
    if version:
        wanted = version_sort_key(version)
        begin = next((place for place, each in enumerate(found) if version_sort_key(each["version"]) <= wanted), 0)
    end = begin + MOST_RELEASES
    return _Releases(found[begin:end], len(found), found[end]["version"] if end < len(found) else None)


def _published(project: dict[str, Any]) -> list[dict[str, Any]]:
    """The releases that were published here, the newest first, and whether all files of each are yanked."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in project["files"]:
        if not (file.get("drop_in") or file.get("mirrored")):
            found.setdefault(file["version"], []).append(file)
    order = {version: number for number, version in enumerate(project["versions"])}
    return [
        {
            "version": version,
            "files": len(files),
            "yanked": all(file.get("yanked", False) is not False for file in files),
            "reasons": list(dict.fromkeys(reason for file in files if isinstance(reason := file.get("yanked"), str))),
        }
        for version, files in sorted(found.items(), key=lambda each: -order.get(each[0], -1))
    ]


# -- changes ----------------------------------------------------------------------------------------------------------


async def _yank(request: Request, form: Form) -> str:
    body = {"version": needed(form, "version"), "reason": first(form, "reason")}
    found = await _post(request, "yank", body)
    return f"Yanked {found['selection']}: installers take it only where a lock file or == names it."


async def _unyank(request: Request, form: Form) -> str:
    found = await _post(request, "unyank", {"version": needed(form, "version")})
    return f"Took the yanked mark from {found['selection']}."


async def _delete(request: Request, form: Form) -> str:
    version = needed(form, "version")
    if not same_version(first(form, "confirmation") or "", version):
        raise InvalidRequest(f"Nothing was deleted: type the version, {version}, to confirm.")
    return _deleted(await _post(request, "delete", {"version": version}))


async def _delete_project(request: Request, form: Form) -> str:
    name = _name(request)
    if not _is_spelling(first(form, "confirmation") or "", name):
        raise InvalidRequest(f"Nothing was deleted: type the name of the project, {name}, to confirm.")
    return _deleted(await _post(request, "delete", {"all": True}))


def _is_spelling(typed: str, name: str) -> bool:
    """Whether the text that was typed is this name (normalized), in any spelling."""
    try:
        return normalize_name(typed) == name
    except InvalidName:
        return False


def _deleted(found: dict[str, Any]) -> str:
    count = len(found["deleted"])
    kept = f" They can be restored for {found['trash_days']:g} days." if found.get("in_trash") else ""
    return f"Deleted {found['selection']}: {count} file{'s' * (count != 1)}.{kept}"


async def _set_status(request: Request, form: Form) -> str:
    found = await _post(request, "status", {"status": first(form, "status"), "reason": first(form, "reason")})
    return (
        f"The project is {found['status']} now." if found["changed"] else f"The project was {found['status']} already."
    )


async def _add_owner(request: Request, form: Form) -> str:
    subject = needed(form, "subject")
    found = await _post(request, "owners/add", {"subject": subject})
    return f"{subject} is an owner now." if found["changed"] else f"{subject} was an owner already."


async def _remove_owner(request: Request, form: Form) -> str:
    subject = needed(form, "subject")
    found = await _post(request, "owners/remove", {"subject": subject})
    return f"{subject} is no owner any more." if found["changed"] else f"{subject} was no owner."


async def _restore(request: Request, form: Form) -> str:
    filename = needed(form, "filename")
    await _post(request, "trash/restore", {"filename": filename})
    return f"Published {filename} again."


async def _post(request: Request, action: str, body: dict[str, Any]) -> Any:
    given = {key: value for key, value in body.items() if value is not None}
    return await ask(request, "POST", f"{_PROJECT}/{action}", given, name=_name(request))


_ACTIONS: Final[dict[str, Action]] = {
    "yank": _yank,
    "unyank": _unyank,
    "delete": _delete,
    "delete-project": _delete_project,
    "status": _set_status,
    "add-owner": _add_owner,
    "remove-owner": _remove_owner,
    "restore": _restore,
    **publishing.ACTIONS,
}
"""By the field `do` of a form."""


def _name(request: Request) -> str:
    return normalize_name(request.path_params["name"])
