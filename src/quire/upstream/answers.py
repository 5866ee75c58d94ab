"""The answer of another index for a page, and the contract of the function that gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from quire.upstream.mirrored import Validators
from quire.upstream.pages import UpstreamPage

NO_VALIDATORS: Final = Validators()


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of the other index."""

    page: UpstreamPage | Callable[[], UpstreamPage] | None
    """None: it has no such project, or, if `unchanged`, the page is the one that was confirmed. A function reads the
    answer's bytes, in a thread; it raises UpstreamError when they are no page."""
    unchanged: bool = False
    validators: Validators = NO_VALIDATORS

    def read(self) -> Answered:
        """The answer with its page. Blocks. Raises UpstreamError."""
        return replace(self, page=self.page()) if callable(self.page) else self


class Ask(Protocol):
    """Asks the other index for a page."""

    async def __call__(self, name: str, known: Validators) -> Answered:
        """`known`: of the page that is kept; empty to get the page in any case. Raises UpstreamError."""
        ...
