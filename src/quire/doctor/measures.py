"""The measures of a volume: its speed, the step of its clock, and the cost of one question for its server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from statistics import median

from quire.doctor.findings import Finding, Measures, Weight
from quire.store.contracts import Record
from quire.store.posix.directory import COARSE_RACY_SECONDS
from quire.store.posix.files import remove_quietly
from quire.store.posix.mounts import operations
from quire.store.posix.store import PosixStore

_KEY = "doctor/measures/record"
_LONGEST = 10.0
"""Seconds for one measurement: on a slow volume fewer repetitions must do."""
_CLOCK_SECONDS = 2.2
"""Long enough to see whole seconds change twice."""
_CLOCK_STEPS = 20
_SKEWED = 60.0
_WHOLE_SECONDS_MS = 1000.0


def measure_clock(folder: str) -> Measures:
    """Measures of the clock of the volume's file times; the other fields stay None. `folder` is empty and not used by
    others, and is left empty. Raises OSError.
    """
    tick, skew = _clock(folder)
    return Measures(tick_ms=None if tick is None else round(tick * 1000, 6), clock_skew_s=round(skew, 3))


def measure(known: Measures, store: PosixStore, mount_point: str | None, repetitions: int) -> Measures:
    """The known measures, and all the others. Raises StoreError, OSError."""
    record = store.records.read(_KEY)

    def commit() -> None:
        nonlocal record
        record = store.records.write(_KEY, b'{"doctor": true}', record)

    commits = _times(commit, max(5, repetitions // 4))
    record = _past_racy_window(store, record)
    before = operations(mount_point) if mount_point is not None else None
    reads = _times(lambda: store.records.read(_KEY, record), repetitions)
    after = operations(mount_point) if mount_point is not None else None
    asked = None
    if before is not None and after is not None:
        differences = {name: after[name] - before.get(name, 0) for name in after if name != "SEQUENCE"}
        asked = {name: round(count / len(reads), 2) for name, count in sorted(differences.items()) if count}
    return replace(
        known,
        read_ms=round(median(reads) * 1000, 4),
        read_operations=asked,
        commit_ms=round(median(commits) * 1000, 3),
        settle_s=store.racy_window.seconds,
    )


def judge(measures: Measures) -> list[Finding]:
    """The findings on the promise that follow from the measures."""
    findings = []
    if measures.settle_s is not None and (measures.tick_ms is None or measures.tick_ms / 1000 >= measures.settle_s):
        step = "more than two seconds" if measures.tick_ms is None else f"{measures.tick_ms / 1000:g} s"
        findings.append(
            Finding(
                "coarse-times",
                Weight.BREAKS,
                f"Timestamps come in steps of {step}, and a folder is believed {measures.settle_s:g} s after its last "
                f"change: two changes can have one timestamp.",
                "Use a file system with finer timestamps.",
            )
        )
    elif measures.tick_ms is not None and measures.tick_ms >= _WHOLE_SECONDS_MS:
        findings.append(
            Finding(
                "whole-seconds",
                Weight.ADVICE,
                f"Timestamps come in steps of {measures.tick_ms / 1000:g} s, so for {COARSE_RACY_SECONDS:g} s after "
                f"its last change each answer reads a drop-in file again. The answers are right; the first ones after "
                f"a copy are slow, more so the larger the files. Uploaded files are not concerned.",
                "For many large files, upload or import them (quire import), or use a file system with finer times "
                "(ext4 with inodes of 256 bytes).",
            )
        )
    if measures.clock_skew_s is not None and abs(measures.clock_skew_s) > _SKEWED:
        findings.append(
            Finding(
                "clock",
                Weight.ADVICE,
                f"The clock of the files' times is {abs(measures.clock_skew_s):.0f} s "
                f"{'ahead of' if measures.clock_skew_s > 0 else 'behind'} this machine's. The promise does not depend "
                f"on it; upload times are this machine's.",
                "Let both machines use NTP.",
            )
        )
    return findings


def advise_coarse_changes(finding: Finding, measured: Measures, now: float) -> Finding:
    """To a finding that the change attribute is coarse: the setting that makes up for it, by the clock's step as it
    was measured. `now`: its present value, 0 for off.
    """
    if finding.code != "listing" or finding.weight is not Weight.BREAKS:
        return finding
    if measured.tick_ms is None:
        return replace(finding, advice=f"{finding.advice} Or set --coarse-changes to twice the step of its clock.")
    tick = max(round(2 * measured.tick_ms), 1) / 1000  # seconds; with room for a clock that is late now and then
    enough = f"Or set QUIRE_COARSE_CHANGES={tick:g} (--coarse-changes {tick:g})"
    if now >= tick:
        enough = f"It is set to --coarse-changes {now:g}, which is not enough; if both machines had it, set it higher,"
    return replace(
        finding,
        advice=f"{finding.advice} {enough} for every server and every command that uses the volume, and run this again "
        f"with it: the clock moves in steps of {measured.tick_ms:g} ms, and each change then waits for two.",
    )


def _times(do: Callable[[], object], repetitions: int) -> list[float]:
    """Seconds of each repetition."""
    times: list[float] = []
    until = time.monotonic() + _LONGEST
    while len(times) < repetitions and (len(times) < 3 or time.monotonic() < until):
        began = time.perf_counter()
        do()
        times.append(time.perf_counter() - began)
    return times


def _past_racy_window(store: PosixStore, record: Record) -> Record:
    """The record as a reader past the racy window has it: one validation is enough."""
    record = store.records.read(_KEY, record)
    until = time.monotonic() + 3 * store.racy_window.seconds
    while time.monotonic() < until:
        time.sleep(store.racy_window.seconds / 2)
        record = store.records.read(_KEY, record)
    return record


def _clock(folder: str) -> tuple[float | None, float]:
    """(smallest step of the times that new files get, how far they are ahead of this machine's clock), in seconds.

    The step is None when it was not seen. A file's time lies in the step in which it was made, so it says that the
    server's clock was behind this one's by up to a step more than it is.
    """
    stamps: set[int] = set()
    skews: list[float] = []
    until = time.monotonic() + _CLOCK_SECONDS
    while time.monotonic() < until and len(stamps) < _CLOCK_STEPS:
        path = f"{folder}/{len(skews)}"
        before = time.time()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            stamp = os.fstat(fd).st_ctime_ns
        finally:
            os.close(fd)
            remove_quietly(path)
        stamps.add(stamp)
        skews.append(stamp / 1e9 - (before + time.time()) / 2)
        time.sleep(0.0005)
    ordered = sorted(stamps)
    steps = [(after - before) / 1e9 for before, after in pairwise(ordered)]
    return min(steps, default=None), median(skews)
