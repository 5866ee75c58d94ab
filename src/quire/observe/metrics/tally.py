"""The counts of one worker: plain numbers, made for being added to."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable

from quire.observe.metrics.catalog import (
    BUCKET_BOUNDS,
    CACHES,
    LOGIN_RESULTS,
    MAX_UPSTREAMS,
    MIRROR_FILES,
    MIRROR_KINDS,
    MIRROR_PAGES,
    OTHER_UPSTREAMS,
    REFUSAL_REASONS,
    SECONDS,
    STORE_ERRORS,
    UPLOAD_RESULTS,
    UPSTREAM_OUTCOMES,
    WEBHOOK_RESULTS,
)

_STATUSES = 600
_STALE_SECONDS = 300.0
"""After which the oldest page that was served as stale begins to be forgotten."""


class RouteTally:
    """The requests of one route."""

    __slots__ = ("bins", "count", "seconds", "sent", "statuses")

    def __init__(self) -> None:
        self.statuses = [0] * _STATUSES
        """By status code; a number that is no status code counts as 0."""
        self.bins = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0
        self.sent = 0
        self.count = 0


class BarrierTally:
    """The counts of a read barrier: add 1 to `asked` for each question, to `validated` for each time that the source
    was asked, quickly or not, and to `loaded` when that was in a thread."""

    __slots__ = ("asked", "loaded", "validated")

    def __init__(self) -> None:
        self.asked = 0
        self.validated = 0
        self.loaded = 0


class OldestStale:
    """The oldest page that was served as stale, of those in the last five to ten minutes: two spans, of which the
    earlier one is dropped when the later one is over. Read by a thread."""

    __slots__ = ("_before", "_begun", "_clock", "_now")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._begun = 0.0
        self._now = self._before = 0.0
        """The time of the oldest one of the span that began then, and of the span before it; 0 for none."""

    def add(self, confirmed: float) -> None:
        """A page was served. `confirmed`: when the upstream last said that it is true, in seconds since the epoch."""
        now = self._clock()
        if now - self._begun >= _STALE_SECONDS:
            self._before = self._now if now - self._begun < 2 * _STALE_SECONDS else 0.0
            self._begun, self._now = now, 0.0
        self._now = min(self._now or confirmed, confirmed)

    @property
    def confirmed(self) -> float:
        """When it was confirmed; 0 for none."""
        age = self._clock() - self._begun
        spans = (self._now, self._before) if age < _STALE_SECONDS else (self._now,)
        return min((each for each in spans if each), default=0.0) if age < 2 * _STALE_SECONDS else 0.0


class UpstreamTally:
    """The counts of one upstream in one worker, and what is known of its health."""

    __slots__ = (
        *("answered_at", "failed_at", "failing_since", "files", "pages", "pauses"),
        *("paused_until", "received", "refused", "requests", "sent", "stale"),
    )

    def __init__(self) -> None:
        self.requests = dict.fromkeys(UPSTREAM_OUTCOMES, 0)
        self.received = 0
        """Bytes from the upstream."""
        self.pauses = 0
        self.pages = dict.fromkeys(MIRROR_PAGES, 0)
        self.files = {(kind, result): 0 for kind in MIRROR_KINDS for result in MIRROR_FILES}
        self.stale = OldestStale()
        """The pages that were served since the upstream fails."""
        self.refused = dict.fromkeys(MIRROR_KINDS, 0)
        """Files whose bytes are not those that the page announces, and documents beside them."""
        self.sent = 0
        """Bytes of files to clients."""
        self.answered_at = 0.0
        """Seconds since the epoch, as those below: the last answer that was none of an overloaded server; 0 for none
        yet."""
        self.failed_at = 0.0
        self.failing_since = 0.0
        """The first failure after the last answer; 0 while it answers."""
        self.paused_until = 0.0

    def answered(self, status: int) -> None:
        """Count a request by the status of its answer."""
        outcome = _outcome(status)
        self.requests[outcome] += 1
        if outcome in {"busy", "refused"}:
            self._fail()
        else:
            self.answered_at, self.failing_since = time.time(), 0.0

    def failed(self) -> None:
        """Count a request without a whole answer."""
        self.requests["failed"] += 1
        self._fail()

    def _fail(self) -> None:
        self.failed_at = time.time()
        self.failing_since = self.failing_since or self.failed_at


class MirrorTally:
    """The counts of the mirrors of one worker."""

    __slots__ = ("bound", "kept", "removed", "removed_bytes", "upstreams")

    def __init__(self) -> None:
        self.upstreams: dict[str, UpstreamTally] = {}
        """By the names of their mirrors."""
        self.removed = self.removed_bytes = 0
        self.kept: int | None = None
        """Bytes of files; None before the first count."""
        self.bound: int | None = None

    def of(self, name: str) -> UpstreamTally:
        """The counts of an upstream; of one above the bound they are of all those together."""
        if name not in self.upstreams and len(self.upstreams) >= MAX_UPSTREAMS:
            name = OTHER_UPSTREAMS
        return self.upstreams.setdefault(name, UpstreamTally())


def _outcome(status: int) -> str:
    if status == 304:
        return "unchanged"
    if status in {404, 410}:
        return "missing"
    if status == 429 or status >= 500:
        return "busy"
    return {2: "answered", 3: "redirected"}.get(status // 100, "refused")


class Tally:
    """Everything that one worker counts. Belongs to its event loop."""

    __slots__ = (
        "barriers",
        "in_flight",
        "logins",
        "mirror",
        "received",
        "refused",
        "routes",
        "store_errors",
        "uploaded",
        "uploads",
        "webhooks",
    )

    def __init__(self) -> None:
        self.routes: defaultdict[str, RouteTally] = defaultdict(RouteTally)
        """By label; of labels that the route table has, so there are few."""
        self.received = 0
        self.in_flight = 0
        """Requests that the application answers at this moment."""
        self.barriers = {name: BarrierTally() for name in CACHES}
        self.uploads = dict.fromkeys(UPLOAD_RESULTS, 0)
        self.uploaded = 0
        self.logins = dict.fromkeys(LOGIN_RESULTS, 0)
        self.refused = dict.fromkeys(REFUSAL_REASONS, 0)
        self.webhooks = dict.fromkeys(WEBHOOK_RESULTS, 0)
        """Belongs to the threads that deliver."""
        self.mirror = MirrorTally()
        self.store_errors = dict.fromkeys(STORE_ERRORS, 0)

    def request(self, route: str, status: int, seconds: float, sent: int) -> None:
        """Count an answered request. `route`: its label; `sent`: bytes of the body."""
        tally = self.routes[route]
        tally.count += 1
        tally.statuses[status if 0 <= status < _STATUSES else 0] += 1
        tally.bins[bisect_left(SECONDS, seconds)] += 1
        tally.seconds += seconds
        tally.sent += sent

    def store_error(self, error: BaseException) -> None:
        """Count a request that the store failed."""
        name = type(error).__name__
        self.store_errors[name if name in self.store_errors else "other"] += 1


class Counts:
    """Requests to a bucket since the process began, and bytes. Sums may lose a few to races of threads."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], int] = {}
        """Requests by kind (get, head, put, delete, list) and outcome; see `BUCKET_OUTCOMES` of the metrics."""
        self.seconds: dict[str, float] = {}
        """Until their answers, by kind; of parts and listings it is not known."""
        self.bins: dict[str, list[int]] = {}
        """The requests whose seconds are known, by kind, in the bins of `BUCKET_BOUNDS`."""
        self.retries = 0
        self.received = 0
        self.sent = 0

    @property
    def requests(self) -> dict[str, int]:
        """By kind."""
        found: dict[str, int] = {}
        for (kind, _), number in self.outcomes.copy().items():  # a copy: threads add to it
            found[kind] = found.get(kind, 0) + number
        return found

    def add(self, kind: str, outcome: str = "answered") -> None:
        """A request whose seconds are not known."""
        self.outcomes[kind, outcome] = self.outcomes.get((kind, outcome), 0) + 1
        self.seconds.setdefault(kind, 0.0)

    def add_timed(self, kind: str, outcome: str, seconds: float) -> None:
        """A request, and the seconds until its answer."""
        self.add(kind, outcome)
        self.seconds[kind] += seconds
        bins = self.bins.get(kind)
        if bins is None:
            bins = self.bins.setdefault(kind, [0] * (len(BUCKET_BOUNDS) + 1))
        bins[bisect_left(BUCKET_BOUNDS, seconds)] += 1

    def fail(self, kind: str, *, is_forbidden: bool) -> None:
        """A request that was added before it began has failed."""
        self.outcomes[kind, "answered"] -= 1
        self.add(kind, "forbidden" if is_forbidden else "failed")
