"""Digests and metadata of drop-in files: computed once per content, and kept for all workers.

Theory of operation
-------------------
A file is read once per fingerprint (size, mtime, inode, ctime). The facts are kept twice: in this process, and as one
derived record per project, so that other workers need not read the files again. Derived means: the record may be lost,
garbage or out of date; facts that do not fit the file's *present* fingerprint are computed again. A failure to store
facts costs time, never an answer.

Fingerprints are as coarse as the clock: a file rewritten within one tick, with the same size, keeps its fingerprint. So
facts are trusted only if they are from a reading that began `racy_window` after this process first saw the fingerprint
("settled" in the document): each change with the same fingerprint was made before that reading. Until then the file is
read for each answer. A ctime more than an hour ago is proof without that: no program can set it, and the clocks of
machines that share a file system differ by less than an hour.

A file can be replaced, by a rename over it, between its stat and its reading. It is never absent then, so the facts are
those of the file that was opened, with *its* fingerprint. Over NFS readers of the old file get ESTALE as soon as
another client has replaced it, again and again if that client does not pause. ESTALE says nothing about the new file.
Only after a minute of it the file server is at fault.

A file that is still being copied is incomplete while it grows. To find this out, all of it may have to be read. If that
takes longer than `_QUICK`, the file is examined again only after twice the time that the last examination took.

Several workers that start cold on the same files begin at different places, and load the facts of others whenever they
store their own; so together they read each file about once.
"""

from __future__ import annotations

import errno
import math
import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import BinaryIO

import msgspec
import structlog

from quire.domain.errors import Conflict, QuireError, StoreError, StoreReadOnly
from quire.dropin.facts import Facts, Measure, decode_facts, encode_facts, measure
from quire.dropin.files import FileStat, Fingerprint, open_regular
from quire.dropin.listing import Candidate
from quire.dropin.reports import Reports, state_of
from quire.store.contracts import Record, Records
from quire.store.posix.directory import COARSE_RACY_SECONDS, revalidate_name

_log = structlog.get_logger(__name__)

_OLD = 3600.0
STALLED = 60.0
"""Seconds without a change after which a file that is not whole counts as damaged, and seconds of nothing but ESTALE
after which a file counts as unreadable. The first worker to find a damaged one logs it, and stores that it did."""
_QUICK = 0.25  # seconds of reading that an answer may take each time
_ATTEMPTS = 4  # to read a file that changes while it is read
SAVE_AFTER_BYTES = 64 * 1024 * 1024  # under a second of hashing: little is lost, little is done twice
_SAVE_ATTEMPTS = 8
# The summands of `bytes_in_memory`; tests/process/test_budget.py compares it with what Python really allocates.
_PROJECT_BYTES = 1500
_FACTS_BYTES = 1350  # of one file, with its digests


@dataclass(frozen=True, slots=True)
class Rules:
    """How facts are found."""

    algorithms: tuple[str, ...] = ()
    """hashlib names to compute besides the three that are always."""
    examine: Measure = measure
    racy_window: Callable[[], float] = lambda: COARSE_RACY_SECONDS
    """Seconds after which two changes of a file no longer share a fingerprint."""
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    reports: Reports = field(default_factory=Reports)


@dataclass(slots=True)
class _Held:
    facts: Facts
    first_met: float
    """When this process first saw the fingerprint; `Rules.clock`."""
    not_before: float
    """While incomplete: when a grown file may be examined again."""


class ProjectFacts:
    """The facts of one project's files, in memory and in the store. Hold `lock` while calling."""

    def __init__(self, records: Records | None, key: str, rules: Rules, *, is_writing: bool = True) -> None:
        self.lock = threading.Lock()
        self._records = records
        self._key = key
        self._rules = rules
        self._is_writing = is_writing
        self._held: dict[str, _Held] = {}
        self._record: Record | None = None
        self._stored: dict[str, Facts] = {}
        self._fresh: dict[str, Facts] = {}  # found here, and not yet stored
        self._reported: dict[str, object] = {}  # by key: the state of a file that is left out
        self._stale_since: dict[str, float] = {}  # by key: when each reading began to end in ESTALE; `Rules.clock`
        self._bytes = 0
        self._is_read = False

    @property
    def bytes_in_memory(self) -> int:
        """The approximate size; it grows with each examined file."""
        record = self._record
        document = record.data if record is not None else None
        number = max(len(self._held), len(self._stored))
        return _PROJECT_BYTES + len(document or b"") + _FACTS_BYTES * number

    def begin(self, candidates: Collection[Candidate]) -> None:
        """Drop the facts of files that are gone, and read the record again when it is needed."""
        self._is_read = False
        if len(self._held) > len(candidates) or self._stale_since:
            keys = {candidate.key for candidate in candidates}
            self._held = {key: held for key, held in self._held.items() if key in keys}
            self._stale_since = {key: since for key, since in self._stale_since.items() if key in keys}

    def due(self, candidate: Candidate, file_stat: FileStat) -> float:
        """From when on the file must be examined again with the same fingerprint; `Rules.clock`."""
        held = self._held.get(candidate.key)
        if held is None:
            return -math.inf  # unreadable, or changing: examine it each time
        return math.inf if held.facts.past_racy_window and self._fits(held.facts, file_stat) else held.not_before

    def is_stale(self, candidate: Candidate) -> bool:
        """Whether the last reading ended in ESTALE, which says nothing about the file that is there now."""
        return candidate.key in self._stale_since

    def of(self, candidate: Candidate, file_stat: FileStat, file: BinaryIO | None = None) -> Facts | None:
        """The facts of a file with this stat; None when it cannot be read, or changes meanwhile.

        If it was replaced since then, the facts of the new file, with another fingerprint than that of `file_stat`.
        `file`: the file, opened; None: the file at the path of `file_stat`.
        """
        now, held = self._rules.clock(), self._held.get(candidate.key)
        fits = held is not None and self._fits(held.facts, file_stat)
        if held is not None and now < self.due(candidate, file_stat) and (fits or not held.facts.complete):
            return held.facts
        stored = self._read().get(candidate.key)
        if stored is not None and stored.past_racy_window and self._fits(stored, file_stat):
            self._held[candidate.key] = _Held(stored, now, now)
            if not stored.complete:
                self._report_damaged(candidate, stored.fingerprint, is_known=True)
            return stored
        first_met = held.first_met if held is not None and fits else now
        if file is not None:
            return self._measure(candidate, file_stat.fingerprint, file, first_met)
        return self._read_file(candidate, file_stat, first_met)

    def _read_file(self, candidate: Candidate, file_stat: FileStat, first_met: float) -> Facts | None:
        """The facts of the file at the path of `file_stat` now; None when it cannot be read, or changes each time."""
        stale = None
        for _ in range(_ATTEMPTS):
            try:
                if stale is not None:
                    revalidate_name(file_stat.path)
                with open(open_regular(file_stat.path), "rb") as opened:
                    facts = self._measure(candidate, file_stat.fingerprint, opened, first_met)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno == errno.ESTALE:
                    stale = error  # another client of the file server has removed it, or renamed another one over it
                    continue
                self.left_out(candidate, error)
                return None
            self._stale_since.pop(candidate.key, None)
            if facts is not None:
                if facts.complete:
                    self._reported.pop(candidate.key, None)
                return facts
        if stale is not None:
            now = self._rules.clock()
            if now - self._stale_since.setdefault(candidate.key, now) >= STALLED:
                self.left_out(candidate, stale)
        return None

    def left_out(self, candidate: Candidate, error: OSError) -> None:
        """Report, once, that a file cannot be read."""
        state = state_of(candidate.path)
        if candidate.key not in self._reported or self._reported[candidate.key] != state:
            self._reported[candidate.key] = state
            self._rules.reports.left_out("unreadable", candidate.path, state, error.strerror)

    def _report_damaged(self, candidate: Candidate, fingerprint: Fingerprint, *, is_known: bool = False) -> None:
        if self._reported.get(candidate.key) != fingerprint:
            self._reported[candidate.key] = fingerprint
            sentence = "It is damaged, or its copy has stopped."
            self._rules.reports.left_out("damaged", candidate.path, fingerprint, sentence, is_known=is_known)

    def save(self, candidates: Collection[Candidate], roots: int) -> None:
        """Store facts that were found here and are not stored yet. A failure is not an error.

        The record's facts of files in the first `roots` roots that are no longer candidates are removed. Those of
        further roots stay: they belong to a server that has these roots.
        """
        self._bytes = 0
        if not self._fresh or self._records is None or not self._is_writing:
            return
        ours, keys = {str(number) for number in range(roots)}, {candidate.key for candidate in candidates}
        fresh = {key: facts for key, facts in self._fresh.items() if key in keys}
        try:
            for _ in range(_SAVE_ATTEMPTS):
                self._read()
                if self._record is None:
                    return
                kept = {
                    key: facts
                    for key, facts in self._stored.items()
                    if key in keys or key.partition("/")[0] not in ours
                }
                merged = kept | {key: facts for key, facts in fresh.items() if not _is_better(kept.get(key), facts)}
                if merged == self._stored:
                    self._fresh = {}
                    return
                try:
                    self._record = self._records.write(self._key, encode_facts(merged), self._record)
                except Conflict:
                    self._is_read = False
                else:
                    self._stored, self._fresh = merged, {}
                    return
            _log.info("digests not stored", record=self._key, reason="too many writers at once")
        except StoreReadOnly:
            self._records = None
        except QuireError as error:
            self._record, self._is_read = None, False
            self._rules.reports.store_failed("digests not stored", self._key, error)

    @property
    def should_save(self) -> bool:
        """Whether `SAVE_AFTER_BYTES` were read since the last `save`."""
        return self._bytes >= SAVE_AFTER_BYTES

    def _fits(self, facts: Facts, file_stat: FileStat) -> bool:
        is_enough = not facts.complete or all(name in facts.hashes for name in self._rules.algorithms)
        return facts.fingerprint == file_stat.fingerprint and is_enough

    def _measure(self, candidate: Candidate, expected: Fingerprint, file: BinaryIO, first_met: float) -> Facts | None:
        """The facts of an open file. `first_met`: when `expected` was first seen. Raises OSError."""
        began = self._rules.clock()
        self._held.pop(candidate.key, None)
        facts = self._rules.examine(file, candidate.parsed, self._rules.algorithms)
        if facts is None:
            return None
        if facts.fingerprint != expected:
            first_met = began
        is_old = self._rules.wall() - facts.ctime_ns / 1e9 > _OLD
        patience = self._rules.racy_window() if facts.complete else max(self._rules.racy_window(), STALLED)
        facts = msgspec.structs.replace(facts, past_racy_window=is_old or began - first_met >= patience)
        if facts.past_racy_window and not facts.complete:
            self._report_damaged(candidate, facts.fingerprint)
        ended = self._rules.clock()
        took = ended - began
        not_before = began if facts.complete or took < _QUICK else ended + 2 * took
        self._held[candidate.key] = _Held(facts, first_met, not_before)
        if facts.complete or facts.past_racy_window:  # facts of a growing file would soon be out of date
            self._fresh[candidate.key] = facts
        self._bytes += facts.size
        return facts

    def _read(self) -> dict[str, Facts]:
        """The stored facts; read once after `begin`, and again after a conflict."""
        if self._records is None or self._is_read:
            return self._stored
        self._is_read = True
        before = self._record
        try:
            self._record = self._records.read(self._key, before)
        except StoreError as error:
            self._record, self._stored = None, {}
            self._rules.reports.store_failed("stored digests not readable", self._key, error)
            return self._stored
        except QuireError:  # a name too long for a key
            self._records = None
            return self._stored
        if self._record is not before:
            stored = decode_facts(self._record.data)
            if stored is None:
                self._records = None
            self._stored = stored or {}
        return self._stored


def rotated_range(count: int) -> list[int]:
    """The numbers below `count`, from a random one on and around, so that several workers share the work."""
    start = secrets.randbelow(count) if count else 0
    return [(start + step) % count for step in range(count)]


def _is_better(stored: Facts | None, fresh: Facts) -> bool:
    """Whether the facts of another worker are preferred to those found here."""
    return (
        stored is not None
        and stored.fingerprint == fresh.fingerprint
        and stored.past_racy_window
        and not fresh.past_racy_window
    )
