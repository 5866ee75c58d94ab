"""Sizes as people read them."""

from __future__ import annotations

from typing import Final

UNITS: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
"""Of the sizes in settings."""


def in_words(size: int) -> str:
    """Bytes in words: `999 B`, `1.5 kB`, `2.0 GB`."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def as_setting(size: int) -> str:
    """Bytes as settings have them, in the largest unit that gives a whole number: `500M`, `2G`, `1000`."""
    unit = next(each for each, factor in reversed(UNITS.items()) if size % factor == 0)
    return f"{size // UNITS[unit]}{unit.upper()}"
