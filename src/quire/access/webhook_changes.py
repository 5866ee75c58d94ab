"""The changes of webhooks, as pure functions from document to document."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from quire.access.document import AccessDocument, with_fields
from quire.access.grants import parse_index, parse_projects
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.times import stamp
from quire.domain.webhooks import FormerSecret, Webhook, parse_events, parse_secret, parse_url
from quire.index.audit.entries import as_logged

MOST: Final = 50
"""Webhooks of a store: each has a thread in the workers that deliver to it."""
_SHOWN: Final = 200


def make_webhook(
    url: str,
    secret: str,
    events: Collection[str],
    index: str,
    projects: Collection[str],
    *,
    now: datetime,
    by: str | None,
) -> Webhook:
    """A webhook of these words, checked. Raises InvalidRequest."""
    parse_secret(secret)
    return Webhook(
        url=parse_url(url),
        secret=secret,
        events=parse_events(events),
        index=parse_index(index),
        projects=parse_projects(projects),
        created=as_logged(now),
        by=by,
    )


def with_webhook(document: AccessDocument, identity: str, webhook: Webhook) -> AccessDocument:
    """With one more webhook; the very document when it has the same under this id already. Raises InvalidRequest."""
    known = document.webhooks.get(identity)
    if known is not None and known.url == webhook.url and hmac.compare_digest(known.secret, webhook.secret):
        return document
    if known is not None:
        raise InvalidRequest(f"The id {identity} is another webhook's; make a new one.")
    if len(document.webhooks) >= MOST:
        raise InvalidRequest(f"There are {MOST} webhooks; remove one, or let one receiver pass events on to others.")
    return with_fields(document, webhooks={**document.webhooks, identity: webhook})


def without_webhooks(document: AccessDocument, identities: Collection[str]) -> AccessDocument:
    """Without some webhooks. Raises NotFound."""
    for identity in identities:
        find_webhook(document, identity)
    kept = {identity: each for identity, each in document.webhooks.items() if identity not in identities}
    return with_fields(document, webhooks=kept)


def with_new_secret(
    document: AccessDocument, identity: str, secret: str, grace: timedelta, now: datetime
) -> AccessDocument:
    """With a new secret for a webhook; the very document when it has that already. For `grace` longer events are
    signed by the old one, too. Raises NotFound, InvalidRequest.
    """
    webhook = find_webhook(document, identity)
    parse_secret(secret)
    if hmac.compare_digest(webhook.secret, secret):
        return document
    try:
        until = stamp((now + grace).astimezone(UTC))
    except OverflowError:
        raise InvalidRequest("The grace is too long; some days are enough to tell the receiver.") from None
    previous = FormerSecret(secret=webhook.secret, until=until) if grace > timedelta() else None
    return _with(document, identity, msgspec.structs.replace(webhook, secret=secret, previous=previous))


def with_disabled(document: AccessDocument, identity: str, reason: str) -> AccessDocument:
    """With a webhook to which nothing is delivered, and why; the very document when there is a reason already.

    Raises NotFound.
    """
    webhook = find_webhook(document, identity)
    if webhook.disabled is not None:
        return document
    return _with(document, identity, msgspec.structs.replace(webhook, disabled=reason))


def with_resumed(document: AccessDocument, identity: str, now: datetime) -> AccessDocument:
    """With a webhook to which events are delivered again, those that wait at once. Raises NotFound."""
    webhook = find_webhook(document, identity)
    return _with(document, identity, msgspec.structs.replace(webhook, disabled=None, resumed=as_logged(now)))


def find_webhook(document: AccessDocument, identity: str) -> Webhook:
    """The webhook with this id. Raises NotFound."""
    webhook = document.webhooks.get(identity)
    if webhook is None:
        raise NotFound(f"There is no webhook {identity[:_SHOWN]!r}; 'quire webhook list' lists them.")
    return webhook


def _with(document: AccessDocument, identity: str, webhook: Webhook) -> AccessDocument:
    return with_fields(document, webhooks={**document.webhooks, identity: webhook})
