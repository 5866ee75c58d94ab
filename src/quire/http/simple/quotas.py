"""Quotas of uploads: refusals before the file has arrived, and what uploaders are told when little is left.

`Index.publish` decides when the file is there. A file that cannot fit is refused before: by the length of the request
when it is larger than a quota; else when its name has arrived, so that its project is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import structlog
from starlette.requests import Request

from quire.access.authorization import Right
from quire.catalog.hosted import record_of
from quire.catalog.served import ServedIndex
from quire.domain.errors import InvalidName, QuotaExceeded
from quire.domain.names import parse_filename
from quire.domain.quotas import (
    NEARLY,
    UNLIMITED,
    Quotas,
    in_setting_words,
    index_is_full,
    percent,
    project_is_full,
    size_of,
)
from quire.domain.sizes import in_words
from quire.http.app.request_log import context_of
from quire.http.app.worker import Worker
from quire.index.commits import Change

HEADER: Final = "Quire-Quota"
"""In the answer to an upload: the used per cent of quotas of which little is left, as `project=95, index=91`."""

log = structlog.get_logger(__name__)


def quotas_of(request: Request, index: ServedIndex) -> Quotas:
    """The quotas of an index as they were when the request was decided on."""
    state = context_of(request.scope).decided_by
    return UNLIMITED if state is None or not state.document.indexes else Quotas.of(state.definition(index.name))


class EarlyQuotas:
    """Refuses a form whose file cannot fit, while it arrives."""

    def __init__(
        self, request: Request, worker: Worker, index: ServedIndex, quotas: Quotas, *, length: int, others: int
    ) -> None:
        """As `early_quotas`, with the quotas of the index."""
        self._request, self._worker, self._index = request, worker, index
        self._length, self._at_least = length, max(1, length - others)
        self._quotas = quotas
        smallest = min(
            (quota for quota in (self._quotas.index, self._quotas.project) if quota is not None), default=None
        )
        if smallest is not None and self._at_least > smallest:
            raise QuotaExceeded(
                f"The file has {in_words(self._at_least)} or more, and the quota is {in_setting_words(smallest)}; "
                "make the file smaller, or let an administrator raise the quota ('quire index set')."
            )

    async def check(self, filename: str) -> None:
        """Refuse a new file of this name that does not fit into what is left. Raises QuotaExceeded, HttpError 403."""
        try:
            name = parse_filename(filename).project
        except InvalidName:
            return  # refused when the form is complete, with a sentence of its own
        permit = await self._worker.access.check_change(self._request, Right.UPLOAD, self._index.name, name)
        view = await self._index.project(name)
        if permit.guard is not None:
            permit.guard(record_of(view))
        if filename in view.every:
            return  # it replaces one, or is the same
        quotas, used = self._quotas, size_of(record_of(view))
        if quotas.project is not None and used + self._at_least > quotas.project:
            raise project_is_full(name, used, self._length, quotas.project)
        if quotas.index is not None:
            left = await room_of(self._worker, self._index, quotas.index, self._at_least)
            if left is not None and left < self._at_least:
                raise index_is_full(self._index.name, quotas.index - left, self._length, quotas.index)


def early_quotas(
    request: Request, worker: Worker, index: ServedIndex, *, length: int, others: int
) -> EarlyQuotas | None:
    """Checks of a form while it arrives; None where its index has no quotas.

    `length`: bytes of the form. `others`: how many of them are of other fields than the file, at the most.
    Raises QuotaExceeded when the file is larger than a quota.
    """
    quotas = quotas_of(request, index)
    if quotas is UNLIMITED:
        return None
    return EarlyQuotas(request, worker, index, quotas, length=length, others=others)


async def room_of(worker: Worker, index: ServedIndex, quota: int, size: int) -> int | None:
    """Bytes that the quota of an index leaves; None while its use is not known.

    Where `size` bytes would not fit, or nothing is known, a new count is waited for, for a second.
    """
    index.follow_usage(worker.for_large_page)
    known = index.hosted.usage.known
    if known is None or known.bytes + size > quota:
        known = await index.usage(worker.for_large_page, is_urgent=True)
    return None if known is None else quota - known.bytes


def nearly_used(index: ServedIndex, change: Change, quotas: Quotas) -> dict[str, int]:
    """The quotas that are nearly used after an upload, with the used per cent. The log has each when it gets there."""
    found = {}
    for what, before, after, quota in _uses(index, change, quotas):
        if after < NEARLY * quota:
            continue
        found[what] = percent(after, quota)
        if before < NEARLY * quota:
            project = change.name if what == "project" else None
            log.warning("quota nearly used", index=index.name, project=project, used=after, quota=quota)
    return found


def _uses(index: ServedIndex, change: Change, quotas: Quotas) -> Iterator[tuple[str, int, int, int]]:
    """Of each quota: its kind, the bytes before the change and after it, the limit."""
    before, after = size_of(change.before), size_of(change.after)
    if quotas.project is not None:
        yield "project", before, after, quotas.project
    known = index.hosted.usage.known
    if quotas.index is not None and known is not None:
        yield "index", known.bytes - (after - before), known.bytes, quotas.index
