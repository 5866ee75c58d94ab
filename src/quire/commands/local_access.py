"""Grants, groups, tokens, publishers, sessions and webhooks of a store, for commands: see `quire.commands.local`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from quire.access.passwords import parse_users, read_password_file
from quire.access.records import AccessRecords
from quire.access.unmatched import missing_owners, unmatched_grants
from quire.access.uses import read_uses
from quire.access.webhook_changes import find_webhook
from quire.administration.access_documents import (
    Ended,
    Explanation,
    GrantBody,
    Granted,
    GrantList,
    Group,
    NewToken,
    RotateBody,
    TokenBody,
    TokenEntry,
)
from quire.administration.describing_access import explanation, grant_entry, grant_list, token_entry
from quire.administration.describing_publishers import grants_checked, projects_of, publisher_entry
from quire.administration.describing_webhooks import (
    delivery_entries,
    webhook_answer,
    webhook_deliveries,
    webhook_entry,
)
from quire.administration.publisher_documents import (
    Audience,
    GrantsChecked,
    NewPublisher,
    PublisherBody,
    PublisherPage,
    SessionsEnded,
    UnmatchedGrant,
)
from quire.administration.webhook_documents import (
    NewWebhook,
    Redelivered,
    WebhookAnswer,
    WebhookBody,
    WebhookDeliveries,
    WebhookEntry,
    WebhookSecretBody,
)
from quire.commands.common import Opened
from quire.domain.errors import DamagedRecord
from quire.index.index import Index
from quire.operations import (
    granting,
    sessions,
    trusted_publishing,
)
from quire.operations import webhooks as webhook_operations
from quire.webhooks.sending import Sender

READERS = 16
"""Threads: over a network each record is some round trips."""


class LocalAccess:
    """The part of `quire.administration.contract.Administration` that is about access and webhooks."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._index = opened.index
        self._origin = opened.index.origin
        self._access = AccessRecords(opened.store)

    def grants(self) -> GrantList:
        return grant_list(self._access.read().state)

    def explain(self, subject: str, index: str | None, project: str | None) -> Explanation:
        of = index or self._index.name
        owned = self._index.stored(project) if project is not None and of == self._index.name else None
        return explanation(self._access.read().state, subject, of, project, owned.owners if owned is not None else ())

    def grant(self, body: GrantBody) -> Granted:
        identity, grant, is_new = granting.give(
            self._access, body.subject, body.rights, body.index, body.projects, origin=self._origin
        )
        return Granted(grant=grant_entry(identity, grant), changed=is_new)

    def revoke_grants(self, ids: Sequence[str]) -> Ended:
        taken = granting.take_back(self._access, ids, self._origin)
        entries = [grant_entry(identity, each) for identity, each in zip(ids, taken, strict=True)]
        return Ended(ids=list(ids), changed=bool(taken), grants=entries)

    def check_grants(self, password_file: str | None) -> GrantsChecked:
        document = self._access.read().state.document
        file = password_file or self._opened.settings.passwords
        users = None if file is None else parse_users(read_password_file(file), file).hashes
        indexes = {self._index.name, *(index.name for index in self._opened.indexes())}
        found = unmatched_grants(document, users, indexes, datetime.now(UTC))
        owners = [
            UnmatchedGrant(id=place, subject=owner, problem=problem)
            for place, of in self._all_owners()
            for owner, problem in missing_owners(document, of, users)
        ]
        return grants_checked(document, found, users_known=users is not None, owners=owners)

    def _all_owners(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The projects that have owners, as INDEX/PROJECT. One whose record is damaged is left to `quire check`."""

        def owners(place: tuple[Index, str]) -> tuple[str, ...]:
            with contextlib.suppress(DamagedRecord):
                project = place[0].project(place[1])
                return project.owners if project is not None else ()
            return ()

        places = [(index, name) for index in self._opened.indexes() for name in index.names()]
        with ThreadPoolExecutor(READERS) as pool:
            for (index, name), found in zip(places, pool.map(owners, places), strict=True):
                if found:
                    yield f"{index.name}/{name}", found

    def set_group(self, group: str, users: Sequence[str]) -> Group:
        changed = granting.set_group(self._access, group, users, self._origin)
        return Group(group=group, users=list(users), changed=changed)

    def tokens(self) -> list[TokenEntry]:
        now = datetime.now(UTC)
        tokens, uses = self._access.read().state.document.tokens, read_uses(self._opened.store.records)
        return [token_entry(identity, token, now, uses.get(identity)) for identity, token in tokens.items()]

    def create_token(self, body: TokenBody) -> NewToken:
        token, is_new = granting.create_token(
            self._access,
            body.rights,
            body.index,
            body.projects,
            identity=str(body.id),
            digest=str(body.digest),
            user=body.user,
            note=body.note,
            lifetime=None if body.expires_in is None else timedelta(seconds=body.expires_in),
            origin=self._origin,
            rate=body.rate,
        )
        return NewToken(token=token_entry(str(body.id), token, datetime.now(UTC)), changed=is_new, text=None)

    def revoke_tokens(self, ids: Sequence[str]) -> Ended:
        return Ended(ids=list(ids), changed=granting.revoke_tokens(self._access, ids, self._origin))

    def rotate_token(self, identity: str, body: RotateBody) -> NewToken:
        grace = timedelta(seconds=body.grace)
        token, changed = granting.rotate_token(self._access, identity, str(body.digest), grace, self._origin)
        return NewToken(token=token_entry(identity, token, datetime.now(UTC)), changed=changed, text=None)

    def publishers(self) -> PublisherPage:
        document, projects = self._access.read().state.document, projects_of(self._opened.indexes())
        found = [publisher_entry(identity, each, projects) for identity, each in document.publishers.items()]
        return PublisherPage(audience=document.audience, publishers=found)

    def add_publisher(self, body: PublisherBody) -> NewPublisher:
        identity, document, changed = trusted_publishing.add_publisher(
            self._access,
            body.platform,
            body.settings,
            body.claims,
            issuer=body.issuer,
            index=body.index or self._index.name,
            projects=body.projects,
            origin=self._origin,
        )
        entry = publisher_entry(identity, document.publishers[identity], projects_of(self._opened.indexes()))
        return NewPublisher(publisher=entry, audience=document.audience, changed=changed)

    def remove_publishers(self, ids: Sequence[str]) -> Ended:
        trusted_publishing.remove_publishers(self._access, ids, self._origin)
        return Ended(ids=list(ids), changed=bool(ids))

    def set_audience(self, audience: str) -> Audience:
        changed = trusted_publishing.set_audience(self._access, audience, self._origin)
        return Audience(audience=audience, changed=changed)

    def end_sessions(self, users: Sequence[str]) -> SessionsEnded:
        if users:
            sessions.end_sessions(self._access, users, self._origin)
        else:
            sessions.end_all_sessions(self._access, self._origin)
        return SessionsEnded(users=list(users), all=not users)

    # -- webhooks -----------------------------------------------------------------------------------------------------

    def webhooks(self) -> list[WebhookEntry]:
        found = self._access.read().state.document.webhooks
        return [webhook_entry(identity, each) for identity, each in found.items()]

    def webhook(self, identity: str) -> WebhookEntry:
        return webhook_entry(identity, find_webhook(self._access.read().state.document, identity))

    def add_webhook(self, body: WebhookBody) -> NewWebhook:
        webhook, is_new = webhook_operations.add_webhook(
            self._access,
            str(body.id),
            body.url,
            str(body.secret),
            events=body.events,
            index=body.index,
            projects=body.projects,
            origin=self._origin,
        )
        return NewWebhook(webhook=webhook_entry(str(body.id), webhook), changed=is_new)

    def remove_webhooks(self, ids: Sequence[str]) -> Ended:
        webhook_operations.remove_webhooks(self._access, ids, self._origin)
        return Ended(ids=list(ids), changed=True)

    def rotate_webhook(self, identity: str, body: WebhookSecretBody) -> NewWebhook:
        webhook, changed = webhook_operations.rotate_webhook(
            self._access, identity, str(body.secret), timedelta(seconds=body.grace), self._origin
        )
        return NewWebhook(webhook=webhook_entry(identity, webhook), changed=changed)

    def resume_webhook(self, identity: str) -> NewWebhook:
        webhook = webhook_operations.resume_webhook(self._access, identity, self._origin)
        return NewWebhook(webhook=webhook_entry(identity, webhook), changed=True)

    def test_webhook(self, identity: str) -> WebhookAnswer:
        event, answer = webhook_operations.send_ping(self._opened.store, self._sender(), identity)
        return webhook_answer(event.id, answer)

    def webhook_deliveries(self, identity: str) -> WebhookDeliveries:
        return webhook_deliveries(identity, *webhook_operations.deliveries(self._opened.store, identity))

    def redeliver(self, identity: str, events: Sequence[str]) -> Redelivered:
        attempts = webhook_operations.redeliver(self._opened.store, self._sender(), identity, events)
        return Redelivered(deliveries=delivery_entries(attempts))

    def _sender(self) -> Sender:
        return Sender(self._opened.settings.webhook_networks)
