"""A write whose answer is lost, late or wrong ends as what really happened: written once, or not at all.

Replaced here: the pause between two attempts, and answers of a bucket that is in memory.
"""

from __future__ import annotations

import itertools

import pytest

from quire.domain.errors import Conflict, DamagedRecord, OutcomeUnknown, StoreError
from quire.domain.structs import decode_as
from quire.store.bucket import names, swaps
from quire.store.bucket.documents import HISTORY, Document, Kind, Verdict, decode, judge, successor
from quire.store.bucket.listing import MOST_SETTLED, Root
from quire.store.bucket.records import BucketRecords
from quire.store.bucket.store import BucketStore
from quire.store.bucket.swaps import ABSENT, State, Swaps
from tests.bucket.sabotage import Safeguard, without
from tests.store.bucket.faulty import Failure, FaultyBucket
from tests.store.bucket.memory import MemoryBucket

KEY = "main/projects/acme"
FAILURES = [each for each in Failure if each is not Failure.NONE]
OBJECT = f"records/{KEY}.json"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting between two tries is not what these tests are about, and there is no door to it."""
    monkeypatch.setattr(swaps, "_PAUSE", 0.0)


def existing(bucket: MemoryBucket) -> State:
    """An object with one write."""
    return Swaps(bucket).swap("object", ABSENT, Kind.PRESENT, b"first")


@pytest.mark.parametrize("is_new", [True, False], ids=["created", "replaced"])
@pytest.mark.parametrize(
    "failures",
    [pair[:length] for length in (1, 2) for pair in itertools.product(FAILURES, repeat=length)],
    ids="-".join,
)
def test_a_write_that_fails_is_made_exactly_once(failures: tuple[Failure, ...], *, is_new: bool) -> None:
    """Whatever happens to the first tries, the write is there in the end, as the one write after the one before it."""
    faulty = FaultyBucket(MemoryBucket())
    expected = ABSENT if is_new else existing(faulty.bucket)
    faulty.failures["object"] = list(failures)
    written = Swaps(faulty).swap("object", expected, Kind.PRESENT, b"second")
    found = Swaps(faulty.bucket).read("object")
    assert found is not None
    state, document = found
    assert document is not None
    assert (document.data, document.nonce) == (b"second", written.nonce)
    assert document.before == (expected.nonce, *expected.before)
    assert state.nonce == written.nonce
    assert Swaps(faulty.bucket).swap("object", written, Kind.PRESENT, b"third").before[0] == written.nonce


@pytest.mark.parametrize("failure", [Failure.AFTER, Failure.TWICE, Failure.LATE])
def test_a_writer_needs_its_nonce(failure: Failure) -> None:
    """Without it a write that took place is called a conflict."""
    faulty = FaultyBucket(MemoryBucket())
    faulty.failures["object"] = [failure]
    with without(Safeguard.NONCE), pytest.raises(Conflict):
        Swaps(faulty).swap("object", ABSENT, Kind.PRESENT, b"first")
    assert Swaps(faulty.bucket).read("object") != (ABSENT, None)


@pytest.mark.parametrize("failure", FAILURES)
def test_another_writer_that_comes_between_is_seen(failure: Failure) -> None:
    """Where another write follows at once: the first one was written, or is a conflict; it is not lost silently."""
    faulty = FaultyBucket(MemoryBucket())
    expected = existing(faulty.bucket)
    faulty.failures["object"] = [failure]

    def other() -> None:
        found = Swaps(faulty.bucket).read("object")
        assert found is not None
        Swaps(faulty.bucket).swap("object", found[0], Kind.PRESENT, b"other")

    faulty.meanwhile = other
    was_written = failure in {Failure.AFTER, Failure.TWICE}
    if was_written:
        written = Swaps(faulty).swap("object", expected, Kind.PRESENT, b"second")
    else:
        with pytest.raises(Conflict):
            Swaps(faulty).swap("object", expected, Kind.PRESENT, b"second")
    found = Swaps(faulty.bucket).read("object")
    assert found is not None
    assert found[1] is not None
    assert found[1].data == b"other"
    if was_written:
        assert found[1].before[0] == written.nonce


def test_an_outcome_that_cannot_be_told_is_not_called_a_conflict() -> None:
    """So many others have written since that the history does not reach back: it may have been written."""
    faulty = FaultyBucket(MemoryBucket())
    state = existing(faulty.bucket)
    for _ in range(HISTORY + 1):  # so that the beginning is no longer in the history either
        state = Swaps(faulty.bucket).swap("object", state, Kind.PRESENT, b"more")
    faulty.failures["object"] = [Failure.BEFORE]

    def others() -> None:
        found = Swaps(faulty.bucket).read("object")
        assert found is not None
        other = found[0]
        for _ in range(HISTORY + 1):
            other = Swaps(faulty.bucket).swap("object", other, Kind.PRESENT, b"others")

    faulty.meanwhile = others
    with pytest.raises(OutcomeUnknown):
        Swaps(faulty).swap("object", state, Kind.PRESENT, b"second")


def test_a_bucket_that_stays_away_leaves_the_outcome_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that was never answered may still arrive, so it is no plain failure; one that was refused is."""
    monkeypatch.setattr(swaps, "PATIENCE", 0.0)
    faulty = FaultyBucket(MemoryBucket())
    faulty.failures["object"] = [Failure.BEFORE]
    with pytest.raises(OutcomeUnknown):
        Swaps(faulty).swap("object", ABSENT, Kind.PRESENT, b"first")
    faulty.failures["object"] = [Failure.RACE]
    with pytest.raises(StoreError) as refused:
        Swaps(faulty).swap("object", ABSENT, Kind.PRESENT, b"first")
    assert not isinstance(refused.value, OutcomeUnknown | Conflict)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("number", [0, 1, 2], ids=["announced", "committed", "settled"])
def test_records_and_names_survive_a_failing_write(number: int, failure: Failure) -> None:
    """A project that is created, deleted and created again while one write of each fails: list and record agree."""
    faulty = FaultyBucket(MemoryBucket())
    records, others = BucketRecords(faulty, writable=True), BucketRecords(faulty.bucket, writable=True)
    root = "names/main/projects.json"
    for data in (b"1", None, b"2"):
        expected, before = records.read(KEY), len(faulty.puts)
        if number == 1:
            faulty.failures[OBJECT] = [failure]
        else:
            faulty.failures[root] = [failure] if number == 0 else [Failure.NONE, failure]
        records.write(KEY, data, expected)
        assert [key for key, _ in itertools.groupby(key for key, _ in faulty.puts[before:])] == [root, OBJECT, root]
        for reader in (records, others):
            assert reader.read(KEY).data == data
            assert reader.names("main/projects").names == (("acme",) if data else ())


@pytest.mark.parametrize("failure", FAILURES)
def test_a_segment_is_there_when_the_root_names_it(failure: Failure) -> None:
    """Also where its first write was refused for no reason, or its answer was lost: the list stays whole."""
    faulty = FaultyBucket(MemoryBucket())
    records = BucketRecords(faulty, writable=True)
    faulty.failures["names/main/projects"] = [failure]
    created = [f"p{number:04}" for number in range(MOST_SETTLED + 2)]
    for name in created:
        key = f"main/projects/{name}"
        records.write(key, b"{}", records.read(key))
    assert not faulty.failures["names/main/projects"]
    assert BucketRecords(faulty.bucket, writable=False).names("main/projects").names == tuple(created)


def test_a_token_whose_outcome_is_unknown_is_a_plain_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The record was not touched, so it is known that nothing changed; also when the token is there after all."""
    for module in (swaps, names):
        monkeypatch.setattr(module, "PATIENCE", 0.0)
    for failure in (Failure.BEFORE, Failure.LATE):
        faulty = FaultyBucket(MemoryBucket())
        records = BucketRecords(faulty, writable=True)
        expected = records.read(KEY)
        faulty.failures["names/main/projects.json"] = [failure]
        with pytest.raises(StoreError, match="Nothing was changed") as refused:
            records.write(KEY, b"first", expected)
        assert not isinstance(refused.value, OutcomeUnknown | Conflict)
        assert records.write(KEY, b"first", expected).data == b"first"
        assert records.names("main/projects").names == ("acme",)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_new_project_survives_an_unclear_answer_for_its_token(failure: Failure) -> None:
    """So many others are created meanwhile that the history cannot say whether the token was put in: the list tells."""
    faulty = FaultyBucket(MemoryBucket())
    records, others = BucketRecords(faulty, writable=True), BucketRecords(faulty.bucket, writable=True)
    created = [f"p{number:02}" for number in range(HISTORY)]

    def create() -> None:
        for name in created:
            key = f"main/projects/{name}"
            others.write(key, b"{}", others.read(key))

    faulty.failures["names/main/projects.json"] = [failure]
    faulty.meanwhile = create
    assert records.write(KEY, b"{}", records.read(KEY)).data == b"{}"
    assert others.names("main/projects").names == ("acme", *created)
    found = Swaps(faulty.bucket).read("names/main/projects.json")
    assert found is not None
    assert found[1] is not None
    assert decode_as(found[1].data, Root).changing == {}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_layout_is_written_once(failure: Failure) -> None:
    """And a store is usable whatever happens to the first write of all."""
    faulty = FaultyBucket(MemoryBucket())
    faulty.failures["format.json"] = [failure]
    store = BucketStore(faulty, "memory")  # type: ignore[arg-type]  # it has what records need
    assert store.exists
    assert store.exists


def test_judging() -> None:
    """The verdict on a write by an object's history."""
    first = successor("0", (), Kind.PRESENT, b"1")
    second = successor(first.nonce, first.before, Kind.PRESENT, b"2")
    other = successor(first.nonce, first.before, Kind.PRESENT, b"other")
    third = successor(second.nonce, second.before, Kind.PRESENT, b"3")
    assert judge(second, second) is Verdict.WRITTEN
    assert judge(third, second) is Verdict.WRITTEN
    assert judge(first, second) is Verdict.NOT_YET
    assert judge(None, first) is Verdict.NOT_YET
    assert judge(other, second) is Verdict.CONFLICT
    assert judge(None, second) is Verdict.CONFLICT
    assert judge(Document("f", tuple("abcdefghijkl"), Kind.PRESENT, b""), second) is Verdict.UNKNOWN


def test_documents_are_read_as_they_were_written() -> None:
    """Any bytes; and what is not a document is refused with the object's name."""
    for data in (b"", b"\n", b'{"a": 1}\n{}', bytes(range(256))):
        document = successor("a", ("b",), Kind.DELETED, data)
        assert decode(document.encoded(), "key") == document
    for damaged in (
        b"",
        b"{}",
        b"[]\n",
        b'{"quire": 1}\n',
        b'{"quire":1,"nonce":"a","before":[],"kind":"odd"}\n',
        b"\xff\n",
    ):
        with pytest.raises(DamagedRecord, match="records/x"):
            decode(damaged, "records/x")
    with pytest.raises(DamagedRecord, match="newer quire"):
        decode(b'{"quire":2,"nonce":"a","before":[]}\n', "records/x")


def test_no_tag_comes_back() -> None:
    """Also where the content does: each write of the same bytes is a state of its own."""
    records = BucketRecords(MemoryBucket(), writable=True)
    record, tags = records.read(KEY), set()
    for _ in range(200):
        record = records.write(KEY, b"same", record)
        tags.add(record.tag)
    assert len(tags) == 200
