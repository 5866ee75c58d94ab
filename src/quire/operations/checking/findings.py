"""The findings of a check."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """The severity of a finding."""

    DAMAGE = "damage"
    """Something that is listed cannot be served, or not as it was published."""
    ORPHAN = "orphan"
    """Stored bytes that no record lists: they cost space only, and `quire gc` removes them when they are old."""
    LEFTOVER = "leftover"
    """Left by a process that died, is at work, or was of an earlier version: harmless."""
    FOREIGN = "foreign"
    """Not made by quire; never touched."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    severity: Severity
    code: str
    """A word for scripts; it does not change between versions."""
    where: str
    """The key of a record, or a path relative to the store's folder."""
    sentence: str
    size: int = 0
    """Bytes that it occupies."""
    young: bool = False
    """Whether it may belong to a change that is under way."""
    repair: str | None = None
    """The repair that was made, in a sentence; None when there was none."""

    @property
    def is_open_damage(self) -> bool:
        return self.severity is Severity.DAMAGE and self.repair is None


@dataclass(slots=True)
class Checked:
    """The result of a check."""

    findings: list[Finding] = field(default_factory=list)
    projects: int = 0
    files: int = 0
    trashed: int = 0
    """Files in the trash."""
    deleted: int = 0
    """Filenames that are not listed any more, and never get other content."""
    drop_in_projects: int = 0
    drop_in_files: int = 0
    """Files that lie in the served directories beside the store, by their names."""
    bytes: int = 0
    """Of the files whose content was read; 0 in a quick check."""

    @property
    def counts(self) -> Counter[Severity]:
        return Counter(finding.severity for finding in self.findings)

    @property
    def has_open_damage(self) -> bool:
        """Whether any is left."""
        return any(finding.is_open_damage for finding in self.findings)
