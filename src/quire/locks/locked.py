"""A lock file's meaning, whichever program wrote it: the files of an index that an install by it needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from quire.domain.errors import InvalidName, InvalidRequest
from quire.domain.names import normalize_name

MOST_RELEASES: Final = 50_000
MOST_FILES: Final = 1_000_000
_MOST_SAID: Final = 200
_FILENAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,254}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,199}")
_DIGEST: Final = re.compile(r"(sha256|sha384|sha512|blake2b_256|md5|sha1|sha224)[:=]([0-9a-fA-F]{32,128})")


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file that a lock names."""

    filename: str
    digests: tuple[str, ...] = ()
    """Each as `sha256:` and hex digits in lower case; the bytes must have all of them. Empty where it has none."""


@dataclass(frozen=True, slots=True)
class LockedRelease:
    """One release that a lock names: its files, or the digests that its files may have, or, with neither, all of it."""

    project: str
    """Normalized."""
    version: str
    """Empty where the lock names the files alone."""
    files: tuple[LockedFile, ...] = ()
    digests: tuple[str, ...] = ()
    """Of files that the lock does not name."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A package that an install by the lock does not take from an index."""

    name: str
    source: str
    """In words: a directory, a Git repository, a URL."""
    is_local: bool
    """Whether it comes with the project itself: a directory or a file beside the lock."""


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file."""

    kind: str
    """The usual name of such a file."""
    releases: tuple[LockedRelease, ...]
    elsewhere: tuple[Elsewhere, ...] = ()


class LockBuilder:
    """Collects a lock's releases, checked and bounded. Two entries of one release become one."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._releases: dict[tuple[str, str], tuple[dict[LockedFile, None], dict[str, None]]] = {}
        self._elsewhere: dict[Elsewhere, None] = {}
        self._files = 0

    def release(
        self, name: object, version: object, files: Iterable[LockedFile] = (), digests: Iterable[str] = ()
    ) -> None:
        """Raises InvalidRequest for a name or version that no release has, and for more than the bounds."""
        project, found = project_of(name), _version_of(version)
        known, known_digests = self._releases.setdefault((project, found), ({}, {}))
        before = len(known) + len(known_digests)
        known.update(dict.fromkeys(files))
        known_digests.update(dict.fromkeys(digests))
        self._files += len(known) + len(known_digests) - before
        if len(self._releases) > MOST_RELEASES or self._files > MOST_FILES:
            raise InvalidRequest(f"it names more than {MOST_RELEASES} releases, or {MOST_FILES} files")

    def elsewhere(self, name: object, source: str, *, is_local: bool) -> None:
        """A package of no index."""
        self._elsewhere[Elsewhere(said(name), said(source), is_local)] = None

    def lock(self) -> Lock:
        releases = [
            LockedRelease(project, version, tuple(files), tuple(digests))
            for (project, version), (files, digests) in self._releases.items()
        ]
        return Lock(self._kind, tuple(releases), tuple(self._elsewhere))


def project_of(name: object) -> str:
    """The normalized name of a project. Raises InvalidRequest."""
    try:
        return normalize_name(text_of(name, "name"))
    except InvalidName as error:
        raise InvalidRequest(f"{said(name)!r} is no name of a project") from error


def locked_file(filename: object, digests: Iterable[object]) -> LockedFile:
    """Raises InvalidRequest for a filename that no distribution has, and for digests of no known form."""
    if not isinstance(filename, str) or not _FILENAME.fullmatch(filename):
        raise InvalidRequest(f"{said(filename)!r} is no filename of a distribution")
    return LockedFile(filename, tuple(map(digest_of, digests)))


def digest_of(text: object) -> str:
    """`sha256:` and hex digits, from that or the form with `=`. Raises InvalidRequest."""
    match = _DIGEST.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidRequest(f"{said(text)!r} is no digest such as sha256:...")
    return f"{match[1]}:{match[2].lower()}"


def filename_of(url: object) -> str:
    """The last part of a URL's path, unquoted. Raises InvalidRequest."""
    try:
        return unquote(urlsplit(text_of(url, "url")).path.rpartition("/")[2])
    except ValueError:
        raise InvalidRequest(f"{said(url)!r} is no URL") from None


def table_of(value: object, where: str) -> Mapping[str, Any]:
    """A table of a document. Raises InvalidRequest."""
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{where} is no table")
    return value


def tables_of(value: object, where: str) -> list[Mapping[str, Any]]:
    """An array of tables; none for a missing one. Raises InvalidRequest."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest(f"{where} is no array")
    return [table_of(each, where) for each in value]


def text_of(value: object, where: str) -> str:
    """A text of a document. Raises InvalidRequest."""
    if not isinstance(value, str):
        raise InvalidRequest(f"{where} is no text")
    return value


def said(value: object) -> str:
    """A value of a document, short enough for a sentence."""
    return " ".join(str(value).split())[:_MOST_SAID]


def _version_of(version: object) -> str:
    if version is None:
        return ""
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise InvalidRequest(f"{said(version)!r} is no version")
    return version
