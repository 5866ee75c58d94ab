"""The lists of the last release, one file each in this folder, and how a release brings them up to date."""

from __future__ import annotations

from pathlib import Path

from tests.promise.interface import LISTS

FOLDER = Path(__file__).parent


def recorded(name: str) -> set[str]:
    """The lines of a list as the last release has them."""
    return set((FOLDER / f"{name}.txt").read_text().splitlines())


def gone(name: str) -> list[str]:
    """The lines that the last release has, and the program no longer."""
    return sorted(recorded(name) - set(LISTS[name]()))


def new(name: str) -> list[str]:
    """The lines that were added since."""
    return sorted(set(LISTS[name]()) - recorded(name))


def after_release(before: set[str], now: set[str], *, is_major: bool) -> set[str]:
    """The lines to record: only a major version forgets those that are gone, so that else the test goes on to fail."""
    return now if is_major else before | now


def record(name: str, *, is_major: bool) -> None:
    """Write the list of a release."""
    lines = after_release(recorded(name), set(LISTS[name]()), is_major=is_major)
    (FOLDER / f"{name}.txt").write_text("".join(f"{line}\n" for line in sorted(lines)))
