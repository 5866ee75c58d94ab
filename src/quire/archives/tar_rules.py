"""The rules for the links of a tar, and for the members of an uploaded tar that pip, uv or PyPI would refuse."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Sequence

from quire.archives import limits
from quire.archives.members import Paths, is_absolute, split_name
from quire.archives.refusals import Unbounded, unsafe
from quire.domain.names import ParsedFilename, quoted

_ODD_PART = re.compile(r":|[ ](?:/|\Z)")
_ODD_TARGET = re.compile(r"[\x00-\x1f\x7f\\:]|[ ](?:/|\Z)")
_PAX_KEYWORDS = {
    *("atime", "charset", "comment", "ctime", "gid", "gname", "hdrcharset"),
    *("linkpath", "mtime", "path", "size", "uid", "uname"),
}
_NUMBERS = [slice(100, 108), slice(108, 116), slice(116, 124), slice(136, 148), slice(329, 337), slice(337, 345)]
"""The fields of a header that are numbers, but its size and checksum."""
_NUMBER = re.compile(rb" *[0-7]* *(?:\0.*)?|[\x80\xff].*", re.DOTALL)
_SIZE = re.compile(rb" *[0-7]+ *(?:\0.*)?|\x80.*", re.DOTALL)
_PAX_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n\0]+)=([^\n]*)\n")
_EXTENSIONS = {b"", b"x", b"L", b"K", b"LK", b"KL"}
"""The types of headers that one member may have before its own, but global ones."""
_OF_ONE_MEMBER = {b"path", b"linkpath", b"size"}
_LONGEST_CHAIN = 40  # of links, as in Linux


class Links:
    """The links of a tar so far, none of which leads out of the folder at its top."""

    def __init__(self, parsed: ParsedFilename) -> None:
        self._parsed = parsed
        self._targets: dict[str, str] = {}

    def lead_to(self, path: str) -> bool:
        """Whether a path goes through one of the links."""
        end = path.find("/") if self._targets else -1
        while end >= 0:
            if path[:end] in self._targets:
                return True
            end = path.find("/", end + 1)
        return False

    def add(self, member: tarfile.TarInfo, path: str) -> None:
        """A further link at a path. Raises InvalidDistribution.

        Installers take the folder at the top away before they look where a symbolic link leads, so `../foo-1.0/x`
        in it leads out.
        """
        if len(member.linkname) > limits.MAX_PATH_CHARS:
            raise unsafe(member.name, "is a link with a target that no file can have", self._parsed)
        target = self._resolved(member, path)
        if target is None:
            raise unsafe(member.name, "is a link out of the archive", self._parsed)
        self._targets[path] = target
        if len(self._targets) > limits.MAX_LINKS:
            raise Unbounded(f"{quoted(self._parsed.filename)} has more than {limits.MAX_LINKS} links.")

    def _resolved(self, member: tarfile.TarInfo, path: str) -> str | None:
        """The path of a link's target; None when it leaves the archive, or might: through a link and up again."""
        parts = split_name(member.linkname)
        if is_absolute(member.linkname) or len(parts) > limits.MAX_DEPTH:
            return None
        # a hard link's target is named from the archive's root, and a symbolic link's floor is the folder at the top
        place, floor = (path.rpartition("/")[0], 1) if member.issym() else ("", 0)
        depth = place.count("/") + 1 if place else 0
        through_link = False
        for part in parts:
            if part != "..":
                place, depth = f"{place}/{part}" if place else part, depth + 1
                through_link = through_link or place in self._targets
            elif depth <= floor or through_link:
                return None
            else:
                place, depth = place.rpartition("/")[0], depth - 1
        return place

    def go_round(self, path: str) -> bool:
        """Whether a link leads to itself, or through too many others."""
        for _ in range(_LONGEST_CHAIN):
            if path not in self._targets:
                return False
            path = self._targets[path]
        return True


class UploadedTar:
    """The members of an uploaded tar so far, each of which every installer can extract."""

    def __init__(self, parsed: ParsedFilename, links: Links) -> None:
        """`links`: those of the tar, the member that is checked among them."""
        self._parsed = parsed
        self._all_links = links
        self._paths = Paths(parsed, repeats=True, one_folder=True)
        self._links: set[str] = set()

    def check(self, member: tarfile.TarInfo, headers: Sequence[bytes]) -> None:
        """`headers`: all that was read to find the member. Raises InvalidDistribution."""
        if member.issparse():
            raise unsafe(member.name, "is a sparse file", self._parsed)
        if member.size and not member.isreg():
            raise unsafe(member.name, "has a size and is no file", self._parsed)
        if not _are_plain(headers, member):
            raise unsafe(member.name, "has headers that readers interpret differently", self._parsed)
        if _ODD_PART.search(member.name):
            raise unsafe(member.name, "has a colon in its name or a space at the end of it", self._parsed)
        for keyword in member.pax_headers:
            if keyword not in _PAX_KEYWORDS and not keyword.startswith(("SCHILY.", "LIBARCHIVE.")):
                raise unsafe(member.name, f"has the pax field {quoted(keyword)}, which uv refuses", self._parsed)
        path = self._paths.add(member.name, is_folder=member.isdir())
        if member.islnk():
            target = "/".join(split_name(member.linkname))
            is_in_folder = member.linkname.startswith(f"{self._paths.top}/") and "//" not in member.linkname
            if not is_in_folder or target not in self._paths.files or target in self._links or target == path:
                raise unsafe(member.name, "is a hard link to no earlier file", self._parsed)
        if member.issym():
            if not member.linkname or _ODD_TARGET.search(member.linkname):
                raise unsafe(member.name, "is a link with an unusual target", self._parsed)
            if self._all_links.go_round(path):
                raise unsafe(member.name, "is a link that leads to itself", self._parsed)
            self._links.add(path)
        else:
            self._links.discard(path)


def _are_plain(headers: Sequence[bytes], member: tarfile.TarInfo) -> bool:
    """Whether every reader finds the same member by these headers.

    tarfile differs from one Python to the next in what it takes for a pax record, and from uv in which of two values
    counts, in numbers like `0_45`, and in what it makes of headers about headers.
    """
    blocks = iter([each for each in headers if len(each) > 1])  # before a header tarfile reads the byte before it
    extensions, name, pax = b"", None, dict[bytes, bytes]()
    for block in blocks:
        if not _is_plain_header(block):
            return False
        kind, size = block[156:157], block[124:136]
        if kind not in b"xgXLK":
            name = pax.get(b"path") or name or block[:100].partition(b"\0")[0]
            is_one = extensions in _EXTENSIONS and pax.get(b"size", b"%d" % member.size) == b"%d" % _number(size)
            return is_one and (member.isdir() or not name.endswith(b"/"))
        content = next(blocks, b"")[: _number(size)]
        if kind in b"LK":
            content = content.rstrip(b"\0")
            if b"\0" in content:
                return False
            name = content if kind == b"L" else name
        else:
            records = _pax_records(content)
            if records is None or (kind == b"g" and not _OF_ONE_MEMBER.isdisjoint(records)):
                return False
            pax = records if kind != b"g" else pax
        extensions += kind if kind != b"g" else b""
    return False


def _is_plain_header(block: bytes) -> bool:
    """Whether its numbers are ones for every reader, and it has a prefix only in the format that knows them."""
    if not (_SIZE.fullmatch(block[124:136]) and all(_NUMBER.fullmatch(block[field]) for field in _NUMBERS)):
        return False
    return block[257:265] == b"ustar\x0000" or not block[345:346].strip(b"\0")


def _number(field: bytes) -> int:
    return int.from_bytes(field[1:]) if field[0] == 0x80 else int(field.partition(b"\0")[0], 8)


def _pax_records(content: bytes) -> dict[bytes, bytes] | None:
    """The records of a pax header; None where they are not one after the other, each with its length and once."""
    found, at = dict[bytes, bytes](), 0
    while at < len(content):
        record = _PAX_RECORD.match(content, at)
        if record is None or int(record[1]) != len(record[0]) or record[2] in found:
            return None
        found[record[2]] = record[3]
        at = record.end()
    return found
