"""The queue before the threads that check passwords: bounded, and fair between networks.

Theory of operation. Checks of credentials that were right before go first, and have reserved places: an attacker
does not have such credentials, so he cannot flood that part of the queue. All others wait in one lane for each
network, and the lanes are served round robin: a login from a quiet network waits for one check of each busy one, not
for all of theirs. One address, and one network, can only have a share of the places.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from quire.access.login_limits import Limits, Origin
from quire.process.in_thread import in_thread

T = TypeVar("T")


class LoginChecks:
    """Runs checks in a few threads. Used from one event loop at a time; threads start with the first check."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._running = 0
        self._first: deque[asyncio.Future[None]] = deque()
        self._lanes: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._addresses: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self._unproven = 0
        self._proven = 0
        self._pool: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        """How many places are taken."""
        return self._unproven + self._proven

    def enter(self, origin: Origin, *, proven: bool) -> bool:
        """Take a place for a check, to be given back with `leave`; False when there is none.

        `proven`: whether the credentials were right before.
        """
        limits = self._limits
        if proven:
            if self._proven >= limits.reserved_pending:
                return False
            self._proven += 1
            return True
        if (
            self._unproven >= limits.max_pending
            or self._addresses[origin.address] >= limits.address_pending
            or self._networks[origin.network] >= limits.network_pending
        ):
            return False
        self._unproven += 1
        self._addresses[origin.address] += 1
        self._networks[origin.network] += 1
        return True

    def leave(self, origin: Origin, *, proven: bool) -> None:
        if proven:
            self._proven -= 1
            return
        self._unproven -= 1
        for counter, key in ((self._addresses, origin.address), (self._networks, origin.network)):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]

    async def run(self, check: Callable[[], T], origin: Origin, *, proven: bool) -> T:
        """Run a check that has a place, in a thread, when its lane is served."""
        loop = asyncio.get_running_loop()
        start: asyncio.Future[None] = loop.create_future()
        lane = self._first if proven else self._lanes.setdefault(origin.network, deque())
        lane.append(start)
        self._start_waiting()
        try:
            await start
            if self._pool is None:
                # as late as this, because threads do not survive a fork
                self._pool = ThreadPoolExecutor(self._limits.threads, "password-check")
            return await in_thread(self._pool, check)
        finally:
            if not start.cancelled():  # one that was cancelled before it started is skipped
                self._running -= 1
                self._start_waiting()

    def close(self) -> None:
        """Drop the checks that have not begun and let the threads end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _start_waiting(self) -> None:
        while self._running < self._limits.threads:
            if self._first:
                start = self._first.popleft()
            elif self._lanes:
                network, lane = self._lanes.popitem(last=False)
                start = lane.popleft()
                if lane:
                    self._lanes[network] = lane  # as the last one
            else:
                return
            if not start.done():
                self._running += 1
                start.set_result(None)
