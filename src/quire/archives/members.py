"""Names of members: which of them are safe, and what an unpacker would make of them."""

from __future__ import annotations

import re

from quire.archives import limits
from quire.archives.refusals import unsafe
from quire.names import ParsedFilename


def check_member_name(name: str, parsed: ParsedFilename) -> tuple[str, ...]:
    """The parts of a member's name, if it names something within the archive's own folder on any system."""
    if _is_absolute(name):
        raise unsafe(name, "has an absolute name", parsed)
    parts = parts(name)
    if ".." in parts:
        raise unsafe(name, "has '..' in its name", parsed)
    if "\0" in name or len(name) > limits.MAX_PATH_CHARS:
        raise unsafe(name, "has a name that no file can have", parsed)
    return parts


def parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in {"", "."})


def _is_absolute(name: str) -> bool:
    return re.match(r"[/\\]|[A-Za-z]:[/\\]", name) is not None
