"""Durations as people write them: `90`, `90s`, `15m`, `1h`, `2d`."""

from __future__ import annotations

import re
from typing import Final

_FORM: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_TEXT: Final = 100


def parse_duration(text: str) -> float:
    """Seconds. Raises ValueError with a sentence."""
    match = _FORM.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text[:_MOST_TEXT]!r} is no duration; write it like 90s, 15m, 1h or 2d")
    return float(match[1]) * _UNITS[match[2]]


def as_setting(seconds: int) -> str:
    """Seconds as settings have them, in the largest unit that gives a whole number: `7d`, `36h`, `90s`."""
    unit = next(each for each, factor in reversed(_UNITS.items()) if seconds % factor == 0)
    return f"{seconds // _UNITS[unit]}{unit}"
