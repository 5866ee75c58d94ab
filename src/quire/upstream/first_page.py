"""A warning of another index that gives nothing, so that a wrong URL is found at the first request.

A server asks no upstream before a client wants something of it, so that is when a wrong URL shows: as an error, or only
as a 404, where another server is at it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from quire.domain.errors import StoreError, UpstreamError
from quire.process.in_thread import in_thread
from quire.upstream.answers import Answered, Ask
from quire.upstream.mirrored import Validators
from quire.upstream.pages import UpstreamPage

_ADVICE: Final = (
    "Compare the URL with the one that installers are given for this index: it mostly ends in /simple/. "
    "Proxies, certificates and logins have settings (--upstream-proxy, --upstream-ca, --upstream-netrc)."
)

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class UntilFirstPage:
    """An `Ask` that warns if its first answer is no page, and none was ever kept. Once: later it only asks."""

    def __init__(self, ask: Ask, url: str, has_kept: Callable[[], bool], executor: Callable[[], Executor]) -> None:
        """`url`: for the warning; `has_kept`: whether there are, or were, pages of this index: it blocks, and raises
        StoreError; `executor`: runs it."""
        self._ask = ask
        self._url = url
        self._has_kept = has_kept
        self._executor = executor
        self._is_over = False

    async def __call__(self, name: str, known: Validators) -> Answered:
        """As `Ask` has it."""
        if self._is_over:
            return await self._ask(name, known)
        try:
            answer = await self._ask(name, known)
        except UpstreamError as error:
            await in_thread(self._executor(), self._warn, name, str(error))
            raise
        if answer.page is None and not answer.unchanged:
            said = f"It does not know this project, which is right only if {name} is a name of your own."
            await in_thread(self._executor(), self._warn, name, said)
        if callable(answer.page):
            return replace(answer, page=partial(self._read, name, answer.page))
        self._is_over = True
        return answer

    def _read(self, name: str, read: Callable[[], UpstreamPage]) -> UpstreamPage:
        try:
            page = read()
        except UpstreamError as error:
            self._warn(name, str(error))
            raise
        self._is_over = True
        return page

    def _warn(self, name: str, said: str) -> None:
        try:
            if self._is_over or self._has_kept():
                return
        except StoreError:
            return  # the request that asks meets it, too
        finally:
            self._is_over = True
        log.warning("upstream gives no page yet", upstream=self._url, project=name, reason=f"{said} {_ADVICE}")
