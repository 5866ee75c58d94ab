"""Ages of blobs are told by the bucket's clock, which is asked for once in a while.

Replaced here: `time.monotonic`, because minutes have to pass.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from quire.domain.errors import StoreError, StoreFull, StoreReadOnly
from quire.store.bucket.blobs import BucketBlobs
from quire.store.bucket.objects import Listed
from quire.store.bucket.store import BucketStore
from tests.store.bucket.memory import MemoryBucket


class Bucket(MemoryBucket):
    """Its clock is an hour behind that of this machine; it remembers what was asked for and written."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def head(self, key: str) -> Listed | None:
        self.asked.append(key)
        found = super().head(key)
        return None if found is None else found._replace(modified=found.modified - 3600)

    def overwrite(self, key: str, data: bytes) -> None:
        self.asked.append(key)
        super().overwrite(key, data)


def filled(bucket: Bucket, number: int = 20) -> BucketBlobs:
    for each in range(number):
        bucket.put(f"blobs/acme/{each}/file", b"content", None)
    return BucketBlobs(bucket, writable=True)


def test_a_run_asks_for_the_time_once() -> None:
    """However many blobs it looks at: one object is written and read for it."""
    bucket = Bucket()
    blobs = filled(bucket)
    assert not any(blobs.remove_old(f"acme/{each}/file", 60) for each in range(20))
    assert all(blobs.remove_old(f"acme/{each}/file", 0) for each in range(20))
    assert bucket.asked.count("clock") == 2


def test_the_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two questions by this machine's monotonic clock, and after some minutes the bucket is asked again."""
    bucket = Bucket()
    blobs = filled(bucket, 2)
    assert not blobs.remove_old("acme/0/file", 60)
    begun = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: begun + 61)
    assert blobs.remove_old("acme/0/file", 60)
    assert bucket.asked.count("clock") == 2
    monkeypatch.setattr(time, "monotonic", lambda: begun + 3600)
    assert not blobs.remove_old("acme/1/file", 60)
    assert bucket.asked.count("clock") == 4


class Unwritten(Bucket):
    """Takes no write."""

    def __init__(self, error: StoreError) -> None:
        super().__init__()
        self._error = error

    def overwrite(self, key: str, data: bytes) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [StoreReadOnly("The credentials may not write."), StoreFull("The bucket is full.")],
    ids=["readers", "full"],
)
def test_the_time_of_the_last_writer_is_taken_where_none_can_be_written(error: StoreError) -> None:
    """So `quire check` works with credentials that only read, and `quire gc` in a full bucket; and nothing is taken for
    older than it is."""
    bucket = Unwritten(error)
    blobs = filled(bucket, 1)
    (found,) = blobs.list()
    assert found.age == 0
    bucket.put("clock", b"", None)
    (found,) = filled(bucket, 0).list()
    assert found.age < 3600


def test_a_full_bucket_can_be_opened() -> None:
    """Its files are served, and it is tidied."""
    BucketStore(Unwritten(StoreFull("The bucket is full.")), "memory:///").probe()
    with pytest.raises(StoreReadOnly):
        BucketStore(Unwritten(StoreReadOnly("The credentials may not write.")), "memory:///").probe()


class SlowUploads(MemoryBucket):
    """Dates an object that was sent in parts by the beginning of its upload, as S3 does: an hour before its end."""

    def head(self, key: str) -> Listed | None:
        found = super().head(key)
        return (
            found if found is None or not key.startswith("blobs/") else found._replace(modified=found.modified - 3600)
        )

    def list(self, prefix: str) -> Iterator[Listed]:
        for each in super().list(prefix):
            yield each._replace(modified=each.modified - 3600) if each.key.startswith("blobs/") else each


def test_a_large_blob_is_young_when_it_is_there() -> None:
    """However long its upload took: gc must not take it for an old one before a record names it."""
    blobs = BucketBlobs(SlowUploads(), writable=True)
    staging = blobs.stage("acme/1/file")
    for _ in range(9):
        staging.write(bytes(1024 * 1024))
    blobs.publish(staging.finish())
    (found,) = blobs.list()
    assert found.age < 900
    assert not blobs.remove_old("acme/1/file", 900)
    assert blobs.remove_old("acme/1/file", 0)
