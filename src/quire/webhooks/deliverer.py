"""The deliverer of one worker: it is told of the worker's own changes, and searches for those of others."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from quire.access.document import AccessDocument
from quire.domain.errors import Conflict, DamagedRecord
from quire.domain.promotions import JOURNAL
from quire.domain.publishing_sessions import is_token
from quire.domain.trash import is_trash
from quire.domain.webhooks import Webhook
from quire.index.index import Index, all_indexes
from quire.store.contracts import Record, Store
from quire.webhooks.attempts import AttemptRecords
from quire.webhooks.channels import Channel, stop_all
from quire.webhooks.delivery import DELAYS, LEASE, Delivery, seconds_of
from quire.webhooks.pending import pending_events
from quire.webhooks.positions import Positions
from quire.webhooks.sending import Sender

SEARCH_KEY: Final = "access/searches/webhooks"
"""The record by which workers take turns: only its tag matters."""
STOP_SECONDS: Final = 5.0

log = structlog.stdlib.get_logger(__name__)


class Deliverer:
    """Delivers the events of one store's projects to its webhooks. May be used from any thread."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        tally: dict[str, int],
        *,
        delays: Sequence[float] = DELAYS,
        lease: float = LEASE,
    ) -> None:
        """`delays`, `lease`: see `Delivery`."""
        self._store = store
        self._delivery = Delivery(store, sender, tally, delays=delays, lease=lease)
        self._attempts = AttemptRecords(store.records)
        self._positions = Positions(store.records)
        self._channels: dict[str, Channel] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._last_search: Record | None = None
        self._settled: dict[str, Record] = {}
        """The records (without their documents) of projects for which nothing was pending."""
        self._settled_for: Mapping[str, Webhook] = {}

    def changed(self, document: AccessDocument, index: str, project: str, action: str) -> None:
        """A change was made. `document`: with the webhooks as they were a moment ago. Never waits, never reads."""
        for identity, webhook in document.webhooks.items():
            if webhook.disabled is None and webhook.wants(action) and webhook.covers(index, project):
                self._add(identity, index, project)

    def search(self) -> bool:
        """Find events that no deliverer was told of, and deliver them, if it is this worker's turn; whether it was.

        Blocks; deliveries go on in their own threads. Raises StoreError.
        """
        webhooks = self._delivery.definitions().webhooks
        active = {identity: each for identity, each in webhooks.items() if each.disabled is None}
        if not active or not self._is_next_to_search():
            self._settled.clear()
            return False
        if active != self._settled_for:
            self._settled.clear()
            self._settled_for = active
        for identity, each in active.items():
            self._resume_channel(identity, each)  # a command on the store may have done it
        for index in all_indexes(self._store):
            if not is_trash(index.name) and not is_token(index.name):
                self._search_index(index, active)
        return True

    def resume(self, identity: str) -> None:
        """A webhook was resumed: try its projects that wait, those of other workers as far as the record of attempts
        has them. Raises StoreError."""
        webhook = self._delivery.definitions().webhooks.get(identity)
        if webhook is not None:
            self._resume_channel(identity, webhook)
        for attempt in self._attempts.read(identity).waiting.values():
            self._add(identity, attempt.index, attempt.project)

    def close(self) -> None:
        """Begin nothing more; wait some seconds for deliveries that are under way."""
        with self._lock:
            self._stopping = True
            channels = list(self._channels.values())
        stop_all(channels, STOP_SECONDS)

    def _resume_channel(self, identity: str, webhook: Webhook) -> None:
        with self._lock:
            channel = self._channels.get(identity)
        if channel is not None and webhook.resumed is not None:
            channel.resume(seconds_of(webhook.resumed))

    def _search_index(self, index: Index, active: Mapping[str, Webhook]) -> None:
        records = self._store.records
        for project in records.written(index.prefix):
            if self._stopping:
                return
            if project == JOURNAL:
                continue
            covering = {identity: each for identity, each in active.items() if each.covers(index.name, project)}
            if not covering:
                continue
            try:
                self._search_project(index, project, covering)
            except DamagedRecord as error:
                log.warning("project not searched for events", index=index.name, project=project, error=str(error))

    def _search_project(self, index: Index, project: str, covering: Mapping[str, Webhook]) -> None:
        records, key = self._store.records, index.key(project)
        settled = self._settled.get(key)
        record = records.read(key, settled)
        if record is settled:
            return
        positions = self._positions.read(index.name, project)
        is_settled = True
        for identity, webhook in covering.items():
            if pending_events(records, index.name, record, webhook, positions.of(identity)).events:
                is_settled = False
                self._add(identity, index.name, project)
        if is_settled:
            # without the document: the search remembers every project
            self._settled[key] = Record(key, None, record.tag, record.validation)
        else:
            self._settled.pop(key, None)

    def _is_next_to_search(self) -> bool:
        """Whether no other worker has searched since the last call. Normally one worker goes on searching: it finds
        its own mark, and the others find a new one each time."""
        records = self._store.records
        found = records.read(SEARCH_KEY)
        before, self._last_search = self._last_search, found
        is_turn = not found.was_written or (before is not None and before.tag == found.tag)
        if not is_turn:
            return False
        try:
            self._last_search = records.write(SEARCH_KEY, b'{"by": "%b"}\n' % secrets.token_hex(8).encode(), found)
        except Conflict:
            return False
        return True

    def _add(self, identity: str, index: str, project: str) -> None:
        with self._lock:
            if self._stopping:
                return
            channel = self._channels.get(identity)
            if channel is None:
                channel = self._channels[identity] = Channel(identity, self._delivery, self._attempts)
        channel.add((index, project))
