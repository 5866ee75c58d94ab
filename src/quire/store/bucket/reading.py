"""Blobs that are read from a bucket by ranged requests, a block at a time.

A reader that goes forward finds the next blocks on their way already: a download waits for its client, and not for a
round trip every few megabytes. No connection to the bucket is held for a client that is slow. The bytes that all
readers of a process hold together are bounded: the more blobs are open, the smaller their blocks, and the blocks that
are read ahead are counted.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

from quire.domain.errors import BlobMissing, StoreError
from quire.store.bucket.objects import BlobBucket
from quire.store.open_blob import OpenBlob

BLOCK: Final = 2 * 1024 * 1024
"""Bytes that a reader asks for at a time when it goes forward."""
LEAST: Final = 256 * 1024
"""Bytes that it asks for elsewhere, and that a block has where very many blobs are open."""
_HELD: Final = 32 * 1024 * 1024
"""Bytes of the blocks that open blobs hold, all of them together, while a block is larger than `LEAST`."""
_AHEAD: Final = 2
"""Blocks of one blob that are read ahead."""
_ALL_AHEAD: Final = 8
"""Those of all blobs together."""


class Blocks:
    """Fetches the blocks of all open blobs of a process. May be used from any thread; starts none before it is used."""

    def __init__(self, bucket: BlobBucket) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self._open = 0
        self._ahead = threading.BoundedSemaphore(_ALL_AHEAD)
        self._threads: ThreadPoolExecutor | None = None

    @property
    def size(self) -> int:
        """Bytes of a block now."""
        return max(LEAST, min(BLOCK, _HELD // max(1, self._open)))

    def count(self, more: int) -> None:
        """There are so many more, or fewer, open blobs."""
        with self._lock:
            self._open += more

    def fetch(self, key: str, offset: int, size: int) -> bytes:
        """Bytes that the object has. Raises StoreError."""
        data = self._bucket.read_at(key, offset, size)
        if data is None or len(data) != size:
            raise StoreError("The blob was removed from the bucket while it was read.")
        return data

    def begin(self, key: str, offset: int, size: int) -> Future[bytes] | None:
        """Begin to fetch; to be given to `release` in the end. None when too much is on its way or waits."""
        if not self._ahead.acquire(blocking=False):
            return None
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(_ALL_AHEAD, thread_name_prefix="ahead")
        return self._threads.submit(self.fetch, key, offset, size)

    def release(self, future: Future[bytes]) -> None:
        """The reader has these bytes, or wants them no more."""
        future.cancel()
        future.add_done_callback(lambda _: self._ahead.release())


class _Ahead(NamedTuple):
    start: int
    size: int
    future: Future[bytes]


class BucketBlob(OpenBlob):
    """Fulfils `contracts.OpenBlob`."""

    __slots__ = ("_ahead", "_block", "_blocks", "_bucket", "_is_closed", "_key", "_lock", "_redirect_seconds")

    def __init__(
        self, bucket: BlobBucket, blocks: Blocks, key: str, size: int, first: bytes, *, redirect_seconds: int | None
    ) -> None:
        super().__init__(size)
        self._bucket = bucket
        self._blocks = blocks
        self._key = key
        self._redirect_seconds = redirect_seconds
        self._lock = threading.Lock()
        self._block = (0, first)
        self._ahead: deque[_Ahead] = deque()
        """The blocks that follow one another and, first of all, the present one."""
        self._is_closed = False
        blocks.count(1)

    @classmethod
    def open(cls, bucket: BlobBucket, blocks: Blocks, key: str, redirect_seconds: int | None) -> BucketBlob:
        """The first bytes come with the answer, so a small blob costs one request.

        Of a blob that clients get from the bucket it is a small block: what is left to be sent from here is metadata.
        Raises BlobMissing, StoreError.
        """
        found = bucket.begin_reading(key, blocks.size if redirect_seconds is None else LEAST // 4)
        if found is None:
            raise BlobMissing(f"There is no blob {key.removeprefix('blobs/')} in the bucket (any more).")
        return cls(bucket, blocks, key, *found, redirect_seconds=redirect_seconds)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `contracts.OpenBlob`."""
        ends = min(offset + size, self.size)
        pieces = []
        while True:
            start, block = self._block_at(offset, ends - offset)
            pieces.append(block[offset - start : max(0, ends - start)])
            offset += len(pieces[-1])
            if offset >= ends:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def redirect_url(self) -> str | None:
        """See `contracts.OpenBlob`."""
        return None if self._redirect_seconds is None else self._bucket.sign(self._key, self._redirect_seconds)

    def close(self) -> None:
        """See `contracts.OpenBlob`."""
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            self._block = (0, b"")
            self._drop(len(self._ahead))
        if not was_closed:
            self._blocks.count(-1)

    def _block_at(self, offset: int, size: int) -> tuple[int, bytes]:
        """A block that has the byte at the offset, and where it begins; any block when no bytes are wanted."""
        with self._lock:
            self._check()
            start, block = self._block
            if size <= 0 or start <= offset < start + len(block):
                return start, block
            goes_on = offset == start + len(block)
            while self._ahead and not self._ahead[0].start <= offset < self._ahead[0].start + self._ahead[0].size:
                self._drop(1)
            ahead = self._ahead.popleft() if self._ahead else None
        if ahead is not None:
            start, data = ahead.start, self._awaited(ahead)
        else:
            wanted = self._blocks.size if goes_on else max(size, LEAST)
            start, data = offset, self._blocks.fetch(self._key, offset, min(wanted, self.size - offset))
        with self._lock:
            self._check()
            self._block = (start, data)
            if goes_on:
                self._read_ahead(start + len(data))
        return start, data

    def _awaited(self, ahead: _Ahead) -> bytes:
        """The bytes that were begun; fetched here where no thread has come to them."""
        try:
            if not ahead.future.cancel():
                return ahead.future.result()
        finally:
            self._blocks.release(ahead.future)
        return self._blocks.fetch(self._key, ahead.start, ahead.size)

    def _read_ahead(self, offset: int) -> None:
        if self._ahead and self._ahead[0].start != offset:  # another thread reads elsewhere
            return
        if self._ahead:
            offset = self._ahead[-1].start + self._ahead[-1].size
        while len(self._ahead) < _AHEAD and offset < self.size:
            size = min(self._blocks.size, self.size - offset)
            future = self._blocks.begin(self._key, offset, size)
            if future is None:
                return
            self._ahead.append(_Ahead(offset, size, future))
            offset += size

    def _drop(self, number: int) -> None:
        for _ in range(number):
            self._blocks.release(self._ahead.popleft().future)

    def _check(self) -> None:
        if self._is_closed:
            raise StoreError("The blob is closed.")
