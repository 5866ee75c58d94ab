"""The progress of a long run, on standard error."""

from __future__ import annotations

import sys
import time

_told = [0.0]


def tell(line: str) -> None:
    """A line that replaces itself on a terminal; elsewhere one line each half minute."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    elif time.monotonic() - _told[0] > 30:
        _told[0] = time.monotonic()
        print(line, file=sys.stderr, flush=True)
