"""The outcome of fetching the files of locks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class How(StrEnum):
    """How a file came to be here."""

    FETCHED = "fetched"
    KEPT = "kept"
    """It was in the mirror already."""
    OWN = "own"
    """It is a file of an index of the store."""


@dataclass(frozen=True, slots=True)
class Got:
    """A file that is here."""

    project: str
    filename: str
    size: int
    how: How


@dataclass(frozen=True, slots=True)
class Missing:
    """A file that an install by the locks needs, and that is not here."""

    project: str
    version: str
    file: str
    """Its name, or the digest of a file that the lock does not name; empty for a whole release."""
    why: str
    """A sentence."""


@dataclass(slots=True)
class Report:
    """The files of the locks."""

    got: list[Got] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    left_out: dict[str, None] = field(default_factory=dict)
    """Releases of which no file fits the choice of platforms and Pythons."""
    built: dict[str, None] = field(default_factory=dict)
    """Releases without a wheel that fits: an install builds them, with build requirements that are in no lock."""

    def count(self, how: How) -> int:
        """The files that came to be here so."""
        return sum(each.how is how for each in self.got)

    @property
    def fetched_bytes(self) -> int:
        return sum(each.size for each in self.got if each.how is How.FETCHED)
