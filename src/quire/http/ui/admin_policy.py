"""The operator's page of policies: the rules of an index, why a file is offered or not, and changes.

A change is tried first, on releases that the operator names; a second form puts exactly what was tried into force.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from quire.domain.errors import InvalidRequest, QuireError
from quire.http.api.v1_access import changing_access
from quire.http.ui.admin import chosen
from quire.http.ui.asking import ask, sentence_of
from quire.http.ui.changes import Done, made, needed
from quire.http.ui.forms import Form, first, page_with_forms
from quire.http.ui.results import led_on, result_of

_POLICY: Final = "/indexes/{index}/policy"
_WORDS: Final = (
    *("allow", "not_allow", "deny", "not_deny", "min_age_except", "not_min_age_except"),
    *("block", "unblock", "exempt", "not_exempt"),
)
_SEVERITIES: Final = ("low", "medium", "high", "critical", "off")
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "malicious": ("block", "warn", "ignore"),
    "block_severity": _SEVERITIES,
    "warn_severity": _SEVERITIES,
    "min_age_except_fixes": ("yes", "no"),
}
"""The values of fields that a list of choices has; without one nothing changes."""
_FIELDS: Final = (*_WORDS, *CHOICES, "min_age_days", "reason", "until")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DAY: Final = 86_400
_MOST_DAYS: Final = 3650


async def policy(request: Request) -> Response:
    """GET /-/admin/policy/: the policy of an index, and with `project` its decisions about one."""
    return await _page(request, {}, await result_of(request), None)


async def change_policy(request: Request) -> Response:
    """POST /-/admin/policy/: the effect of a change that is tried; one that was made leads to the page with it."""
    changing_access(request)  # a read-only server refuses it whatever it is
    index, _ = await chosen(request)
    kept: dict[str, str] = {}
    trial: dict[str, Any] = {}

    async def try_change(request: Request, form: Form) -> str:
        kept.update(_kept(form))
        change = changes_in(form)
        body = {"releases": needed(form, "releases").split(), "change": change}
        trial.update(await ask(request, "POST", f"{_POLICY}/try", body, index=index))
        return _tried(trial)

    async def set_policy(request: Request, form: Form) -> str:
        kept.update(_kept(form))
        found = await ask(request, "POST", _POLICY, changes_in(form), index=index)
        return (
            f"The policy of {index} is changed: it counts for the next request on every server."
            if found["changed"]
            else f"The policy of {index} says so already."
        )

    done, status = await made(request, {"try": try_change, "set": set_policy}, "of a policy")
    if not done.is_error and not trial:
        return await led_on(request, done)
    return await _page(request, kept, done, trial or None, status)


async def _page(
    request: Request, kept: Mapping[str, str], done: Done | None, trial: dict[str, Any] | None, status: int = 200
) -> Response:
    index, names = await chosen(request)
    found = await ask(request, "GET", _POLICY, index=index)
    explained = problem = None
    project = request.query_params.get("project", "").strip()
    if project:
        try:
            query = {"project": project[:200]}
            explained = await ask(request, "GET", f"{_POLICY}/explain", None, query, index=index)
        except QuireError as error:
            problem = sentence_of(request, error)
    return await page_with_forms(
        request,
        "admin_policy.html",
        status,
        section="policy",
        index=index,
        indexes=names,
        policy=found,
        project=project,
        explained=explained,
        problem=problem,
        done=done,
        trial=trial,
        kept=kept,
        choices=CHOICES,
    )


def changes_in(form: Form) -> dict[str, Any]:
    """The change that the fields of a form ask for, as a body of the API. Raises InvalidRequest."""
    changes: dict[str, Any] = {name: text.split() for name in _WORDS if (text := first(form, name))}
    for name, values in CHOICES.items():
        value = first(form, name)
        if value in values:
            changes[name] = {"yes": True, "no": False, "off": None}.get(value, value)
    days = first(form, "min_age_days")
    if days is not None:
        changes["min_age"] = _seconds(days)
    if reason := first(form, "reason"):
        changes["reason"] = reason
    if until := first(form, "until"):
        changes["until"] = f"{until}T00:00:00Z" if _DATE.fullmatch(until) else until
    if not changes.keys() - {"reason", "until"}:
        raise InvalidRequest("Fill in a rule to change.")
    return changes


def _seconds(days: str) -> int:
    try:
        found = float(days)
    except ValueError:
        found = -1.0
    if not 0 <= found <= _MOST_DAYS:  # NaN is not either
        raise InvalidRequest(f"The minimum age is a number of days, up to {_MOST_DAYS}.")
    return round(found * _DAY)


def _kept(form: Form) -> dict[str, str]:
    """The fields of a form, for the one that follows."""
    return {name: value for name in ("releases", *_FIELDS) if (value := first(form, name)) is not None}


def _tried(trial: Mapping[str, Any]) -> str:
    held = sum(1 for each in trial["files"] if each["after"] is not None and each["after"]["effect"] == "block")
    freed = len(trial["files"]) - held
    return f"Of {trial['checked']} files that were looked at, {held} would be held back and {freed} set free."
