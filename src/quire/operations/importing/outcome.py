"""The outcome of each file of an import."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome for one file."""

    IMPORTED = "imported"
    PRESENT = "already published"
    """With the same content, by an earlier import or an upload."""
    CONFLICT = "conflict"
    """Other content is published under this filename. Nothing was changed."""
    DELETED = "deleted"
    """It was deleted from the target after an earlier import, and stays deleted."""
    WANTED = "to be imported"
    """Not here; with --dry-run it is not fetched."""
    REFUSED = "refused"
    """It cannot be taken; the note says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one file of the source."""

    path: str
    """Relative to the source."""
    project: str
    filename: str
    size: int
    """Bytes; 0 when the file could not be read at all."""
    outcome: Outcome
    note: str | None = None
    """A sentence: why it was refused, or another fact that should be known."""
    removed: bool = False
    """Whether the source was removed."""
    failed: bool = False
    """Whether anything that was asked for was not done."""


@dataclass(slots=True)
class Report:
    """The results for all of them; filled while the import goes on."""

    results: list[Result] = field(default_factory=list)
    updated: int = 0
    """Projects of a store whose other facts (yanks, status, deletions, log) were carried over."""

    def count(self, outcome: Outcome) -> int:
        return sum(result.outcome is outcome for result in self.results)

    @property
    def failed(self) -> list[Result]:
        """Those for which anything that was asked for was not done, by path."""
        return sorted((result for result in self.results if result.failed), key=lambda result: result.path)

    @property
    def imported_bytes(self) -> int:
        return sum(result.size for result in self.results if result.outcome is Outcome.IMPORTED)
