"""Zip archives of quire's own making, which another quire reads."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from typing import BinaryIO


def write_zip(file: BinaryIO, members: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive of these members, compressed, by name."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
