"""Moments of the past, as an address names them: `/@2026-11-01/simple/`. Pure.

The rule is that of uv's `exclude-newer`: what was uploaded before the moment counts. A date stands for the end of its
day, which is the beginning of the next one. uv takes the day of the client's time zone; a server takes that of UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from quire.domain.errors import InvalidRequest
from quire.domain.times import exact_stamp, stamp

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)", re.IGNORECASE)
_CANONICAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_MOST_SHOWN: Final = 60


def parse_moment(text: str, now: datetime) -> str:
    """The moment that a text names: RFC 3339 in UTC with microseconds, so that texts sort as moments do.

    Raises InvalidRequest for a text that is neither a date nor a time with an offset (RFC 3339), and for the future.
    """
    is_date = _DATE.fullmatch(text) is not None
    try:
        if is_date:
            moment = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
        elif _TIME.fullmatch(text):
            moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
        else:
            raise ValueError("neither a date nor a time")
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            f"{text[:_MOST_SHOWN]!r} is no moment; write a date such as 2026-11-01, or a time with its offset such as "
            "2026-11-01T12:00:00Z."
        ) from error
    if moment > now:
        latest = stamp(now)
        when = f"The day {text} ends in the future" if is_date else f"{text} is in the future"
        raise InvalidRequest(f"{when} (it is {latest} here); name a moment of the past.")
    return canonical(moment)


def is_before(time: str | None, moment: str) -> bool:
    """Whether a time (RFC 3339) is before a moment of `parse_moment`; False for one that is not known."""
    if time is None:
        return False
    if not _CANONICAL.fullmatch(time):
        try:
            parsed = datetime.fromisoformat(time)
            time = canonical(parsed) if parsed.tzinfo is not None else ""
        except (ValueError, OverflowError):
            return False
    return "" < time < moment


def canonical(moment: datetime) -> str:
    """A time with its zone as `parse_moment` has it. Raises OverflowError."""
    return exact_stamp(moment)
