"""Every fault at every system call of a change. See `sweep`.

Replaced here: methods of the store, by faulty ones that the sweep must find.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from quire.store.contracts import NO_DOCUMENTS, Record, Staged
from quire.store.posix.blobs import PosixBlobs
from quire.store.posix.records import PosixRecords
from tests.faults import ptracing
from tests.faults.publisher import SCENARIOS
from tests.faults.sweep import Stage, Tally, scratch, sweep

Note = Callable[[str, object], None]

pytestmark = pytest.mark.skipif(ptracing.unavailable() is not None, reason=str(ptracing.unavailable()))


@pytest.fixture
def folder() -> Iterator[Path]:
    made = scratch()
    yield made
    shutil.rmtree(made)


def _sweep(name: str, folder: Path, *, kills: int, faults: int, network: bool = False) -> Tally:
    tally = sweep(Stage(SCENARIOS[name], folder, network=network), kills=kills, faults=faults)
    assert tally.violations == []
    return tally


@pytest.mark.parametrize("name", SCENARIOS)
def test_some_faults(name: str, folder: Path) -> None:
    """A sample of all that follows."""
    tally = _sweep(name, folder, kills=16, faults=120)
    assert tally.kills > 3
    assert tally.faults > 3


@pytest.mark.faults
@pytest.mark.parametrize("name", SCENARIOS)
def test_death_at_every_call(name: str, folder: Path, record_property: Note) -> None:
    """Killed before each call, one run per call: nothing acknowledged is lost, nothing is half there, the list of
    projects and the records agree, a check finds leftovers at most, and the next change works without a repair.
    """
    tally = _sweep(name, folder, kills=1, faults=0)
    assert tally.kills >= tally.calls - 1
    record_property("faults", f"killed at every call: {tally}")


@pytest.mark.faults
@pytest.mark.parametrize("network", [False, True], ids=["local", "network"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_failure_of_calls(name: str, folder: Path, record_property: Note, *, network: bool) -> None:
    """ENOSPC, EIO, EDQUOT, ESTALE, EROFS, EACCES, EMFILE, short writes, lost answers, for once or for good: the client
    gets a sentence that is true, or its acknowledgement, and everything holds as after a death.

    Every eighth; `python -m tests.faults.sweep all` does them all.
    """
    tally = _sweep(name, folder, kills=0, faults=16 if network else 8, network=network)
    record_property("faults", f"calls failed: {tally}")


def test_a_sweep_convicts_a_record_that_appears_before_its_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that writes the record first, and then stores the file that it lists, is found out by deaths alone."""
    publish, write = PosixBlobs.publish, PosixRecords.write
    later: list[Callable[[], None]] = []

    def publish_later(blobs: PosixBlobs, staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS) -> None:
        later.append(lambda: publish(blobs, staged, documents))

    def write_first(
        records: PosixRecords, key: str, data: bytes | None, expected: Record, note: bytes | None = None
    ) -> Record:
        record = write(records, key, data, expected, note)
        while later:
            later.pop()()
        return record

    monkeypatch.setattr(PosixBlobs, "publish", publish_later)
    monkeypatch.setattr(PosixRecords, "write", write_first)
    tally = sweep(Stage(SCENARIOS["second"], folder), kills=4, faults=0)
    assert any("is listed, but" in violation for violation in tally.violations)
