"""Documents of webhooks and deliveries, the same for servers and commands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from quire.administration.webhook_documents import DeliveryEntry, WebhookAnswer, WebhookDeliveries, WebhookEntry
from quire.domain.structs import convert_to
from quire.domain.webhooks import Webhook
from quire.webhooks.attempts import Attempt, Deliveries
from quire.webhooks.sending import Answer


def webhook_entry(identity: str, webhook: Webhook) -> WebhookEntry:
    """A webhook without its secret."""
    rotates = len(webhook.secrets_at(datetime.now(UTC))) > 1
    return WebhookEntry(
        id=identity,
        url=webhook.url,
        events=list(webhook.events),
        index=webhook.index,
        projects=list(webhook.projects),
        created=webhook.created,
        by=webhook.by,
        state="active" if webhook.disabled is None else "disabled",
        disabled=webhook.disabled,
        rotates_until=webhook.previous.until if rotates and webhook.previous is not None else None,
    )


def webhook_answer(event: str, answer: Answer) -> WebhookAnswer:
    """The answer of a receiver to an event with this id."""
    return WebhookAnswer(
        event=event,
        status=answer.status,
        text=answer.text,
        error=answer.error,
        milliseconds=answer.milliseconds,
    )


def webhook_deliveries(identity: str, webhook: Webhook, found: Deliveries) -> WebhookDeliveries:
    """The latest deliveries to a webhook."""
    return WebhookDeliveries(
        webhook=webhook_entry(identity, webhook),
        recent=delivery_entries(found.recent),
        waiting=delivery_entries(found.waiting.values()),
        given_up=delivery_entries(found.given_up),
    )


def delivery_entries(attempts: Iterable[Attempt]) -> list[DeliveryEntry]:
    """Attempts."""
    return [convert_to(msgspec.to_builtins(each), DeliveryEntry) for each in attempts]
