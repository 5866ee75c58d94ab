"""The addresses of entries of the audit log: where the page after a change shows its entry.

An entry has the id of the request that made the change, so it is found by that, and no other change is shown for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request

from quire.domain.errors import QuireError
from quire.http.app.request_log import context_of
from quire.http.app.worker import THE_DEFAULT, worker_of
from quire.http.ui.asking import ask_if_allowed
from quire.http.ui.layout import index_path, root_of

Find = Callable[[Request, str, str | None], Awaitable[str | None]]
"""The address of the entry that a request made since a time, in the log of an index (None for that of the request);
None for no entry, or one that the reader may not see."""


async def entry_of_project(request: Request, name: str, since: str, index: str | None = None) -> str | None:
    """See `Find`; `name`: of the project, normalized."""
    where = {} if index is None else {"index": index}
    entry = await _entry(request, "/indexes/{index}/projects/{name}/log", since, name=name, **where)
    if entry is None:
        return None
    return f"{index_path(request, index)}project/{name}/history/#change-{entry['id']}"


async def entry_of_index(request: Request, since: str, index: str | None = None) -> str | None:
    """See `Find`: of grants, tokens and settings, for operators."""
    where = {} if index is None else {"index": index}
    entry = await _entry(request, "/indexes/{index}/log", since, **where)
    if entry is None:
        return None
    worker = worker_of(request)
    name = index or request.path_params.get("index", THE_DEFAULT)
    query = urlencode({"of": worker.default.name if name == THE_DEFAULT else name, "since": entry["at"]})
    return f"{root_of(request, worker)}-/admin/log/?{query}#change-{entry['id']}"


async def _entry(request: Request, path: str, since: str, **parts: str) -> dict[str, Any] | None:
    try:
        found = await ask_if_allowed(request, path, {"since": since, "limit": "500"}, **parts)
    except QuireError:
        return None  # the change was made: its page is shown without the link
    wanted = context_of(request.scope).request_id
    entries = [] if found is None else found["entries"]
    return next((each for each in reversed(entries) if each.get("request") == wanted and each.get("id")), None)
