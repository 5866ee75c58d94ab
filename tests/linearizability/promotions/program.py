"""quire with promotions that are given up after seconds instead of minutes, and perhaps without a safeguard of them.

`python -m tests.linearizability.promotions.program none run ...` is quire's command line.

Replaced here: that time, and the safeguards, which no setting changes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any
from unittest import mock

from quire.domain.changes import present
from quire.domain.project import Project
from quire.domain.promotions import folded, without_pending
from quire.index import promoting
from quire.index.journal import Journal, Seen
from quire.index.promoting import Part, Promoter
from quire.operations import promoting as operations
from quire.store.contracts import Record
from tests.linearizability.runs import run_without

_GIVEN_UP = float(os.environ.get("JUDGE_GIVEN_UP", "4"))
"""Seconds after which an open promotion is one of a worker that died."""


class Safeguard(StrEnum):
    """The one that is removed."""

    NONE = "none"
    TOGETHER = "together"
    """Each project is published by itself, one after the other."""
    JOURNAL = "journal"
    """Readers show what is pending, whatever the journal says."""
    PENDING = "pending"
    """Readers show only what is folded already."""


@contextmanager
def hurried() -> Iterator[None]:
    """In this process and those that it forks."""
    with (
        mock.patch.object(promoting, "PUBLICATION_SECONDS", _GIVEN_UP),
        mock.patch.object(promoting, "ABANDONED_SECONDS", _GIVEN_UP),
        mock.patch.object(promoting, "REMEMBERED_SECONDS", 6 * _GIVEN_UP),
        mock.patch.object(operations, "PUBLICATION_SECONDS", _GIVEN_UP),
    ):
        yield


@contextmanager
def without(safeguard: Safeguard) -> Iterator[None]:
    """Promotions without it, in this process and those that it forks."""
    replaced: dict[Safeguard, tuple[object, str, object]] = {
        Safeguard.TOGETHER: (Promoter, "promote", _promote_one_by_one),
        Safeguard.JOURNAL: (Journal, "see", _see_pending),
        Safeguard.PENDING: (Journal, "see", _see_folded),
    }
    if safeguard is Safeguard.NONE:
        yield
        return
    with mock.patch.object(*replaced[safeguard]):
        yield


_promote = Promoter.promote


def _promote_one_by_one(promoter: Promoter, source: str, parts: Sequence[Part], **options: Any) -> None:
    """In the place of `Promoter.promote`."""
    for part in parts:
        _promote(promoter, source, [part], **options)


def _see_pending(_: Journal, record: Record, project: Project | None) -> Seen:
    """In the place of `Journal.see`."""
    return Seen(None if project is None else present(folded(project)), record)


def _see_folded(_: Journal, record: Record, project: Project | None) -> Seen:
    """In the place of `Journal.see`."""
    return Seen(None if project is None else present(without_pending(project)), record)


if __name__ == "__main__":
    with hurried():
        sys.exit(run_without(Safeguard, without))
