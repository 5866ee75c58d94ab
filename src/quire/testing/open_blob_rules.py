"""The rules for a blob that is open."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from functools import partial

from quire.domain.errors import StoreError
from quire.store.open_blob import OpenBlob
from quire.testing.helpers import PATIENCE, THREADS, race, refused, require
from quire.testing.sandbox import Rule, Sandbox


def an_open_blob_is_read_by_position(sandbox: Sandbox) -> None:
    """read_at gives any range, as far as there are bytes; pieces, read and as_file give the same; after close nothing
    is read."""
    worker, other = sandbox.worker(), sandbox.worker()
    key, content = sandbox.blob(), random.Random(1).randbytes(2_500_000)  # noqa: S311 - test data
    size = len(content)
    worker.blobs.publish(sandbox.staged(worker, key, content))
    opened = other.blobs.open(key)
    with opened:
        require(opened.size == size, f"OpenBlob.size is {opened.size} for {size} bytes.")
        for offset in (0, 1, 65_536, size // 2, size - 1, size, size + 1, 10 * size):
            for length in (0, 1, 4096, 1_048_577, size, 2 * size):
                expected = content[offset : offset + length]
                require(opened.read_at(offset, length) == expected, f"read_at({offset}, {length}) is wrong.")
        require(opened.read() == content, "OpenBlob.read is wrong.")
        require(b"".join(opened.pieces()) == content, "OpenBlob.pieces are wrong.")
        with opened.as_file() as file:
            require(file.seekable(), "OpenBlob.as_file must give a seekable file.")
            require(file.read(10) == content[:10], "the beginning of an open blob is wrong.")
            file.seek(-5, 2)
            require(file.read() == content[-5:], "the end of an open blob is wrong.")
            file.seek(1000)
            require(file.read(500) == content[1000:1500], "the middle of an open blob is wrong.")
        require(opened.read_at(3, 4) == content[3:7], "closing what as_file gave closed the blob.")
    opened.close()
    with refused(StoreError, "reading a blob after it was closed"):
        opened.read_at(0, 1)
    require(opened.descriptor is None, "OpenBlob.descriptor must be None after close.")
    with other.blobs.open(key) as again:
        require(again.read_at(0, 10) == content[:10], "closing one open blob closed another one.")


def an_open_blob_is_shared_by_threads(sandbox: Sandbox) -> None:
    """Threads that read one open blob at once do not disturb each other; one that is closed meanwhile gives them the
    right bytes or an error."""
    worker, other = sandbox.worker(), sandbox.worker()
    key, content = sandbox.blob(), random.Random(2).randbytes(400_000)  # noqa: S311 - test data
    worker.blobs.publish(sandbox.staged(worker, key, content))

    def read(opened: OpenBlob, begun: threading.Barrier, number: int) -> None:
        ranges = random.Random(number)  # noqa: S311 - test data
        begun.wait(PATIENCE)
        with suppress(StoreError):
            for _ in range(200):
                offset, size = ranges.randrange(len(content)), ranges.randrange(20_000)
                found = opened.read_at(offset, size)
                require(found == content[offset : offset + size], "threads that share an open blob get wrong bytes.")

    def close(opened: OpenBlob, begun: threading.Barrier) -> None:
        begun.wait(PATIENCE)
        opened.close()
        with other.blobs.open(other_key) as another:  # takes the number of a descriptor that was closed too early
            require(another.read() == b"other", "a blob opened while another is read has wrong bytes.")

    other_key = sandbox.blob("other")
    worker.blobs.publish(sandbox.staged(worker, other_key, b"other"))
    for closes in (False, True, True, True):
        with other.blobs.open(key) as opened:
            begun = threading.Barrier(THREADS + closes)
            jobs = [partial(read, opened, begun, number) for number in range(THREADS)]
            race([*jobs, partial(close, opened, begun)] if closes else jobs)


RULES: tuple[Rule, ...] = (an_open_blob_is_read_by_position, an_open_blob_is_shared_by_threads)
