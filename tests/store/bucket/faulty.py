"""A bucket that fails as networks and servers do, at chosen writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

from quire.store.bucket.objects import Listed, Object, Refused, Unchanged, Unclear, Version
from tests.store.bucket.memory import MemoryBucket


class Failure(StrEnum):
    """How a put ends."""

    NONE = "does not fail"
    BEFORE = "fails before"
    """Nothing was written, and the answer is lost."""
    AFTER = "fails after"
    """It was written, and the answer is lost."""
    TWICE = "arrives twice"
    """An intermediary repeats it, and hands on the answer to the second one."""
    LATE = "arrives late"
    """The answer is an error; it is written a moment later, if its condition holds then."""
    RACE = "refused for no reason"
    """As S3's 409 for writes at the same time: nothing was written."""


class FaultyBucket:
    """Fulfils `objects.Bucket` over another one. The next puts of a key, or into a folder, fail in the given ways."""

    def __init__(self, bucket: MemoryBucket) -> None:
        self.bucket = bucket
        self.failures: dict[str, list[Failure]] = {}
        self.meanwhile: Callable[[], object] | None = None
        """Runs once, right after a put that failed."""
        self.puts: list[tuple[str, bytes]] = []
        self._late: list[Callable[[], object]] = []

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        return self.bucket.get(key, known)

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        late, self._late = self._late, []
        for write in late:
            write()
        self.puts.append((key, data))
        failures = self.failures.get(key) or self.failures.get(key.rpartition("/")[0])
        if not failures:
            return self.bucket.put(key, data, expected)
        try:
            return self._fail(failures.pop(0), key, data, expected)
        finally:
            meanwhile, self.meanwhile = self.meanwhile, None
            if meanwhile is not None:
                meanwhile()

    def _fail(self, failure: Failure, key: str, data: bytes, expected: Version | None) -> Version:
        if failure is Failure.NONE:
            return self.bucket.put(key, data, expected)
        if failure is Failure.RACE:
            raise Refused
        if failure is Failure.LATE:
            self._late.append(lambda: self._arrive(key, data, expected))
        elif failure is not Failure.BEFORE:
            self.bucket.put(key, data, expected)
        if failure is Failure.TWICE:
            return self.bucket.put(key, data, expected)
        raise Unclear("The connection was lost.")

    def _arrive(self, key: str, data: bytes, expected: Version | None) -> None:
        try:
            self.bucket.put(key, data, expected)
        except Refused:
            return

    def remove(self, key: str) -> None:
        self.bucket.remove(key)

    def list(self, prefix: str) -> Iterator[Listed]:
        return self.bucket.list(prefix)
