"""Moments in addresses: what they mean, and what is none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from quire.domain.errors import InvalidRequest
from quire.domain.moments import is_before, parse_moment

NOW = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01", "2026-11-02T00:00:00.000000Z"),
        ("2024-02-28", "2024-02-29T00:00:00.000000Z"),
        ("2026-11-28", "2026-11-29T00:00:00.000000Z"),
        ("2026-11-01T12:00:00Z", "2026-11-01T12:00:00.000000Z"),
        ("2026-11-01t12:00:00z", "2026-11-01T12:00:00.000000Z"),
        ("2026-11-01T12:00:00.25+02:00", "2026-11-01T10:00:00.250000Z"),
        ("2026-11-29T09:30:00Z", "2026-11-29T09:30:00.000000Z"),
        ("0001-01-01", "0001-01-02T00:00:00.000000Z"),
    ],
)
def test_a_moment_is_a_date_or_a_time_with_its_offset(text: str, moment: str) -> None:
    """A date means the end of its day in UTC."""
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026", "2026-11", "20261101", "2026-W44-1", "2026-13-01", "2026-02-30", "2026-11-01T12:00:00"),
        *("2026-11-01T12Z", "2026-11-01T25:00:00Z", "2026-11-01T12:00:60Z", "2026-11-01 12:00:00Z", "2026-11-01\n"),
        *("0001-01-01T00:00:00+01:00", "2026-11-01T12:00:00+99:00", "\N{ARABIC-INDIC DIGIT TWO}026-11-01", "x" * 5000),
        *("2026-11-29", "2026-11-29T09:30:01Z", "9999-12-31", "9999-12-31T23:59:59Z", "2026-11-29T09:30:00-01:00"),
    ],
)
def test_anything_else_and_the_future_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_moment(text, NOW)
    assert "moment" in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-10-31T23:59:59.999999Z", True),
        ("2026-11-01T00:00:00.000000Z", False),
        ("2026-10-31T23:59:59Z", True),
        ("2026-10-31T23:59:59.1234567Z", True),
        ("2026-11-01T00:00:00Z", False),
        ("2026-11-01T00:30:00+01:00", True),
        ("2026-10-31T00:00:00", False),
        ("lately", False),
        ("", False),
        (None, False),
    ],
)
def test_a_time_counts_only_if_it_is_known_to_be_before(time: str | None, expected: bool) -> None:
    """Mirrored files have times in any form of RFC 3339."""
    assert is_before(time, "2026-11-01T00:00:00.000000Z") is expected
