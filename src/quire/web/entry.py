"""The former name of `quire.http.entry`, for servers of one's own that were set up with it."""

from __future__ import annotations

from typing import Any

from quire.http import entry


def __getattr__(name: str) -> Any:
    """See `quire.http.entry`."""
    return getattr(entry, name)
