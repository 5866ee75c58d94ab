"""On the path of a process, this makes the wall clock jump: right, an hour ahead, an hour behind, every quarter second.

The monotonic clock goes on as it is, and so do the clocks of the file system and of every other process.
"""

from __future__ import annotations

import datetime
import time

_now, _now_ns = time.time, time.time_ns
_RealDatetime = datetime.datetime


def _offset() -> int:
    """Seconds."""
    return (0, 3600, -3600)[int(time.monotonic() * 4) % 3]


class _JumpingDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _JumpingDatetime:
        return cls.fromtimestamp(time.time(), tz)


time.time = lambda: _now() + _offset()
time.time_ns = lambda: _now_ns() + _offset() * 1_000_000_000
datetime.datetime = _JumpingDatetime  # type: ignore[misc]  # what the test is for
