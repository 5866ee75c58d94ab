"""The reasons to refuse an archive: the sentences that more than one reader of archives needs."""

from __future__ import annotations

from quire.domain.errors import InvalidDistribution
from quire.domain.names import ParsedFilename, quoted


class Unbounded(InvalidDistribution):
    """More than this program is willing to read, or more than belongs to the archive: not a sign of a partial one."""


def unsafe(member: str, what: str, parsed: ParsedFilename) -> InvalidDistribution:
    """A member that must not be extracted; `what` says why, after its name."""
    return InvalidDistribution(
        f"{quoted(parsed.filename)} cannot be accepted, since its member {quoted(member)} {what}; build it without."
    )


def unusable(what: str, parsed: ParsedFilename) -> InvalidDistribution:
    """An archive that an installer or PyPI refuses; `what` says why, after its name."""
    return InvalidDistribution(
        f"{quoted(parsed.filename)} cannot be accepted, since it {what}; build it again with current tools."
    )


def oversized(member: str, limit: int, parsed: ParsedFilename) -> InvalidDistribution:
    """A document beyond its limit."""
    return InvalidDistribution(
        f"{quoted(member)} in {quoted(parsed.filename)} exceeds {limit} bytes; shorten it (a README is most of it)."
    )


def ambiguous(parsed: ParsedFilename) -> InvalidDistribution:
    """An sdist that could be described by either of two documents."""
    return InvalidDistribution(
        f"The sdist {quoted(parsed.filename)} has more than one PKG-INFO at its top, with different contents."
    )


def damaged_zip(parsed: ParsedFilename) -> InvalidDistribution:
    """Not what a zip must be; the rest of it may be missing."""
    return InvalidDistribution(f"{quoted(parsed.filename)} is a damaged or truncated zip archive; send it again.")


def damaged_tar(parsed: ParsedFilename) -> InvalidDistribution:
    """Not what a tar must be; the rest of it may be missing."""
    return InvalidDistribution(f"{quoted(parsed.filename)} is a damaged or truncated tar archive; send it again.")


def truncated(filename: str) -> InvalidDistribution:
    """A compressed stream that ends before its end."""
    return InvalidDistribution(f"{quoted(filename)} is truncated; send it again.")
