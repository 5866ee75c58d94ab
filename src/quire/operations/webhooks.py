"""Changes of webhooks: the one door for commands, requests and deliveries, with the same checks and log lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from quire.access import webhook_changes
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity
from quire.access.webhook_changes import find_webhook
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.webhooks import Webhook
from quire.index.audit.entries import Origin
from quire.index.audit.reading import LogReader
from quire.store.contracts import Store
from quire.webhooks.attempts import Attempt, AttemptRecords, Deliveries
from quire.webhooks.delivery import attempt_of, send_event
from quire.webhooks.events import Event, event_id, event_of, ping
from quire.webhooks.sending import Answer, Sender

_AT_ONCE: Final = 5
_SHOWN: Final = 100

log = structlog.stdlib.get_logger(__name__)


def add_webhook(
    access: AccessRecords,
    identity: str,
    url: str,
    secret: str,
    *,
    events: Collection[str],
    index: str,
    projects: Collection[str],
    origin: Origin,
) -> tuple[Webhook, bool]:
    """Add a webhook: it, and whether it is new. Repeated, it changes nothing. Raises InvalidRequest, StoreError."""
    webhook = webhook_changes.make_webhook(url, secret, events, index, projects, now=datetime.now(UTC), by=origin.user)
    before, after = access.change(
        lambda document: webhook_changes.with_webhook(document, identity, webhook),
        "webhook-add",
        {
            "webhook": identity,
            "receiver": webhook.receiver,
            "events": list(webhook.events),
            "index": webhook.index,
            "projects": list(webhook.projects),
        },
        origin,
    )
    if before is not after:
        log.info("webhook added", webhook=identity, receiver=webhook.receiver, user=origin.user)
    return after.webhooks[identity], before is not after


def remove_webhooks(access: AccessRecords, identities: Collection[str], origin: Origin) -> None:
    """Remove webhooks, all of them or none: no delivery to them begins after that. Raises NotFound, StoreError."""
    access.change(
        lambda document: webhook_changes.without_webhooks(document, identities),
        "webhook-remove",
        {"webhooks": list(identities)},
        origin,
    )
    for identity in identities:
        log.info("webhook removed", webhook=identity, user=origin.user)


def rotate_webhook(
    access: AccessRecords, identity: str, secret: str, grace: timedelta, origin: Origin
) -> tuple[Webhook, bool]:
    """Give a webhook a new secret: it, and whether it has not had that before. The old one signs for `grace` longer.

    Raises NotFound, InvalidRequest, StoreError.
    """
    now = datetime.now(UTC)
    before, after = access.change(
        lambda document: webhook_changes.with_new_secret(document, identity, secret, grace, now),
        "webhook-rotate",
        {"webhook": identity},
        origin,
    )
    if before is not after:
        log.info("secret of a webhook rotated", webhook=identity, user=origin.user)
    return after.webhooks[identity], before is not after


def resume_webhook(access: AccessRecords, identity: str, origin: Origin) -> Webhook:
    """Deliver to a webhook again if it is disabled, and try at once what waits for its next attempt.

    Raises NotFound, StoreError.
    """
    now = datetime.now(UTC)
    _, after = access.change(
        lambda document: webhook_changes.with_resumed(document, identity, now),
        "webhook-resume",
        {"webhook": identity},
        origin,
    )
    log.info("webhook resumed", webhook=identity, user=origin.user)
    return after.webhooks[identity]


def deliveries(store: Store, identity: str) -> tuple[Webhook, Deliveries]:
    """A webhook and the latest deliveries to it. Raises NotFound, StoreError."""
    webhook = find_webhook(AccessRecords(store).read().state.document, identity)
    return webhook, AttemptRecords(store.records).read(identity)


def send_ping(store: Store, sender: Sender, identity: str) -> tuple[Event, Answer]:
    """Send a ping to a webhook, also to one that is disabled. Blocks. Raises NotFound, StoreError."""
    webhook = find_webhook(AccessRecords(store).read().state.document, identity)
    event = ping(new_identity())
    return event, send_event(sender, webhook, event)


def redeliver(store: Store, sender: Sender, identity: str, events: Sequence[str]) -> list[Attempt]:
    """Send events once more that were delivered lately, or given up: one attempt at each, in no order. Blocks.

    Raises NotFound when one of them is not known any more, InvalidRequest for one that is still tried; StoreError.
    """
    webhook, known = deliveries(store, identity)
    tried = {each.event: each for each in (*known.recent, *known.waiting.values(), *known.given_up)}
    for each in events:
        if each not in tried:
            raise NotFound(
                f"The event {each[:_SHOWN]!r} is not among the latest deliveries; 'quire webhook deliveries "
                f"{identity}' lists them."
            )
        if tried[each].result == "failed":
            raise InvalidRequest(
                f"The event {each} is still being tried; 'quire webhook resume {identity}' tries what waits at once."
            )
    wanted = [tried[each] for each in dict.fromkeys(events)]
    found = [_event(store, each) for each in wanted]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = list(pool.map(lambda event: send_event(sender, webhook, event), found))
    attempts = [
        attempt_of(event, answer, before.attempt + 1, "delivered" if answer.is_success else "given-up")
        for event, answer, before in zip(found, answers, wanted, strict=True)
    ]
    AttemptRecords(store.records).add(identity, attempts)
    for tried_again in attempts:
        log.info(
            "webhook redelivered",
            webhook=identity,
            event_id=tried_again.event,
            project=tried_again.project,
            error=tried_again.error,
        )
    return attempts


def _event(store: Store, attempt: Attempt) -> Event:
    """The event of an attempt, from the log of its project. Raises NotFound, StoreError."""
    reader = LogReader(store.records, attempt.index, f"{attempt.index}/projects")
    for logged in reader.project(attempt.project):
        if event_id(attempt.index, logged) == attempt.event:
            return event_of(attempt.index, logged)
    raise NotFound(f"The log of {attempt.project} does not have the event {attempt.event} any more.")
