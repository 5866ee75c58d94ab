"""The lines of an Apache htpasswd file: reading them with all their faults, and changing one without touching others.

A line is `user:hash`; text after a second colon is ignored, as in Apache. White space around a line, blank
lines, lines that begin with `#`, and a byte order mark are passed over. A line that is none of this is a fault: its
user cannot log in, and all others can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MAX_NAME_BYTES = 255
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line with a user, or with a fault."""

    number: int
    """Of the line, from 1."""
    user: str
    """Empty when there is a fault."""
    stored: bytes
    """The hash, as it stands there."""
    fault: str = ""
    """The problem of the line, for people; it never quotes the line, which may hold a password."""
    is_latin1: bool = False
    """Whether the name is not UTF-8, and was read as Latin-1: as logins are, see
    `quire.access.authenticator.parse_basic`."""


def entries(data: bytes) -> Iterator[Entry]:
    """The lines of a file that say something."""
    for number, line in enumerate(data.removeprefix(_BOM).splitlines(), 1):
        entry = _read(number, line)
        if entry is not None:
            yield entry


def with_hash(data: bytes, user: str, stored: str) -> bytes:
    """The file with this hash for the user, in the user's first line, or in a new one at the end."""
    replacement = f"{user}:{stored}".encode()
    lines = data.splitlines(keepends=True)
    for index in _lines_of(data, user)[:1]:
        body = lines[index].rstrip(b"\r\n")
        rest = body.split(b":", 2)[2:]  # a comment after a second colon
        lines[index] = b":".join([replacement, *rest]) + lines[index][len(body) :]
        if index == 0 and data.startswith(_BOM):
            lines[index] = _BOM + lines[index]
        return b"".join(lines)
    end = b"\r\n" if data.endswith(b"\r\n") else b"\n"
    between = b"" if not data or data.endswith((b"\n", b"\r")) else end
    return data + between + replacement + end


def without(data: bytes, user: str) -> bytes:
    """The file without any line of this user."""
    gone = set(_lines_of(data, user))
    kept = b"".join(line for index, line in enumerate(data.splitlines(keepends=True)) if index not in gone)
    return _BOM + kept if 0 in gone and data.startswith(_BOM) else kept


def _lines_of(data: bytes, user: str) -> list[int]:
    """The user's lines, from 0."""
    return [entry.number - 1 for entry in entries(data) if entry.user == user]


def _read(number: int, line: bytes) -> Entry | None:
    line = line.strip()
    if not line or line.startswith(b"#"):
        return None
    name, colon, rest = line.partition(b":")
    fault = ""
    if not colon:
        fault = "it is not of the form user:hash"
    elif not name:
        fault = "it has no user name"
    elif len(name) > MAX_NAME_BYTES:
        fault = f"its user name is longer than {MAX_NAME_BYTES} bytes"
    elif any(byte < 0x20 or byte == 0x7F for byte in name):
        fault = "its user name holds a control character"
    if fault:
        return Entry(number, "", b"", fault)
    stored = rest.partition(b":")[0]
    try:
        return Entry(number, name.decode(), stored)
    except UnicodeDecodeError:
        return Entry(number, name.decode("latin-1"), stored, is_latin1=True)
