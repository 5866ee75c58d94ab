"""The word that a person most likely meant."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, for the end of a sentence; empty when nothing known is like the word."""
    import difflib  # noqa: PLC0415 - only for a misspelt word

    near = difflib.get_close_matches(word, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""
