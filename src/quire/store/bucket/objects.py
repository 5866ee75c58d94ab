"""The operations that the store needs of a bucket: objects are read and replaced conditionally.

`Bucket` is the contract, `quire.store.bucket.client` fulfils it with a real bucket, the tests with one whose every step
they choose. Keys are relative to the store's prefix.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from quire.domain.errors import StoreError
from quire.observe.metrics.tally import Counts


class Version(NamedTuple):
    """One state of an object, as the bucket names it: to ask whether it is still that, or to replace only that.

    S3 and Azure compare the ETag, GCS the generation, which is its version.
    """

    e_tag: str | None
    version: str | None


class Object(NamedTuple):
    """The bytes of an object, and which state of it they are."""

    data: bytes
    version: Version


class Listed(NamedTuple):
    """An object as a listing describes it."""

    key: str
    size: int
    modified: float
    """Seconds since the epoch, by the bucket's clock."""


class Unchanged(enum.Enum):
    """The answer to a conditional read of what did not change."""

    UNCHANGED = enum.auto()


class Refused(Exception):
    """The condition of a write did not hold. Where an intermediary repeats requests, perhaps because of this write."""


class Unclear(StoreError):
    """A write failed in a way that does not say whether it took place: a server error, a timeout, a lost connection."""


class Forbidden(StoreError):
    """The credentials do not allow a read or a removal, or the bucket does not accept them."""


class Bucket(Protocol):
    """Objects under one prefix. May be used from any thread. Each method but `put` may be repeated by its own.

    All raise StoreError when the bucket cannot answer.
    """

    def get(self, key: str, known: Version | None = None) -> Object | Unchanged | None:
        """The object now; None when there is none. With `known`, UNCHANGED when it is still that."""
        ...

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        """Replace the object if it is still `expected`; None: create it if there is none.

        Raises Refused when it is not; StoreReadOnly when the credentials do not allow it, StoreFull when there is no
        room, and StoreError when the bucket does not take it for another reason (nothing written); Unclear.
        """
        ...

    def remove(self, key: str) -> None:
        """Remove the object; a missing one is no error."""
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects whose keys begin with this folder, which ends with no slash; "" for all."""
        ...


class Upload(Protocol):
    """A large object on its way into a bucket, in parts."""

    def write(self, data: bytes) -> None:
        """The next part. Raises StoreError."""
        ...

    def finish(self) -> None:
        """Make the parts an object; durable when it returns. Raises StoreError."""
        ...

    def abort(self) -> None:
        """Let no object come of it."""
        ...


class BlobBucket(Bucket, Protocol):
    """A bucket that takes large objects, too."""

    counts: Counts

    def create(self, key: str, data: bytes, mark: str) -> None:
        """Create an object if there is none, as `put`, and remember the mark of this write beside it."""
        ...

    def mark_of(self, key: str) -> str | None:
        """The mark of the write that created the object, "" for one of another kind; None when there is no object."""
        ...

    def overwrite(self, key: str, data: bytes) -> None:
        """Write an object unconditionally."""
        ...

    def head(self, key: str) -> Listed | None:
        """The object without its bytes; None when there is none."""
        ...

    def begin_reading(self, key: str, size: int) -> tuple[int, bytes] | None:
        """The size of an object and its first bytes, as many as asked for or as there are; None when there is none."""
        ...

    def read_at(self, key: str, offset: int, size: int) -> bytes | None:
        """A part of an object, up to its end; None when there is none."""
        ...

    def sign(self, key: str, seconds: int) -> str:
        """A URL at which a client without credentials gets the object for so long.

        It asks the bucket nothing, but may ask for the credentials of a role. Raises StoreError when these cannot sign.
        """
        ...

    def upload(self, key: str, part_size: int) -> Upload:
        """Begin an object of unknown size."""
        ...

    def abort_unfinished(self, prefix: str, is_old: Callable[[float], bool]) -> int:
        """Remove the parts of uploads to keys that begin so, which were neither finished nor aborted; their number.

        `is_old`: whether to, by the time at which the upload began, by the bucket's clock. Where the bucket cannot be
        asked for them, none is removed, and the log says why.
        """
        ...
