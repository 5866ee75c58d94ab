"""A bucket in memory, for tests and trials: every operation is one step under one lock."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

from quire.observe.metrics.tally import Counts
from quire.store.bucket.objects import Listed, Object, Refused, Unchanged, Upload, Version


class MemoryBucket:
    """Fulfils `objects.Bucket`."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, Version, float]] = {}
        self._count = itertools.count(1)
        self.unfinished: list[str] = []
        """The keys of uploads in parts that were neither finished nor aborted."""
        self._marks: dict[str, str] = {}

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        with self._lock:
            found = self._objects.get(key)
        if found is None:
            return None
        return Unchanged.UNCHANGED if known == found[1] else Object(found[0], found[1])

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        with self._lock:
            found = self._objects.get(key)
            if (None if found is None else found[1]) != expected:
                raise Refused
            version = Version(f'"{next(self._count)}"', None)
            self._objects[key] = (bytes(data), version, time.time())
        return version

    def remove(self, key: str) -> None:
        with self._lock:
            self._objects.pop(key, None)

    def list(self, prefix: str) -> Iterator[Listed]:
        with self._lock:
            found = [
                Listed(key, len(data), modified)
                for key, (data, _, modified) in sorted(self._objects.items())
                if not prefix or key.startswith(f"{prefix}/")
            ]
        return iter(found)

    def create(self, key: str, data: bytes, mark: str) -> None:
        """See `objects.BlobBucket`."""
        self.put(key, data, None)
        self._marks[key] = mark

    def mark_of(self, key: str) -> str | None:
        """See `objects.BlobBucket`."""
        return None if self.head(key) is None else self._marks.get(key, "")

    def overwrite(self, key: str, data: bytes) -> None:
        """See `objects.BlobBucket`."""
        with self._lock:
            self._objects[key] = (bytes(data), Version(f'"{next(self._count)}"', None), time.time())

    def head(self, key: str) -> Listed | None:
        """See `objects.BlobBucket`."""
        with self._lock:
            found = self._objects.get(key)
        return None if found is None else Listed(key, len(found[0]), found[2])

    def begin_reading(self, key: str, size: int) -> tuple[int, bytes] | None:
        """See `objects.BlobBucket`."""
        found = self.get(key)
        return (len(found.data), found.data[:size]) if isinstance(found, Object) else None

    def read_at(self, key: str, offset: int, size: int) -> bytes | None:
        """See `objects.BlobBucket`."""
        found = self.get(key)
        return found.data[offset : offset + size] if isinstance(found, Object) else None

    def sign(self, key: str, seconds: int) -> str:
        """See `objects.BlobBucket`."""
        return f"https://bucket.example/{key}?seconds={seconds}"

    def upload(self, key: str, part_size: int) -> Upload:
        """See `objects.BlobBucket`."""
        return _MemoryUpload(self, key)

    def abort_unfinished(self, prefix: str, is_old: Callable[[float], bool]) -> int:
        """See `objects.BlobBucket`."""
        found = [key for key in self.unfinished if key.startswith(prefix) and is_old(time.time())]
        for key in found:
            self.unfinished.remove(key)
        return len(found)


class _MemoryUpload:
    def __init__(self, bucket: MemoryBucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._data = bytearray()
        bucket.unfinished.append(key)

    def write(self, data: bytes) -> None:
        self._data += data

    def finish(self) -> None:
        self._bucket.overwrite(self._key, bytes(self._data))
        self._bucket.unfinished.remove(self._key)

    def abort(self) -> None:
        self._bucket.unfinished.remove(self._key)
