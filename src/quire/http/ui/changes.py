"""Changes by the forms of a page: one is made, and the page that follows has its result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from starlette.requests import Request

from quire.domain.errors import InvalidRequest, QuireError
from quire.http.app.problems import status_of
from quire.http.ui.asking import sentence_of
from quire.http.ui.forms import Form, first, received_form

Action = Callable[[Request, Form], Awaitable[str]]
"""Makes a change; the sentence on it. Raises QuireError."""


class Done(NamedTuple):
    """The result of a form, for the page that follows."""

    sentence: str
    is_error: bool = False


async def made(request: Request, actions: Mapping[str, Action], subject: str) -> tuple[Done, int]:
    """Make the change that a form names in its field `do`; the result, and the status of its page. `subject`: of the
    changes, for a sentence.

    Raises HttpError 401, and what `received_form` raises.
    """
    form = await received_form(request)
    action = actions.get(first(form, "do") or "")
    if action is None:
        raise InvalidRequest(f"The form names no change {subject}; open its page again.")
    try:
        return Done(await action(request, form)), 200
    except QuireError as error:
        status = status_of(error, request)
        if status == 401:
            raise
        return Done(sentence_of(request, error), is_error=True), status


def needed(form: Form, name: str) -> str:
    """The value of a field. Raises InvalidRequest for an empty one."""
    value = first(form, name)
    if value is None:
        raise InvalidRequest(f"Fill in the field {name}.")
    return value
