"""A file of another index for one reader: one that is kept here, and a part of one that is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import MappingProxyType
from typing import Final

from quire.domain.errors import NotFound, StoreError, UpstreamBusy, UpstreamError
from quire.store.open_blob import OpenBlob
from quire.upstream.pages import UpstreamFile
from quire.upstream.places import Places
from quire.upstream.server import OtherServer, Response

WITHOUT_CODING: Final = MappingProxyType({"Accept-Encoding": "identity"})
"""Headers of a request for the very bytes of a file."""

_READER_SECONDS: Final = 120.0
"""Within which a reader must take the next piece, at most a quarter of a megabyte."""
_SLOWEST: Final = 8192
"""Bytes a second, on average: a slower file would hold its connection for hours."""
_PATIENCE: Final = 60.0
"""Seconds after which a file may be too slow."""


class Pace:
    """How fast the bytes of a file arrive, or are taken by their reader."""

    def __init__(self, filename: str) -> None:
        self._filename = filename
        self._begun = asyncio.get_running_loop().time()

    def check(self, size: int) -> None:
        """`size`: of all bytes so far. Raises UpstreamBusy when they are too slow."""
        seconds = asyncio.get_running_loop().time() - self._begun
        if seconds > _PATIENCE and size < _SLOWEST * seconds:
            raise UpstreamBusy(f"The file {self._filename} arrives too slowly; repeat later.")


class KeptBlob(OpenBlob):
    """A file that is here, for one reader. Where it may be removed while it is read, it has no path and no URL at which
    others read it: they would meet the removal."""

    __slots__ = ("_again", "_is_permanent", "_kept", "_sent", "_whole")

    def __init__(
        self,
        kept: OpenBlob,
        again: Callable[[], Awaitable[OpenBlob]],
        sent: Callable[[int], object] = lambda size: None,
        *,
        by_descriptor: bool = False,
        is_permanent: bool = False,
    ) -> None:
        """`again`: fetches it once more; `sent`: called with the number of bytes that will be read; `by_descriptor`:
        whether its descriptor outlives a removal; `is_permanent`: whether it is not removed."""
        has_descriptor = by_descriptor or is_permanent
        super().__init__(
            kept.size,
            path=kept.path if is_permanent else None,
            descriptor=kept.descriptor if has_descriptor else None,
        )
        self._sent = sent
        self._is_permanent = is_permanent
        self._kept = kept
        self._again = again
        self._whole: OpenBlob | None = None

    def redirect_url(self) -> str | None:
        return self._kept.redirect_url() if self._is_permanent else None

    async def prepare(self, start: int, stop: int) -> None:
        self._sent(stop - start)

    async def recover(self) -> bool:
        if self._whole is not None:
            return False
        self._whole = await self._again()
        return True

    async def wait(self, offset: int) -> None:
        if self._whole is not None:
            await self._whole.wait(offset)

    def read_at(self, offset: int, size: int) -> bytes:
        return (self._whole or self._kept).read_at(offset, size)

    def close(self) -> None:
        self.descriptor = None
        self._kept.close()
        if self._whole is not None:
            self._whole.close()


class Part:
    """A part of a file, passed on as it arrives; one reader reads it in order."""

    def __init__(self, server: OtherServer, places: Places, file: UpstreamFile, start: int, stop: int) -> None:
        """`file`: its page says its size."""
        self._server = server
        self._places = places
        self._file = file
        self._range = f"{start}-{stop - 1}"
        self._begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pieces: asyncio.Queue[bytes | str] = asyncio.Queue(4)
        """A text is the reason why there are no more."""
        self._at = start
        self._piece = b""
        self._error: str | None = None
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def begin(self) -> bool:
        """Whether the other index gives this part. Raises NotFound, UpstreamError."""
        try:
            return await asyncio.shield(self._begun)
        except BaseException:
            self.close()
            raise

    async def wait(self, offset: int) -> None:
        """Wait for the next bytes, of which `offset` is the first."""
        if offset != self._at + len(self._piece) or self._error is not None:
            return
        piece = await self._pieces.get()
        self._at = offset
        if isinstance(piece, str):
            self._piece, self._error = b"", piece
        else:
            self._piece = piece

    def read_at(self, offset: int, size: int) -> bytes:
        """Raises StoreError when there are no more bytes."""
        begin = offset - self._at
        found = self._piece[begin : begin + size] if begin >= 0 else b""
        if not found:
            raise StoreError(self._error or "The bytes have not arrived yet.")
        return found

    def close(self) -> None:
        self._task.cancel()

    async def _give(self, piece: bytes) -> None:
        """Raises UpstreamError when the reader takes nothing for a long time: it would hold the connection."""
        try:
            async with asyncio.timeout(_READER_SECONDS):
                await self._pieces.put(piece)
        except TimeoutError:
            while not self._pieces.empty():  # room for the reason
                self._pieces.get_nowait()
            raise UpstreamError(f"The part of {self._file.filename} was not read in time.") from None

    async def _read(self) -> None:
        headers = {**WITHOUT_CODING, "Range": f"bytes={self._range}"}
        try:
            async with self._places.take(), self._server.get(self._file.url, headers) as response:
                is_part = response.headers.get("Content-Range") == f"bytes {self._range}/{self._file.size}"
                if response.status != 206 or not is_part:
                    if response.status not in {200, 206, 416}:
                        check_there(response, f"file {self._file.filename}")
                    self._begun.set_result(False)
                    return
                self._begun.set_result(True)
                pace, passed = Pace(self._file.filename), 0
                async for piece in response.pieces():
                    await self._give(piece)
                    passed += len(piece)
                    pace.check(passed)
            await self._pieces.put(f"The part of {self._file.filename} ended early.")
        except (UpstreamError, NotFound) as error:
            if not self._begun.done():
                self._begun.set_exception(error)
            else:
                await self._pieces.put(str(error))


def check_there(response: Response, what: str) -> None:
    """Raises NotFound, UpstreamBusy, UpstreamError for any status but 200."""
    if response.status in {404, 410}:
        raise NotFound(f"The index that has the {what} gives it no more.")
    response.check()
