"""Quotas: how many bytes the hosted files of a project, and of an index, may have together. Pure.

A listed file counts with the size of the distribution itself. Deleted files do not count, also while they are in the
trash, and neither do drop-in files. A change that adds no bytes is never refused: what is there stays, and can be
replaced by something smaller, also after a quota was lowered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quire.domain.errors import QuotaExceeded
from quire.domain.indexes import IndexDefinition
from quire.domain.project import Project
from quire.domain.sizes import as_setting, in_words

NEARLY: Final = 0.9
"""The part of a quota from which on uploaders are warned."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """The quotas that a change must keep, in bytes; None for no limit."""

    index: int | None = None
    project: int | None = None

    @classmethod
    def of(cls, definition: IndexDefinition) -> Quotas:
        """Those of an index with this definition; UNLIMITED itself when there are none."""
        if definition.quota is None and definition.project_quota is None:
            return UNLIMITED
        return cls(definition.quota, definition.project_quota)


UNLIMITED: Final = Quotas()


def size_of(project: Project | None) -> int:
    """Bytes of the files of a project, as quotas count them: with those that a promotion under way adds."""
    if project is None:
        return 0
    files = project.files if project.pending is None else project.files | project.pending.files
    return sum(file.size for file in files.values())


def check_project(before: Project | None, after: Project, quota: int) -> int:
    """The bytes that a change adds to a project. Raises QuotaExceeded when it has more than its quota then."""
    used, wanted = size_of(before), size_of(after)
    if wanted > used and wanted > quota:
        raise project_is_full(after.name, used, wanted - used, quota)
    return wanted - used


def project_is_full(name: str, used: int, added: int, quota: int) -> QuotaExceeded:
    """The error for files that do not fit into the quota of a project."""
    return _is_full(f"project {name}", "--project-quota", used, added, quota)


def index_is_full(name: str, used: int, added: int, quota: int) -> QuotaExceeded:
    """The error for files that do not fit into the quota of an index."""
    return _is_full(f"index {name}", "--quota", used, added, quota)


def _is_full(what: str, flag: str, used: int, added: int, quota: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"The {what} has used {percent(used, quota)} % of its quota of {in_setting_words(quota)}, and "
        f"{in_words(added)} more do not fit; delete old releases, or let an administrator raise the quota "
        f"('quire index set {flag}')."
    )


def in_setting_words(quota: int) -> str:
    """A quota as it was set."""
    words = as_setting(quota)
    return f"{words} bytes" if words.isdigit() else words


def percent(used: int, quota: int) -> int:
    """How much of a quota is used, in whole per cent, rounded down; of an empty quota everything."""
    return 100 if quota <= 0 else used * 100 // quota
