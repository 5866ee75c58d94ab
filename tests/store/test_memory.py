"""The memory store's own part: handles, injected faults, ages. The rules for every store are in test_conformance."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.domain.errors import BlobMissing, Conflict, OutcomeUnknown, StoreError, StoreFull, StoreReadOnly
from quire.store.contracts import Record, Staged
from quire.store.faults import Fault, Faults, Operation
from quire.store.memory import MemoryState, MemoryStore

KEY = "main/projects/foo"


def faulty() -> tuple[MemoryStore, MemoryStore]:
    """A handle to inject faults into, and one that shows the truth."""
    store = MemoryStore()
    return store, store.shared()


def write(store: MemoryStore, data: bytes | None) -> Record:
    return store.records.write(KEY, data, store.records.read(KEY))


def stage(store: MemoryStore, content: bytes = b"content", key: str = "foo/1/file") -> Staged:
    staging = store.blobs.stage(key)
    staging.write(content)
    return staging.finish()


@pytest.mark.parametrize(
    ("fault", "error", "written"),
    [
        (Fault.BEFORE, StoreError, False),
        (Fault.FULL, StoreFull, False),
        (Fault.READ_ONLY, StoreReadOnly, False),
        (Fault.AFTER, StoreError, True),
        (Fault.CONFLICT, Conflict, False),
        (Fault.UNKNOWN_BEFORE, OutcomeUnknown, False),
        (Fault.UNKNOWN_AFTER, OutcomeUnknown, True),
    ],
)
def test_a_failed_write_has_happened_or_not(fault: Fault, error: type[StoreError], written: bool) -> None:
    """Each fault raises its own error, and the store then is as the fault says: untouched, or changed."""
    store, truth = faulty()
    store.faults.next("write", fault)
    with pytest.raises(StoreError) as caught:
        write(store, b"{}")
    assert caught.type is error
    assert truth.records.read(KEY).data == (b"{}" if written else None)
    assert truth.records.names("main/projects").names == (("foo",) if written else ())
    assert store.faults.happened == [("write", fault)]


def test_a_fault_is_used_up() -> None:
    """A scripted fault meets one operation; the next one works."""
    store, _ = faulty()
    store.faults.next("write", Fault.BEFORE)
    with pytest.raises(StoreError):
        write(store, b"1")
    assert write(store, b"2").data == b"2"


def test_faults_meet_their_operations_in_order() -> None:
    """Scripts of different operations are independent; `skip` lets operations through first."""
    store, _ = faulty()
    store.faults.next("write", Fault.FULL, skip=1)
    store.faults.next("write", Fault.CONFLICT)
    store.faults.next("read", Fault.BEFORE, skip=3)
    write(store, b"1")
    with pytest.raises(StoreFull):
        write(store, b"2")
    with pytest.raises(Conflict):
        write(store, b"3")
    with pytest.raises(StoreError):
        store.records.read(KEY)
    assert [operation for operation, _ in store.faults.happened] == ["write", "write", "read"]


def test_a_true_conflict_is_not_reported_as_done() -> None:
    """A write that loses raises Conflict, also when its answer was to be lost: nothing was written."""
    store, truth = faulty()
    stale = store.records.read(KEY)
    write(truth, b"theirs")
    store.faults.next("write", Fault.AFTER)
    with pytest.raises(Conflict):
        store.records.write(KEY, b"mine", stale)
    assert truth.records.read(KEY).data == b"theirs"


def test_another_worker_can_step_in_at_an_exact_moment() -> None:
    """`call` runs right before the operation, so a lost race can be staged without threads."""
    store, other = faulty()
    store.faults.call("write", lambda: write(other, b"theirs"))
    with pytest.raises(Conflict):
        write(store, b"mine")
    assert write(store, b"mine").data == b"mine"
    assert store.faults.happened == []


def test_reads_and_names_fail() -> None:
    """A store that cannot answer says so with StoreError, never with a wrong answer."""
    store, _ = faulty()
    store.faults.next("read", Fault.BEFORE)
    store.faults.next("names", Fault.BEFORE)
    with pytest.raises(StoreError):
        store.records.read(KEY)
    with pytest.raises(StoreError):
        store.records.names("main/projects")


def test_staging_fails_at_every_step() -> None:
    """Beginning, taking in and finishing can each fail; discarding afterwards leaves nothing."""
    store, _ = faulty()
    store.faults.next("stage", Fault.READ_ONLY)
    with pytest.raises(StoreReadOnly):
        store.blobs.stage("foo/2/file")
    store.faults.next("stage.write", Fault.FULL, skip=1)
    store.faults.next("finish", Fault.AFTER)
    staging = store.blobs.stage("foo/2/file")
    staging.write(b"first")
    with pytest.raises(StoreFull):
        staging.write(b"second")
    with pytest.raises(StoreError):
        staging.finish()
    assert len(store.state.incoming) == 1
    staging.discard()
    assert not store.state.incoming


def test_a_publication_whose_answer_was_lost_has_its_bytes() -> None:
    """Published though StoreError was raised: repeating it meets Conflict, and the bytes are there."""
    store, truth = faulty()
    staged = stage(store)
    store.faults.next("publish", Fault.AFTER)
    with pytest.raises(StoreError):
        store.blobs.publish(staged)
    with pytest.raises(Conflict):
        store.blobs.publish(staged)
    staged.discard()
    assert truth.blobs.open("foo/1/file").read() == b"content"


def test_a_publication_that_failed_can_be_repeated() -> None:
    """Nothing happened, so the same staged bytes are published by the next attempt."""
    store, truth = faulty()
    staged = stage(store)
    for fault in (Fault.BEFORE, Fault.FULL, Fault.READ_ONLY, Fault.CONFLICT):
        store.faults.next("publish", fault)
        with pytest.raises(StoreError):
            store.blobs.publish(staged)
        with pytest.raises(BlobMissing):
            truth.blobs.open("foo/1/file")
    store.blobs.publish(staged)
    assert truth.blobs.open("foo/1/file").size == 7


def test_opening_and_removing_fail() -> None:
    """A failed removal may have happened; a failed opening is not a missing blob."""
    store, truth = faulty()
    store.blobs.publish(stage(store))
    store.faults.next("open", Fault.BEFORE)
    with pytest.raises(StoreError) as caught:
        store.blobs.open("foo/1/file")
    assert caught.type is StoreError
    store.faults.next("remove", Fault.BEFORE)
    store.faults.next("remove", Fault.AFTER)
    with pytest.raises(StoreError):
        store.blobs.remove("foo/1/file")
    assert truth.blobs.open("foo/1/file").size == 7
    with pytest.raises(StoreError):
        store.blobs.remove("foo/1/file")
    with pytest.raises(BlobMissing):
        truth.blobs.open("foo/1/file")


def test_faults_that_no_store_has_are_refused() -> None:
    """A script cannot ask for what the contract excludes: a test of it would prove nothing."""
    with pytest.raises(ValueError, match="read cannot fail as AFTER"):
        Faults().next("read", Fault.AFTER)


def increments(faults: Faults) -> tuple[list[str], int, int, int]:
    """Count with faults; returns the kinds of faults, and how many increments were acknowledged, unclear, stored."""
    store = MemoryStore(faults=faults)
    acknowledged = unclear = 0
    for _ in range(60):
        try:
            record = store.records.read(KEY)
            store.records.write(KEY, b"%d" % (int(record.data or b"0") + 1), record)
            acknowledged += 1
        except (Conflict, StoreFull, StoreReadOnly):
            pass
        except StoreError:
            unclear += 1
    stored = int(store.shared().records.read(KEY).data or b"0")
    return [fault for _, fault in faults.happened], acknowledged, unclear, stored


@given(seed=st.integers(), probability=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_random_faults_are_reproducible_and_honest(seed: int, probability: float) -> None:
    """The same seed gives the same faults; what was acknowledged is stored, and only the unclear may be beside it."""
    faults, acknowledged, unclear, stored = increments(Faults.random(seed, probability))
    assert increments(Faults.random(seed, probability)) == (faults, acknowledged, unclear, stored)
    assert acknowledged <= stored <= acknowledged + unclear


def test_random_faults_are_of_every_sort_and_scriptable() -> None:
    """Probability 1 makes everything fail in all its ways, 0 nothing; a script goes first."""
    faults, acknowledged, _, _ = increments(Faults.random(1, 1.0, operations=("write",)))
    assert acknowledged == 0
    assert set(faults) == set(Fault)
    assert increments(Faults.random(1, 0.0))[1] == 60
    plan = Faults.random(1, 1.0, operations=("write",))
    plan.call("write", lambda: None)
    assert increments(plan)[1] == 1


def test_random_faults_never_make_publish_lie() -> None:
    """A Conflict of publish promises that the key has its bytes, so it is never drawn at random."""
    faults = Faults.random(3, 1.0, operations=("publish",))
    store = MemoryStore(faults=faults)
    for number in range(100):
        with pytest.raises(StoreError):
            store.blobs.publish(stage(store, key=f"foo/{number}/file"))
    assert {fault for _, fault in faults.happened} == {Fault.BEFORE, Fault.FULL, Fault.READ_ONLY, Fault.AFTER}


def test_every_operation_can_fail() -> None:
    """Faults reach all operations that `Operation` names."""
    operations: tuple[Operation, ...] = get_args(Operation)
    for operation in operations:
        faults = Faults()
        faults.next(operation, Fault.BEFORE)
        with pytest.raises(StoreError, match="Injected fault"), faults.around(operation, "x"):
            pytest.fail("the operation was done")


def test_handles_have_their_own_faults_and_rights() -> None:
    """Handles share what is stored and nothing else: neither faults nor permission to write."""
    store = MemoryStore()
    store.faults.next("write", Fault.BEFORE)
    write(store.shared(), b"1")
    reader = MemoryStore(store.state, writable=False)
    assert reader.records.read(KEY).data == b"1"
    assert not reader.writable
    for refused in (
        lambda: write(reader, b"2"),
        lambda: reader.blobs.stage("foo/1/file"),
        lambda: reader.blobs.publish(stage(store)),
        lambda: reader.blobs.remove("foo/1/file"),
        lambda: reader.blobs.sweep(0),
    ):
        with pytest.raises(StoreReadOnly):
            refused()
    assert MemoryStore().records.read(KEY).data is None


def test_answers_are_not_shared_between_callers() -> None:
    """Two reads without `known` give two objects, so no code relies on an identity that no other store has."""
    store = MemoryStore()
    written = write(store, b"1")
    assert len({id(record) for record in (written, store.records.read(KEY), store.records.read(KEY))}) == 3


def test_a_record_of_another_key_is_no_answer_and_no_expectation() -> None:
    """Tags of two keys may be equal; the store is not misled."""
    store = MemoryStore()
    other = store.records.read("main/projects/bar")
    assert store.records.read(KEY, other).key == KEY
    with pytest.raises(ValueError, match="main/projects/bar"):
        store.records.write(KEY, b"1", other)


def test_ages_and_sweeps_follow_the_clock() -> None:
    """Ages count from publication; a sweep takes what was not touched for that long, and every touch counts."""
    now = 100.0
    store = MemoryStore(MemoryState(clock=lambda: now))
    store.blobs.publish(stage(store))
    busy, idle = store.blobs.stage("foo/2/file"), store.blobs.stage("foo/2/file")
    now = 160.0
    busy.write(b"still here")
    assert [blob.age for blob in store.blobs.list()] == [60.0]
    assert store.blobs.sweep(60.5) == 0
    assert store.blobs.sweep(60) == 1
    busy.write(b", and still")
    with pytest.raises(StoreError):
        idle.write(b"too late")
    now = 50.0
    assert [blob.age for blob in store.blobs.list()] == [0.0]
