"""Times as documents and answers have them: RFC 3339, in UTC; and those of headers."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def moment(text: str) -> datetime:
    """The time that an RFC 3339 text means, in UTC where it has no offset. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def stamp(when: datetime) -> str:
    """A time with its offset, of whole seconds. Raises OverflowError."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def exact_stamp(when: datetime) -> str:
    """A time with its offset, of microseconds, as PEP 700 has them. Raises OverflowError."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def http_date(text: str) -> datetime | None:
    """The time of an HTTP date (RFC 9110, 5.6.7), with its offset; None for a text that is none, or that no calendar
    has."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: the number of a year or of an offset has twenty digits
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
