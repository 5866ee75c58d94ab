"""The thread of one webhook in one worker: the projects that have something for it, by when they are due."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from typing import Final

import structlog

from quire.domain.errors import QuireError
from quire.webhooks.attempts import Attempt, AttemptRecords
from quire.webhooks.delivery import Delivery, Later

FLUSHED_AFTER: Final = 2.0
"""Seconds after which attempts are written for people to see."""
_FAILED_DELAY: Final = 30.0
"""Seconds until a project is tried again when the store failed."""
_IDLE: Final = 30.0

Target = tuple[str, str]
"""An index and a project (normalized name)."""

log = structlog.stdlib.get_logger(__name__)


class Channel:
    """Delivers to one webhook in a thread of its own, which begins with the first project and ends when idle."""

    def __init__(self, webhook: str, delivery: Delivery, attempts: AttemptRecords) -> None:
        self._webhook = webhook
        self._delivery = delivery
        self._attempts = attempts
        self._condition = threading.Condition()
        self._heap: list[tuple[float, int, Target]] = []
        self._due: dict[Target, float] = {}
        """The time (monotonic) at which each is due; an entry of the heap with another time does not count."""
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._paused_until = 0.0
        self._paused_at = 0.0
        """When the pause was asked for: seconds since 1970, as that of `resume`."""
        self._resumed = 0.0
        self._unwritten: list[Attempt] = []
        self._unwritten_since = 0.0

    def add(self, target: Target, delay: float = 0.0) -> None:
        """A project has something, or will have in so many seconds. Never waits for a delivery."""
        with self._condition:
            self._schedule(target, time.monotonic() + delay)

    def resume(self, moment: float) -> None:
        """The webhook was resumed then (seconds since 1970): end a pause that is older, and try all that waits. Does
        nothing when it was told of that before."""
        with self._condition:
            if moment <= self._resumed:
                return
            self._resumed = moment
            if self._paused_at < moment:
                self._paused_until = 0.0
            now = time.monotonic()
            for target in list(self._due):
                self._schedule(target, now)
            self._condition.notify()

    def stop(self) -> None:
        """Begin nothing more."""
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def join(self, seconds: float) -> None:
        """Wait for the delivery that is under way."""
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, seconds))

    def _schedule(self, target: Target, due: float) -> None:
        if self._stopping or self._due.get(target, due + 1) <= due:
            return
        self._due[target] = due
        heapq.heappush(self._heap, (due, next(self._numbers), target))
        if self._thread is None:
            name = f"webhook-{self._webhook}"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()
        self._condition.notify()

    def _run(self) -> None:
        while True:
            target = self._next()
            if target is not None:
                self._deliver(target)
            if self._unwritten and (target is None or time.monotonic() - self._unwritten_since > FLUSHED_AFTER):
                self._write()
            with self._condition:
                if not self._unwritten and (self._stopping or (target is None and not self._due)):
                    self._thread = None
                    return

    def _next(self) -> Target | None:
        """The next project that is due; None when there is none for a while, or attempts have to be written."""
        ends = time.monotonic() + (FLUSHED_AFTER if self._unwritten else _IDLE)
        with self._condition:
            while not self._stopping:
                while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
                    heapq.heappop(self._heap)
                now = time.monotonic()
                due = max(self._heap[0][0], self._paused_until) if self._heap else ends
                if self._heap and due <= now:
                    target = heapq.heappop(self._heap)[2]
                    del self._due[target]
                    return target
                if now >= ends:
                    return None
                self._condition.wait(min(due, ends) - now)
        return None

    def _deliver(self, target: Target) -> None:
        try:
            later = self._delivery.deliver(self._webhook, *target, self._report, lambda: self._stopping)
        except QuireError as error:
            log.warning("webhook waits for the store", webhook=self._webhook, project=target[1], error=str(error))
            later = Later(_FAILED_DELAY)
        except Exception:
            log.exception("webhook failed", webhook=self._webhook, project=target[1])
            later = Later(_FAILED_DELAY)
        if later is not None:
            if later.whole:
                with self._condition:
                    self._paused_at, self._paused_until = time.time(), time.monotonic() + later.seconds
            self.add(target, later.seconds)

    def _report(self, attempt: Attempt) -> None:
        if not self._unwritten:
            self._unwritten_since = time.monotonic()
        self._unwritten.append(attempt)

    def _write(self) -> None:
        attempts, self._unwritten = self._unwritten, []
        try:
            self._attempts.add(self._webhook, attempts)
        except QuireError as error:
            log.warning("deliveries not recorded", webhook=self._webhook, error=str(error))


def stop_all(channels: list[Channel], seconds: float) -> None:
    """Begin nothing more, and wait so long for deliveries that are under way."""
    ends = time.monotonic() + seconds
    for channel in channels:
        channel.stop()
    for channel in channels:
        channel.join(ends - time.monotonic())
