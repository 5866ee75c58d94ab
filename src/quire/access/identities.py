"""Users that another program has identified: a trusted proxy by headers, an identity provider by claims.

Their names and groups are checked here, before they become a principal: a header that two programs can read in two
ways identifies no user.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from quire.access.grants import SubjectKind
from quire.access.principals import Principal
from quire.domain.errors import InvalidRequest

MAX_NAME: Final = 200
"""Characters of the name of a user or group: as many as a grant can name."""
MAX_GROUPS: Final = 500
MAX_HEADER: Final = 8 * 1024
"""Characters of a header."""
_SHOWN: Final = 60


def identified(username: str, groups: Iterable[str] = ()) -> Principal:
    """The principal of a user that was identified elsewhere. Raises InvalidRequest for names that cannot be."""
    return Principal(check_username(username), groups=check_groups(groups))


def check_username(name: str) -> str:
    """The name of a user. Raises InvalidRequest.

    The log names a token `token:ID`, so no user has a name that begins like that of another kind of principal.
    """
    _check(name, "user")
    if name.partition(":")[0] in set(SubjectKind) and ":" in name:
        raise InvalidRequest(f"{name[:_SHOWN]!r} is no name of a user: it begins like that of another kind.")
    return name


def check_groups(names: Iterable[str]) -> frozenset[str]:
    """The names of groups. Raises InvalidRequest."""
    found: set[str] = set()
    for name in names:
        _check(name, "group")
        found.add(name)
        if len(found) > MAX_GROUPS:
            raise InvalidRequest(f"The user has more than {MAX_GROUPS} groups; send those that grants name only.")
    return frozenset(found)


def user_in_header(value: str) -> str:
    """The user that a header names: one name, of ASCII characters. Raises InvalidRequest.

    A comma separates the values of a header that two programs wrote, so it is in no name.
    """
    name = _ascii(value)
    if "," in name:
        raise InvalidRequest("it has more than one name, or a comma in it")
    return check_username(name)


def groups_in_header(value: str) -> frozenset[str]:
    """The groups that a header names, with commas; none when it is empty. Raises InvalidRequest."""
    return check_groups(name for each in _ascii(value).split(",") if (name := each.strip(" \t")))


def _ascii(value: str) -> str:
    if len(value) > MAX_HEADER:
        raise InvalidRequest(f"it has more than {MAX_HEADER} characters")
    if not value.isascii():
        raise InvalidRequest("it has characters that are not ASCII, which programs read differently")
    return value.strip(" \t")


def _check(name: str, kind: str) -> None:
    if not name or name != name.strip():
        raise InvalidRequest(f"The name of a {kind} is empty, or has spaces around it.")
    if len(name) > MAX_NAME:
        raise InvalidRequest(f"{name[:_SHOWN]!r} is too long for the name of a {kind}: {MAX_NAME} characters at most.")
    if not name.isprintable():
        raise InvalidRequest(f"{name[:_SHOWN]!r} is no name of a {kind}: it has characters that cannot be shown.")
