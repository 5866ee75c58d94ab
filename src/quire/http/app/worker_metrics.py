"""The counts of one worker, written once a second to where every worker can read them, and the page of all.

A disk may not answer for a while, or ever. So the event loop only says when it is time, and a thread writes: one of its
own, as those that read from the store may all be waiting for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog

import quire
from quire.config.settings import Settings
from quire.http.app.problems import HttpError
from quire.http.app.ready import Readiness
from quire.index.commits import Commits
from quire.observe.log_output import lost_lines
from quire.observe.metrics import catalog
from quire.observe.metrics.catalog import Metric
from quire.observe.metrics.files import ProcessCounts, Value, fold, own_file, page, shared, write
from quire.observe.metrics.tally import Counts, MirrorTally, RouteTally, Tally, UpstreamTally
from quire.process.budget import Memory
from quire.process.siblings import folder_of, is_draining, make_folder, remove_folder

EVERY = 1.0
"""Seconds between two writes."""
_LAST_SECONDS = 1.0
"""For the last write."""
_PATIENCE = 5.0
"""Seconds that a page waits for others that are being made, and for a write."""
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")

log = structlog.get_logger(__name__)

T = TypeVar("T")


class QuotaUse(NamedTuple):
    """An index with a quota."""

    name: str
    quota: int
    used: int | None
    """Bytes; None while this worker has not counted them."""


class WorkerMetrics:
    """The counts of this worker, and the page of all workers."""

    def __init__(self, settings: Settings) -> None:
        """Opens and makes nothing: a server may fork after this."""
        self.tally = Tally()
        self._settings = settings
        self._memories: dict[str, Memory[Any]] = {}
        self._commits: Commits | None = None
        self._left_out: Mapping[str, int] | None = None
        self._bucket: Counts | None = None
        self._quotas: Callable[[], Iterable[QuotaUse]] = tuple
        self._declared: Callable[[], int | None] = lambda: None
        self._backup: Callable[[], float | None] = lambda: None
        self._expiring: Callable[[], int | None] = lambda: None
        self._readiness: Readiness | None = None
        self._folder: Path | None = None
        self._own: Path | None = None
        """The folder, where no main process made one."""
        self._file: Path | None = None
        self._owner = 0
        """The process that `_file` is of; this object may be made before a fork."""
        self._started = 0.0
        self._lag = 0.0
        self._lock = threading.Lock()  # a page is made in a thread, which writes first; the one below writes as well
        self._is_failing = False
        self._thread: threading.Thread | None = None
        """Writes; a daemon, as it may wait for a disk when the process ends."""
        self._due = threading.Event()
        self._is_closing = False

    def watch(
        self,
        commits: Commits,
        left_out: Mapping[str, int],
        readiness: Readiness,
        bucket: Counts | None,
        quotas: Callable[[], Iterable[QuotaUse]],
        *,
        declared: Callable[[], int | None],
        backup: Callable[[], float | None],
        expiring: Callable[[], int | None],
        **memories: Memory[Any],
    ) -> None:
        """The objects asked for their numbers at each write: the index, the drop-ins that are left out, by reason, the
        bucket of the store, the indexes with a quota, the differences from what is declared, the time of
        the last backup, the number of tokens that expire soon, and each memory by its name."""
        self._declared, self._backup, self._expiring = declared, backup, expiring
        self._bucket, self._quotas = bucket, quotas
        self._commits, self._left_out, self._readiness, self._memories = commits, left_out, readiness, memories

    def begin(self) -> asyncio.Task[None] | None:
        """Write once a second from now on; the task to cancel at the end. None when there is nowhere to write."""
        if not self._open():
            return None
        self._start_thread()
        return asyncio.create_task(self._go_on())

    def close(self) -> None:
        """Write a last time, unless the disk does not answer."""
        if self._file is None or self._owner != os.getpid():
            return
        self._is_closing = True
        writer = self._thread or self._start_thread()
        self._due.set()
        writer.join(_LAST_SECONDS)
        self._file = self._thread = None

    def _start_thread(self) -> threading.Thread:
        self._thread = threading.Thread(target=self._write_when_due, name="metrics", daemon=True)
        self._thread.start()
        return self._thread

    def _write_when_due(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            is_last = self._is_closing
            with self._lock:
                self._write_file()
            if is_last:
                if self._own is not None:
                    remove_folder(self._own)
                return

    def page(self, accept: str, *, with_names: bool) -> tuple[bytes, str]:
        """The page and its media type. `with_names`: see `quire.observe.metrics.files.page`. Blocks.

        Raises HttpError 503 when there is nowhere to write.
        """
        return self._read(lambda folder: page(folder, accept, with_names=with_names))

    def shared(self) -> tuple[list[Value], list[ProcessCounts]]:
        """The counts of all workers of this server together, and of each one. Blocks. Raises HttpError as `page`."""
        return self._read(shared)

    @property
    def is_draining(self) -> bool:
        """Whether the server is being stopped."""
        return is_draining(self._folder)

    def _read(self, read: Callable[[Path], T]) -> T:
        if not self._lock.acquire(timeout=_PATIENCE):
            raise HttpError(
                503, "The server's temporary folder does not answer; give the server a TMPDIR on a disk that does."
            )
        try:
            if not self._open_files() or self._folder is None:
                raise HttpError(
                    503, "The metrics have nowhere to be written; give the server a TMPDIR that it can write."
                )
            self._write_file()
            return read(self._folder)
        except OSError as error:
            raise HttpError(503, "The metrics cannot be read; the server's temporary folder is damaged.") from error
        finally:
            self._lock.release()

    async def _go_on(self) -> None:
        while True:
            due = time.perf_counter() + EVERY
            await asyncio.sleep(EVERY)
            self._lag = max(0.0, time.perf_counter() - due)
            self._due.set()

    def _open(self) -> bool:
        with self._lock:
            return self._open_files()

    def _open_files(self) -> bool:
        if self._file is not None and self._owner == os.getpid():
            return True
        folder = folder_of(os.environ)
        if folder is None:
            # no main process of ours: this worker counts for itself alone
            folder = self._own = make_folder()
        if folder is None:
            return False
        with contextlib.suppress(OSError):
            fold(folder)  # the successor of an exited worker merges its counters
        self._folder, self._file, self._owner = folder, own_file(folder), os.getpid()
        self._started = time.time()
        return True

    def _write_file(self) -> None:
        if self._file is None:
            return
        try:
            write(self._file, self._values())
        except OSError as error:  # a full disk; a folder that was removed
            if not self._is_failing:  # once, not every second
                log.warning("metrics not written", error=str(error))
            self._is_failing = True
        else:
            self._is_failing = False

    def _values(self) -> Iterator[Value]:
        tally = self.tally
        for label, requests in tally.routes.copy().items():  # a copy: the event loop goes on while a thread reads
            yield from _of_route(label, requests)
        yield catalog.RECEIVED, (), [tally.received]
        for cache, barrier in tally.barriers.items():
            yield catalog.BARRIER_REQUESTS, (cache,), [barrier.asked]
            yield catalog.VALIDATIONS, (cache,), [barrier.validated]
            yield catalog.LOADS, (cache,), [barrier.loaded]
        yield from _each(catalog.UPLOADS, tally.uploads)
        yield catalog.UPLOADED, (), [tally.uploaded]
        yield from _each(catalog.LOGINS, tally.logins)
        yield from _each(catalog.REFUSED, tally.refused)
        yield from _each(catalog.WEBHOOK_DELIVERIES, tally.webhooks)
        yield from _each(catalog.STORE_FAILURES, tally.store_errors)
        yield from _of_mirrors(tally.mirror)
        if self._commits is not None:
            made = dict(self._commits.made)
            yield from _each(catalog.CHANGES, {action: made.get(action, 0) for action in catalog.CHANGE_ACTIONS})
            yield catalog.CONFLICTS, (), [self._commits.conflicts]
            yield catalog.IN_DOUBT, (), [self._commits.in_doubt]
        if self._bucket is not None:
            yield from _of_bucket(self._bucket)
        for each in islice(self._quotas(), catalog.MAX_INDEXES):
            yield catalog.INDEX_QUOTA, (each.name,), [each.quota]
            if each.used is not None:
                yield catalog.INDEX_BYTES, (each.name,), [each.used]
        if (different := self._declared()) is not None:
            yield catalog.DECLARED, (), [different]
        if (backed_up := self._backup()) is not None:
            yield catalog.BACKUP, (), [backed_up]
        if (expiring := self._expiring()) is not None:
            yield catalog.TOKENS_EXPIRING, (), [expiring]
        if self._left_out is not None:
            left_out = {reason: self._left_out[reason] for reason in catalog.LEFT_OUT_REASONS}
            yield from _each(catalog.LEFT_OUT, left_out)
        for cache, memory in self._memories.items():
            yield catalog.CACHE_BYTES, (cache,), [memory.bytes]
            yield catalog.CACHE_ENTRIES, (cache,), [len(memory)]
        yield catalog.LOG_LINES_LOST, (), [lost_lines()]
        yield catalog.WORKERS, (), [1]
        yield catalog.STARTED, (), [self._started]
        yield catalog.IN_FLIGHT, (), [tally.in_flight]
        yield catalog.READY, (), [0 if self._readiness is not None and self._readiness.failed else 1]
        yield catalog.DRAINING, (), [1 if is_draining(self._folder) else 0]
        yield catalog.LOOP_LAG, (), [round(self._lag, 6)]
        yield catalog.MEMORY, (), [_resident()]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield catalog.CPU, (), [usage.ru_utime + usage.ru_stime]
        yield catalog.INFO, (quire.__version__, self._settings.server), [1]


def _of_route(label: str, requests: RouteTally) -> Iterator[Value]:
    yield catalog.DURATION, (label,), [requests.seconds, *requests.bins]
    for status, number in enumerate(requests.statuses):
        if number:
            yield catalog.REQUESTS, (label, str(status)), [number]
    yield catalog.SENT, (label,), [requests.sent]


def _of_bucket(counts: Counts) -> Iterator[Value]:
    for (kind, outcome), number in counts.outcomes.copy().items():
        yield catalog.BUCKET_REQUESTS, (kind, outcome), [number]
    for kind, seconds in counts.seconds.copy().items():
        yield catalog.BUCKET_SECONDS, (kind,), [seconds]
        if (bins := counts.bins.get(kind)) is not None:
            yield catalog.BUCKET_DURATION, (kind,), [seconds, *bins]
    yield catalog.BUCKET_RETRIES, (), [counts.retries]
    yield catalog.BUCKET_RECEIVED, (), [counts.received]
    yield catalog.BUCKET_SENT, (), [counts.sent]


def _of_mirrors(tally: MirrorTally) -> Iterator[Value]:
    for name, upstream in tally.upstreams.copy().items():
        yield from _of_upstream(name, upstream)
    yield catalog.MIRROR_REMOVED, (), [tally.removed]
    yield catalog.MIRROR_REMOVED_BYTES, (), [tally.removed_bytes]
    if tally.kept is not None:
        yield catalog.MIRROR_BYTES, (), [tally.kept]
    if tally.bound is not None:
        yield catalog.MIRROR_BOUND, (), [tally.bound]


def _of_upstream(name: str, tally: UpstreamTally) -> Iterator[Value]:
    for outcome, number in tally.requests.items():
        yield catalog.UPSTREAM_REQUESTS, (name, outcome), [number]
    yield catalog.UPSTREAM_RECEIVED, (name,), [tally.received]
    yield catalog.UPSTREAM_PAUSES, (name,), [tally.pauses]
    yield catalog.UPSTREAM_ANSWERED, (name,), [tally.answered_at]
    yield catalog.UPSTREAM_FAILED, (name,), [tally.failed_at]
    yield catalog.UPSTREAM_FAILING, (name,), [tally.failing_since]
    yield catalog.UPSTREAM_PAUSED, (name,), [tally.paused_until]
    for result, number in tally.pages.items():
        yield catalog.MIRROR_PAGE_LOOKS, (name, result), [number]
    yield catalog.MIRROR_STALE, (name,), [tally.stale.confirmed]
    for labels, number in tally.files.items():
        yield catalog.MIRROR_FILE_LOOKS, (name, *labels), [number]
    for kind, number in tally.refused.items():
        yield catalog.MIRROR_REFUSED, (name, kind), [number]
    yield catalog.MIRROR_SENT, (name,), [tally.sent]


def _each(metric: Metric, numbers: dict[str, int]) -> Iterator[Value]:
    for label, number in numbers.items():
        yield metric, (label,), [number]


def _resident() -> int:
    """Bytes of memory of this process; its maximum where the system does not report the present size (proc(5))."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_SIZE
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
