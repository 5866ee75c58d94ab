"""The JSON documents of webhooks. See `quire.administration.documents`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from quire.administration.documents import Answer, Body, Identity, Seconds, Short, Words


class WebhookEntry(Answer, frozen=True, kw_only=True):
    """A webhook, without its secret."""

    id: str
    url: str
    events: list[str]
    """`*` for all."""
    index: str
    projects: list[str]
    created: str
    by: str | None
    state: Literal["active", "disabled"]
    disabled: str | None
    """Why nothing is delivered."""
    rotates_until: str | None
    """Until then events are signed by the former secret, too."""


class WebhookList(Answer, frozen=True, kw_only=True):
    """All webhooks."""

    webhooks: list[WebhookEntry]


Secret = Annotated[str, msgspec.Meta(max_length=200)]


class WebhookBody(Body, frozen=True, kw_only=True):
    """The webhook to add. A client that sends `id` and `secret` may repeat the request; else the server makes them."""

    url: Annotated[str, msgspec.Meta(max_length=2000)]
    events: Words = msgspec.field(default_factory=list)
    """None: all."""
    index: Short = "*"
    projects: Words = msgspec.field(default_factory=list)
    id: Identity | None = None
    secret: Secret | None = None
    """`whsec_` and 24 to 64 bytes in base64."""


class WebhookSecretBody(Body, frozen=True, kw_only=True):
    """The new secret of a webhook, as in `WebhookBody`."""

    grace: Seconds = 86400
    """Seconds for which events are signed by the old secret, too."""
    secret: Secret | None = None


class NewWebhook(Answer, frozen=True, kw_only=True):
    """A webhook that was added, changed, or got a new secret."""

    webhook: WebhookEntry
    changed: bool
    secret: str | None = None
    """Shown once; None when the client has made it, or there is no new one."""


class NoFields(Body, frozen=True, kw_only=True):
    """An empty object."""


class WebhookAnswer(Answer, frozen=True, kw_only=True):
    """The answer of a receiver."""

    event: str
    """The id of the event that was sent."""
    status: int | None
    text: str
    """The beginning of its body."""
    error: str | None
    """Why it counts as a failure; None for a success."""
    milliseconds: int


class DeliveryEntry(Answer, frozen=True, kw_only=True):
    """An attempt to deliver an event."""

    event: str
    type: str
    index: str
    project: str
    version: str | None
    revision: int
    at: str
    """When the attempt was."""
    attempt: int
    result: Literal["delivered", "failed", "given-up"]
    status: int | None
    error: str | None
    milliseconds: int
    next: str | None
    """When the event is tried again."""


class WebhookDeliveries(Answer, frozen=True, kw_only=True):
    """The latest deliveries to a webhook; workers write them some seconds later."""

    webhook: WebhookEntry
    recent: list[DeliveryEntry]
    """The oldest first."""
    waiting: list[DeliveryEntry]
    """The last attempts at the events that are tried again, one per project."""
    given_up: list[DeliveryEntry]


class RedeliverBody(Body, frozen=True, kw_only=True):
    """The events to send once more, by their ids."""

    events: Annotated[list[Short], msgspec.Meta(min_length=1, max_length=20)]


class Redelivered(Answer, frozen=True, kw_only=True):
    """The results of further attempts."""

    deliveries: list[DeliveryEntry]


SCHEMAS: Final[tuple[type[msgspec.Struct], ...]] = (
    *(WebhookEntry, WebhookList, WebhookBody, WebhookSecretBody, NewWebhook, NoFields, WebhookAnswer),
    *(WebhookDeliveries, RedeliverBody, Redelivered),
)
"""Those that the OpenAPI document names."""
