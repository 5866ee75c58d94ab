"""The audit log over the JSON API, a page at a time: first the changes of grants and tokens, then project by project.

So a page reads the records of a few projects.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import dropwhile
from typing import NamedTuple
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from quire.access.authorization import ALLOWED, Right
from quire.access.grants import ANY
from quire.access.history import part_about
from quire.access.records import AccessRecords
from quire.administration.describing import log_reader
from quire.administration.documents import LogPage
from quire.catalog.served import ServedIndex
from quire.domain.errors import InvalidRequest
from quire.domain.names import normalize_name
from quire.http.api.managing import missing
from quire.http.api.messages import answered, limit_of, moment_of
from quire.http.app.request_log import context_of
from quire.http.app.worker import index_of, worker_of
from quire.index.audit.entries import Entry, as_logged
from quire.index.audit.reading import LogFilter, Logged

_MOST_READ = 500
"""Projects whose logs one page reads; with a filter it may have few entries, or none."""
_MOST_READ_FAR = 100
"""The same where each takes a round trip or more."""


_OF_ACCESS = ""
"""In a cursor, in place of a project: the changes of grants and tokens. It sorts before all projects."""


class _Cursor(NamedTuple):
    """The last entry that earlier pages had. Not their number of entries: some may expire before the next page."""

    project: str
    id: str = ""
    """Empty where pages had none of the project yet."""
    at: str = ""

    @property
    def text(self) -> str:
        return f"{self.project}/{quote(self.id, safe='')}/{self.at}"


async def log(request: Request) -> Response:
    """GET the log of all projects, deleted ones as well."""
    return await _answer(request, None)


async def project_log(request: Request) -> Response:
    """GET the log of one project."""
    worker, index = worker_of(request), index_of(request)
    name = normalize_name(request.path_params["name"])
    permit = await worker.access.check_change(request, Right.INSPECT, index.name, name)
    if permit.guard is not None:
        permit.guard(await worker.in_reader(index.hosted.stored, name))
    if not (await index.project(name)).exists and not await worker.in_reader(_is_logged, index, name):
        raise await missing(request, index, name, lambda: index.store.records.written(index.hosted.prefix))
    return await _answer(request, name)


async def _answer(request: Request, name: str | None) -> Response:
    worker, index, limit = worker_of(request), index_of(request), limit_of(request)
    query = request.query_params
    since = moment_of("since", query.get("since"))
    filter_ = LogFilter(
        since=None if since is None else as_logged(since), user=query.get("user"), action=query.get("action")
    )
    cursor = _cursor(query.get("cursor"))
    context, of = context_of(request.scope), index.name
    state = context.decided_by
    if name is None and state is not None:
        rules = worker.access.rules
        of = ANY if rules.authorize(context.principal, Right.ADMIN, ANY, None, state) is ALLOWED else of
    work = partial(_page, index, name, filter_, cursor, limit, of=of)
    return answered(await worker.for_large_page(work))


def _page(index: ServedIndex, name: str | None, filter_: LogFilter, cursor: _Cursor, limit: int, *, of: str) -> LogPage:
    """Blocks. The entries behind a cursor. `of`: the index whose grants and tokens are shown, or ANY."""
    hosted = index.hosted
    reader = log_reader(hosted)
    of_projects = (name,) if name is not None else sorted(hosted.store.records.written(hosted.prefix))
    names: Sequence[str] = (_OF_ACCESS, *of_projects)
    entries: list[Entry] = []
    begin = bisect_left(names, cursor.project)
    end = begin + (_MOST_READ if hosted.store.validates_inline else _MOST_READ_FAR)
    for each in names[begin:end]:
        last = cursor if each == cursor.project else _Cursor(each)
        found = (
            reader.all((each,), filter_) if each != _OF_ACCESS else reader.all((), filter_, _of_access(index, of, name))
        )
        for logged in _behind(last, found):
            if len(entries) == limit:
                return LogPage(entries=entries, next=last.text)
            entries.append({"project": each or None} | logged.entry)
            last = _Cursor(each, _id(logged), logged.at)
    return LogPage(entries=entries, next=_Cursor(names[end]).text if end < len(names) else None)


def _behind(last: _Cursor, found: Sequence[Logged]) -> Iterable[Logged]:
    """The entries of a project behind the last one that was given; if that is gone, those that are no older than it.

    So it does not matter how many entries expire between two pages.
    """
    ends = [number for number, logged in enumerate(found, 1) if _id(logged) == last.id]
    return found[ends[-1] :] if ends else dropwhile(lambda logged: logged.at < last.at, found)


def _is_logged(index: ServedIndex, name: str) -> bool:
    """Blocks. Whether there ever was such a project, or a grant, a token or a publisher for one."""
    return index.hosted.was_written(name) or bool(_of_access(index, index.name, name))


def _of_access(index: ServedIndex, of: str, project: str | None) -> list[Logged]:
    """The changes of grants, groups and tokens that are about a project of the index `of`, or about it. Blocks."""
    log = AccessRecords(index.hosted.store).log()
    return [Logged(_OF_ACCESS, part) for entry in log if (part := part_about(entry, of, project)) is not None]


def _id(logged: Logged) -> str:
    return str(logged.entry.get("id"))


def _cursor(raw: str | None) -> _Cursor:
    """Raises InvalidRequest."""
    if raw is None:
        return _Cursor(_OF_ACCESS)
    project, _, last = raw.partition("/")
    identity, slash, at = last.partition("/")
    if not slash:
        raise InvalidRequest("The cursor is none of a page of the log; take the field next as it is.")
    return _Cursor(project, unquote(identity), at)
