"""A file that arrives: its bytes come from memory at first, then from one file, and the last one only when verified."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from quire.domain.errors import StoreError
from quire.store.memory import MemoryStore
from quire.store.opening import open_store
from quire.upstream.arriving import Arrival

KEY = "mirror/public/foo/file"
NOWHERE = "/there/is/no/such/directory"


def test_the_first_bytes_need_no_file() -> None:
    """A reader has them before a disk has taken them in, and they are counted once."""

    async def main() -> None:
        arrival = Arrival(10, asyncio.get_running_loop())
        reader = arrival.reader()
        arrival.begin(b"first")
        await reader.wait(4)
        assert reader.read_at(0, 100) == b"first"
        assert reader.read_at(3, 1) == b"s"
        with pytest.raises(StoreError, match="not arrived"):
            reader.read_at(5, 1)
        arrival.append(b"first")
        arrival.append(b"-last")
        assert (reader.read_at(0, 100), reader.read_at(5, 100)) == (b"first", b"-las")
        arrival.verify()
        assert reader.read_at(5, 100) == b"-last"
        reader.close()
        arrival.release()

    asyncio.run(main())


def test_bytes_are_read_where_they_are_staged(tmp_path: Path) -> None:
    """In a directory they are written once: no spool is made; they can be read also after they were discarded."""

    async def main() -> None:
        staging = open_store(str(tmp_path)).blobs.stage(KEY, None)
        arrival = Arrival(10, asyncio.get_running_loop(), NOWHERE, staging.descriptor())
        reader = arrival.reader()
        for piece in (b"first", b"-last"):
            staging.write(piece)
            arrival.append(bytearray(piece))
        arrival.verify()
        staging.discard()
        assert reader.read_at(0, 10) == b"first-last"
        reader.close()
        arrival.release()
        with pytest.raises(StoreError, match="cannot be read"):
            arrival.read_at(0, 10)

    asyncio.run(main())


def test_a_store_without_such_a_file_needs_a_spool() -> None:
    """There bytes are spooled, in the directory for that."""

    async def main() -> None:
        staging = MemoryStore().blobs.stage(KEY, None)
        assert staging.descriptor() is None
        with pytest.raises(StoreError, match="cannot be spooled"):
            Arrival(10, asyncio.get_running_loop(), NOWHERE, staging.descriptor())

    asyncio.run(main())
