"""A large object on its way into a real bucket, in parts, through obstore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import obstore
from obstore import exceptions

from quire.domain.errors import StoreError
from quire.store.bucket.failures import refused_write, sentence_of

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from quire.observe.metrics.tally import Counts
    from quire.store.bucket.objects import Listed

_PARTS_AT_ONCE: Final = 2


class _Bucket(Protocol):
    """The bucket of an upload: `quire.store.bucket.client.ObjectBucket`."""

    url: str
    counts: Counts

    def head(self, key: str) -> Listed | None: ...

    def remove(self, key: str) -> None: ...


class ObjectUpload:
    """Fulfils `objects.Upload`. Its requests are tried again by obstore: a part may be sent twice."""

    def __init__(self, bucket: _Bucket, store: ObjectStore, key: str, part_size: int) -> None:
        self._bucket = bucket
        self._key = key
        self._size = 0
        self._part_size = part_size
        self._parts = 0
        self._is_over = False
        self._writer = obstore.open_writer(store, key, buffer_size=part_size, max_concurrency=_PARTS_AT_ONCE)

    def write(self, data: bytes) -> None:
        with self._errors():
            self._writer.write(data)
        self._size += len(data)
        self._bucket.counts.sent += len(data)
        self._count(self._size // self._part_size)

    def finish(self) -> None:
        """An answer that was lost is no failure: the key is new, so an object of this size is this one."""
        self._is_over = True
        self._count(-(-self._size // self._part_size))
        self._bucket.counts.add("put")
        try:
            with self._errors():
                self._writer.close()  # aborts when it fails
        except StoreError:
            found = self._bucket.head(self._key)
            if found is None or found.size != self._size:
                raise

    def abort(self) -> None:
        if self._is_over:  # it may have become an object, in spite of the answer
            self._bucket.remove(self._key)
            return
        self._is_over = True
        self._bucket.counts.add("delete")
        with self._errors():
            self._writer.__exit__(StoreError, None, None)  # with an error it aborts

    def _count(self, parts: int) -> None:
        """Count requests: one for each part, and the first one begins the upload."""
        for _ in range(parts - self._parts + (self._parts == 0 < parts)):
            self._bucket.counts.add("put")
        self._parts = parts

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.BaseError, OSError) as error:  # obstore's own, or Python's from its `close`
            failed = StoreError(f"The bucket could not take the file: {sentence_of(error)}.")
            raise refused_write(self._bucket.url, error) or failed from error
