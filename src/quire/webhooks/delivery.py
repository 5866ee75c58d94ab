"""Delivering the pending events of one project to one webhook: see `quire.webhooks` for how workers share this."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from quire.access.document import AccessDocument
from quire.access.records import AccessRecords, StoredAccess
from quire.access.webhook_changes import with_disabled
from quire.domain.errors import NotFound
from quire.domain.webhooks import Webhook
from quire.index.audit.entries import Origin, as_logged
from quire.index.audit.reading import Logged
from quire.store.contracts import Store
from quire.webhooks.attempts import Attempt, AttemptRecords, Result
from quire.webhooks.events import Event, event_of
from quire.webhooks.pending import pending_events
from quire.webhooks.positions import Position, Positions, ProjectPositions
from quire.webhooks.sending import Answer, Sender
from quire.webhooks.signing import signed_headers

DELAYS: Final = tuple(10.0 * 3**number for number in range(9))
"""Seconds before the second and each further attempt at an event, about: together 27 hours. Then it is given up."""
LEASE: Final = 30.0
"""Seconds for which a position that does not change is left to the worker that holds it: three times as long as one
attempt takes."""
_POLL: Final = 0.2
_LONGEST_POLL: Final = 5.0

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Later:
    """A project has to be tried again after so many seconds; `whole`: and until then no other of this webhook."""

    seconds: float
    whole: bool = False


class Delivery:
    """Delivers, from any thread; for one webhook one call at a time."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        tally: dict[str, int],
        *,
        delays: Sequence[float] = DELAYS,
        lease: float = LEASE,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`tally`: the attempts of this worker by result; it may lose a few to races of threads. `delays`, `lease`: see
        DELAYS and LEASE."""
        self._records = store.records
        self._access = AccessRecords(store)
        self._positions = Positions(store.records)
        self._attempts = AttemptRecords(store.records)
        self._sender = sender
        self._tally = tally
        self._delays = delays
        self._lease = lease
        self._now = now
        self._known: StoredAccess | None = None
        self._held: dict[tuple[str, str, str], tuple[Position, float]] = {}
        """Positions that other workers hold, and since when (monotonic) they were seen unchanged."""

    def definitions(self) -> AccessDocument:
        """The document with the webhooks as it is now. Raises StoreError."""
        self._known = known = self._access.read(self._known)
        return known.state.document

    def deliver(
        self,
        identity: str,
        index: str,
        project: str,
        report: Callable[[Attempt], None],
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> Later | None:
        """Deliver what is pending. None when nothing is left, or the webhook is gone. `report`: is given each attempt.

        Raises StoreError.
        """
        while True:
            document = self.definitions()
            webhook = document.webhooks.get(identity)
            if webhook is None or webhook.disabled is not None or not webhook.covers(index, project):
                return None
            record = self._records.read(f"{index}/projects/{project}")
            seen = self._positions.read(index, project)
            pending = pending_events(self._records, index, record, webhook, seen.of(identity))
            position = seen.of(identity)
            waits = self._waits(identity, webhook, index, project, position)
            if not pending.events:
                if pending.passed is not None and waits is None:
                    self._positions.swap(seen, identity, pending.passed, document.webhooks)
                return None
            if waits is not None:
                return waits
            base = msgspec.structs.replace(pending.position, lease=secrets.token_hex(8))
            taken = self._positions.swap(seen, identity, base, document.webhooks)
            if taken is not None:
                break
        return self._deliver_all(
            identity, index, pending.events, taken, document=document, report=report, is_stopping=is_stopping
        )

    def _waits(self, identity: str, webhook: Webhook, index: str, project: str, position: Position) -> Later | None:
        """How long to leave a position alone: until its next attempt, or while another worker holds it."""
        key = (identity, index, project)
        if position.lease is None:
            self._held.pop(key, None)
            wait = (position.next or 0.0) - self._now()
            is_resumed = webhook.resumed is not None and (position.tried or 0.0) < seconds_of(webhook.resumed)
            return Later(wait) if wait > 0 and not is_resumed else None
        found, since = self._held.get(key, (None, 0.0))
        if found != position:
            since = time.monotonic()
            self._held[key] = position, since
        held = time.monotonic() - since
        if held >= self._lease:
            del self._held[key]
            return None
        return Later(min(max(held / 2, _POLL), _LONGEST_POLL, self._lease - held))

    def _deliver_all(
        self,
        identity: str,
        index: str,
        events: Sequence[Logged],
        seen: ProjectPositions,
        *,
        document: AccessDocument,
        report: Callable[[Attempt], None],
        is_stopping: Callable[[], bool],
    ) -> Later | None:
        """Deliver events of a project whose position is held by this call. `document`: with the webhooks, just read."""
        for number, logged in enumerate(events):
            if number:
                document = self.definitions()
            webhook = document.webhooks.get(identity)
            position = seen.of(identity)
            if webhook is None or webhook.disabled is not None or is_stopping():
                released = msgspec.structs.replace(position, lease=None)
                self._positions.swap(seen, identity, released, document.webhooks)
                return None
            event = event_of(index, logged)
            answer = send_event(self._sender, webhook, event)
            after, later, result = self._judged(logged, position, answer, is_last=number == len(events) - 1)
            attempt = attempt_of(event, answer, position.attempts + 1, result, after.next)
            self._tally[result] += 1
            self._log(identity, webhook, attempt)
            if result == "given-up":
                self._attempts.add(identity, [attempt])
            else:
                report(attempt)
            if answer.is_gone:
                self._disable(identity)
            moved = self._positions.swap(seen, identity, after, document.webhooks)
            if moved is None:
                return Later(_POLL)  # another worker took it over, as this one took too long
            if after.lease is None:
                return later
            seen = moved
        return None

    def _judged(
        self, logged: Logged, position: Position, answer: Answer, *, is_last: bool
    ) -> tuple[Position, Later | None, Result]:
        """The position after an attempt, when to go on, and the result."""
        number = position.attempts
        lease = None if is_last else position.lease
        behind = Position(done=logged.revision, at=logged.at, lease=lease)
        if answer.is_success:
            return behind, None, "delivered"
        if number >= len(self._delays):
            return behind, None, "given-up"
        delay = max(self._delays[number] * random.uniform(0.8, 1.2), answer.retry_after or 0.0)  # noqa: S311 - spreads
        now = self._now()
        after = msgspec.structs.replace(position, attempts=number + 1, tried=now, next=now + delay, lease=None)
        return after, Later(delay, whole=answer.retry_after is not None), "failed"

    def _disable(self, identity: str) -> None:
        """The receiver answered 410: it wants no deliveries any more."""
        reason = f"The receiver answered 410 at {as_logged(datetime.now(UTC))}."
        try:
            self._access.change(
                lambda document: with_disabled(document, identity, reason),
                "webhook-disable",
                {"webhook": identity, "reason": reason},
                Origin(),
            )
        except NotFound:
            return
        log.error("webhook disabled", webhook=identity, reason=reason)

    def _log(self, identity: str, webhook: Webhook, attempt: Attempt) -> None:
        fields = {
            "webhook": identity,
            "receiver": webhook.receiver,
            "event_id": attempt.event,
            "project": attempt.project,
            "attempt": attempt.attempt,
        }
        if attempt.result == "delivered":
            log.info("webhook delivered", **fields)
        elif attempt.result == "failed":
            log.warning("webhook not delivered", **fields, error=attempt.error, next=attempt.next)
        else:
            log.error("webhook given up", **fields, error=attempt.error)


def seconds_of(text: str) -> float:
    """A time of the log as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def send_event(sender: Sender, webhook: Webhook, event: Event) -> Answer:
    """Send one event, signed. Blocks."""
    body, now = event.encode(), datetime.now(UTC)
    headers = signed_headers(event.id, int(now.timestamp()), body, webhook.secrets_at(now))
    return sender.send(webhook.url, headers, body)


def attempt_of(event: Event, answer: Answer, number: int, result: Result, due: float | None = None) -> Attempt:
    """An attempt, for people. `due`: when the next one is, in seconds since 1970."""
    return Attempt(
        event=event.id,
        type=event.type,
        index=event.index or "",
        project=event.project or "",
        version=event.version,
        revision=event.revision or 0,
        at=as_logged(datetime.now(UTC)),
        attempt=number,
        result=result,
        status=answer.status,
        error=answer.error,
        milliseconds=answer.milliseconds,
        next=None if due is None else as_logged(datetime.fromtimestamp(due, UTC)),
    )
