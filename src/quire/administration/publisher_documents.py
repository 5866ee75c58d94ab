"""The JSON documents of trusted publishers and sessions, and of the check of grants, for the API and `--json`. See
`quire.administration.documents`.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from quire.administration.documents import Answer, Body, Short, Words

Texts = Annotated[dict[Short, Short], msgspec.Meta(max_length=100)]


class PublisherEntry(Answer, frozen=True, kw_only=True):
    """A trusted publisher."""

    id: str
    name: str
    """For people: the platform, and what was said of the job."""
    platform: str
    issuer: str
    settings: dict[str, str]
    claims: dict[str, str]
    index: str
    projects: list[str]
    pending: list[str]
    """Those of the projects that do not exist yet."""
    remembered: dict[str, str]
    """The ids of its first job, by claim."""
    created: str | None
    by: str | None


class PublisherPage(Answer, frozen=True, kw_only=True):
    """A page of the publishers, by id."""

    audience: str | None
    """Which tokens of jobs must have; None before the first publisher."""
    publishers: list[PublisherEntry]
    next: str | None = None


class PublisherBody(Body, frozen=True, kw_only=True):
    """The publisher to add."""

    platform: Short
    settings: Texts = msgspec.field(default_factory=dict)
    """By the words of the platform, such as `repository`, `workflow` and `environment`."""
    claims: Texts = msgspec.field(default_factory=dict)
    """Further claims that a token must have."""
    issuer: Short | None = None
    """Of an installation of your own: its URL."""
    index: Short | None = None
    """None for the index at the server's root."""
    projects: Words


class NewPublisher(Answer, frozen=True, kw_only=True):
    """A publisher that was added, or was there already."""

    publisher: PublisherEntry
    audience: str | None
    changed: bool


class AudienceBody(Body, frozen=True, kw_only=True):
    """The audience that tokens of jobs must have from now on."""

    audience: Short


class Audience(Answer, frozen=True, kw_only=True):
    """The audience that tokens of jobs must have."""

    audience: str | None
    changed: bool


class SessionsBody(Body, frozen=True, kw_only=True):
    """Whose sessions of the web interface to end."""

    users: Words = msgspec.field(default_factory=list)
    all: bool = False
    """Every session, by a new key."""


class SessionsEnded(Answer, frozen=True, kw_only=True):
    """Sessions that do not count any more."""

    users: list[str]
    all: bool


class UnmatchedGrant(Answer, frozen=True, kw_only=True):
    """A grant that gives nothing, or an owner of a project that is not there."""

    id: str
    """Of the grant; of an owner the project, as INDEX/PROJECT. Only commands on the store look for these."""
    subject: str
    problem: str
    """Why, in a sentence."""


class GrantsChecked(Answer, frozen=True, kw_only=True):
    """The grants that give nothing."""

    unmatched: list[UnmatchedGrant]
    users_known: bool
    """Whether the users that can log in are known, so that grants to others were found."""


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(PublisherPage, PublisherBody, NewPublisher, AudienceBody, Audience),
    *(SessionsBody, SessionsEnded, GrantsChecked),
)
"""Those that the OpenAPI document names."""
