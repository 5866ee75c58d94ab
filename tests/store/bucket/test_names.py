"""The list of names in a bucket agrees with the records, in every order of steps, and at any size.

Replaced here: methods of the list of names and the bucket, since a test stops a writer between two of its requests.
"""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Callable
from typing import Any
from unittest import mock

import msgspec
import pytest

from quire.domain.errors import Conflict, DamagedRecord
from quire.store.bucket import names as names_module
from quire.store.bucket.documents import Kind
from quire.store.bucket.listing import MOST_SETTLED, SEGMENT_NAMES, Root, Segment, apply, split
from quire.store.bucket.names import NameLists
from quire.store.bucket.objects import Object, Unchanged, Version
from quire.store.bucket.records import BucketRecords
from quire.store.bucket.store import BucketStore
from quire.store.bucket.swaps import ABSENT, Swaps
from tests.bucket.sabotage import Safeguard, without
from tests.serving import DEADLINE
from tests.store.bucket.interleavings import Violation, create, delete, explore, heal
from tests.store.bucket.memory import MemoryBucket

FOLDER = "main/projects"
ROOT_KEY = f"names/{FOLDER}.json"


# -- every order of steps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_present", [False, True], ids=["absent", "present"])
@pytest.mark.parametrize(
    ("actors", "most"),
    [((create, delete), None), ((create, create), None), ((create, heal), None), ((create, delete, heal), 1500)],
    ids=["create-delete", "create-create", "create-heal", "create-delete-heal"],
)
def test_list_and_record_agree_in_every_order(
    actors: tuple[Callable[[BucketRecords], None], ...], most: int | None, *, is_present: bool
) -> None:
    """Two writers, or a writer and a sweep: all orders. Of all three a part; `make test-bucket` takes the rest."""
    assert explore(list(actors), is_present=is_present, most=most) > 3


def trusting(root: Root, name: str, token: str, *, is_present: bool) -> Root:
    """A writer that settles a name although others are changing it as well."""
    del token
    return root.with_settled(name, is_present=is_present)


def announced_late(lists: NameLists, folder: str, name: str, commit: Callable[[], Any], *, is_present: bool) -> Any:
    """A writer that commits before its token is in the root."""
    result = commit()
    token = "late"
    announced = lists._add_token(folder, name, token)
    lists._leave(folder, name, token, announced, is_present=is_present)
    return result


@pytest.mark.parametrize(
    ("broken", "actors"),
    [
        (without(Safeguard.FENCE), [create, heal]),
        (without(Safeguard.FRESH), [create, delete]),
        (mock.patch.object(names_module, "left", trusting), [create, delete]),
        (mock.patch.object(NameLists, "change", announced_late), [create]),
    ],
    ids=["no fence", "token not fresh", "settled over others", "announced late"],
)
def test_each_safeguard_is_needed(broken: Any, actors: list[Callable[[BucketRecords], None]]) -> None:
    """Without one of them there is an order in which list and record disagree, and it is found."""
    with broken, pytest.raises(Violation, match="Steps"):
        both_beginnings(actors)


def both_beginnings(actors: list[Callable[[BucketRecords], None]]) -> None:
    for is_present in (False, True):
        explore(actors, is_present=is_present)


# -- reading ----------------------------------------------------------------------------------------------------------


def records_of(bucket: MemoryBucket) -> BucketRecords:
    return BucketRecords(bucket, writable=True)


def put(records: BucketRecords, name: str, data: bytes | None = b"{}") -> None:
    key = f"{FOLDER}/{name}"
    records.write(key, data, records.read(key))


class Stopped(Exception):
    """A writer died."""


@dataclasses.dataclass
class Dying(MemoryBucket):
    """A handle on a bucket whose process dies before its puts that are `left` away."""

    def __init__(self, bucket: MemoryBucket, left: int) -> None:
        self.bucket = bucket
        self.left = left

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        return self.bucket.get(key, known)

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        if self.left == 0:
            raise Stopped
        self.left -= 1
        return self.bucket.put(key, data, expected)


@pytest.mark.parametrize("data", [b"{}", None], ids=["created", "deleted"])
@pytest.mark.parametrize("puts", [0, 1, 2, 3])
def test_a_writer_that_dies_leaves_a_true_list_that_heals(puts: int, data: bytes | None) -> None:
    """Before each of its writes: readers see what was committed, and a sweep settles the name."""
    bucket = MemoryBucket()
    store = BucketStore(bucket, "memory")
    put(store.records, "other")
    if data is None:
        put(store.records, "acme")
    dying = BucketRecords(Dying(bucket, puts), writable=True)
    expected = dying.read(f"{FOLDER}/acme")
    if puts < 3:
        with pytest.raises(Stopped):
            dying.write(expected.key, data, expected)
    else:
        dying.write(expected.key, data, expected)
    is_committed = puts >= 2
    is_there = (data is not None) if is_committed else (data is None)
    listed = ("acme", "other") if is_there else ("other",)
    known = store.records.names(FOLDER)
    assert known.names == listed
    assert store.records.names(FOLDER, known) is known
    assert store.sweep(older_than=3600) == 0
    assert store.sweep(older_than=0) == (1 if puts in {1, 2} else 0)
    assert store.sweep(older_than=0) == 0
    assert store.records.names(FOLDER).names == listed
    assert (store.records.read(expected.key).data is not None) == is_there
    if not is_committed:
        # a fence, where there was one, changed nothing that a reader can tell
        assert store.records.read(expected.key).was_written == (data is None)
    put(store.records, "acme", b"again")
    assert store.records.names(FOLDER).names == ("acme", "other")


def test_a_sleeper_that_wakes_after_a_sweep_is_refused() -> None:
    """A writer was taken for dead between its token and its commit: its write is a conflict; it tries again."""
    bucket = MemoryBucket()
    store = BucketStore(bucket, "memory")

    class Sleeping(Dying):
        def put(self, key: str, data: bytes, expected: Version | None) -> Version:
            if key.startswith("records/") and self.left:
                self.left = 0
                assert store.sweep(older_than=0, thorough=True) == 1
            return self.bucket.put(key, data, expected)

    sleeper = BucketRecords(Sleeping(bucket, 1), writable=True)
    with pytest.raises(Conflict):
        put(sleeper, "acme")
    assert store.records.names(FOLDER).names == ()
    put(sleeper, "acme")
    assert store.records.names(FOLDER).names == ("acme",)


def test_a_sweep_reads_the_lists_that_the_process_met() -> None:
    """A worker that read a list with a token settles its name; one that never read it asks the bucket nothing."""
    bucket = MemoryBucket()
    put(records_of(bucket), "other")
    dying = BucketRecords(Dying(bucket, 1), writable=True)
    with pytest.raises(Stopped):
        put(dying, "acme")
    idle, reader = BucketStore(bucket, "memory"), BucketStore(bucket, "memory")
    with mock.patch.object(bucket, "get", side_effect=AssertionError), mock.patch.object(bucket, "list", bucket.get):
        assert idle.sweep(older_than=0) == 0
    reader.records.names(FOLDER)
    assert reader.sweep(older_than=0) == 1
    assert idle.sweep(older_than=0, thorough=True) == 0


# -- size -------------------------------------------------------------------------------------------------------------


def sizes(bucket: MemoryBucket) -> dict[str, int]:
    return {each.key: each.size for each in bucket.list("names")}


def test_many_names_are_in_segments() -> None:
    """Names that come and go by the thousand, in any order, are all there; the root stays small."""
    bucket = MemoryBucket()
    store, choose = BucketStore(bucket, "memory"), random.Random(7)
    names = [f"project-{number:05}" for number in range(1500)]
    choose.shuffle(names)
    known = store.records.names(FOLDER)
    for number, name in enumerate(names):
        put(store.records, name)
        if number % 100 == 0:
            known = store.records.names(FOLDER, known)
            assert known.names == tuple(sorted(names[: number + 1]))
    gone = set(names[::3])
    for name in gone:
        put(store.records, name, None)
    left = tuple(sorted(set(names) - gone))
    assert store.records.names(FOLDER, known).names == left
    assert BucketStore(bucket, "memory").records.names(FOLDER).names == left
    assert sizes(bucket)[ROOT_KEY] < 100 * MOST_SETTLED
    before = len(sizes(bucket))
    removed = store.sweep(older_than=0)
    assert removed == before - len(sizes(bucket)) > 0
    assert BucketStore(bucket, "memory").records.names(FOLDER).names == left
    assert store.records.names(FOLDER, known).names == left


def test_a_new_name_rewrites_one_segment_and_the_root() -> None:
    """A million names: the root stays under 100 KB, and few projects that are created write a segment."""
    names = tuple(f"project-{number:07}" for number in range(1_000_000))
    root, bucket = Root(), MemoryBucket()
    segments = []
    for start in range(0, len(names), SEGMENT_NAMES):
        piece = names[start : start + SEGMENT_NAMES]
        identity = f"{start:016x}"
        bucket.put(f"names/{FOLDER}/{identity}", "\n".join(piece).encode(), None)
        segments.append(Segment(piece[0] if start else "", identity))
    records = records_of(bucket)
    records.lists._replace(FOLDER, lambda _: root.rewritten(-1, tuple(segments), {}))
    known = records.names(FOLDER)
    assert known.names == names
    written: list[str] = []
    segments_written: list[int] = []
    original = bucket.put

    def counted(key: str, data: bytes, expected: Version | None) -> Version:
        written.append(key)
        return original(key, data, expected)

    choose = random.Random(3)
    added = {f"project-{choose.randrange(1_000_000):07}x" for _ in range(MOST_SETTLED + 20)}
    with mock.patch.object(bucket, "put", counted):
        for name in added:
            written.clear()
            put(records, name)
            segments_written.append(sum(key.startswith(f"names/{FOLDER}/") for key in written))
            assert written.count(ROOT_KEY) == 2
    assert set(segments_written) == {0, 2}  # two where a full segment was split, as all are here
    assert segments_written.count(2) <= 20
    assert sizes(bucket)[ROOT_KEY] < 100_000
    assert records.names(FOLDER, known).names == tuple(sorted({*names, *added}))


def test_segments_are_loaded_at_once() -> None:
    """A list that is read for the first time asks for 16 of its segments together."""
    bucket = MemoryBucket()
    pieces = [[f"{letter}-{number}" for number in range(3)] for letter in "abcdefghijklmnop"]
    segments = tuple(Segment(piece[0] if number else "", piece[0]) for number, piece in enumerate(pieces))
    for piece in pieces:
        bucket.put(f"names/{FOLDER}/{piece[0]}", "\n".join(piece).encode(), None)
    Swaps(bucket).swap(ROOT_KEY, ABSENT, Kind.PRESENT, msgspec.json.encode(Root(segments)))
    together, original = threading.Barrier(len(pieces)), bucket.get

    def get(key: str, known: Version | None = None) -> Object | Unchanged | None:
        if key != ROOT_KEY:
            together.wait(DEADLINE)  # fails unless all of them are asked for
        return original(key, known)

    with mock.patch.object(bucket, "get", get):
        found = records_of(bucket).names(FOLDER)
    assert found.names == tuple(name for piece in pieces for name in piece)


def test_a_reader_that_is_late_for_a_segment_reads_the_root_again() -> None:
    """Segments are removed once the root names them no more; a reader may hold an older root at that moment."""
    bucket = MemoryBucket()
    store = BucketStore(bucket, "memory")
    names = [f"a{number:04}" for number in range(2 * MOST_SETTLED)]
    for name in names:
        put(store.records, name)
    late = BucketRecords(bucket, writable=False)
    original = bucket.get
    done: list[str] = []

    def get(key: str, known: Version | None = None) -> Object | Unchanged | None:
        if key.startswith(f"names/{FOLDER}/") and not done:
            done.append(key)
            for number in range(MOST_SETTLED + 1):
                put(store.records, f"b{number:04}")
            store.sweep(older_than=0)
        return original(key, known)

    with mock.patch.object(bucket, "get", get):
        found = late.names(FOLDER)
    assert done
    assert len(found.names) == 3 * MOST_SETTLED + 1
    segment = next(key for key in sizes(bucket) if key != ROOT_KEY)
    bucket.remove(segment)
    with pytest.raises(DamagedRecord, match="missing in the bucket"):
        BucketRecords(bucket, writable=False).names(FOLDER)


def test_names_are_merged_and_split() -> None:
    """The pure parts, for any changes."""
    choose = random.Random(1)
    for _ in range(200):
        before = {f"n{choose.randrange(40):02}" for _ in range(choose.randrange(30))}
        changes = {f"n{choose.randrange(40):02}": choose.random() < 0.5 for _ in range(choose.randrange(20))}
        after = (before | {name for name, there in changes.items() if there}) - {
            name for name, there in changes.items() if not there
        }
        assert apply(tuple(sorted(before)), changes) == tuple(sorted(after))
    long = tuple(f"{number:05}" for number in range(SEGMENT_NAMES + 1))
    pieces = split(long, "")
    assert [name for _, piece in pieces for name in piece] == list(long)
    assert [first for first, _ in pieces] == ["", *(piece[0] for _, piece in pieces[1:])]
    assert split(long[:-1], "0") == [("0", long[:-1])]
