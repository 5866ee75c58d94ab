"""Why an archive is refused: the sentences that more than one reader of archives needs."""

from __future__ import annotations

from quire.archives import limits
from quire.errors import InvalidDistribution
from quire.names import ParsedFilename, quoted


class Unbounded(InvalidDistribution):
    """More than this program is willing to read, or more than belongs to the archive: not a sign of a partial one."""


def unsafe(member: str, what: str, parsed: ParsedFilename) -> InvalidDistribution:
    """A member that must not be extracted; `what` says why, after its name."""
    return InvalidDistribution(
        f"{quoted(parsed.filename)} cannot be accepted, since its member {quoted(member)} {what}; build it without."
    )


def oversized(member: str, parsed: ParsedFilename) -> InvalidDistribution:
    """A metadata document beyond the limit."""
    return InvalidDistribution(
        f"{quoted(member)} in {quoted(parsed.filename)} exceeds {limits.MAX_METADATA_BYTES} bytes; "
        "shorten the description."
    )


def ambiguous(parsed: ParsedFilename) -> InvalidDistribution:
    """An sdist that could be described by either of two documents."""
    return InvalidDistribution(f"The sdist {quoted(parsed.filename)} has more than one PKG-INFO at its top.")


def damaged_zip(parsed: ParsedFilename) -> InvalidDistribution:
    """Not what a zip must be; the rest of it may be missing."""
    return InvalidDistribution(f"{quoted(parsed.filename)} is a damaged or truncated zip archive; send it again.")


def damaged_tar(parsed: ParsedFilename) -> InvalidDistribution:
    """Not what a tar must be; the rest of it may be missing."""
    return InvalidDistribution(f"{quoted(parsed.filename)} is a damaged or truncated tar archive; send it again.")


def truncated(filename: str) -> InvalidDistribution:
    """A compressed stream that ends before its end."""
    return InvalidDistribution(f"{quoted(filename)} is truncated; send it again.")
