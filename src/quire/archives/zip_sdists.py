"""Old zips that hold core metadata: `.zip` sdists and eggs."""

from __future__ import annotations

import re
from typing import BinaryIO

from quire.archives import limits
from quire.archives.members import Paths
from quire.archives.refusals import ambiguous, unsafe
from quire.archives.zip_layout import check_zip_layout
from quire.archives.zips import find_directory, read_zip_member, zip_members
from quire.domain.errors import InvalidDistribution
from quire.domain.names import ParsedFilename, quoted


def read_egg(file: BinaryIO, parsed: ParsedFilename) -> bytes | None:
    """The EGG-INFO/PKG-INFO; None when there is none. Raises InvalidDistribution."""
    found = [member for member in zip_members(file, parsed) if member.path == "EGG-INFO/PKG-INFO"]
    if len(found) > 1:
        raise InvalidDistribution(f"The egg {quoted(parsed.filename)} has EGG-INFO/PKG-INFO more than once.")
    return read_zip_member(file, found[0], parsed) if found else None


def read_zip_sdist(file: BinaryIO, parsed: ParsedFilename, *, strict: bool) -> bytes | None:
    """The `<root>/PKG-INFO`; None when there is none. Raises InvalidDistribution. `strict`: see read_metadata."""
    directory = find_directory(file, parsed)
    members = zip_members(file, parsed, directory)
    paths = Paths(parsed, repeats=False, one_folder=True)
    found = []
    for member in members:
        if member.is_link:
            raise unsafe(member.name, "is a link", parsed)
        if re.fullmatch(r"[^/]+/PKG-INFO", member.path):
            found.append(member)
        if strict:
            paths.add(member.name, is_folder=member.is_folder)
    if len(found) > 1:
        raise ambiguous(parsed)
    if strict:
        content = check_zip_layout(
            file, directory, members, parsed, {each.name: limits.MAX_METADATA_BYTES for each in found}
        )
        return content[found[0].name] if found else None
    return read_zip_member(file, found[0], parsed) if found else None
