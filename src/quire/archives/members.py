"""Names of members: which of them are safe, and what an unpacker would make of them."""

from __future__ import annotations

import re

from quire.archives import limits
from quire.archives.refusals import unsafe
from quire.names import ParsedFilename

_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")


def check_member_name(name: str, parsed: ParsedFilename) -> tuple[str, ...]:
    """The parts of a member's name, if it names something within the archive's own folder on any system.

    Raises InvalidDistribution.
    """
    if is_absolute(name):
        raise unsafe(name, "has an absolute name", parsed)
    parts = split_name(name)
    if ".." in parts:
        raise unsafe(name, "has '..' in its name", parsed)
    if "\0" in name or len(name) > limits.MAX_PATH_CHARS:
        raise unsafe(name, "has a name that no file can have", parsed)
    return parts


def split_name(name: str) -> tuple[str, ...]:
    """The parts of a name without those that lead nowhere, by either kind of slash; `..` is one of them."""
    return tuple([part for part in name.replace("\\", "/").split("/") if part and part != "."])


def is_absolute(name: str) -> bool:
    """Whether a name begins at a root on any system: with a slash of either kind, or a drive."""
    return _ABSOLUTE.match(name) is not None
