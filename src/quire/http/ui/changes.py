"""Changes by the forms of a page: one is made, and the page that follows has its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from starlette.requests import Request

from quire.domain.errors import InvalidRequest, QuireError
from quire.http.app.problems import status_of
from quire.http.ui.asking import sentence_of
from quire.http.ui.entries import Find, entry_of_index
from quire.http.ui.filters import exact
from quire.http.ui.forms import Form, first, received_form
from quire.index.audit.entries import as_logged


class Change(NamedTuple):
    """A change that was made."""

    sentence: str
    where: str | None = None
    """The index in whose log it is; None for that of the page."""


Action = Callable[[Request, Form], Awaitable[str | Change]]
"""Makes a change; the sentence on it. Raises QuireError."""


class Done(NamedTuple):
    """The result of a form, for the page that follows."""

    sentence: str
    is_error: bool = False
    entry: str | None = None
    """The address of the entry in the audit log; None where there is none, or the user may not read it."""
    action: str = ""
    given: Mapping[str, list[str]] = {}
    """The fields of the form."""


class Typed(Protocol):
    """The value of a field of a form that failed, to be shown in it again exactly as it was typed; `default` for every
    other form. `same`: the values of its hidden fields, by which forms of the same action differ."""

    def __call__(self, action: str, field: str, default: str = "", **same: str) -> str: ...


def typed(done: Done | None) -> Typed:
    """See `Typed`."""

    def value(action: str, field: str, default: str = "", **same: str) -> str:
        if done is None or not done.is_error or done.action != action:
            return default
        given = {name: values[0] for name, values in done.given.items()}
        return exact(given.get(field, "")) if same.items() <= given.items() else default

    return value


async def made(
    request: Request, actions: Mapping[str, Action], subject: str, find: Find = entry_of_index
) -> tuple[Done, int]:
    """Make the change that a form names in its field `do`; the result, and the status of its page. `subject`: of the
    changes, for a sentence. `find`: finds its entry in the log.

    Raises HttpError 401, and what `received_form` raises.
    """
    form = await received_form(request)
    word = first(form, "do") or ""
    action = actions.get(word)
    if action is None:
        raise InvalidRequest(f"The form names no change {subject}; open its page again.")
    since = as_logged(datetime.now(UTC))
    try:
        change = await action(request, form)
    except QuireError as error:
        status = status_of(error, request)
        if status == 401:
            raise
        return Done(sentence_of(request, error), is_error=True, action=word, given=form), status
    change = Change(change) if isinstance(change, str) else change
    return Done(change.sentence, entry=await find(request, since, change.where), action=word, given=form), 200


def needed(form: Form, name: str) -> str:
    """The value of a field. Raises InvalidRequest for an empty one."""
    value = first(form, name)
    if value is None:
        raise InvalidRequest(f"Fill in the field {name}.")
    return value
