"""Webhooks: where the changes of projects are reported to, as people defined it. A part of the store's access document.

The secret of a webhook is in the document itself: a signature (HMAC) needs the secret, and a digest would not do. No
answer, log line or list has it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from quire.domain.errors import InvalidRequest, without_shown_login
from quire.domain.publishing_sessions import is_token
from quire.domain.reserved import matching
from quire.domain.times import exact_stamp

EVENTS: Final = (
    *("publish", "delete", "yank", "unyank", "status", "restore", "import", "amend"),
    *("owner-add", "owner-remove"),
)
"""The changes of projects that can be reported, by the words of the audit log."""
ALL: Final = "*"
"""Every event, index or project."""
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - as Standard Webhooks marks secrets
SKEW: Final = timedelta(seconds=5)
"""So much the clocks of the machines may differ at the time that a webhook is made."""
_SECRET_BYTES: Final = 32
_SHORTEST_SECRET: Final = 24
_LONGEST_SECRET: Final = 64
_MOST_URL: Final = 2000
_SHOWN: Final = 200


class FormerSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that a webhook had before it was rotated."""

    secret: str
    until: str
    """RFC 3339, UTC; until then its signature is sent, too."""

    def __repr__(self) -> str:
        return f"FormerSecret(until={self.until!r})"


class Webhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Immutable: a change makes a new one."""

    url: str
    """Of the receiver. It may be a secret itself, so only administrators see all of it."""
    secret: str
    """See `parse_secret`."""
    previous: FormerSecret | None = None
    events: tuple[str, ...] = (ALL,)
    index: str = ALL
    projects: tuple[str, ...] = (ALL,)
    """Names and patterns; see `quire.domain.reserved.normalize_pattern`."""
    created: str
    """As the audit log has times; changes from then on are reported."""
    by: str | None = None
    disabled: str | None = None
    """Why nothing is delivered; None where it is."""
    resumed: str | None = None
    """As `created`: an event that was tried before this time is tried again without waiting."""
    unknown: dict[str, Any] = {}
    """Fields of the stored document that this version does not know."""

    def __repr__(self) -> str:
        return f"Webhook(receiver={self.receiver!r})"

    @property
    def receiver(self) -> str:
        """Scheme and host of the URL, for logs."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def covers(self, index: str, project: str) -> bool:
        """Whether it is about a project (normalized name); never of what publishing sessions have not published."""
        if is_token(index):
            return False
        return self.index in {ALL, index} and (self.projects == (ALL,) or project in matching(self.projects))

    def wants(self, action: str) -> bool:
        """Whether it reports this kind of change."""
        return action in EVENTS and (ALL in self.events or action in self.events)

    def begins(self) -> str:
        """The time of the earliest change that is reported, as the audit log has it."""
        return exact_stamp(datetime.fromisoformat(self.created) - SKEW)

    def secrets_at(self, now: datetime) -> tuple[str, ...]:
        """The secrets that count at a time, the current one first."""
        if self.previous is None or datetime.fromisoformat(self.previous.until) <= now:
            return (self.secret,)
        return self.secret, self.previous.secret


def new_secret() -> str:
    """A secret that no other webhook has."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def parse_secret(text: str) -> bytes:
    """The key that a secret means: `whsec_` and 24 to 64 bytes in base64 (Standard Webhooks). Raises InvalidRequest."""
    encoded = text.removeprefix(SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if encoded == text or not _SHORTEST_SECRET <= len(key) <= _LONGEST_SECRET:
        raise InvalidRequest(
            f"A webhook's secret is {SECRET_PREFIX} followed by {_SHORTEST_SECRET} to {_LONGEST_SECRET} random bytes "
            "in base64; leave it out to have one made."
        )
    return key


def parse_url(url: str) -> str:
    """The URL of a receiver, as it was given. Raises InvalidRequest."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    is_plain = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`{|}') and len(url) <= _MOST_URL
    if not is_plain or not host or port == 0 or parts.scheme not in {"http", "https"}:
        shown = without_shown_login(url)[:_SHOWN]
        raise InvalidRequest(f"{shown!r} is no URL of a receiver; write it like https://ci.acme.example/hooks.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidRequest(
            "The URL of a receiver has no user, password or fragment; receivers know quire by its signature."
        )
    return url


def parse_events(words: Collection[str]) -> tuple[str, ...]:
    """The events, in their usual order; ALL alone for none. Raises InvalidRequest."""
    for word in words:
        if word not in {ALL, *EVENTS}:
            raise InvalidRequest(f"{word[:_SHOWN]!r} is no event; use {', '.join(EVENTS[:-1])} or {EVENTS[-1]}.")
    found = tuple(each for each in EVENTS if each in words)
    return found if found and ALL not in words else (ALL,)
