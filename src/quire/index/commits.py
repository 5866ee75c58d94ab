"""The only compare-and-swap loop.

A change is a pure function from document to document. It is applied to the stored document and swapped in if no other
writer was faster; else it is applied again to the new document. THE COMMIT POINT OF EVERY CHANGE IS THE RECORD'S
WRITE.

Theory of operation. Writers of one process that change the same project at the same time commit together
(`quire.index.batches`): their changes are applied one after the other to the document that was read, and one write
stores the last result, with a log entry for each of them. So a batch costs one wait for the disk, and other processes
meet one writer instead of many. Each change still sees, and reports, its own step.

The result of a change depends on earlier steps of its batch, which are not stored yet, so no result is returned before
the write: a refusal because of a file of another step must not be returned when that step fails.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from quire.domain import changes, promotions
from quire.domain.changes import present
from quire.domain.errors import Conflict, NotFound, OutcomeUnknown, QuireError, StoreError
from quire.domain.project import File, Pending, Project, decode_project, encode_project
from quire.domain.promotions import Promotion, State
from quire.domain.structs import convert_to
from quire.domain.tombstones import NONE, Tombstones
from quire.index.audit.archive import archive_key, must_be_rotated, rotate
from quire.index.audit.entries import (
    Entry,
    Origin,
    encode_note,
    entries_of,
    make_entry,
    next_revision,
    owners_of_note,
)
from quire.index.batches import Combiner
from quire.index.journal import Journal
from quire.store.contracts import Draft, Record, Store

Transition = Callable[[Project | None], Project]
"""A change. It gives back the very project that it got when there is nothing to change. It may be called several
times, each time with what is stored by then."""

PATIENCE: Final = 60.0
"""Seconds that a change keeps trying while others are faster."""
_MOMENT: Final = 10.0
"""Seconds for which a record that was read is built upon without asking whether it is still the same. In that time no
store removes the revision that follows it, so that it is known which writer was faster."""
_PAUSE: Final = 0.0005
_LONGEST_PAUSE: Final = 0.25
_DOUBT = "It is not known whether the change of {} was made; look, and repeat it if it was not."


@dataclass(frozen=True, slots=True)
class Change:
    """The effect of a change on a project."""

    name: str
    """The project's normalized name."""
    before: Project | None
    after: Project | None
    """None when the project is gone: no files were left."""
    tag: str
    """The tag of the record that is stored now."""
    is_in_trash: bool = False
    """Whether the files that are no longer listed are kept in the trash."""
    meant: tuple[File, ...] | None = None
    """Where a write was in doubt: the entries of `before` that it was to take out. None: there was no doubt.

    After doubt it is known that the effect is there, but not whose write it came of. Others may have taken these
    entries out before it, and more of `before` after it, and keep them in the trash."""

    @property
    def was_in_doubt(self) -> bool:
        """Whether other writers may have made a part of the difference between `before` and `after`."""
        return self.meant is not None

    @property
    def changed(self) -> bool:
        return self.before != self.after

    @property
    def removed(self) -> tuple[File, ...]:
        """Those of the `unlisted` entries whose blobs may be removed. After doubt this is left to collect_garbage,
        which looks at what names them: the trash may."""
        return () if self.is_in_trash or self.was_in_doubt else self.unlisted

    @property
    def unlisted(self) -> tuple[File, ...]:
        """The entries that this change took out, and that are no longer listed."""
        gone = _dropped(self.before, self.after)
        if self.meant is None:
            return gone
        meant = {file.blob for file in self.meant}
        return tuple(file for file in gone if file.blob in meant)

    @property
    def restored(self) -> tuple[str, ...]:
        """The files that were listed before with the same content, and have new bytes in the store."""
        before = self.before.files if self.before is not None else {}
        after = self.after.files if self.after is not None else {}
        return tuple(
            name
            for name, file in after.items()
            if (old := before.get(name)) is not None
            and old is not file
            and old.sha256 == file.sha256
            and old.blob != file.blob
        )


class Known(NamedTuple):
    """A record as it was read."""

    record: Record
    project: Project | None
    draft: Draft | None = None
    """The result of the one change that waits for it, not stored yet."""
    read_at: float = -math.inf
    """The time (of `now`) before it was read; -inf where it is to be asked whether it is still the same."""


@dataclass(slots=True, eq=False)
class _Job:
    """A change on its way, and how it ended."""

    transition: Transition
    action: str
    origin: Origin
    deadline: float
    """The time (of `now`) after which it is not tried again."""
    until: float | None
    """The time (of `now`) after which nothing is written for it any more."""
    known: Known | None
    history: Sequence[Entry] = ()
    """Entries of the project from another store, which are archived: the numbers of its revisions go on."""
    promotion: str | None = None
    """The id of the promotion whose pending files the change prepares."""
    pause: float = _PAUSE
    renewed: set[str] = field(default_factory=set)
    """Keys of blobs whose age was reset."""
    doubted: _Step | None = None
    """Its part of a write whose outcome is unknown; None when there was none."""
    change: Change | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.change is not None or self.error is not None

    def check_time(self) -> None:
        """Raises StoreError when nothing may be written for it any more."""
        if self.until is not None and now() > self.until:
            raise StoreError("The publication took too long, nothing was published; repeat it.")


class _Step(NamedTuple):
    """One change as a part of a batch."""

    job: _Job
    before: Project | None
    after: Project


class _Batch(NamedTuple):
    """The results of jobs that are applied to a project one after the other."""

    steps: list[_Step]
    unchanged: list[tuple[_Job, Project | None]]
    refused: list[tuple[_Job, QuireError]]


class Commits:
    """Changes to the projects of one index. Safe to use from several threads and any number of processes."""

    def __init__(self, store: Store, index: str, origin: Origin) -> None:
        """`origin`: the origin of changes that do not name theirs."""
        self._store = store
        self._index = index
        self._origin = origin
        self.journal = Journal(store.records, index)
        self._combiner: Combiner[_Job] = Combiner()
        self.conflicts = 0
        """Writes that lost against another writer, so far."""
        self.in_doubt = 0
        """Writes whose outcome the store did not know."""
        self.made: dict[str, int] = {}
        """Changes that were made, by action."""
        self.listener: Callable[[str, str], None] | None = None
        """Is called after each change, with the project's normalized name and the action; it must neither wait nor
        raise."""

    def make(
        self,
        key: str,
        transition: Transition,
        action: str,
        origin: Origin | None,
        *,
        until: float | None = None,
        known: Known | None = None,
        history: Sequence[Entry] = (),
        promotion: str | None = None,
    ) -> Change:
        """Change the project whose record has this key. `history`: its entries from another store, archived before.
        `promotion`: its id, if the change prepares pending files, which the log does not mention yet.

        `until`: the time (of `now`) after which nothing is written any more. `known`: the record as it was read
        before. A draft of it is written as it is if that was a moment ago, since the write fails after another
        writer's; else the record is read again, which costs less when it is still the same, and then its draft counts.
        Raises what `transition` raises, and StoreError or a subclass.
        """
        job = _Job(transition, action, origin or self._origin, now() + PATIENCE, until, known, history, promotion)
        self._combiner.run(key, job, lambda jobs: self._attempt(key, jobs))
        if job.error is not None:
            raise job.error
        assert job.change is not None
        if self.listener is not None and job.change.changed:
            self.listener(job.change.name, action)
        return job.change

    def waiting(self, key: str) -> int:
        """Changes to the project that threads of this process have begun to commit and not ended."""
        return self._combiner.waiting(key)

    def draft(self, known: Known, after: Project, action: str, origin: Origin | None) -> Draft | None:
        """The document that `make` will write without a conflict, for early writeback while blobs are stored.

        None when nothing is to be begun: older entries must be archived before, or other threads are about to change
        the same record. The caller discards the draft in the end.
        """
        if self.waiting(known.record.key):
            return None
        log = entries_of(known.record)
        if must_be_rotated(log):
            return None
        log.append(make_entry(action, known.project, after, origin or self._origin, log))
        return self._store.records.draft(known.record.key, encode_project(after, log))

    # -- one attempt --------------------------------------------------------------------------------------------------

    def _attempt(self, key: str, jobs: Sequence[_Job]) -> None:
        """Read, apply, write. Finishes every job, unless the write has a conflict."""
        try:
            self._commit(key, jobs)
        except Conflict as error:
            self.conflicts += 1
            self._fail_expired(key, jobs, error)
            self._pause(jobs[0])
        except Exception as error:  # noqa: BLE001 - each thread raises its own job's error
            for job in jobs:
                if not job.done:
                    job.error = _unknown(key, error) if job.doubted is not None else error

    def _commit(self, key: str, jobs: Sequence[_Job]) -> None:
        known = self._read(key, jobs)
        project = known.project
        if project is not None and project.pending is not None and self._settle(known.record, project):
            return  # the jobs are attempted again
        for job in jobs:
            if job.doubted is not None:
                self._judge(job, job.doubted, known)
        batch = _apply(known.project, [job for job in jobs if not job.done])
        try:
            tag = self._store_steps(known, batch)
        except OutcomeUnknown:
            if not batch.steps:
                raise
            self.in_doubt += 1
            for step in batch.steps:
                step.job.doubted = step
            self._pause(jobs[0])
            return
        for step in batch.steps:
            self.made[step.job.action] = self.made.get(step.job.action, 0) + 1
        for job, before, after in batch.steps:
            job.change = Change(_name(key), present(before), present(after), tag)
        for job, project in batch.unchanged:
            job.change = Change(_name(key), present(project), present(project), tag)
        for job, error in batch.refused:
            job.error = error

    def settle(self, key: str, promotion: str) -> None:
        """Fold the pending files of a committed promotion, or remove those of an aborted one, if the project still has
        them. Raises DamagedRecord, StoreError."""
        deadline = now() + PATIENCE
        while True:
            record = self._store.records.read(key)
            project = stored_project(record)
            if project is None or project.pending is None or project.pending.promotion != promotion:
                self._store.records.confirm(record)
                return
            try:
                if not self._settle(record, project):
                    raise StoreError(f"The promotion {promotion} is neither committed nor aborted.")
            except Conflict as error:
                if now() > deadline:
                    raise StoreError(f"The record {key} has too many writers at once; repeat later.") from error
                time.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - as below

    def _settle(self, record: Record, project: Project | None) -> bool:
        """Write what readers see of a project where its promotion is finished, and nothing else; False where there is
        nothing to write. Raises Conflict."""
        if project is None or project.pending is None:
            return False
        promotion = self.journal.get(project.pending.promotion)
        if promotion is not None and promotion.state is State.OPEN:
            return False
        # Without an entry it was aborted, or folded since the record was read: then the write has a conflict.
        if promotion is not None and promotion.state is State.COMMITTED:
            after, log = promotions.folded(project), self._promoted(record, project, project.pending, promotion)
        else:
            after, log = promotions.without_pending(project), entries_of(record)
        if changes.is_empty(after):
            note = encode_note(log, after.deleted, after.owners)
            self._store.records.write(record.key, None, record, note)
        else:
            self._renew(_dropped(project, after), set())
            self._store.records.write(record.key, encode_project(after, log), record)
        return True

    def _promoted(self, record: Record, project: Project, pending: Pending, promotion: Promotion) -> list[Entry]:
        """The log with the entry of a promotion. Whichever worker folds it, the entry says what its promoter said."""
        archive = archive_key(self._index, _name(record.key))
        log = rotate(self._store.records, archive, record, entries_of(record))
        entry = make_entry("publish", project, promotions.folded(project), _origin_of(promotion), log)
        log.append(entry | {"promoted_from": promotion.source, "promotion": pending.promotion})
        return log

    def _store_steps(self, known: Known, batch: _Batch) -> str:
        """Make what the batch found or changed last; the tag of the record that has it."""
        if batch.steps:
            return self._write(known, batch.steps).tag
        if batch.unchanged:
            self._store.records.confirm(known.record)
        return known.record.tag

    def _read(self, key: str, jobs: Sequence[_Job]) -> Known:
        """The record now, or as it was a moment ago for the first attempt of a job that is alone.

        A draft is kept only for the job that it belongs to, and used once.
        """
        earlier = next((job.known for job in jobs if job.known is not None), None)
        if earlier is not None and len(jobs) == 1 and now() - earlier.read_at < _MOMENT:
            record = earlier.record
        else:
            record = self._store.records.read(key, earlier.record if earlier is not None else None)
        if earlier is not None and record is earlier.record:
            known = earlier if len(jobs) == 1 else earlier._replace(draft=None)
        else:
            known = Known(record, stored_project(record))
        for job in jobs:
            job.known = known._replace(draft=None, read_at=-math.inf)
        return known

    def _judge(self, job: _Job, doubted: _Step, known: Known) -> None:
        """Finish a job whose write may have been done, by comparison with the stored record."""
        name = _name(known.record.key)
        before = known.project
        try:
            after: Project | None = job.transition(before)
        except NotFound:
            after = before  # the files to remove are gone: the write had gone through
        except QuireError as error:
            job.error = _unknown(known.record.key, error)
            return
        if after is not None and not is_same(before, after):
            # The write was lost, or another writer has undone it since: a repetition would undo that change.
            job.error = _unknown(known.record.key)
            return
        try:
            self._store.records.confirm(known.record)
        except StoreError as error:
            job.error = _unknown(known.record.key, error)
        else:
            meant = _dropped(doubted.before, doubted.after)
            job.change = Change(name, present(doubted.before), present(before), known.record.tag, meant=meant)

    def _write(self, known: Known, steps: Sequence[_Step]) -> Record:
        """The commit: the project and the entries of its latest changes, in one step."""
        record, before, draft, _ = known
        after = steps[-1].after
        self._renew(_dropped(before, after), steps[0].job.renewed)
        if draft is not None:
            return self._store.records.write(record.key, draft, record)
        log = self._log(record, steps)
        if changes.is_empty(after) and after.pending is None:
            return self._store.records.write(record.key, None, record, encode_note(log, after.deleted, after.owners))
        return self._store.records.write(record.key, encode_project(after, log), record)

    def _log(self, record: Record, steps: Sequence[_Step]) -> list[Entry]:
        archive = archive_key(self._index, _name(record.key))
        log = rotate(self._store.records, archive, record, entries_of(record))
        for job, before, after in steps:
            if job.promotion is not None:
                continue
            earlier = max(log, job.history, key=next_revision)
            log.append(make_entry(job.action, before, after, job.origin, earlier))
        return log

    def _renew(self, files: Iterable[File], renewed: set[str]) -> None:
        """Reset the age of blobs that are about to be unlisted, once. If it fails they become garbage sooner."""
        for file in files:
            for key in blob_keys(file):
                if key not in renewed:
                    renewed.add(key)
                    with contextlib.suppress(QuireError):
                        self._store.blobs.renew(key)

    @staticmethod
    def _fail_expired(key: str, jobs: Sequence[_Job], conflict: Conflict) -> None:
        for job in jobs:
            if not job.done and now() > job.deadline:
                job.error = StoreError(f"The project {_name(key)} has too many writers at once; repeat later.")
                job.error.__cause__ = conflict

    @staticmethod
    def _pause(job: _Job) -> None:
        time.sleep(random.uniform(0, job.pause))  # noqa: S311 - spreads writers, hides nothing
        job.pause = min(job.pause * 2, _LONGEST_PAUSE)


def _apply(project: Project | None, jobs: Sequence[_Job]) -> _Batch:
    """Apply the changes in their order, each to the result of those before it."""
    begins_absent = project is None
    batch = _Batch([], [], [])
    for job in jobs:
        try:
            after = job.transition(project)
            if is_same(project, after):
                batch.unchanged.append((job, project))
                continue
            job.check_time()
            if project is not None and project.pending is not None and job.promotion is None:
                after = promotions.beside_pending(project, after)
            after = changes.remember(project, after)
        except QuireError as error:
            batch.refused.append((job, error))
            continue
        if batch.steps and begins_absent and changes.is_empty(after):
            return batch  # the rest waits for the next write, so that the record's past has the short-lived project
        batch.steps.append(_Step(job, project, after))
        project = after
    return batch


def _origin_of(promotion: Promotion) -> Origin:
    """None that is known, where its fields cannot be read: what is committed is folded all the same."""
    try:
        return convert_to(promotion.origin, Origin)
    except msgspec.ValidationError:
        return Origin()


def decode(record: Record) -> Project | None:
    """The project that a record describes; None when it is absent. Raises DamagedRecord."""
    return None if record.data is None else decode_project(record.data, record.key)


def stored_project(record: Record) -> Project | None:
    """As `decode`; of a deleted project the empty one with its tombstones and owners. Raises DamagedRecord."""
    if record.data is not None:
        return decode(record)
    if record.note is None:
        return None
    deleted, owners = Tombstones.of_note(record.note, record.key), owners_of_note(record.note, record.key)
    return Project(name=_name(record.key), deleted=deleted, owners=owners) if deleted or owners else None


def deleted_files(record: Record) -> dict[str, str]:
    """sha256 by filename of all files that were listed in a record and are not any more. Raises DamagedRecord."""
    project = stored_project(record)
    if project is None:
        return {}
    return {name: digest for name, digest in project.deleted.entries().items() if name not in project.files}


def is_same(before: Project | None, after: Project) -> bool:
    """Whether a change has nothing to write: it gave back what it got, or made nothing of nothing."""
    if present(before) is None and present(after) is None:
        had = (before.deleted, before.owners, before.pending) if before is not None else (NONE, (), None)
        return (after.deleted, after.owners, after.pending) == had
    return after is before


def now() -> float:
    """Seconds that go on while the machine sleeps, where the system counts them (clock_gettime(2))."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def blob_keys(file: File) -> tuple[str, ...]:
    """The keys of everything that is stored for a file, the distribution itself first."""
    if file.blob is None:
        return ()
    keys = [f"{file.blob}/{file.filename}"]
    if file.metadata_sha256 is not None:
        keys.append(f"{keys[0]}.metadata")
    if file.signed:
        keys.append(f"{keys[0]}.asc")
    if file.attested:
        keys.append(f"{keys[0]}.attestations")
    return tuple(keys)


def _dropped(before: Project | None, after: Project | None) -> tuple[File, ...]:
    """The entries of one that the other no longer has."""
    if before is None:
        return ()
    files = after.files if after is not None else {}
    # An upload leaves all entries as they are, so the set is nearly never made.
    gone = [file for name, file in before.files.items() if file.blob is not None and files.get(name) is not file]
    kept = {file.blob for file in files.values()} if gone else set()
    return tuple(file for file in gone if file.blob not in kept)


def _name(key: str) -> str:
    """The project's normalized name, of its record's key."""
    return key.rpartition("/")[2]


def _unknown(key: str, cause: Exception | None = None) -> OutcomeUnknown:
    error = OutcomeUnknown(_DOUBT.format(_name(key)))
    error.__cause__ = cause
    return error
