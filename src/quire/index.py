"""The only writer of projects, with the only compare-and-swap loop.

A change is a pure function of `changes`, applied to the stored document and swapped in if nobody else was faster;
else it is applied to what the faster one left. THE COMMIT POINT OF EVERY CHANGE IS THE RECORD'S WRITE: blobs are
durable before it and invisible until it. Blobs that a change made unreachable are removed after it, or, if the
process dies first, by `collect_garbage`, whose patience with them (somebody may be downloading) begins when they were
last renewed: right before the write that lists them no longer. Every publication stores its blobs under a key of its
own, so removing is never in the way of somebody who publishes the same bytes again.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from quire import changes
from quire.audit.archive import archive_key, must_be_relieved, relieve
from quire.audit.entries import Origin, encode_note, entries_of, make_entry
from quire.changes import Selection
from quire.errors import Conflict, NotFound, OutcomeUnknown, QuireError, StoreError, StoreFull, StoreReadOnly
from quire.model import File, Project, Status, decode_project, encode_project
from quire.names import normalize_name
from quire.store.contracts import Draft, Record, Store
from quire.upload import Upload

PATIENCE = 60.0
"""Seconds that a change keeps trying while others are faster."""
PUBLICATION_SECONDS = 600.0
"""A publication that stored its blobs longer ago than this is given up: `collect_garbage` takes blobs that no record
names, and must be able to tell them from those that are about to be named. Its grace is longer than this."""
_STRIPES = 64
_DOUBT = "It is not known whether the change of {} was made; look, and repeat it if it was not."


@dataclass(frozen=True, slots=True)
class Change:
    """What a change did to a project."""

    name: str
    """The project's normalized name."""
    before: Project | None
    after: Project | None
    """None when the project is gone: no files were left."""
    tag: str
    """The tag of the record that is stored now."""

    @property
    def changed(self) -> bool:
        return self.before != self.after

    @property
    def removed(self) -> tuple[File, ...]:
        """The entries that are no longer listed; their blobs may be removed."""
        return _dropped(self.before, self.after)


class _Known(NamedTuple):
    """A record as it was read."""

    record: Record
    project: Project | None
    draft: Draft | None = None
    """What a change makes of it, not stored yet."""


class Index:
    """One named index in a store. Safe to use from several threads and any number of processes."""

    def __init__(self, store: Store, name: str = "main", origin: Origin | None = None) -> None:
        """`origin`: who makes the changes that do not say so themselves, for the audit log."""
        self.store = store
        self.origin = origin or Origin()
        self.name = name
        self.conflicts = 0
        """Writes that somebody else was faster with, so far; for metrics."""
        self.in_doubt = 0
        """Writes whose outcome the store did not know."""
        self.made: dict[str, int] = {}
        """Changes that were made, by action."""
        self.prefix = f"{name}/projects"
        # Threads of one process that change the same project take turns here, instead of colliding in the store.
        self._turns = tuple(threading.Lock() for _ in range(_STRIPES))

    def key(self, project: str) -> str:
        """The record's key of a project (any spelling)."""
        return f"{self.prefix}/{normalize_name(project)}"

    def project(self, name: str) -> Project | None:
        """The project now, or None. Raises DamagedRecord, StoreError."""
        return self.decode(self.store.records.read(self.key(name)))

    def names(self) -> tuple[str, ...]:
        """The normalized names of all projects now."""
        return self.store.records.names(self.prefix).names

    @staticmethod
    def decode(record: Record) -> Project | None:
        return None if record.data is None else decode_project(record.data, record.key)

    # -- changes ------------------------------------------------------------------------------------------------------

    def publish(
        self,
        uploads: Sequence[Upload],
        *,
        overwrite: bool = False,
        taken: Mapping[str, str] | None = None,
        origin: Origin | None = None,
    ) -> Change:
        """Publish one or several distributions of one project in one atomic step, or none of them.

        `taken`: see changes.publish. `origin`: as everywhere, who asks for it, for the audit log. The staged bytes are
        used up in any case.
        Raises FileExists, ProjectClosed, and StoreError in its kinds.
        """
        if len({upload.parsed.project for upload in uploads}) != 1:
            raise ValueError("a publication is of one project")
        name = uploads[0].parsed.project
        # A changed mind costs no I/O: what would be refused, or changes nothing, is found before blobs are stored.
        files = [_entry(upload) for upload in uploads]
        display_name = uploads[0].project_name

        def transition(project: Project | None) -> Project:
            return changes.publish(project, display_name, files, overwrite=overwrite, taken=taken)

        stored: list[File] = []
        draft: Draft | None = None
        try:
            record = self.store.records.read(self.key(name))
            before = self.decode(record)
            if before is not None:
                after = transition(before)
                if after is before:
                    self.store.records.confirm(record)
                    return Change(name, before, before, record.tag)
                draft = self._draft(_Known(record, before), after, "publish", origin)
            until = _now() + PUBLICATION_SECONDS
            try:
                for upload, file in zip(uploads, files, strict=True):
                    stored.append(file)
                    self._store_blobs(upload, file)
            except BaseException:  # no record can have named them
                self.remove_blobs(stored)
                raise
            known = _Known(record, before, draft)
            change = self._change(name, transition, "publish", origin, until=until, known=known)
        except (StoreFull, StoreReadOnly):
            self.remove_blobs(stored)
            raise
        except StoreError:
            raise  # the record may have been written: leave the blobs to collect_garbage
        except QuireError:
            self.remove_blobs(stored)
            raise
        finally:
            if draft is not None:
                draft.discard()
            for upload in uploads:
                upload.staged.discard()
        listed = {file.blob for file in change.after.files.values()} if change.after is not None else set()
        self.remove_blobs([file for file in stored if file.blob not in listed])
        return change

    def delete(self, name: str, selection: Selection, *, origin: Origin | None = None) -> Change:
        """Delete a file, a release, or the whole project. Raises NotFound."""
        return self._change(normalize_name(name), lambda project: changes.delete(project, selection), "delete", origin)

    def yank(
        self, name: str, selection: Selection, reason: str | None = None, *, origin: Origin | None = None
    ) -> Change:
        """Yank files (PEP 592). Raises NotFound."""
        name = normalize_name(name)
        return self._change(name, lambda project: changes.yank(project, selection, reason), "yank", origin)

    def unyank(self, name: str, selection: Selection, *, origin: Origin | None = None) -> Change:
        """Take the yanked mark away. Raises NotFound."""
        return self._change(normalize_name(name), lambda project: changes.unyank(project, selection), "unyank", origin)

    def set_status(
        self, name: str, status: Status, reason: str | None = None, *, origin: Origin | None = None
    ) -> Change:
        """Set the project's PEP 792 status. Raises NotFound."""

        def transition(project: Project | None) -> Project:
            return changes.set_status(project, name, status, reason)

        return self._change(normalize_name(name), transition, "status", origin)

    def amend(
        self, name: str, transition: Callable[[Project | None], Project], *, origin: Origin | None = None
    ) -> Change:
        """Any other change, for repairs. `transition` gives back the very project it got when nothing is to change.

        It may be called several times, each time with what is stored by then.
        """
        return self._change(normalize_name(name), transition, "amend", origin)

    def _change(
        self,
        name: str,
        transition: Callable[[Project | None], Project],
        action: str,
        origin: Origin | None,
        *,
        until: float | None = None,
        known: _Known | None = None,
    ) -> Change:
        """The loop. `until`: the time (of `_now`) after which nothing is written any more. `known`: what was read
        before; it is read again, which costs less when it is still the same, and then its draft counts.
        """
        key = self.key(name)
        deadline = _now() + PATIENCE
        pause = 0.0005
        renewed: set[str] = set()
        in_doubt: list[Project | None] = []  # what was there before a write of ours whose outcome is unknown
        while True:
            with self._turns[hash(name) % _STRIPES]:
                record = self.store.records.read(key, known.record if known is not None else None)
                if known is None or record is not known.record:
                    known = _Known(record, self.decode(record))
                before, attempted = known.project, known
                known = _Known(record, before)  # a draft is used once
                try:
                    after: Project | None = transition(before)
                except QuireError as error:
                    if not in_doubt:
                        raise
                    if not isinstance(error, NotFound):
                        raise OutcomeUnknown(_DOUBT.format(name)) from error
                    after = before  # what was to be taken out is gone: our write had gone through
                if after is before:
                    self.store.records.confirm(record)
                    return Change(name, in_doubt[0] if in_doubt else before, before, record.tag)
                if in_doubt:
                    # Our write was lost, or somebody has undone it since. To do it again would undo what they did.
                    raise OutcomeUnknown(_DOUBT.format(name))
                if after is not None and changes.is_empty(after):
                    after = None
                if until is not None and _now() > until:
                    raise StoreError(f"Publishing to {name} took too long, nothing was published; repeat it.")
                self._renew(_dropped(before, after), renewed)
                try:
                    written = self._write(attempted, after, action, origin)
                    self.made[action] = self.made.get(action, 0) + 1
                    return Change(name, before, after, written.tag)
                except OutcomeUnknown:
                    self.in_doubt += 1
                    in_doubt.append(before)
                except Conflict as error:
                    self.conflicts += 1
                    if _now() > deadline:
                        raise StoreError(
                            f"The project {name} is being changed by too many at once; repeat later."
                        ) from error
            time.sleep(random.uniform(0, pause))  # noqa: S311 - spreads writers, hides nothing
            pause = min(pause * 2, 0.25)

    def _draft(self, known: _Known, after: Project, action: str, origin: Origin | None) -> Draft | None:
        """What `_write` is going to write if nobody is faster, for the store to begin with it while blobs are stored.

        None when older entries must be archived before. Who gets a draft discards it in the end.
        """
        log = entries_of(known.record)
        if must_be_relieved(log):
            return None
        log.append(make_entry(action, known.project, after, origin or self.origin, log))
        return self.store.records.draft(known.record.key, encode_project(after, log))

    def _write(self, known: _Known, after: Project | None, action: str, origin: Origin | None) -> Record:
        """The commit: the project and the entries of its latest changes, in one step."""
        record, before, draft = known
        if draft is not None:
            return self.store.records.write(record.key, draft, record)
        archive = archive_key(self.name, record.key.rpartition("/")[2])
        log = relieve(self.store.records, archive, record, entries_of(record))
        log.append(make_entry(action, before, after, origin or self.origin, log))
        if after is None:
            return self.store.records.write(record.key, None, record, encode_note(log))
        return self.store.records.write(record.key, encode_project(after, log), record)

    # -- blobs --------------------------------------------------------------------------------------------------------

    def _store_blobs(self, upload: Upload, file: File) -> None:
        companions = {".metadata": upload.metadata, ".asc": upload.signature, ".attestations": upload.attestations}
        key = f"{file.blob}/{file.filename}"
        documents = [(document, f"{key}{suffix}") for suffix, document in companions.items() if document is not None]
        self.store.blobs.publish_all([*documents, (upload.staged, key)])

    def _renew(self, files: Iterable[File], renewed: set[str]) -> None:
        """Let the age of what is about to be unlisted begin anew, once. Failure only makes garbage of it sooner."""
        for file in files:
            for key in blob_keys(file):
                if key not in renewed:
                    renewed.add(key)
                    with contextlib.suppress(QuireError):
                        self.store.blobs.renew(key)

    def remove_blobs(self, files: Iterable[File]) -> None:
        """Remove what files of `Change.removed` had stored. Failure is left to collect_garbage."""
        for file in files:
            for key in blob_keys(file):
                try:
                    self.store.blobs.remove(key)
                except StoreError:
                    return


def _dropped(before: Project | None, after: Project | None) -> tuple[File, ...]:
    """The entries of one that the other no longer has."""
    kept = {file.blob for file in after.files.values()} if after is not None else set()
    files = before.files.values() if before is not None else ()
    return tuple(file for file in files if file.blob is not None and file.blob not in kept)


def _now() -> float:
    """Seconds that go on while the machine sleeps, where the system can tell them (clock_gettime(2))."""
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


def timestamp(moment: datetime | None = None) -> str:
    """PEP 700's upload-time: RFC 3339 in UTC with microseconds. None for now."""
    moment = (moment or datetime.now(UTC)).astimezone(UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"  # strftime takes twenty times as long


def _entry(upload: Upload) -> File:
    digests = upload.staged.digests
    return File(
        filename=upload.parsed.filename,
        version=upload.parsed.version,
        size=upload.staged.size,
        hashes={
            "sha256": digests.sha256,
            "blake2b_256": digests.blake2b_256,
            "md5": digests.md5,
            **digests.other,
        },
        uploaded=upload.uploaded or timestamp(),
        requires_python=upload.requires_python,
        metadata_sha256=None if upload.metadata is None else hashlib.sha256(upload.metadata).hexdigest(),
        signed=upload.signature is not None,
        attested=upload.attestations is not None,
        uploader=upload.uploader,
        blob=f"{upload.parsed.project}/{digests.sha256}-{secrets.token_hex(4)}",
    )
