"""Pages that are kept compressed: the few clients that want them without a content coding have them unpacked."""

from __future__ import annotations

import gzip
from typing import Final

import zstandard

from quire.domain.errors import DamagedRecord
from quire.render.negotiation import Encoding
from quire.render.simple import Page

_UNPACKED: Final = "identity"


class PackedPage(Page):
    """A page of which at least one compressed form is here. As `Page` in all else."""

    __slots__ = ("_size",)
    _size: int

    def __init__(self, content_type: str, etag: str, size: int) -> None:
        """`size`: bytes of the page before its compression. To be followed by `add`."""
        object.__setattr__(self, "content_type", content_type)
        object.__setattr__(self, "etag", etag)
        object.__setattr__(self, "_compressed", {})
        object.__setattr__(self, "_size", size)

    def add(self, encoding: Encoding, body: bytes) -> None:
        """The page in this form; in `identity` as it was rendered."""
        self._compressed[encoding] = body

    @property
    def body(self) -> bytes:  # read only, as in the frozen class
        """Unpacked when it is first asked for. Raises DamagedRecord."""
        body = self._compressed.get(_UNPACKED)
        if body is None:
            body = self._compressed[_UNPACKED] = self._unpack()
        return body

    def _unpack(self) -> bytes:
        try:
            for encoding, packed in tuple(self._compressed.items()):
                if encoding == "zstd":
                    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=self._size)
                if encoding == "gzip":
                    return gzip.decompress(packed)
        except (zstandard.ZstdError, OSError, EOFError) as error:
            raise DamagedRecord("A rendered page is damaged.") from error
        raise DamagedRecord("A rendered page is missing.")

    @property
    def length(self) -> int:
        return self._size

    def has(self, encoding: Encoding) -> bool:
        return self.encoding_for(encoding) in self._compressed

    @property
    def size_in_memory(self) -> int:
        return sum(map(len, tuple(self._compressed.values())))
