"""The heads of tar archives with nothing but plain files in them: those of quire's own, not of distributions.

Of all that the format has, one head of 512 bytes for each file is written and read, in the form of GNU tar for sizes.
Extensions (long names, pax headers, sparse files), links, folders and devices are refused: so no head can announce
another one, and nothing is read that the caller does not read.
"""

from __future__ import annotations

import tarfile
from typing import Final

from quire.domain.errors import InvalidRequest

BLOCK: Final = 512
"""Heads have this size, and the content of each file is filled up to a multiple of it."""
END: Final = bytes(2 * BLOCK)


def head_of(name: str, size: int) -> bytes:
    """The head of a file. `name`: of up to 100 characters of ASCII; `size`: in bytes."""
    head = tarfile.TarInfo(name)
    head.size = size
    return head.tobuf(tarfile.GNU_FORMAT)


def read_head(block: bytes) -> tuple[str, int] | None:
    """Name and size of a file by its head; None for the end of an archive. Raises InvalidRequest for other bytes."""
    if len(block) < BLOCK or block == bytes(BLOCK):
        return None
    try:
        head = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.TarError, ValueError) as error:
        raise InvalidRequest(f"The file is no archive of 'quire mirror export' ({error}).") from None
    if head.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or head.size < 0:
        raise InvalidRequest(f"The export has a member {head.name[:100]!r} that is no plain file.")
    return head.name, head.size
