"""The members of an archive as a page shows them: a tree, and text in which nothing is hidden. Pure.

Names and text are the publisher's. Characters that are invisible, or change the order of those around them, are shown
by their numbers, so that two names that look the same are the same, and a line reads as a compiler reads it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from quire.archives.contents import Member

MOST_BYTES: Final = 256 * 1024
"""Of a member that are shown as text."""
MOST_LINES: Final = 5000
MOST_ENTRIES: Final = 1000
"""Of one folder that are shown."""
MOST_OPEN: Final = 400
"""Files in a folder whose folders are shown with everything in them; of larger ones each has a page of its own."""
_DEEPEST: Final = 20  # folders in each other on one page
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Of text; not the two joiners that emoji and several languages need."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the tree: a file or a folder."""

    name: str
    """Below the folder in which it stands; folders that have nothing but one folder are one row with it."""
    address: str
    """Below the address of the archive, quoted."""
    size: int
    """Bytes, of a folder those of all files in it."""
    problem: str | None = None
    """See `Member.problem`."""
    files: int | None = None
    """How many are in a folder; None for a file."""
    entries: tuple[Entry, ...] | None = None
    """Of a folder whose content is shown on the same page; None of any other one."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The content of a folder."""

    entries: tuple[Entry, ...]
    more: int
    """Entries that are left out."""
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Text:
    """The beginning of a file, or all of it."""

    lines: tuple[str, ...]
    hidden: int
    """Characters that are shown by their numbers."""
    is_whole: bool


def shown(path: str) -> str:
    """A path in characters that are seen. Others become escapes; a path has no backslash, so none is ambiguous."""
    return path if path.isprintable() else "".join(each if each.isprintable() else _escape(each) for each in path)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def tree_of(members: Iterable[Member], folder: str) -> Tree | None:
    """The content of a folder (as `shown`, ended by a slash; "" for all); None when there is no such one."""
    found = [(path[len(folder) :], member) for member in members if (path := shown(member.path)).startswith(folder)]
    if folder and not found:
        return None
    entries = _entries(found, folder, 0)
    size = sum(member.size for _, member in found)
    return Tree(entries[:MOST_ENTRIES], len(entries[MOST_ENTRIES:]), len(found), size)


def _entries(members: list[tuple[str, Member]], folder: str, depth: int) -> tuple[Entry, ...]:
    """Folders first, then files, both by name."""
    is_open = len(members) <= MOST_OPEN and depth < _DEEPEST
    folders: dict[str, list[tuple[str, Member]]] = {}
    files = []
    for path, member in members:
        top, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(top, []).append((rest, member))
        else:
            files.append(Entry(path, quote(folder + path), member.size, member.problem))
    rows = []
    for name, inner in folders.items():
        if below := _common_folders(inner):
            name = f"{name}/{below[:-1]}"  # noqa: PLW2901
            inner = [(path[len(below) :], member) for path, member in inner]  # noqa: PLW2901
        place = f"{folder}{name}/"
        size = sum(member.size for _, member in inner)
        entries = _entries(inner, place, depth + 1) if is_open else None
        rows.append(Entry(name, quote(place), size, files=len(inner), entries=entries))
    return (*sorted(rows, key=_by_name), *sorted(files, key=_by_name))


def _common_folders(members: list[tuple[str, Member]]) -> str:
    """The folders in which all of these lie, ended by a slash; "" for none. All paths begin as the first and the last
    of them in order do.
    """
    paths = [path for path, _ in members]
    first, last = min(paths).split("/")[:-1], max(paths).split("/")[:-1]
    common = 0
    while common < min(len(first), len(last)) and first[common] == last[common]:
        common += 1
    return "".join(f"{part}/" for part in first[:common])


def _by_name(entry: Entry) -> str:
    return entry.name


def text_of(data: bytes, size: int) -> Text | None:
    """The first bytes of a file of this size as text; None when they are no text in UTF-8."""
    is_whole = len(data) >= size
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=is_whole)
    except UnicodeDecodeError:
        return None
    if "\0" in text:
        return None
    text = text.replace("\r\n", "\n").replace("\f", "\n")
    text, hidden = _HIDDEN.subn(lambda found: f"[U+{ord(found[0]):04X}]", text)
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return Text(tuple(lines[:MOST_LINES]), hidden, is_whole and len(lines) <= MOST_LINES)
