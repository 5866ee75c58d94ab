"""Dates in headers, which clients and other servers write."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def http_date(text: str) -> datetime | None:
    """The time of an HTTP date (RFC 9110, 5.6.7), with its offset; None for a text that is none, or that no calendar
    has."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: the number of a year or of an offset has twenty digits
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
