"""`quire backup` and `quire restore` die before and after each of their requests to a bucket.

Replaced here: the number of threads of both, so that the order of requests is the same in each run.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quire.domain.changes import Selection
from quire.domain.errors import UnknownLayout
from quire.index.index import Index
from quire.operations.backup import Backups, place, restore, take
from quire.operations.backup.taking import faults_of
from quire.process.progress import Progress
from quire.store.bucket.objects import BlobBucket
from quire.store.bucket.store import BucketStore
from quire.store.memory import MemoryStore
from quire.store.purposes import Purpose
from tests.operations.test_backup import ALICE, NOON, content, publish
from tests.store.bucket.changes import one_at_a_time
from tests.store.bucket.memory import MemoryBucket
from tests.store.bucket.test_kills import DyingBucket, Killed

_MOST = 200
both_ways = pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """With two files and a deleted one."""
    monkeypatch.setattr(place, "AT_ONCE", 1)
    store = MemoryStore()
    index = Index(store)
    publish(index)
    publish(index, version="2.0")
    publish(index, "beta")
    index.remove_blobs(index.delete("alpha", Selection(version="2.0"), origin=ALICE).removed)
    return store


def opened(bucket: BlobBucket, purpose: Purpose) -> BucketStore:
    """As the commands open it."""
    store = BucketStore(bucket, "s3://acme/place", purpose=purpose)
    assert store.exists
    return store


def backups_in(bucket: BlobBucket) -> Backups:
    return Backups(opened(bucket, Purpose.BACKUPS))


def dies(work: Callable[[BlobBucket], object], bucket: MemoryBucket, number: int, *, is_after: bool) -> bool:
    """Whether the command died at this request."""
    dying = DyingBucket(bucket, number, is_after=is_after)
    with one_at_a_time():
        try:
            work(dying)
        except Killed:
            assert dying.is_dead
    return dying.is_dead


@both_ways
@pytest.mark.parametrize(
    ("earlier", "every"), [(0, 1), (2, 5), pytest.param(2, 1, marks=pytest.mark.proofs)], ids=["first", "some", "next"]
)
def test_a_killed_backup(store: MemoryStore, earlier: int, every: int, *, is_after: bool) -> None:
    """All that is listed is whole, the next one is, too, and no object is left that no backup names."""

    def work(bucket: BlobBucket) -> None:
        backups = backups_in(bucket)
        take(store, backups, now=NOON)
        backups.keep(2, store.place, unnamed_seconds=0.0)

    for number in range(1, _MOST, every):
        bucket = MemoryBucket()
        for _ in range(earlier):
            take(store, backups_in(bucket), now=NOON)
        if earlier:
            publish(Index(store), "gamma", f"{number}.0")
        is_dead = dies(work, bucket, number, is_after=is_after)
        backups = backups_in(bucket)
        moments = backups.moments()
        assert len(moments) in range(min(earlier, 2), 4)
        for moment in moments:
            assert faults_of(backups, backups.read(moment).objects(), Progress()) == {}
        assert take(store, backups, now=NOON, unnamed_seconds=0.0).manifest.missing == ()
        backups.keep(2, store.place, unnamed_seconds=0.0)
        target = MemoryStore()
        assert restore(backups.chosen(None), backups, target).is_complete
        assert content(target) == content(store)
        named = set[str]().union(*(backups.read(moment).objects() for moment in backups.moments()))
        assert backups.objects().keys() == named
        take(store, backups, now=NOON, unnamed_seconds=0.0)
        assert [marker.key for marker in bucket.list("renewed") if marker.key.rpartition("/")[2] not in named] == []
        if not is_dead:
            break
    assert 10 < number < _MOST, "the backup makes so few or many requests that this was no test"


@both_ways
@pytest.mark.parametrize("is_made", [False, True], ids=["empty", "made"])
def test_a_killed_restore(store: MemoryStore, *, is_made: bool, is_after: bool) -> None:
    """No server starts on a part, and the repetition ends it."""
    backups = backups_in(MemoryBucket())
    take(store, backups, now=NOON)
    manifest, wanted = backups.chosen(None), content(store)

    def work(bucket: BlobBucket) -> None:
        assert restore(manifest, backups, opened(bucket, Purpose.RESTORE)).is_complete

    for number in range(1, _MOST):
        bucket, served = MemoryBucket(), dict[str, object]()
        if is_made:
            opened(bucket, Purpose.INDEX)
        is_dead = dies(work, bucket, number, is_after=is_after)
        try:
            untouched = BucketStore(bucket, "s3://acme/place", create=False)
            served = content(untouched) if untouched.exists else {}
        except UnknownLayout:
            assert is_dead
        assert served in (wanted, {})
        if served != wanted:
            assert is_dead
            work(bucket)
        assert content(opened(bucket, Purpose.INDEX)) == wanted
        if not is_dead:
            break
    assert 10 < number < _MOST, "the restore makes so few or many requests that this was no test"
