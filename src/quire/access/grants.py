"""Grants: which principal may do what, on which index and projects. Pure functions of one document.

Theory of operation. All grants, groups and tokens of a store are one record (`quire.access.document`). So one
validation is enough for any decision, and a change that was acknowledged counts for the next request of every
worker. A decision is found in tables that are made once for each state of the document.

A token stands for its user, within what the token may do: its rights are those that both have. A token without a user
has the rights that it was made with. A right given to the token itself adds to either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from quire.domain.errors import InvalidRequest
from quire.domain.reserved import STORE_WIDE, matching, normalize_pattern

ANY: Final = "*"
"""Every index, or every project."""


class Permission(StrEnum):
    """A right that a grant gives."""

    READ = "read"
    """To list projects and files, and to download."""
    UPLOAD = "upload"
    MANAGE = "manage"
    """To yank, unyank, delete, and set the status."""
    ADMIN = "admin"
    """All of these, the metrics, and to change grants and tokens."""


class SubjectKind(StrEnum):
    """The kind of the subject that a right is given to."""

    USER = "user"
    GROUP = "group"
    TOKEN = "token"  # noqa: S105 - a word, no secret
    PUBLISHER = "publisher"
    AUTHENTICATED = "authenticated"
    """Every principal that has logged in, by whichever means."""
    ANONYMOUS = "anonymous"
    """Every sender, logged in or not."""

    @property
    def has_name(self) -> bool:
        return self not in {SubjectKind.AUTHENTICATED, SubjectKind.ANONYMOUS}


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """As `user:alice`, `group:ops`, or `anonymous`."""

    kind: SubjectKind
    name: str = ""
    """Empty for a kind that has no names."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else str(self.kind)


AUTHENTICATED: Final = Subject(SubjectKind.AUTHENTICATED)
ANONYMOUS: Final = Subject(SubjectKind.ANONYMOUS)
_MOST_NAME: Final = 200


def parse_subject(text: str) -> Subject:
    """The subject that `KIND:NAME` or `KIND` means. Raises InvalidRequest."""
    word, colon, name = text.strip().partition(":")
    kinds = "user:NAME, group:NAME, token:ID, authenticated or anonymous"
    try:
        kind = SubjectKind(word)
    except ValueError:
        raise InvalidRequest(f"{text[:_MOST_NAME]!r} cannot be given a right; use {kinds}.") from None
    if kind.has_name != bool(name) or (colon and not name):
        raise InvalidRequest(f"{text[:_MOST_NAME]!r} is not complete; use {kinds}.")
    if kind.has_name:
        check_name(kind, name)
    return Subject(kind, name)


def parse_owner(text: str) -> Subject:
    """The owner of a project that `KIND:NAME`, or the name of a user, means. Raises InvalidRequest."""
    subject = parse_subject(text if ":" in text or text in set(SubjectKind) else f"{SubjectKind.USER}:{text}")
    if not subject.kind.has_name:
        raise InvalidRequest(f"{subject} cannot own a project; use user:NAME, group:NAME, token:ID or publisher:ID.")
    return subject


def check_name(kind: SubjectKind, name: str) -> str:
    """The name of a user or another subject, which no other name looks like by what cannot be seen in it.

    Raises InvalidRequest.
    """
    if not name or len(name) > _MOST_NAME or name != name.strip() or not name.isprintable():
        raise InvalidRequest(
            f"{name[:_MOST_NAME]!r} is no name of a {kind}: it is empty or too long, has spaces around it, or "
            "characters that cannot be shown."
        )
    return name


@dataclass(frozen=True, slots=True)
class Scope:
    """Rights on some projects of some indexes."""

    permissions: frozenset[Permission]
    index: str = ANY
    """The name of one index, or ANY."""
    projects: tuple[str, ...] = (ANY,)
    """Names or patterns (`quire.domain.reserved.normalize_pattern`)."""

    def covers(self, permission: Permission, index: str, project: str | None) -> bool:
        """Whether it gives a permission on a project. None: on some project, of which the name is not known yet.

        Pages are shared, so reading is decided for a whole index, without regard to `projects`.
        """
        if permission not in self.permissions and Permission.ADMIN not in self.permissions:
            return False
        if self.index not in {ANY, index}:
            return False
        if project is None or permission is Permission.READ or self.projects == (ANY,):
            return True
        return project in matching(self.projects)


def parse_projects(patterns: Iterable[str]) -> tuple[str, ...]:
    """Names and patterns, normalized; ANY alone when there are none. Raises InvalidRequest."""
    try:
        found = tuple(dict.fromkeys(normalize_pattern(each) for each in patterns))
    except ValueError as error:
        raise InvalidRequest(f"{error}.") from None
    return (ANY,) if not found or ANY in found else found


_INDEX: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")


def parse_index(name: str) -> str:
    """The name of an index, or ANY. Raises InvalidRequest."""
    if name != ANY and (name in STORE_WIDE or not _INDEX.fullmatch(name)):
        raise InvalidRequest(f"{name[:_MOST_NAME]!r} is no name of an index; use its name, or '*' for all.")
    return name
