"""The helpers of the rules: checks that hold with `python -O` too, documents that show a tear, races."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from quire.domain.errors import BlobMissing, QuireError
from quire.store.contracts import Record, Store

THREADS = 4
PATIENCE = 60.0
"""Seconds after which threads that have not finished count as hanging."""
T = TypeVar("T")


def require(holds: bool, otherwise: str) -> None:
    """Like assert, but there with `python -O` as well."""
    if not holds:
        raise AssertionError(otherwise)


@contextmanager
def refused(error: type[QuireError], what: str) -> Iterator[None]:
    """The body must raise `error`."""
    try:
        yield
    except error:
        return
    except Exception as other:
        raise AssertionError(f"{what} must raise {error.__name__}, not {other!r}.") from other
    raise AssertionError(f"{what} must raise {error.__name__}.")


def document(number: int, padding: int = 0) -> bytes:
    """A document that shows when it is torn: it begins and ends with its number."""
    return json.dumps({"first": number, "padding": "x" * padding, "last": number}).encode()


def number_of(data: bytes | None, padding: int = 0) -> int:
    """The number of a document; -1 for absence."""
    if data is None:
        return -1
    number = int(data[:32].split(b":")[1].split(b",")[0])
    require(data == document(number, padding), f"a reader got a torn document of {len(data)} bytes.")
    return number


def create(worker: Store, key: str, data: bytes) -> Record:
    return worker.records.write(key, data, worker.records.read(key))


def content_of(worker: Store, key: str) -> bytes | None:
    """The bytes of a blob; None when it is missing."""
    try:
        opened = worker.blobs.open(key)
    except BlobMissing:
        return None
    with opened as file:
        content = file.read()
    require(opened.size == len(content), f"OpenBlob.size is {opened.size} for {len(content)} bytes.")
    return content


def race(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Run all jobs at once, each in a thread; their results in order, or the exception of the first that failed.

    First means in the order of `jobs`: put those that cause something before those that only watch.
    """
    results: dict[int, T] = {}
    failures: dict[int, BaseException] = {}
    start = threading.Barrier(len(jobs))

    def run(index: int, job: Callable[[], T]) -> None:
        try:
            start.wait(PATIENCE)
            results[index] = job()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for this one
            failures[index] = error

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(jobs)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # else a thread would often do all its work before the next one begins
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
            require(not thread.is_alive(), f"threads hang: one has not finished within {PATIENCE:.0f} s.")
    finally:
        sys.setswitchinterval(interval)
    if failures:
        raise failures[min(failures)]
    return [results[index] for index in range(len(jobs))]
