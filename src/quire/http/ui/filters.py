"""The filters of templates: times, and values of the log, as people read them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from markupsafe import Markup

_TIME: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2})[0-9:.]*(?:Z|\+00:00))?")


def to_the_minute(text: str | None) -> str:
    """A time of an API's answer (RFC 3339, UTC) or a date, as an element that has all of it for programs. Another text
    stays as it is."""
    return _shortened(text, "")


def to_the_second(text: str | None) -> str:
    """The same with its second, for signs that come every few of them."""
    return _shortened(text, (text or "")[16:19])


def _shortened(text: str | None, second: str) -> str:
    found = _TIME.fullmatch(text or "")
    if found is None:
        return text or ""
    day, minute = found.groups()
    shown = day if minute is None else f"{day} {minute}{second} UTC"
    return Markup('<time datetime="{}">{}</time>').format(text, shown)


class Exact(str):
    """Text that a page has with its invisible characters."""

    __slots__ = ()


def exact(text: object) -> Exact:
    """The value of a field that is sent back as it is: a hidden one, which the server compares with what it has, and
    one that its sender filled in and gets back. It is escaped all the same."""
    return Exact(text)


def in_words(value: object) -> str:
    """A value of an entry of the log: lists by commas, and of a file its name alone."""
    if isinstance(value, Mapping):
        if "filename" in value:
            return str(value["filename"])
        return "; ".join(f"{name} {in_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(in_words, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
