"""The processes of a run: each has some clients as threads, one recording, and ends by itself."""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

from tests.linearizability.deciders import Asker, Keeper, Secrets
from tests.linearizability.droppers import Dropper
from tests.linearizability.plan import Plan
from tests.linearizability.readers import Reader
from tests.linearizability.recording import Recording
from tests.linearizability.writers import Hand, Uploader, Writer, keep_on

_REPORTED = 0.5  # seconds between two looks at the counters
_REPORTED_DECISIONS = 100
_context = multiprocessing.get_context("spawn")  # a fork would take threads' locks along


class Progress:
    """Counters that all processes add to, for the line that people watch."""

    def __init__(self) -> None:
        self.reads = _context.Value("q", 0)
        self.writes = _context.Value("q", 0)
        self.kills = _context.Value("q", 0)
        self.decisions = _context.Value("q", 0)


class Processes:
    """All client processes of a run, started and waited for together."""

    def __init__(self, plan: Plan, folder: Path, progress: Progress) -> None:
        self.recordings = [folder / f"readers-{number}" for number in range(plan.reader_processes)]
        self._processes: list[SpawnProcess] = [
            _context.Process(target=_read, args=(plan, number, path, progress))
            for number, path in enumerate(self.recordings)
        ]
        path = folder / "writers"
        self.recordings.append(path)
        self._processes.append(_context.Process(target=_write, args=(plan, path, progress)))
        if plan.holders:
            path = folder / "deciders"
            self.recordings.append(path)
            self._processes.append(_context.Process(target=_decide, args=(plan, path, progress)))

    def start(self) -> None:
        for process in self._processes:
            process.start()

    @property
    def are_running(self) -> bool:
        return any(process.is_alive() for process in self._processes)

    def join(self) -> None:
        """Raises AssertionError when one of them failed."""
        for process in self._processes:
            process.join()
        assert all(process.exitcode == 0 for process in self._processes), "a process of clients failed; see above"

    def kill(self) -> None:
        for process in self._processes:
            if process.is_alive():
                process.kill()
                process.join()


def _read(plan: Plan, number: int, path: Path, progress: Progress) -> None:
    recording = Recording(plan)
    first = 100 * (number + 1)
    readers = [Reader(plan, f"reader {first + each}", first + each, recording) for each in range(plan.readers)]
    until = time.monotonic() + plan.seconds

    def run(reader: Reader) -> None:
        reported = 0
        look = 0.0
        while (moment := time.monotonic()) < until:
            reader.step()
            if moment > look:
                look = moment + _REPORTED
                with progress.reads.get_lock():
                    progress.reads.value += reader.reads - reported
                reported = reader.reads
        reader.close()

    _together([lambda reader=reader: run(reader) for reader in readers])  # type: ignore[misc]  # its default is known
    recording.save(path)


def _write(plan: Plan, path: Path, progress: Progress) -> None:
    recording = Recording(plan)
    writers: list[Writer] = [
        Uploader(plan, f"uploader {number}", number, recording) for number in range(plan.uploaders)
    ]
    if plan.stores:
        writers += [Hand(plan, f"hand {number}", 50 + number, recording) for number in range(plan.hands)]
    writers += [Dropper(plan, project, 80 + number, recording) for number, project in enumerate(plan.dropped)]
    until = time.monotonic() + plan.seconds

    def is_over() -> bool:
        progress.writes.value = sum(writer.changes for writer in writers)
        progress.kills.value = sum(writer.kills for writer in writers)
        return time.monotonic() > until

    def run(writer: Writer) -> None:
        try:
            keep_on(writer, is_over)
        finally:
            writer.close()

    _together([lambda writer=writer: run(writer) for writer in writers])  # type: ignore[misc]  # its default is known
    recording.counts["hands killed"] = sum(writer.kills for writer in writers)
    recording.save(path)


def _decide(plan: Plan, path: Path, progress: Progress) -> None:
    recording = Recording(plan)
    until = time.monotonic() + plan.seconds
    jobs: list[Callable[[], None]] = []
    keepers: list[Keeper] = []

    def is_over() -> bool:
        return time.monotonic() > until or 0 < plan.decisions <= progress.decisions.value

    def keep(keeper: Keeper) -> None:
        try:
            keep_on(keeper, is_over)
        finally:
            keeper.close()

    def ask(asker: Asker) -> None:
        reported = 0
        while not is_over():
            asker.step()
            if asker.decisions >= reported + _REPORTED_DECISIONS:
                with progress.decisions.get_lock():
                    progress.decisions.value += asker.decisions - reported
                reported = asker.decisions
        asker.close()

    for number, holder in enumerate(plan.holders):
        secrets, first = Secrets(holder), 10_000 + 100 * number
        keepers.append(Keeper(plan, secrets, first, recording))
        askers = [
            Asker(plan, secrets, f"asker {first + each}", first + each, recording) for each in range(1, plan.askers + 1)
        ]
        jobs.append(partial(keep, keepers[-1]))
        jobs += [partial(ask, asker) for asker in askers]
    _together(jobs)
    recording.counts["hands killed"] = sum(keeper.kills for keeper in keepers)
    recording.save(path)


def _together(jobs: Sequence[Callable[[], None]]) -> None:
    """Run each in a thread. A thread that fails must not leave a recording that looks whole."""
    failed: list[str] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:  # noqa: BLE001 - it is printed and fails the process
            failed.append(traceback.format_exc())

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit("\n".join(failed))
