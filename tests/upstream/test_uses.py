"""When kept files were last used: coarse, for all workers, and at the price of few writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from quire.domain.errors import StoreError
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryStore
from quire.upstream.uses import DAYS, FOLDER, REFRESH_HOURS, FileUses, read_uses

BEGIN = datetime(2026, 1, 1, 10, 30, tzinfo=UTC)


class Place:
    """A store, and the workers on it, which share a clock."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.faults = Faults()
        self.now = BEGIN

    def worker(self) -> FileUses:
        return FileUses(self.store.shared(self.faults).records, lambda: self.now)

    def last(self, key: str) -> datetime | None:
        seconds = read_uses(self.store.records, self.now).last(key)
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    @property
    def writes(self) -> int:
        return sum(number for key, (number, _) in self.store.state.revisions.items() if key.startswith(FOLDER))


def use(worker: FileUses, *keys: str) -> None:
    for key in keys:
        worker.note(key)
    worker.write()


def test_uses_of_all_workers_are_known_to_the_hour() -> None:
    """The last one of each file; a file that was never used has none."""
    at = Place()
    one, two = at.worker(), at.worker()
    use(one, "a", "b")
    at.now += timedelta(hours=REFRESH_HOURS)
    use(two, "b", "c")
    assert at.last("a") == BEGIN.replace(minute=0)
    assert at.last("b") == at.last("c") == at.now.replace(minute=0)
    assert at.last("d") is None


def test_the_same_files_cost_one_write_in_four_hours() -> None:
    """Whichever worker gives them, and however often."""
    at = Place()
    workers = [at.worker() for _ in range(4)]
    for _ in range(REFRESH_HOURS):
        for worker in workers:
            use(worker, *map(str, range(100)))
            use(worker, *map(str, range(100)))
        assert at.writes == 1
        at.now += timedelta(minutes=59)
    at.now += timedelta(hours=1)
    for worker in workers:
        use(worker, "1")
    assert at.writes == 2


def test_days_are_kept_for_a_time_and_no_more_records_than_that() -> None:
    """A day takes the record of the one before its time; a clock that ran ahead counts as now."""
    at = Place()
    worker = at.worker()
    for day in range(DAYS + 3):
        use(worker, str(day))
        at.now += timedelta(days=1)
    at.now -= timedelta(days=1)
    known = [day for day in range(DAYS + 3) if at.last(str(day)) is not None]
    assert known == list(range(3, DAYS + 3))
    assert len(at.store.records.names(FOLDER).names) == DAYS
    at.now += timedelta(hours=5)
    use(worker, "ahead")
    at.now -= timedelta(hours=5)
    assert at.last("ahead") == at.now.replace(minute=0)


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.FULL, Fault.UNKNOWN_BEFORE])
def test_a_write_that_fails_is_made_later(fault: Fault) -> None:
    """The uses stay noted."""
    at = Place()
    worker = at.worker()
    worker.note("a")
    at.faults.next("write", fault)
    with pytest.raises(StoreError):
        worker.write()
    worker.write()
    assert at.last("a") is not None


def test_another_worker_that_writes_at_the_same_time_loses_nothing() -> None:
    """The swap that lost is made again, with both."""
    at = Place()
    one, two = at.worker(), at.worker()
    use(one, "a")
    two.note("b")
    at.faults.next("write", Fault.CONFLICT)
    two.write()
    assert None not in {at.last("a"), at.last("b")}


@pytest.mark.parametrize("data", [b"garbage", b'{"format": 2, "day": 1, "uses": ""}', b'{"uses": "QUJD"}'])
def test_a_record_that_is_not_understood_counts_as_none(data: bytes) -> None:
    """Uses come again."""
    at = Place()
    worker = at.worker()
    use(worker, "a")
    (name,) = at.store.records.names(FOLDER).names
    record = at.store.records.read(f"{FOLDER}/{name}")
    at.store.records.write(record.key, data, record)
    assert at.last("a") is None
    use(at.worker(), "a")
    assert at.last("a") is not None
