"""Webhooks of servers whose workers are killed: every acknowledged change is reported, in the order of its project."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quire.access.records import AccessRecords
from quire.access.webhook_changes import make_webhook, with_webhook
from quire.domain.webhooks import new_secret
from quire.index.audit.entries import Origin
from quire.index.audit.reading import LogReader
from quire.index.index import Index
from quire.store.posix.store import PosixStore
from quire.webhooks.delivery import LEASE
from tests.faults.farm import Farm, farm
from tests.memory import family
from tests.receivers import Answer, Received, receiving
from tests.serving import until

Note = Callable[[str, object], None]
KILLS = 24
PROJECTS = 8
"""Of each client, beside the one that all share."""
CLIENTS = 3
ENVIRON = {"QUIRE_WEBHOOK_NETWORKS": "127.0.0.0/8", "QUIRE_WEBHOOK_SEARCH_SECONDS": "1"}


class Trouble:
    """Fails some first attempts, delays some answers, and kills a worker in the middle of some deliveries."""

    def __init__(self, made: Farm) -> None:
        self._made = made
        self._random = random.Random(7)
        self._lock = threading.Lock()
        self._met: set[str] = set()
        self.kills = 0
        self.failures = 0

    def answer(self, received: Received) -> Answer:
        """The answer to a request."""
        with self._lock:
            number = self._random.random()
            is_first = received.event["id"] not in self._met
            self._met.add(received.event["id"])
            if self.kills < KILLS and number < 0.4:
                return Answer(before=self._kill)
            if is_first and number > 0.98:
                self.failures += 1
                return Answer(500 if number > 0.99 else 429, {"Retry-After": "1"} if number <= 0.99 else {})
        return Answer()

    def _kill(self) -> None:
        with self._lock:
            served = self._random.choice(self._made.servers)
            workers = family(served.process.pid)[1:]
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._random.choice(workers), signal.SIGKILL)
                    self.kills += 1


@pytest.mark.faults
def test_webhooks_of_killed_workers(tmp_path: Path, record_property: Note) -> None:
    """Two servers of two workers each, killed during deliveries while clients publish through both."""
    root = tmp_path / "packages"
    root.mkdir()
    store = PosixStore.open(root)
    secret, origin = new_secret(), Origin(user="test")
    with receiving() as receiver, farm(tmp_path, [ENVIRON, ENVIRON], workers=2, root=root) as made:
        webhook = make_webhook(receiver.url, secret, (), "*", (), now=datetime.now(UTC), by=None)
        AccessRecords(store).change(
            lambda document: with_webhook(document, "aaaaaaaaaa", webhook), "webhook-add", {}, origin
        )
        trouble = Trouble(made)
        receiver.answer = trouble.answer
        stop = threading.Event()

        def publish(client: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                project = f"own-{client}-{number % PROJECTS}" if number % 5 else "shared"
                made.upload(project, f"{client}.{number}", server=number // 2)

        clients = [threading.Thread(target=publish, args=(client,)) for client in range(CLIENTS)]
        for client in clients:
            client.start()
        until(lambda: trouble.kills >= KILLS, 300)
        stop.set()
        for client in clients:
            client.join()

        index = Index(store)
        reader = LogReader(store.records, index.name, index.prefix)
        logged = {name: reader.project(name) for name in index.names()}
        events = {f"evt_{each.entry['id']}" for entries in logged.values() for each in entries}

        def arrived() -> list[str]:
            return [each.event["id"] for each in receiver.received if each.status == 204]

        until(lambda: events <= set(arrived()), 8 * LEASE)
    acknowledged = {each.filename for each in made.sent if each.status == 200}
    reported = {file["filename"] for event in receiver.delivered() for file in event["files"]}
    assert acknowledged <= reported
    assert set(arrived()) == events
    assert all(each.is_signed_by(secret) for each in receiver.received)
    for name, entries in logged.items():
        assert receiver.revisions(name) == [each.revision for each in entries]
    again = sum(Counter(arrived()).values()) - len(events)
    record_property(
        "faults",
        f"{trouble.kills} workers killed during deliveries of webhooks: {len(events)} events, all delivered in order, "
        f"{again} once more, {trouble.failures} first refused",
    )
