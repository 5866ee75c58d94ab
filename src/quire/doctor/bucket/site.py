"""The place of an examination: a folder of its own in the bucket, seen through several connections."""

from __future__ import annotations

import contextlib
import enum
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

from quire.domain.errors import StoreError
from quire.store.bucket.objects import BlobBucket, Object, Refused, Unclear, Version

CONNECTIONS: Final = 8
PARENT: Final = "doctor"
_ABANDONED: Final = 24 * 3600
"""Seconds after which objects of another examination are leftovers of one that was killed."""
T = TypeVar("T")


class Outcome(enum.Enum):
    """How a conditional write ended."""

    WRITTEN = enum.auto()
    REFUSED = enum.auto()
    UNCLEAR = enum.auto()


class Site:
    """A folder of the bucket that nothing else uses."""

    def __init__(self, connections: Sequence[BlobBucket]) -> None:
        """Each of `connections` reaches the same bucket, and shares no TCP connection with the others."""
        self.connections = connections
        self.folder = f"{PARENT}/{secrets.token_hex(8)}"

    def key(self, name: str) -> str:
        """The key of an object in the folder."""
        return f"{self.folder}/{name}"

    def listed(self, connection: BlobBucket, name: str) -> set[str]:
        """The names that a listing shows below a folder of this one."""
        prefix = self.key(name)
        return {each.key.removeprefix(f"{prefix}/") for each in connection.list(prefix)}

    def clear(self) -> None:
        """Remove all objects, also those that a killed examination left a day ago. Raises StoreError."""
        connection = self.connections[0]
        found = list(connection.list(PARENT))
        now = max((each.modified for each in found), default=0.0)  # by the bucket's clock; the youngest is ours
        for each in found:
            if each.key.startswith(f"{self.folder}/") or now - each.modified > _ABANDONED:
                connection.remove(each.key)


@contextmanager
def site(connect: Callable[[], BlobBucket]) -> Iterator[Site]:
    """A new folder; emptied afterwards, if the bucket allows it."""
    place = Site([connect() for _ in range(CONNECTIONS)])
    try:
        yield place
    finally:
        with contextlib.suppress(StoreError):  # the bucket's faults were found before
            place.clear()


def nonce() -> bytes:
    """Content that no other object has."""
    return secrets.token_hex(16).encode()


def attempt(connection: BlobBucket, key: str, data: bytes, expected: Version | None) -> tuple[Outcome, Version | None]:
    """One conditional write; the version when it is known to be written. Raises StoreError."""
    try:
        return Outcome.WRITTEN, connection.put(key, data, expected)
    except Refused:
        return Outcome.REFUSED, None
    except Unclear:
        return Outcome.UNCLEAR, None


def content(connection: BlobBucket, key: str) -> bytes | None:
    """The content of an object now; None when there is no object. Raises StoreError."""
    found = connection.get(key)
    return found.data if isinstance(found, Object) else None


def create(connection: BlobBucket, key: str, data: bytes) -> Version:
    """A new object; its version. Raises StoreError."""
    outcome, version = attempt(connection, key, data, None)
    if version is None:
        found = connection.get(key)
        if outcome is Outcome.REFUSED or not isinstance(found, Object) or found.data != data:
            raise StoreError(f"The object {key} could not be created.")
        return found.version
    return version


def together(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Run all jobs at once; their results in order. Raises the error of the first one that failed."""
    start = threading.Barrier(len(jobs))

    def run(job: Callable[[], T]) -> T:
        start.wait()
        return job()

    with ThreadPoolExecutor(len(jobs), thread_name_prefix="doctor") as executor:
        return [future.result() for future in [executor.submit(run, job) for job in jobs]]
