"""The sources of advisories of a store: which data of each counts. A part of the store's access document, so that data
which is taken in counts for the next request of every worker."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from quire.domain.errors import InvalidRequest

DEFAULT_SOURCE: Final = "osv"
"""The name of the source that a file is of when none is named: OSV's data of PyPI."""
MOST_SOURCES: Final = 20
"""Each is asked for each version."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class AdvisorySource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The data of one source. Immutable: an update makes a new one."""

    digest: str
    """Of the blob that has it (`quire.advisories.packed`): SHA-256, in hex."""
    size: int
    """Bytes of the blob."""
    advisories: int
    malicious: int = 0
    """Of them, reports of malicious packages that were not withdrawn."""
    projects: int = 0
    """That are affected."""
    updated: str
    """When it was taken in: RFC 3339, UTC."""
    by: str | None = None
    """The user that took it in."""
    origin: str = ""
    """The name of the file or folder that it was read from, without the folders above it."""
    newest: str | None = None
    """When the newest of its advisories was modified, in RFC 3339; so old is the data itself."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""

    @property
    def key(self) -> str:
        """The key of its blob."""
        return f"{FOLDER}/{self.digest}/{_FILE}"


FOLDER: Final = "advisories"
_FILE: Final = "osv"
_KEY: Final = re.compile(rf"{FOLDER}/[0-9a-f]{{64}}/{_FILE}")


def is_advisories(key: str) -> bool:
    """Whether a blob's key is of advisories. No file of a project has such a key: theirs have a longer middle part."""
    return _KEY.fullmatch(key) is not None


def parse_source(name: str) -> str:
    """The name of a source. Raises InvalidRequest."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name[:80]!r} is no name of a source of advisories; use up to 40 lower-case letters, digits and '-'."
        )
    return name
