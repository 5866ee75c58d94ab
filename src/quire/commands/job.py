"""The program that a server runs for a job: `quire check` or `quire gc`, whose progress goes into the store.

Its standard input has one line: the settings of the server, and the job. It ends when that input ends.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from quire.commands import check, gc
from quire.commands.common import Opened, count
from quire.config.settings import Settings
from quire.domain.errors import NotFound, QuireError
from quire.domain.structs import decode_as
from quire.domain.times import stamp
from quire.index.audit.entries import Origin
from quire.observe import logs
from quire.operations import jobs
from quire.operations.checking import GRACE, Severity
from quire.operations.jobs import Job
from quire.operations.opening import open_index
from quire.process.progress import Progress
from quire.store.contracts import Records

EVERY: Final = 2.0
"""Seconds between two renewals of the entry."""
_SHOWN: Final = 10
"""Versions of a project."""
_INPUT: Final = 0
_PIECE: Final = 65_536


class Task(msgspec.Struct, frozen=True):
    """The line on the standard input."""

    settings: str
    """See `Settings.dump`."""
    job: Job


class Result(NamedTuple):
    """The result of the work."""

    counts: dict[str, int]
    lines: list[str]


class Reporter(Progress):
    """Renews the entry of a job in a thread. `end` writes the last one."""

    def __init__(self, records: Records, job: Job) -> None:
        self._records = records
        self._job = job
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._title, self._total, self._done = "", 0, 0
        threading.Thread(target=self._go_on, daemon=True).start()

    def step(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0

    def advance(self, amount: int) -> None:
        self._done += amount

    def reach(self, done: int) -> None:
        self._done = done

    def end(self, state: jobs.State, result: Result) -> None:
        """Write the last entry; nothing where it is written already. Raises StoreError."""
        with self._lock:
            if self._over.is_set():
                return
            self._over.set()
            last = jobs.ended(self._job, state, result.counts, result.lines, datetime.now(UTC))
            with suppress(NotFound):  # so many others began since that it is kept no more
                jobs.renew(self._records, last)

    def _go_on(self) -> None:
        while not self._over.wait(EVERY):
            with self._lock:
                if self._over.is_set():
                    return
                self._job = msgspec.structs.replace(
                    self._job,
                    heard=stamp(datetime.now(UTC)),
                    step=self._title,
                    done=self._done,
                    total=self._total,
                )
                try:
                    jobs.renew(self._records, self._job)
                except QuireError:
                    continue  # an entry that is not renewed for long counts as interrupted


def main() -> int:
    """Do it."""
    task = decode_as(_first_line(), Task)
    settings, job = Settings.load(task.settings), task.job
    logs.configure(msgspec.structs.replace(settings, log_stream="none" if settings.log_stream == "none" else "stderr"))
    with suppress(OSError):  # a service manager may forbid it, as the unit in deploy/systemd does
        os.nice(10)
    origin = Origin(user=job.by, command=f"job {job.kind}", host=job.container)
    opened = Opened(settings, open_index(settings, origin, writes=True, asks_the_time=True), settings.index)
    reporter = Reporter(opened.store.records, job)
    threading.Thread(target=_end_with_server, args=(reporter,), daemon=True).start()
    try:
        result = (_check if job.kind == "check" else _gc)(opened, job, reporter)
    except QuireError as error:
        reporter.end("failed", Result({}, [str(error)]))
        return 1
    reporter.end("done", result)
    return 0


def _first_line() -> bytes:
    """The standard input is read without a buffer: Python cannot end while a thread has the lock of one."""
    line = b""
    while not line.endswith(b"\n") and (more := os.read(_INPUT, _PIECE)):
        line += more
    return line


def _end_with_server(reporter: Reporter) -> None:
    while os.read(_INPUT, _PIECE):
        pass
    try:
        reporter.end("interrupted", Result({}, ["The server that ran it has ended."]))
    finally:
        os._exit(1)


def _check(opened: Opened, job: Job, progress: Progress) -> Result:
    found = check.checked(opened, quick=job.quick, repair=False, progress=progress)
    counts = {
        "projects": found.projects,
        "files": found.files,
        "bytes": found.bytes,
        "damage": found.counts[Severity.DAMAGE],
        "findings": len(found.findings),
    }
    worst = sorted(found.findings, key=lambda each: each.severity is not Severity.DAMAGE)
    return Result(counts, [f"{each.severity}: {each.where}: {each.sentence}" for each in worst[: jobs.MOST_LINES]])


def _gc(opened: Opened, job: Job, progress: Progress) -> Result:
    found = gc.collected(opened, older_than=GRACE, dry_run=job.dry_run, progress=progress)
    evicted = found.evicted
    counts = {
        "blobs": len(found.garbage.blobs),
        "bytes": found.garbage.bytes,
        "expired": len(found.garbage.expired),
        "releases": sum(len(each.releases) for each in found.let_go),
        "mirror_files": 0 if evicted is None else len(evicted.removed),
        "mirror_bytes": 0 if evicted is None else evicted.bytes,
        "skipped": len(found.garbage.skipped),
    }
    lines = [f"{each}: its record is damaged, so nothing of it is removed." for each in found.garbage.skipped]
    lines += [f"{each} What needs it is left as it is." for each in found.damaged]
    for each in found.let_go:
        versions = ", ".join(release.version for release in each.releases[:_SHOWN])
        number = count(len(each.releases), "release")
        lines.append(f"{each.project} of {each.index}: {number} by retention ({versions})")
    lines += [f"{project}: {file.filename}, its time in the trash is over" for project, file in found.garbage.expired]
    lines += [blob.key for blob in found.garbage.blobs[: jobs.MOST_LINES]]
    return Result(counts, lines)


if __name__ == "__main__":
    sys.exit(main())
