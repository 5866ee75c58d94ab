"""Large blobs reach the bucket while their bytes arrive, and nothing of a refused one stays there.

Replaced here: writing to the disk, since no real disk is full on request.
"""

from __future__ import annotations

import hashlib
import os
import random

import pytest

from quire.domain.errors import BlobMissing, Conflict, StoreError, TooLarge
from quire.store.bucket import spool, staging
from quire.store.bucket.blobs import BucketBlobs
from quire.store.bucket.objects import Upload
from quire.store.bucket.staging import SMALL, BucketStaging
from quire.store.contracts import BlobOptions
from tests.store.bucket.memory import MemoryBucket

KEY = "acme/1/acme-1.0.tar.gz"
OBJECT = f"blobs/{KEY}"
CONTENT = random.Random(1).randbytes(SMALL + 3_000_000)
PIECE = 1_000_000


class Bucket(MemoryBucket):
    """Remembers the bytes that were sent in parts, and can lose the answer that completes them."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.part_sizes: list[int] = []

    def upload(self, key: str, part_size: int) -> Upload:
        self.part_sizes.append(part_size)
        upload, bucket = super().upload(key, part_size), self

        class Counting:
            def write(self, data: bytes) -> None:
                bucket.sent += len(data)
                upload.write(data)

            finish, abort = upload.finish, upload.abort

        return Counting()


def opened(bucket: MemoryBucket, **options: int) -> BucketBlobs:
    return BucketBlobs(bucket, writable=True, options=BlobOptions(**options))


def written(blobs: BucketBlobs, content: bytes = CONTENT) -> BucketStaging:
    staging = blobs.stage(KEY)
    for offset in range(0, len(content), PIECE):
        staging.write(content[offset : offset + PIECE])
    return staging


def in_temporary_files() -> int:
    """Bytes of the files without names that this process holds."""
    total = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").endswith(" (deleted)"):
                total += os.stat(f"/proc/self/fd/{name}").st_size
        except FileNotFoundError:  # of the listing itself
            continue
    return total


def test_parts_are_sent_while_bytes_arrive() -> None:
    """Before the staging is finished all are on their way, and no object is there before the publication."""
    bucket = Bucket()
    blobs = opened(bucket)
    begun = written(blobs)
    assert bucket.sent == len(CONTENT)
    staged = begun.finish()
    with staged.open() as file:
        assert file.read() == CONTENT
    assert bucket.head(OBJECT) is None
    assert staged.digests.sha256 == hashlib.sha256(CONTENT).hexdigest()
    blobs.publish(staged)
    assert (bucket.unfinished, bucket.sent) == ([], len(CONTENT))
    with blobs.open(KEY) as blob:
        assert blob.read() == CONTENT


def test_a_small_blob_is_one_put() -> None:
    """Up to and with the limit; nothing is sent before its publication."""
    bucket = Bucket()
    blobs = opened(bucket)
    staged = written(blobs, CONTENT[:SMALL]).finish()
    blobs.publish(staged)
    assert bucket.sent == 0
    with blobs.open(KEY) as blob:
        assert blob.read() == CONTENT[:SMALL]


@pytest.mark.parametrize("is_finished", [False, True], ids=["half", "whole"])
def test_refused_bytes_leave_nothing(*, is_finished: bool) -> None:
    """Discarded while they arrive, and after: the upload in parts is aborted, also when it is done twice."""
    bucket = Bucket()
    begun = written(opened(bucket))
    assert bucket.unfinished == [OBJECT]
    refused = begun.finish() if is_finished else begun
    refused.discard()
    refused.discard()
    assert bucket.unfinished == []
    assert list(bucket.list("")) == []


@pytest.mark.parametrize("size", [1, 2_500_000, len(CONTENT) - 1])
def test_the_temporary_directory_is_bounded(size: int) -> None:
    """Bytes over the bound are read back from the bucket, and refused ones are removed from there."""
    bucket = Bucket()
    blobs = opened(bucket, spool_size=size)
    before = in_temporary_files()
    staged = written(blobs).finish()
    assert in_temporary_files() - before <= size
    with staged.open() as file:
        file.seek(-100, 2)
        assert file.read() == CONTENT[-100:]
        file.seek(0)
        assert file.read() == CONTENT
    assert bucket.head(OBJECT) is not None
    staged.discard()
    assert list(bucket.list("")) == []
    staged = written(blobs).finish()
    with staged.open() as file:
        assert file.read() == CONTENT
    blobs.publish(staged)
    with blobs.open(KEY) as blob:
        assert blob.read() == CONTENT


def test_uploads_share_the_temporary_directory() -> None:
    """One that ends makes room for the next; small ones need none beyond a megabyte of memory."""
    bucket = Bucket()
    blobs = opened(bucket, spool_size=len(CONTENT))
    before = in_temporary_files()
    first, second = written(blobs), written(blobs)
    assert in_temporary_files() - before <= len(CONTENT)
    for each in (first, second):
        each.discard()
    assert in_temporary_files() == before
    third = written(blobs)
    assert in_temporary_files() - before == len(CONTENT)
    third.discard()


def test_a_full_temporary_directory_refuses_no_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes go to the bucket all the same, and come from there."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    bucket = Bucket()
    blobs = opened(bucket)
    monkeypatch.setattr(spool, "_write_at", full)
    staged = written(blobs, CONTENT[:2_500_000]).finish()
    with staged.open() as file:
        assert file.read() == CONTENT[:2_500_000]
    blobs.publish(staged)
    with blobs.open(KEY) as blob:
        assert blob.read() == CONTENT[:2_500_000]


def test_a_taken_key_keeps_its_bytes() -> None:
    """Also against a large blob; its parts are aborted."""
    bucket = Bucket()
    blobs = opened(bucket)
    staged = written(blobs).finish()
    bucket.put(OBJECT, b"first", None)
    with pytest.raises(Conflict):
        blobs.publish(staged)
    staged.discard()
    assert bucket.unfinished == []
    with blobs.open(KEY) as blob:
        assert blob.read() == b"first"


def test_parts_grow_with_the_largest_size() -> None:
    """So that the largest file has no more parts than a bucket takes; a larger one is refused and aborted."""
    for largest, expected in ((2 * 1024**3, SMALL), (5 * 10**12, 477 * 1024**2)):
        bucket = Bucket()
        written(opened(bucket, largest=largest)).discard()
        assert bucket.part_sizes == [expected]
        assert expected * staging.MOST_PARTS >= largest


def test_more_parts_than_a_bucket_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Are refused in one sentence, and what was sent is aborted."""
    monkeypatch.setattr(staging, "MOST_PARTS", 1)
    bucket = Bucket()
    begun = opened(bucket).stage(KEY)
    begun.write(CONTENT[:SMALL])
    with pytest.raises(TooLarge, match="--max-upload-size"):
        begun.write(CONTENT[SMALL:])
    begun.discard()
    assert bucket.unfinished == []


def test_published_bytes_are_gone_here() -> None:
    """Neither read nor published once more, and a discard leaves the blob alone."""
    bucket = Bucket()
    blobs = opened(bucket)
    staged = written(blobs).finish()
    blobs.publish(staged)
    staged.discard()
    with pytest.raises(StoreError):
        blobs.publish(staged)
    with pytest.raises(StoreError):
        staged.read_at(0, 1)
    with blobs.open(KEY) as blob:
        assert blob.size == len(CONTENT)
    blobs.remove(KEY)
    with pytest.raises(BlobMissing):
        blobs.open(KEY)
