"""The JSON documents of grants, groups and tokens. See `quire.administration.documents`."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from quire.administration.documents import Answer, Body, Digest, Identity, Rate, Seconds, Short, State, Words


class Sender(Answer, frozen=True, kw_only=True):
    """The sender of a request, as its credentials prove it."""

    user: str | None
    token: str | None
    """The id of the token, where it came by one."""
    groups: list[str]
    rights: list[str]
    """Those that it has on some project of the index."""
    index: str
    """The index at the server's root."""
    quire: str
    """The version of the server; empty for a sender without a login."""


class TokenEntry(Answer, frozen=True, kw_only=True):
    """A token, without its secret."""

    id: str
    rights: list[str]
    index: str
    projects: list[str]
    user: str | None
    note: str | None
    created: str | None
    by: str | None
    expires: str | None
    revoked: str | None
    last_used: str | None
    """The day, in UTC; None for a token that was not used yet, or only just now."""
    rate: int | None = None
    """Requests a minute, of each worker; 0 for any number, None for what the server's settings say."""
    state: State


class TokenList(Answer, frozen=True, kw_only=True):
    """Tokens; those that ended long ago are gone."""

    tokens: list[TokenEntry]
    next: str | None = None


class TokenBody(Body, frozen=True, kw_only=True):
    """The token to make.

    A client that sends `id` and `digest` has made the token's text itself: the secret never leaves it, and the same
    request may be repeated. Else the server makes one, and its answer is the only place where the text is.
    """

    rights: Words
    index: Short = "*"
    projects: Words = msgspec.field(default_factory=list)
    user: Short | None = None
    note: Short | None = None
    expires_in: Seconds | None = None
    """Seconds; None for a token that does not expire."""
    rate: Rate | None = None
    """As in `TokenEntry`."""
    id: Identity | None = None
    digest: Digest | None = None
    """The SHA-256 of the whole text of the token, in hexadecimal."""


class OwnTokenBody(Body, frozen=True, kw_only=True):
    """The token that a user makes for itself; `id` and `digest` as in `TokenBody`."""

    rights: Words
    """Of read, upload and manage."""
    index: Short = "*"
    projects: Words = msgspec.field(default_factory=list)
    note: Short | None = None
    expires_in: Annotated[float, msgspec.Meta(ge=1, le=366 * 86400)]
    """Seconds, at most a year."""
    id: Identity | None = None
    digest: Digest | None = None


class AccountTokens(Answer, frozen=True, kw_only=True):
    """The tokens of the sender of a request."""

    tokens: list[TokenEntry]
    indexes: list[str]
    """Those on which the sender has rights that it may give to tokens; `*` for every one."""


class RotateBody(Body, frozen=True, kw_only=True):
    """The new secret of a token; `digest` as in `TokenBody`."""

    grace: Seconds = 86400
    """Seconds for which the old secret still counts."""
    digest: Digest | None = None


class NewToken(Answer, frozen=True, kw_only=True):
    """A token that was made or got a new secret."""

    token: TokenEntry
    changed: bool
    text: str | None
    """The token itself, shown once; None when the client has made it."""


class IdsBody(Body, frozen=True, kw_only=True):
    """Tokens or grants, by their ids: all of them or none."""

    ids: Words


class Ended(Answer, frozen=True, kw_only=True):
    """Tokens or grants that do not count any more."""

    ids: list[str]
    changed: bool
    grants: list[GrantEntry] = msgspec.field(default_factory=list)
    """The grants that were taken back."""


class GrantBody(Body, frozen=True, kw_only=True):
    """The right to give."""

    subject: Short
    rights: Words
    index: Short = "*"
    projects: Words = msgspec.field(default_factory=list)


class GrantEntry(Answer, frozen=True, kw_only=True):
    """A grant."""

    id: str
    subject: str
    rights: list[str]
    index: str
    projects: list[str]
    created: str | None
    by: str | None


class GrantList(Answer, frozen=True, kw_only=True):
    """All grants and groups."""

    decide: bool
    """Whether grants decide, and not the settings of the servers."""
    grants: list[GrantEntry]
    groups: dict[str, list[str]]


class Granted(Answer, frozen=True, kw_only=True):
    """A grant that was made, or was there already."""

    grant: GrantEntry
    changed: bool


class Explanation(Answer, frozen=True, kw_only=True):
    """The rights that grants give to a subject on a project."""

    subject: str
    index: str
    project: str | None
    rights: dict[str, bool]
    decide: bool
    by: dict[str, list[str]] = msgspec.field(default_factory=dict)
    """Of each right that is given: the ids of the grants that give it, and `owner SUBJECT` for an owner's; none for a
    right that a token has by itself."""


class GroupBody(Body, frozen=True, kw_only=True):
    """The users of a group, all of them; none removes it."""

    users: Words


class Group(Answer, frozen=True, kw_only=True):
    """A group."""

    group: str
    users: list[str]
    changed: bool = False


class GroupList(Answer, frozen=True, kw_only=True):
    """All groups."""

    groups: list[Group]


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(Sender, TokenEntry, TokenList, TokenBody, OwnTokenBody, AccountTokens, RotateBody, NewToken, IdsBody),
    *(Ended, GrantBody, GrantList, Granted, Explanation, GroupBody, Group, GroupList),
)
"""Those that the OpenAPI document names."""
