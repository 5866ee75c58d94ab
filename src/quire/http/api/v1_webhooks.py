"""Webhooks over the JSON API."""

from __future__ import annotations

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from quire.access.tokens import new_identity
from quire.access.webhook_changes import find_webhook
from quire.administration.access_documents import Ended, IdsBody
from quire.administration.describing_webhooks import (
    delivery_entries,
    webhook_answer,
    webhook_deliveries,
    webhook_entry,
)
from quire.administration.webhook_documents import (
    NewWebhook,
    NoFields,
    RedeliverBody,
    Redelivered,
    WebhookBody,
    WebhookList,
    WebhookSecretBody,
)
from quire.domain.errors import InvalidRequest
from quire.domain.webhooks import new_secret
from quire.http.api.messages import answered, received
from quire.http.api.v1_access import changing_access
from quire.http.app.worker import worker_of
from quire.operations import webhooks as operations


async def webhooks(request: Request) -> Response:
    """GET webhooks."""
    found = (await worker_of(request).access.state()).document.webhooks
    return answered(WebhookList(webhooks=[webhook_entry(identity, each) for identity, each in found.items()]))


async def webhook(request: Request) -> Response:
    """GET a webhook."""
    identity = request.path_params["webhook"]
    document = (await worker_of(request).access.state()).document
    return answered(webhook_entry(identity, find_webhook(document, identity)))


async def add_webhook(request: Request) -> Response:
    """POST webhooks."""
    body = await received(request, WebhookBody)
    if (body.id is None) != (body.secret is None):
        raise InvalidRequest("Send both id and secret of a webhook, so that the request can be repeated, or neither.")
    identity, secret = body.id or new_identity(), body.secret or new_secret()
    worker, access, origin = changing_access(request)
    found, is_new = await worker.in_writer(
        operations.add_webhook,
        access,
        identity,
        body.url,
        secret,
        events=body.events,
        index=body.index,
        projects=body.projects,
        origin=origin,
    )
    shown = secret if body.secret is None else None
    return answered(NewWebhook(webhook=webhook_entry(identity, found), changed=is_new, secret=shown))


async def remove_webhooks(request: Request) -> Response:
    """POST webhooks/remove: all of them or none."""
    body = await received(request, IdsBody)
    worker, access, origin = changing_access(request)
    await worker.in_writer(operations.remove_webhooks, access, body.ids, origin)
    return answered(Ended(ids=body.ids, changed=bool(body.ids)))


async def rotate_webhook(request: Request) -> Response:
    """POST a webhook's rotate."""
    body, identity = await received(request, WebhookSecretBody), request.path_params["webhook"]
    secret = body.secret or new_secret()
    worker, access, origin = changing_access(request)
    found, changed = await worker.in_writer(
        operations.rotate_webhook, access, identity, secret, timedelta(seconds=body.grace), origin
    )
    shown = secret if body.secret is None else None
    return answered(NewWebhook(webhook=webhook_entry(identity, found), changed=changed, secret=shown))


async def resume_webhook(request: Request) -> Response:
    """POST a webhook's resume."""
    await received(request, NoFields)
    identity = request.path_params["webhook"]
    worker, access, origin = changing_access(request)
    found = await worker.in_writer(operations.resume_webhook, access, identity, origin)
    await worker.in_writer(worker.webhooks.deliverer.resume, identity)
    return answered(NewWebhook(webhook=webhook_entry(identity, found), changed=True))


async def test_webhook(request: Request) -> Response:
    """POST a webhook's test."""
    await received(request, NoFields)
    worker, identity = worker_of(request), request.path_params["webhook"]
    event, answer = await worker.to_receiver(
        operations.send_ping, worker.default.store, worker.webhooks.sender, identity
    )
    return answered(webhook_answer(event.id, answer))


async def deliveries(request: Request) -> Response:
    """GET a webhook's deliveries."""
    worker, identity = worker_of(request), request.path_params["webhook"]
    found = await worker.in_reader(operations.deliveries, worker.default.store, identity)
    return answered(webhook_deliveries(identity, *found))


async def redeliver(request: Request) -> Response:
    """POST a webhook's redeliver."""
    body, identity = await received(request, RedeliverBody), request.path_params["webhook"]
    worker, _, _ = changing_access(request)
    attempts = await worker.to_receiver(
        operations.redeliver, worker.default.store, worker.webhooks.sender, identity, body.events
    )
    return answered(Redelivered(deliveries=delivery_entries(attempts)))
