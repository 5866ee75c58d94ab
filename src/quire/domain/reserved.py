"""Names that belong to this index whether it has such projects or not, so that no client is sent elsewhere for them.

A stranger can register the name of a private project on a public index, and each client that is sent there installs
the stranger's files (dependency confusion). A pattern reserves a family of names, also those that are not published
yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Final

MIRROR: Final = "mirror"
"""The folder of the records and blobs of what is mirrored from other indexes."""
STORE_WIDE: Final = frozenset({"access", MIRROR})
"""Names that no index has: the folders of these names are those of records of the whole store."""


_PATTERN = re.compile(r"[a-z0-9*?]([a-z0-9*?-]*[a-z0-9*?])?")


def normalize_pattern(text: str) -> str:
    """A pattern for project names, normalized as names are (PEP 503): `*` is any characters, `?` one of them.

    Raises ValueError when no project name can match it.
    """
    pattern = re.sub(r"[-_.]+", "-", text.strip()).lower()
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{text!r} is no name or pattern; use letters, digits, '-', '_' and '.', with '*' for any characters "
            "and '?' for one"
        )
    return pattern


def is_simple(pattern: str) -> bool:
    """Whether a pattern is a name, or the beginning of names (`acme-*`): any number of those costs nothing."""
    return "?" not in pattern and "*" not in pattern[:-1]


class Reserved:
    """The names that some patterns match; `name in reserved` takes a normalized name.

    Thousands of names and beginnings are made and asked in no time; of other patterns there should be few, since a
    regular expression of each is compiled and tried.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """`patterns`: as `normalize_pattern` gives them."""
        self.patterns = tuple(patterns)
        simple = [each for each in self.patterns if is_simple(each)]
        self._names = frozenset(each for each in simple if not each.endswith("*"))
        self._beginnings = frozenset(each[:-1] for each in simple if each.endswith("*"))
        self._lengths = sorted({*map(len, self._beginnings)})
        others = [translate(each) for each in self.patterns if not is_simple(each)]
        self._others = re.compile("|".join(others)) if others else None

    def __contains__(self, name: str) -> bool:
        if name in self._names or any(name[:length] in self._beginnings for length in self._lengths):
            return True
        return self._others is not None and self._others.match(name) is not None


@lru_cache(maxsize=512)
def matching(patterns: tuple[str, ...]) -> Reserved:
    """The names that some patterns match; of the same patterns, as records have them, made once."""
    return Reserved(patterns)
