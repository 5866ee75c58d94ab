"""The deletion of an index or a stage is killed at every system call: a later one of its name has nothing of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.store.posix.store import PosixStore
from tests.faults import ptracing
from tests.faults.sweep import scratch
from tests.faults.test_backup_kills import Note, Work, killed
from tests.operations import test_deleting_indexes as deleting
from tests.operations.test_deleting_indexes import KINDS

pytestmark = pytest.mark.skipif(ptracing.unavailable() is not None, reason=str(ptracing.unavailable()))

_KILLS = 40  # every so-manieth, in `make test`


@pytest.fixture
def folder() -> Iterator[Path]:
    """For the stores of a test."""
    made = scratch()
    yield made
    shutil.rmtree(made)


class Deletion(Work):
    """Of an index with files, or of a stage."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def prepare(self, root: Path) -> None:
        deleting.prepare(PosixStore.open(root), self.kind)

    def act(self, root: Path) -> None:
        deleting.delete(PosixStore.open(root), self.kind)

    def judge(self, root: Path, *, told: bool, times: int = 1) -> None:
        deleting.judge(PosixStore.open(root), self.kind, told=told)


def test_some_kills(folder: Path) -> None:
    """A sample of the next."""
    kills, wrong = killed(Deletion("stage"), folder, _KILLS)
    assert wrong == []
    assert kills > 3


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
def test_death_at_every_call(kind: str, folder: Path, record_property: Note) -> None:
    """A new index of the name is refused with the command that ends the deletion, or begins empty."""
    kills, wrong = killed(Deletion(kind), folder, 1)
    assert wrong == []
    record_property("faults", f"deletion of {kind} killed at every call: {kills}")
