"""The JSON documents of retention, for the API and `--json`. See `quire.administration.documents`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from quire.administration.documents import Answer
from quire.operations.retention import LetGo


class RetentionEntry(Answer, frozen=True, kw_only=True):
    """A project of which the rules let releases go."""

    project: str
    versions: list[str]
    """The releases that would be deleted, the oldest upload first."""
    files: int
    bytes: int


class RetentionPage(Answer, frozen=True, kw_only=True):
    """A page of the releases that the next `quire gc` would delete by rules of retention."""

    index: str
    keep: list[str]
    """The rules."""
    projects: list[RetentionEntry]
    next: str | None = None
    """The cursor of the next page; None for the last one."""


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (RetentionEntry, RetentionPage)
"""Of the OpenAPI document."""


def retention_page(index: str, keep: Iterable[str], found: Iterable[LetGo], after: str | None = None) -> RetentionPage:
    """The document. `after`: the cursor of the next page."""
    projects = [
        RetentionEntry(
            project=each.project,
            versions=[release.version for release in each.releases],
            files=len(each.files),
            bytes=each.bytes,
        )
        for each in found
    ]
    return RetentionPage(index=index, keep=list(keep), projects=projects, next=after)
