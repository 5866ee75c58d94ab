"""The declared configuration of a server, compared with the store now and then. Differences are reported, not applied.

A server that applied it could undo what an administrator has just changed, and two servers with two versions of the
file would do so to each other. `quire apply` does it, once, all of it.
"""

from __future__ import annotations

from typing import Final

import structlog

from quire.access.document import AccessDocument
from quire.operations.declaring.applying import compared

_LOGGED: Final = 20

log = structlog.get_logger(__name__)


class DeclaredWatch:
    """Belongs to one worker."""

    def __init__(self, file: str, default: str) -> None:
        """`default`: the index at the server's root. The file is read by `compare`: a worker that is started again
        reports one that has become wrong meanwhile, and serves."""
        self._file = file
        self._default = default
        self._reported: list[str] = []
        self.count: int | None = None
        """How many differences there were last; None before the first comparison."""

    @property
    def sentence(self) -> str | None:
        """The last comparison in a sentence without a name or a value; None where nothing was different."""
        if not self.count:
            return None
        different = "1 difference" if self.count == 1 else f"{self.count} differences"
        return f"The store is not as declared: {different}; 'quire apply FILE --check' shows them."

    def compare(self, document: AccessDocument) -> None:
        """Compare the file, as it is now, with a document, and log what has changed. Blocks."""
        found = compared(document, self._file, self._default)
        if found and found != self._reported:
            log.warning("store is not as declared", config=self._file, differences=found[:_LOGGED])
        elif self._reported and not found:
            log.info("store is as declared", config=self._file)
        self._reported, self.count = found, len(found)
