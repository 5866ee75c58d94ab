"""Reading a blob forward has the next blocks on their way; what all readers hold is bounded."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from quire.domain.errors import StoreError
from quire.store.bucket.blobs import BucketBlobs
from quire.store.bucket.reading import BLOCK, LEAST, Blocks, BucketBlob
from tests.serving import DEADLINE, until
from tests.store.bucket.memory import MemoryBucket

KEY = "blobs/acme/1/file"
CONTENT = random.Random(4).randbytes(6 * BLOCK + 12_345)
PIECE = 256 * 1024


class Bucket(MemoryBucket):
    """Remembers the ranges that were read, and holds back those that begin at some offsets."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[int, int]] = []
        self.held: dict[int, threading.Event] = {}
        self.overwrite(KEY, CONTENT)

    def read_at(self, key: str, offset: int, size: int) -> bytes | None:
        self.ranges.append((offset, size))
        if offset in self.held:
            assert self.held[offset].wait(DEADLINE)
        return super().read_at(key, offset, size)


def opened(bucket: Bucket) -> BucketBlob:
    return BucketBlobs(bucket, writable=True).open(KEY.removeprefix("blobs/"))


def pieces(blob: BucketBlob) -> Callable[[], bytes]:
    """A reader that goes forward as downloads do."""
    offset = 0

    def read() -> bytes:
        nonlocal offset
        data = blob.read_at(offset, PIECE)
        offset += len(data)
        return data

    return read


def test_a_forward_reader_finds_the_next_blocks_on_their_way() -> None:
    """Two of them are asked for while the present one is read, and no more before it goes on; each one once."""
    bucket = Bucket()
    with opened(bucket) as blob:
        read = pieces(blob)
        content = b"".join(read() for _ in range(BLOCK // PIECE))
        assert bucket.ranges == []
        content += read()
        until(lambda: len(bucket.ranges) == 3)
        assert sorted(bucket.ranges) == [(BLOCK, BLOCK), (2 * BLOCK, BLOCK), (3 * BLOCK, BLOCK)]
        while data := read():
            content += data
    assert content == CONTENT
    assert len(bucket.ranges) == 6


def test_a_reader_elsewhere_reads_little() -> None:
    """A range is not followed by further blocks."""
    bucket = Bucket()
    with opened(bucket) as blob:
        assert blob.read_at(5 * BLOCK + 7, 100) == CONTENT[5 * BLOCK + 7 :][:100]
        assert blob.read_at(len(CONTENT) - 5, 100) == CONTENT[-5:]
        assert blob.read_at(3 * BLOCK, BLOCK) == CONTENT[3 * BLOCK : 4 * BLOCK]
    assert bucket.ranges == [(5 * BLOCK + 7, LEAST), (len(CONTENT) - 5, 5), (3 * BLOCK, BLOCK)]


def test_a_slow_block_ahead_holds_nothing_up_but_its_reader() -> None:
    """A blob can be closed while a block is on its way, and another one is read meanwhile."""
    bucket = Bucket()
    bucket.held[2 * BLOCK] = threading.Event()
    blobs = BucketBlobs(bucket, writable=True)
    slow, other = blobs.open("acme/1/file"), blobs.open("acme/1/file")
    assert slow.read_at(BLOCK, 10) == CONTENT[BLOCK:][:10]
    slow.close()
    with pytest.raises(StoreError):
        slow.read_at(BLOCK, 10)
    assert other.read_at(0, 10) == CONTENT[:10]
    bucket.held[2 * BLOCK].set()
    with other:
        assert other.read() == CONTENT


def test_blocks_are_smaller_where_many_blobs_are_open() -> None:
    """So that a worker with hundreds of slow clients holds little; closing makes them large again."""
    bucket = Bucket()
    blobs = BucketBlobs(bucket, writable=True)
    many = [blobs.open("acme/1/file") for _ in range(300)]
    assert many[-1].read_at(0, 2 * LEAST) == CONTENT[: 2 * LEAST]
    assert {size for _, size in bucket.ranges} == {LEAST}
    for each in many:
        each.close()
        each.close()
    bucket.ranges.clear()
    with blobs.open("acme/1/file") as blob:
        assert blob.read() == CONTENT
    assert len(bucket.ranges) == 6


def test_few_blocks_are_read_ahead_for_all() -> None:
    """Where the bucket is slow, readers beyond the bound fetch for themselves, and all get their bytes."""
    bucket = Bucket()
    for number in range(2, 7):
        bucket.held[number * BLOCK] = threading.Event()
    blobs = BucketBlobs(bucket, writable=True)
    many = [blobs.open("acme/1/file") for _ in range(10)]
    for each in many:
        assert each.read_at(BLOCK, 10) == CONTENT[BLOCK:][:10]
    ahead = sum(offset >= 2 * BLOCK for offset, _ in bucket.ranges)
    assert ahead <= 8
    for event in bucket.held.values():
        event.set()
    for each in many:
        with each:
            assert each.read() == CONTENT


def test_a_failure_ahead_is_the_readers_own() -> None:
    """A blob that was removed while it is read ends with an error, where its bytes are missing."""
    bucket = Bucket()
    with opened(bucket) as blob:
        assert blob.read_at(BLOCK, 10) == CONTENT[BLOCK:][:10]
        until(lambda: len(bucket.ranges) == 3)
        bucket.remove(KEY)
        with pytest.raises(StoreError, match="removed"):
            blob.read()
    blocks = Blocks(bucket)
    with pytest.raises(StoreError, match="removed"):
        blocks.fetch(KEY, 0, 10)
