"""Sentences of errors."""

from __future__ import annotations

import errno

import pytest

from quire.domain.errors import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.1', 9)"), "Connection refused"),
        (
            OSError("Multiple exceptions: [Errno 101] Connect call failed ('fd00::1', 9), [Errno 111] Connect call"),
            "no connection comes about",
        ),
        (OSError(errno.ENETUNREACH, "Connect call failed ('fd00::1', 9, 0, 0)"), "no connection comes about"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (ValueError(""), "ValueError"),
    ],
)
def test_a_reason_names_no_address(error: Exception, reason: str) -> None:
    """Clients read it, and an address of the inside is not theirs to know."""
    assert reason_of(error) == reason
