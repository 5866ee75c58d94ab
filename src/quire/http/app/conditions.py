"""Preconditions of a GET or HEAD (RFC 9110, 13): whether the answer is the representation, 304 or 412.

An entity tag is made from the bytes, so it is strong and decides everything. A date is not. It has whole seconds,
`cp -p` and `rsync -t` keep it, and two contents of one second share it (RFC 9110, 8.8.2.2). So a date can show that a
file is newer than the client thinks, which is 412 for If-Unmodified-Since, and never that it is still the same:
If-Modified-Since gets the whole file, and so does If-Range with a date.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from quire.domain.times import http_date
from quire.http.app.problems import HttpError


def is_unchanged(headers: Headers, etag: str, modified: float | None = None) -> bool:
    """Whether the answer is 304, by the order of RFC 9110, 13.2.2. `etag`: strong, in its quotes. `modified`: seconds
    since the epoch; None where no date is known, and If-Unmodified-Since is ignored (13.1.4).

    To be asked only where the answer would otherwise be a success (13.2.1). Raises HttpError 412.
    """
    if_match = headers.get("if-match")
    if if_match is not None:
        if not _has_match(if_match, etag):
            raise HttpError(412, "The document is none that If-Match names; ask without it to get the present one.")
    elif modified is not None:
        limit = _seconds(headers.get("if-unmodified-since"))
        if limit is not None and int(modified) > limit:
            raise HttpError(412, "This was changed after the date in If-Unmodified-Since.")
    return matches(headers.get("if-none-match"), etag)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Weak comparison of If-None-Match (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    candidates = [candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")]
    return etag in candidates or "*" in candidates


def _has_match(if_match: str, etag: str) -> bool:
    """Strong comparison (RFC 9110, 13.1.1): a weak tag matches nothing."""
    candidates = [candidate.strip() for candidate in if_match.split(",")]
    return etag in candidates or "*" in candidates


def _seconds(date: str | None) -> float | None:
    """An HTTP date; None for a text that is none (RFC 9110, 5.6.7), which is ignored."""
    found = None if date is None else http_date(date)
    return None if found is None else found.timestamp()
