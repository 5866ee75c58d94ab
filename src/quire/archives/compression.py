"""The compressed stream around a tar: expanded piece by piece, to its own end and within bounds."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from quire.archives import limits
from quire.archives.refusals import Unbounded, truncated
from quire.domain.errors import InvalidDistribution
from quire.domain.names import quoted


class _Decoder(Protocol):
    """The interface that the decoders of bz2 and lzma share."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _GzipDecoder:
    """zlib's decoder in the shape of the others: it keeps the input that it had no room to expand."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


@dataclass(frozen=True, slots=True)
class _Codec:
    suffixes: tuple[str, ...]
    new: Callable[[], _Decoder]
    magic: bytes
    """The first bytes of a further stream in the same file; empty when there can be none."""


_CODECS = (
    _Codec((".gz", ".tgz"), _GzipDecoder, b"\x1f\x8b"),
    _Codec((".bz2", ".tbz", ".tbz2"), bz2.BZ2Decompressor, b"BZh"),
    _Codec((".xz", ".txz"), lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, limits.LZMA_MEMORY), b"\xfd7zXZ\0"),
    _Codec((".lzma",), lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, limits.LZMA_MEMORY), b""),
)


def tar_chunks(file: BinaryIO, filename: str, *, one_stream: bool = False) -> Iterator[bytes] | None:
    """The tar in a file, piece by piece, by the suffix of its name; None when its compression is not known here.

    `one_stream`: whether everything must be in the first compressed stream. There may be several, but uv reads one.

    Going through it raises InvalidDistribution when the compressed stream is damaged, cut off or too long.
    """
    filename = filename.lower()
    if filename.endswith(".tar"):
        return uncompressed_chunks(file)
    for codec in _CODECS:
        if filename.endswith(codec.suffixes):
            return _expanded_chunks(file, codec, filename, one_stream=one_stream)
    return None


def uncompressed_chunks(file: BinaryIO) -> Iterator[bytes]:
    """The whole file as it is, piece by piece."""
    file.seek(0)
    while chunk := file.read(limits.CHUNK):
        yield chunk


def _expanded_chunks(file: BinaryIO, codec: _Codec, filename: str, *, one_stream: bool) -> Iterator[bytes]:
    """Everything that a compressed file expands to. Exhausted only if each of its streams reached its end mark."""
    limit = max(limits.MIN_EXPANDED_LIMIT, limits.MAX_EXPANSION * file.seek(0, 2))
    limit = min(limit, limits.MAX_EXPANDED_LIMIT)
    given = 0
    file.seek(0)
    data = file.read(limits.CHUNK)
    for number in range(limits.MAX_STREAMS):
        decoder = codec.new()
        while not decoder.eof:
            try:
                output = decoder.decompress(data, limits.CHUNK)
            except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError):  # OSError: bz2 on wrong data
                raise InvalidDistribution(
                    f"{quoted(filename)} is damaged, or not compressed as its name says; send it again."
                ) from None
            data = b""
            given += len(output)
            if given > limit:
                raise Unbounded(f"{quoted(filename)} expands to more than {limit} bytes; that is no source code.")
            if output:
                if number and one_stream:
                    raise Unbounded(f"{quoted(filename)} consists of several compressed streams; build it again.")
                yield output
            elif not decoder.eof:
                data = file.read(limits.CHUNK)
                if not data:
                    raise truncated(filename)
        data = _next_stream(file, decoder.unused_data, codec, filename)
        if not data:
            return
    raise Unbounded(f"{quoted(filename)} consists of more than {limits.MAX_STREAMS} compressed streams.")


def _next_stream(file: BinaryIO, rest: bytes, codec: _Codec, filename: str) -> bytes:
    """The start of the stream behind a compressed one; b"" when nothing follows but zeros, which are padding."""
    rest = rest.lstrip(b"\0")
    while len(rest) <= len(codec.magic) and (more := file.read(limits.CHUNK)):
        rest = rest + more if rest else more.lstrip(b"\0")
    if not rest or (codec.magic and rest.startswith(codec.magic)):
        return rest
    if codec.magic.startswith(rest):
        raise truncated(filename)
    raise Unbounded(f"{quoted(filename)} has other bytes after its end; build it again.")
