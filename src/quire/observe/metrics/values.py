"""Numbers in a file that another process may read at any moment, as prometheus_client's multiprocess mode has them.

The format (prometheus_client.mmap_dict, which reads it): a 32-bit integer, how many bytes are in use, and four that
mean nothing; then one entry after the other: a 32-bit integer, the length of the key; the key in UTF-8; blanks up to a
multiple of eight bytes; the value and a time as doubles. All in the machine's own byte order. The bytes in use are made
to include an entry when it is complete.

That module comes with its whole package only, which imports an HTTP server and an HTTP client: much for a worker to
start with that may never be asked for its metrics.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Sequence
from pathlib import Path

_INTEGER = struct.Struct("=i")
_ENTRY_END = struct.Struct("=dd")
_HEADER_BYTES = 8


def value_key(family: str, name: str, label_names: Sequence[str], labels: Sequence[str], text: str) -> str:
    """The key of a value: a sample's name and labels, and the name and help of the metric that it is part of."""
    return json.dumps([family, name, dict(zip(label_names, labels, strict=True)), text], sort_keys=True)


class ValuesFile:
    """One file, written by this process alone. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        """Begins anew in the file at `path`, which exists and has some room. Raises OSError."""
        self._file = path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), 0)
        self._places: dict[str, int] = {}
        self._used = _HEADER_BYTES
        self._memory[: _INTEGER.size] = _INTEGER.pack(self._used)

    def write(self, key: str, value: float) -> None:
        """Set a value. Raises OSError when there is no room for a new one."""
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = self._add(key)
        self._memory[place : place + _ENTRY_END.size] = _ENTRY_END.pack(value, 0.0)

    def close(self) -> None:
        """Let go of the file; what it says stays."""
        self._memory.close()
        self._file.close()

    def _add(self, key: str) -> int:
        """A new entry of the value 0, and where its value is."""
        text = key.encode()
        head = _INTEGER.pack(len(text)) + text
        head += b" " * (8 - len(head) % 8)  # eight where none would do: as the reader expects it
        entry = head + _ENTRY_END.pack(0.0, 0.0)
        end = self._used + len(entry)
        if end > len(self._memory):
            self._grow(2 * end)
        self._memory[self._used : end] = entry
        self._memory[: _INTEGER.size] = _INTEGER.pack(end)
        self._used = end
        return end - _ENTRY_END.size

    def _grow(self, size: int) -> None:
        # taken on the disk first: to write where a full disk has no room kills the process (SIGBUS)
        os.posix_fallocate(self._file.fileno(), 0, size)
        self._memory.resize(size)
