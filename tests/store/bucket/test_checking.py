"""The check of a store in a bucket: damage is found, one damaged object does not end it, and lists are repaired."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from quire.domain.changes import Selection
from quire.domain.project import Project, Status, encode_project
from quire.domain.reserved import MIRROR
from quire.index.index import Index
from quire.operations.checking import Check, collect_garbage
from quire.operations.checking.references import project_of
from quire.store.bucket.documents import Kind
from quire.store.bucket.objects import Object, Version
from quire.store.bucket.store import BucketStore
from quire.store.bucket.swaps import ABSENT, Swaps
from tests.store.bucket.changes import publish
from tests.store.bucket.memory import MemoryBucket

FOLDER = "main/projects"


def check(store: BucketStore, *, repair: bool = False) -> list[tuple[str, str]]:
    """Codes and places of what is found."""
    lists = store.records.repairs()
    checked = Check(store, lambda: [Index(store)], repair=repair, lists=lists).run()
    assert checked.has_open_damage == (checked.findings != [] and not repair)
    return [(each.code, each.where) for each in checked.findings]


def filled(count: int) -> tuple[MemoryBucket, BucketStore]:
    """A store with so many projects that are records alone, none of them in a list of names, as an operator could
    leave it that removes the list."""
    bucket = MemoryBucket()
    store = BucketStore(bucket, "memory:///")
    for number in range(count):
        name = f"p{number:05}"
        key = f"records/{FOLDER}/{name}.json"
        data = encode_project(Project(name=name), ())
        Swaps(bucket).swap(key, ABSENT, Kind.PRESENT, data)
    return bucket, store


@pytest.mark.parametrize("content", [b"", b"no document", b"\xff\n", b'{"quire": 9, "nonce": "", "before": []}\n{}'])
def test_damaged_documents_are_found(content: bytes) -> None:
    """Of a record and of the list of projects; the other projects are checked all the same."""
    bucket = MemoryBucket()
    store = BucketStore(bucket, "memory:///")
    index = Index(store)
    publish(index, "1.0", project="alpha")
    publish(index, "1.0", project="beta")
    assert check(store) == []
    bucket.overwrite("records/main/projects/alpha.json", content)
    bucket.overwrite("names/main/projects.json", content)
    (lost,) = [each.key for each in bucket.list("blobs/beta") if each.key.endswith(".whl")]
    bucket.remove(lost)
    assert check(store) == [
        ("unreadable-names", "main/projects"),
        ("damaged-record", "main/projects/alpha"),
        ("missing-file", "main/projects/beta/beta-1.0-py3-none-any.whl"),
    ]


@pytest.mark.parametrize(
    "key",
    [
        "records/main/projects/alpha.json",
        "records/main/projects/promotions_.json",
        "records/main/log/alpha.json",
        "names/main/log.json",
        "names/main_trash/projects.json",
        f"records/{MIRROR}/example/alpha.json",
        "records/access/rules/store.json",
    ],
)
def test_one_damaged_object_does_not_end_a_collection(key: str) -> None:
    """Whichever it is: garbage of other projects is removed, and the object stays as it is."""
    bucket = MemoryBucket()
    store = BucketStore(bucket, "memory:///")
    index = Index(store)
    for name in ("alpha", "beta"):
        publish(index, "1.0", project=name)
    for number in range(30):  # so that there is an archive of the log
        index.set_status("alpha", Status.ACTIVE, f"{number}")
    index.delete("beta", Selection())
    staging = store.blobs.stage(f"{MIRROR}/example/alpha/{'0' * 16}-{'0' * 16}")
    staging.write(b"a page")
    store.blobs.publish(staging.finish())
    bucket.overwrite(key, b"damaged")
    collected = collect_garbage(store, lambda: [index], older_than=0, log_older_than=0)
    assert "beta" in {project_of(each.key) for each in collected.blobs}
    found = bucket.get(key)
    assert isinstance(found, Object)
    assert found.data == b"damaged"


def test_a_list_and_the_records_are_compared_in_both_directions() -> None:
    """A project that is not listed, and a listed name without a project; the repair settles both, and no other."""
    bucket, store = filled(0)
    index = Index(store)
    for name in ("alpha", "beta", "gamma"):
        publish(index, "1.0", project=name)
    before = bucket.get(f"names/{FOLDER}.json")
    publish(index, "1.0", project="delta")
    after = bucket.get(f"names/{FOLDER}.json")
    assert isinstance(before, Object)
    assert isinstance(after, Object)
    bucket.put(f"names/{FOLDER}.json", before.data, after.version)  # as a restored one is
    bucket.remove(f"records/{FOLDER}/beta.json")
    for each in list(bucket.list("blobs/beta")):
        bucket.remove(each.key)
    damage = [("listed-without-record", f"{FOLDER}/beta"), ("unlisted-project", f"{FOLDER}/delta")]
    assert check(store) == damage
    assert check(store, repair=True) == damage
    assert check(store) == []
    assert store.records.names(FOLDER).names == ("alpha", "delta", "gamma")
    assert store.sweep(older_than=0) == 0, "a token was left"


@pytest.mark.parametrize("count", [3, 1000])
def test_a_list_that_was_removed_is_made_again(count: int) -> None:
    """By the records alone."""
    bucket, store = filled(count)
    assert store.records.names(FOLDER).names == ()
    assert [code for code, _ in check(store, repair=True)] == ["unlisted-project"] * count
    assert check(store) == []
    assert store.records.names(FOLDER).names == tuple(f"p{number:05}" for number in range(count))
    root = bucket.get(f"names/{FOLDER}.json")
    assert isinstance(root, Object)
    assert len(root.data) < 100_000


def test_a_lost_part_of_a_list_is_written_again() -> None:
    """Each part that is lost; names that were deleted stay so."""
    bucket, store = filled(1000)
    check(store, repair=True)
    write(store, "p00500", None)
    lost = [each.key for each in bucket.list(f"names/{FOLDER}")]
    assert lost
    for key in lost:
        bucket.remove(key)
    fresh = BucketStore(bucket, "memory:///")
    assert check(fresh) == [("unreadable-names", FOLDER)]
    assert check(fresh, repair=True) == [("unreadable-names", FOLDER)]
    assert check(fresh) == []
    assert fresh.records.names(FOLDER).names == tuple(f"p{number:05}" for number in range(1000) if number != 500)


def test_writers_go_on_while_a_list_is_repaired() -> None:
    """Between any two requests of a repair a project is created and another one is deleted: all of them are right
    afterwards, and readers see each at once."""
    bucket, store = filled(20)
    check(store, repair=True)
    (segment, *_) = [each.key for each in bucket.list(f"names/{FOLDER}")] or [""]
    bucket.remove(segment)
    rivals, expected = BucketStore(bucket, "memory:///"), {f"p{number:05}" for number in range(20)}

    def interfere(number: int) -> None:
        if number > 15:
            return
        write(rivals, f"new-{number:02}", encode_project(Project(name=f"new-{number:02}"), ()))
        write(rivals, f"p{number:05}", None)
        expected.add(f"new-{number:02}")
        expected.discard(f"p{number:05}")

    repairs = BucketStore(_Interrupted(bucket, interfere), "memory:///").records.repairs()
    repairs.rebuild(FOLDER, lambda: store.records.written(FOLDER))
    repairs.settle(FOLDER, [f"p{number:05}" for number in range(20)])
    assert set(BucketStore(bucket, "memory:///").records.names(FOLDER).names) == expected
    assert check(store) == []


class _Interrupted(MemoryBucket):
    """The same bucket, with a step of another writer before each of the first writes."""

    def __init__(self, bucket: MemoryBucket, interfere: Callable[[int], None]) -> None:
        self.__dict__ = bucket.__dict__
        self._interference = (interfere, itertools.count())

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        interfere, numbers = self._interference
        interfere(next(numbers))
        return super().put(key, data, expected)


def write(store: BucketStore, name: str, data: bytes | None) -> None:
    store.records.write(f"{FOLDER}/{name}", data, store.records.read(f"{FOLDER}/{name}"))
