"""The READMEs that one worker renders for pages, in a thread of their own: a slow one holds up no other page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from quire.http.app.renderings import Renderings
from quire.process.in_thread import in_thread
from quire.process.threads import Threads
from quire.readme.process import Readme, ReadmeProcess, as_text

MOST_PENDING: Final = 8
"""READMEs that are rendered or wait for it: one takes up to some seconds. Another one is shown as text meanwhile."""


class Readmes:
    """One for each worker. Several requests for the same README share its rendering."""

    def __init__(
        self, threads: Threads, run: Callable[..., Awaitable[Any]], process: ReadmeProcess | None = None
    ) -> None:
        """`run`: runs a short function in a thread. `process`: that renders; a new one by default."""
        self._threads = threads
        self._run = run
        self._process = ReadmeProcess() if process is None else process
        self._pending = 0
        self._renderings: Renderings[Readme | None] = Renderings()

    async def render(self, description: str, content_type: str | None) -> tuple[Readme, bool]:
        """A README for a page, and whether it is to be kept: one that finds too many others waiting is shown as text
        this time alone. Raises what `run` raises."""
        readme: Readme | None = await self._run(self._process.known, description, content_type)
        if readme is None:
            readme = await self._renderings.get(
                (description, content_type), lambda: self._rendered(description, content_type)
            )
        return (await self._run(as_text, description), False) if readme is None else (readme, True)

    def close(self) -> None:
        """End the process."""
        self._process.close()

    async def _rendered(self, description: str, content_type: str | None) -> Readme | None:
        """None where too many others wait."""
        if self._pending >= MOST_PENDING:
            return None
        self._pending += 1
        try:
            return await in_thread(self._threads.readmes(), self._process.render, description, content_type)
        finally:
            self._pending -= 1
