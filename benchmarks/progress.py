"""The progress of a run, each line with the time of day, for comparison with other logs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """A line."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


@contextmanager
def lasting(text: str) -> Iterator[None]:
    """A line when it begins, and one with its seconds when it ends, also by an error."""
    say(f"  {text} ...")
    began = time.monotonic()
    try:
        yield
    finally:
        say(f"  {text}: {time.monotonic() - began:.0f} s")
