"""The head of a response and the first piece of its body in one write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import pytest

from quire.servers.joined_head import JoinedHead


class _Writes(asyncio.Transport):
    """A transport that keeps what each write to its socket would have."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self._is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self._is_closed
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self._is_closed = True

    def is_closing(self) -> bool:
        return self._is_closed


Use = Callable[[JoinedHead, _Writes], Awaitable[None]]


async def _whole(joined: JoinedHead, _: _Writes) -> None:
    for piece in (b"head", b"body", b"", b"end"):
        joined.write(piece)


async def _later_body(joined: JoinedHead, writes: _Writes) -> None:
    joined.write(b"head")
    await asyncio.sleep(0)
    assert writes.writes == [b"head"]
    joined.write(b"body")


async def _flushed(joined: JoinedHead, writes: _Writes) -> None:
    joined.write(b"head")
    joined.flush()
    assert writes.writes == [b"head"]


async def _closed_behind_the_head(joined: JoinedHead, _: _Writes) -> None:
    joined.write(b"head")
    joined.close()


async def _lost_before_the_body(joined: JoinedHead, writes: _Writes) -> None:
    joined.write(b"head")
    writes.close()
    joined.write(b"body")


@pytest.mark.parametrize(
    ("use", "written"),
    [
        (_whole, [b"headbody", b"", b"end"]),
        (_later_body, [b"head", b"body"]),
        (_flushed, [b"head"]),
        (_closed_behind_the_head, [b"head"]),
        (_lost_before_the_body, []),
    ],
)
def test_what_is_written_together(use: Use, written: list[bytes]) -> None:
    async def main() -> list[bytes]:
        writes = _Writes()
        await use(JoinedHead(writes, asyncio.get_running_loop()), writes)
        await asyncio.sleep(0)
        return writes.writes

    assert asyncio.run(main()) == written
