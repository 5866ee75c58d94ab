"""The words and filters of a search. Pure, and bounded: all of it comes from strangers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from unicodedata import normalize

from quire.domain.errors import InvalidName, InvalidRequest
from quire.domain.names import normalize_name
from quire.search.facts import python_bit

MOST_CHARACTERS: Final = 200
MOST_WORDS: Final = 8
MOST_PAGES: Final = 50
PAGE_SIZE: Final = 20
_WORD: Final = re.compile(r"[^\W_]+")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
ORIGINS: Final = ("hosted", "drop-in", "upstream")
YANKED: Final = ("any", "no", "some")


@dataclass(frozen=True, slots=True)
class Query:
    """One search."""

    text: str = ""
    """As it was typed, on one line."""
    indexes: tuple[str, ...] = ()
    """Of these alone; empty for all that the sender may read."""
    origins: tuple[str, ...] = ()
    """Some of ORIGINS; empty for all."""
    since: str = ""
    """A date: only projects with an upload on that day or later."""
    python: str = ""
    """A version such as `3.12` that the newest release runs on."""
    yanked: str = "any"
    """One of YANKED: `no` leaves out projects whose releases are all yanked, `some` those without a yanked one."""
    uploader: str = ""
    page: int = 1

    @property
    def words(self) -> tuple[str, ...]:
        """In lower case."""
        return tuple(dict.fromkeys(_WORD.findall(normalize("NFKC", self.text).casefold())))[:MOST_WORDS]

    @property
    def name(self) -> str:
        """The text as a normalized name; "" where it cannot be one."""
        try:
            return normalize_name("-".join(self.text.split()))
        except InvalidName:
            return ""

    @property
    def is_filtered(self) -> bool:
        """Whether it leaves out projects that its words find."""
        return bool(self.indexes or self.origins or self.since or self.python or self.uploader or self.yanked != "any")


def read_query(values: Sequence[tuple[str, str]], *, now: date) -> Query:
    """The query of the parameters of an address. Unknown ones are left alone. `now`: the present day.

    Raises InvalidRequest with a sentence for a value that is none.
    """
    given: dict[str, list[str]] = {}
    for name, value in values:
        text = " ".join(_printable(value).split())
        if text:
            given.setdefault(name, []).append(text)
    for name in ("q", "since", "python", "yanked", "uploader", "page"):
        if len(given.get(name, ())) > 1:
            raise InvalidRequest(f"A search has one parameter {name}.")

    def single(name: str) -> str:
        return given.get(name, [""])[0]

    for name in ("q", "uploader"):
        if len(single(name)) > MOST_CHARACTERS:
            raise InvalidRequest(f"A search has at most {MOST_CHARACTERS} characters.")
    origins, yanked, python, page = given.get("origin", []), single("yanked") or "any", single("python"), single("page")
    if not set(origins) <= set(ORIGINS):
        raise InvalidRequest(f"origin is one of {', '.join(ORIGINS)}.")
    if yanked not in YANKED:
        raise InvalidRequest(f"yanked is one of {', '.join(YANKED)}.")
    if python and python_bit(python) is None:
        raise InvalidRequest("python is a version such as 3.12.")
    if page and not (page.isascii() and page.isdigit() and len(page) < 4 and 1 <= int(page) <= MOST_PAGES):
        raise InvalidRequest(f"page is a number from 1 to {MOST_PAGES}.")
    indexes = given.get("index", [])
    if len(indexes) > MOST_CHARACTERS:
        raise InvalidRequest("A search names fewer indexes.")
    return Query(
        text=single("q"),
        indexes=tuple(dict.fromkeys(indexes)),
        origins=tuple(dict.fromkeys(origins)),
        since=_day(single("since"), now),
        python=python,
        yanked=yanked,
        uploader=single("uploader"),
        page=int(page or 1),
    )


def _day(text: str, now: date) -> str:
    """A date, or `month` or `year` for one before the present day."""
    if text in {"month", "year"}:
        return date.fromordinal(now.toordinal() - (31 if text == "month" else 366)).isoformat()
    if not text:
        return ""
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise InvalidRequest("since is a date such as 2026-01-31, or month, or year.") from None


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def score(words: Sequence[str], name: str, keywords: str, summary: str) -> int:
    """How well the words fit; more is better."""
    fields = [(8, _words_of(name)), (4, _words_of(keywords)), (2, _words_of(summary))]
    total = 0
    for word in words:
        for weight, found in fields:
            if word in found:
                total += 2 * weight
            elif any(each.startswith(word) for each in found):
                total += weight
    return total


def _words_of(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def most_edits(name: str) -> int:
    """Edits of a name that are taken for a mistype; 0: too short to tell."""
    return 0 if len(name) < 3 else 1 if len(name) < 6 else 2


def distance(first: str, second: str, most: int) -> int:
    """Insertions, deletions, replacements and swaps of neighbours between two texts; `most` + 1 for more than that."""
    far = most + 1
    if abs(len(first) - len(second)) > most:
        return far
    before: list[int] = []
    row = list(range(len(second) + 1))
    for place, left in enumerate(first, 1):
        older, before = before, row
        row = [far] * (len(second) + 1)
        row[0] = place
        begin, end = max(1, place - most), min(len(second), place + most)  # all others are too far apart
        for other in range(begin, end + 1):
            right = second[other - 1]
            cost = min(before[other] + 1, row[other - 1] + 1, before[other - 1] + (left != right))
            if place > 1 and other > 1 and left == second[other - 2] and first[place - 2] == right:
                cost = min(cost, older[other - 2] + 1)
            row[other] = cost
        if min(row[begin - 1 : end + 1]) > most:
            return far
    return min(row[-1], far)
