"""Names of members: which of them are safe, and what an unpacker would make of them."""

from __future__ import annotations

import re

from quire.archives import limits
from quire.archives.refusals import Unbounded, unsafe, unusable
from quire.domain.names import ParsedFilename, quoted

_UNUSUAL = re.compile(r"[\x00-\x1f\x7f\\]")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
_PLAIN_PART = rf"(?!\.\.?(?:/|\Z))[A-Za-z0-9_.+-]{{1,{limits.MAX_PART_BYTES}}}+"
_PLAIN = re.compile(rf"{_PLAIN_PART}(?:/{_PLAIN_PART}){{0,14}}/?")
"""Nearly every name: short, of harmless characters, without `.`, `..` and empty parts."""


def plain_path(name: str) -> str | None:
    """The path that a plain name stands for, at which no check of names has anything to find; None for other names."""
    return name.removesuffix("/") if _PLAIN.fullmatch(name) else None


def check_member_name(name: str, parsed: ParsedFilename) -> tuple[str, ...]:
    """The parts of a member's name, if it names something within the archive's own folder on any system.

    Raises InvalidDistribution.
    """
    if is_absolute(name):
        raise unsafe(name, "has an absolute name", parsed)
    parts = split_name(name)
    if ".." in parts:
        raise unsafe(name, "has '..' in its name", parsed)
    if "\0" in name or len(name) > limits.MAX_PATH_CHARS or len(parts) > limits.MAX_DEPTH:
        raise unsafe(name, "has a name that no file can have", parsed)
    return parts


def split_name(name: str) -> tuple[str, ...]:
    """The parts of a name without those that lead nowhere, by either kind of slash; `..` is one of them."""
    return tuple([part for part in name.replace("\\", "/").split("/") if part and part != "."])


def is_absolute(name: str) -> bool:
    """Whether a name begins at a root on any system: with a slash of either kind, or a drive."""
    return _ABSOLUTE.match(name) is not None


class Paths:
    """The paths of an uploaded archive so far: each must be one that every installer can make, beside the others."""

    def __init__(self, parsed: ParsedFilename, *, repeats: bool, one_folder: bool) -> None:
        """`repeats`: whether a file may come twice (in a tar the later one counts). `one_folder`: whether everything
        must lie in one folder at the top, as in an sdist.
        """
        self.files: set[str] = set()
        self.top: str | None = None
        self._folders: set[str] = set()
        self._parsed = parsed
        self._repeats, self._one_folder = repeats, one_folder
        self._bytes = 0

    def add(self, name: str, *, is_folder: bool) -> str:
        """The path that a member's name stands for. Raises InvalidDistribution."""
        path = plain_path(name)
        if path is None:
            path = self._unusual_path(name, is_folder=is_folder)
        self._count(path)
        if self._one_folder:
            self._check_top(name)
        if is_folder:
            clash = path in self.files
        else:
            clash = path in self._folders or (path in self.files and not self._repeats)
            self.files.add(path)
        if clash or self._has_file_above(path, is_folder=is_folder):
            raise unsafe(name, "is there twice, or both a file and a folder", self._parsed)
        return path

    def _unusual_path(self, name: str, *, is_folder: bool) -> str:
        if _UNUSUAL.search(name):
            raise unsafe(name, "has a backslash or a control character in its name", self._parsed)
        parts = split_name(name)
        if not parts and not is_folder:
            raise unsafe(name, "has no name", self._parsed)
        if any(len(part.encode("utf-8", "surrogatepass")) > limits.MAX_PART_BYTES for part in parts):
            raise unsafe(name, "has a name that no file system takes", self._parsed)
        return "/".join(parts)

    def _count(self, path: str) -> None:
        self._bytes += len(path)
        if self._bytes > limits.MAX_NAME_BYTES:
            raise Unbounded(
                f"{quoted(self._parsed.filename)} has names of members and folders of more than "
                f"{limits.MAX_NAME_BYTES} bytes together."
            )

    def _check_top(self, name: str) -> None:
        top = name.split("/", 1)[0]
        if self.top is None:
            self.top = top
        if top != self.top or top in {"", "."}:
            raise unusable(
                f"needs one folder at its top with everything in it, and {quoted(name)} lies elsewhere", self._parsed
            )

    def _has_file_above(self, path: str, *, is_folder: bool) -> bool:
        above = path if is_folder else path.rpartition("/")[0]
        while above and above not in self._folders:
            if above in self.files:
                return True
            self._folders.add(above)
            self._count(above)
            above = above.rpartition("/")[0]
        return False
