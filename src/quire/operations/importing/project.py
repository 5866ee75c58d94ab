"""The import of one project's files: each is compared or staged, and the staged ones are published in one step."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

from quire.domain.errors import DamagedRecord, FileExists, InvalidRequest, ProjectClosed, StoreError
from quire.domain.names import MAX_FILENAME_BYTES
from quire.domain.project import File, Project
from quire.dropin.drop_in import rfc3339
from quire.dropin.files import FileStat
from quire.dropin.listing import Candidate
from quire.index.commits import deleted_files
from quire.index.integrity import has_digest
from quire.index.upload import Upload
from quire.operations import changing
from quire.operations.importing.context import ImportContext
from quire.operations.importing.examining import as_served
from quire.operations.importing.outcome import Outcome, Result
from quire.operations.importing.source import Refused, read_signature, read_unchanged, remove_signature
from quire.store.contracts import Staged

BATCH_FILES = 200
BATCH_BYTES = 1024**3
"""A batch is published when it has so many files or bytes: staged bytes must not lie for an hour."""


@dataclass(frozen=True, slots=True)
class _Queued:
    """A file that is staged, to be published with its batch."""

    candidate: Candidate
    file_stat: FileStat
    upload: Upload
    linked: bool
    note: str | None


class ProjectImport:
    """The work on one project, in one thread."""

    def __init__(self, context: ImportContext, name: str) -> None:
        """Raises DamagedRecord, InvalidName."""
        self.results: list[Result] = []
        self._context = context
        self._name = name
        self._published: dict[str, File] = {}
        self._deleted: dict[str, str] = {}
        self._closed: str | None = None
        self._refresh()
        self._facts = context.facts(name)
        self._queue: dict[str, _Queued] = {}
        self._copies: list[Candidate] = []  # further copies of queued files

    def _refresh(self) -> None:
        record = self._context.index.store.records.read(self._context.index.key(self._name))
        project: Project | None = self._context.index.decode(record)
        self._deleted = deleted_files(record)
        self._published = dict(project.files) if project is not None else {}
        self._closed = (
            f"The project is {project.status} and takes no files; 'quire status' can change that."
            if project is not None and not project.status.accepts_uploads
            else None
        )

    def take(self, candidate: Candidate) -> None:
        """Decide about one file: queue it, or add its result."""
        filename, file_stat = candidate.parsed.filename, self._context.stat(candidate)
        if file_stat is None:
            self._done(candidate, None, Outcome.REFUSED, "It is gone, no plain file, or a link to outside the folder.")
            return
        try:
            published = self._published.get(filename)
            if published is not None:
                self._compare(candidate, file_stat, published)
            elif filename in self._queue:
                self._copies.append(candidate)
            else:
                self._stage(candidate, file_stat)
        except Refused as error:
            self._done(candidate, file_stat, Outcome.REFUSED, str(error))

    def publish(self) -> None:
        """Publish the queued files, and then compare their copies."""
        while self._queue:
            queue, copies = list(self._queue.values()), self._copies
            self._queue, self._copies = {}, []
            self._publish(queue)
            for candidate in copies:
                self.take(candidate)

    def discard(self) -> None:
        """Discard staged bytes that will not be published."""
        for queued in self._queue.values():
            queued.upload.staged.discard()

    # -- one file -----------------------------------------------------------------------------------------------------

    def _compare(self, candidate: Candidate, file_stat: FileStat, published: File) -> None:
        """A file of this name is published: is it this one?"""
        digest = self._digest(candidate, file_stat) if published.size == file_stat.fingerprint.size else None
        if digest == published.sha256:
            blobs, key = self._context.index.store.blobs, f"{published.blob}/{published.filename}"
            if has_digest(blobs, key, None, published.size):
                self._settle(candidate, file_stat, Outcome.PRESENT, published)
            else:  # listed, and not in the store any more: publishing it again restores it
                self._stage(candidate, file_stat)
            return
        sentence = f"Other content is published under this name (sha256 {published.sha256[:12]}...); nothing changed."
        self._done(candidate, file_stat, Outcome.CONFLICT, sentence)

    def _digest(self, candidate: Candidate, file_stat: FileStat) -> str:
        """sha256 of a source file. Before a file is removed it is always read."""
        facts = self._facts.get(candidate.key)
        if (
            not self._context.moves
            and facts is not None
            and facts.past_racy_window
            and facts.fingerprint == file_stat.fingerprint
        ):
            self._context.advance(file_stat.fingerprint.size)
            return facts.hashes.get("sha256", "")
        hasher = hashlib.sha256()
        read_unchanged(file_stat, hasher.update, self._context.advance)
        return hasher.hexdigest()

    def _stage(self, candidate: Candidate, file_stat: FileStat) -> None:
        filename = candidate.parsed.filename
        if self._closed is not None:
            raise Refused(self._closed)
        if len(filename.encode()) > MAX_FILENAME_BYTES:
            raise Refused(f"Its name is longer than {MAX_FILENAME_BYTES} bytes; rename it.")
        staged, linked, file_stat = self._context.stage(candidate, file_stat)
        try:
            conflict = self._conflict(filename, staged.digests.sha256)
            if conflict is None:
                upload, note = self._examine(candidate, file_stat, staged)
                self._queue[filename] = _Queued(candidate, file_stat, upload, linked, note)
            else:
                staged.discard()
                self._done(candidate, file_stat, Outcome.CONFLICT, conflict)
        except BaseException:
            staged.discard()
            raise
        if (
            len(self._queue) >= BATCH_FILES
            or sum(queued.file_stat.fingerprint.size for queued in self._queue.values()) >= BATCH_BYTES
        ):
            self.publish()

    def _conflict(self, filename: str, sha256: str) -> str | None:
        """Why content may not have this name that nothing is published under; None when it may."""
        if self._context.drop_in_digest(self._name, filename) not in {None, sha256}:
            return "A served folder has a file of this name with other content; remove or rename one of them."
        deleted = self._deleted.get(filename, sha256)
        if deleted != sha256:
            return (
                f"The filename was used before, for other content that was deleted (sha256 {deleted[:12]}...); "
                f"a filename never comes back with other content."
            )
        return None

    def _examine(self, candidate: Candidate, file_stat: FileStat, staged: Staged) -> tuple[Upload, str | None]:
        """The file as an upload, as a drop-in folder would describe it; a note on its signature. Raises Refused."""
        if staged.size != file_stat.fingerprint.size:
            raise Refused("It is not a complete archive: damaged, or still being copied.")
        upload = as_served(staged, candidate.parsed)
        signature, note = read_signature(candidate)
        uploaded = rfc3339(file_stat.fingerprint.mtime_ns)
        return replace(upload, signature=signature, uploaded=uploaded), note

    # -- publication --------------------------------------------------------------------------------------------------

    def _publish(self, queue: list[_Queued]) -> None:
        try:
            changing.publish(self._context.index, [queued.upload for queued in queue], imported=True)
        except FileExists:
            # Another process published one of them meanwhile, so none of ours was: take all of them again.
            self._refresh()
            for queued in queue:
                self.take(queued.candidate)
            return
        except (ProjectClosed, DamagedRecord, InvalidRequest) as error:
            for queued in queue:
                self._done(queued.candidate, queued.file_stat, Outcome.REFUSED, str(error))
            return
        self._refresh()
        for queued in queue:
            published = self._published.get(queued.upload.parsed.filename)
            if published is not None and published.sha256 == queued.upload.staged.digests.sha256:
                self._settle(
                    queued.candidate, queued.file_stat, Outcome.IMPORTED, published, queued.note, linked=queued.linked
                )
            else:
                sentence = "It was published, and then deleted or replaced by another user."
                self._done(queued.candidate, queued.file_stat, Outcome.CONFLICT, sentence)

    def _settle(
        self,
        candidate: Candidate,
        file_stat: FileStat,
        outcome: Outcome,
        published: File,
        note: str | None = None,
        *,
        linked: bool = False,
    ) -> None:
        """The file is in the store: remove the source if it is to be moved."""
        if candidate.is_signed and not published.signed and note is None:
            note = "It was published without the signature that lies beside it; the signature was left."
        if not self._context.moves:
            self._done(candidate, file_stat, outcome, note)
            return
        reason = None if linked else self._read_back(published)
        if reason is None:
            reason = self._context.remove_source(candidate, file_stat, linked=linked)
        if reason is None:
            note = note or self._remove_signature(candidate, published)
        self._done(candidate, file_stat, outcome, reason or note, removed=reason is None)

    def _read_back(self, published: File) -> str | None:
        """Read the stored bytes; the reason when the source had better stay."""
        hasher = hashlib.sha256()
        try:
            with self._context.index.store.blobs.open(f"{published.blob}/{published.filename}") as opened:
                for piece in opened.pieces():
                    hasher.update(piece)
                    self._context.advance(0)
        except (StoreError, InvalidRequest):
            return "The stored file cannot be read back, so the source was left; run 'quire check'."
        if hasher.hexdigest() != published.sha256:
            return "The stored file is damaged, so the source was left; run 'quire check --repair', then import again."
        return None

    def _remove_signature(self, candidate: Candidate, published: File) -> str | None:
        """Remove the signature beside the source if the store has the same one; a sentence when it stays."""
        if read_signature(candidate)[0] is None:
            return None
        stored: bytes | None = None
        key = f"{published.blob}/{published.filename}.asc"
        with suppress(StoreError), self._context.index.store.blobs.open(key) as opened:
            stored = opened.read()
        return remove_signature(candidate, stored)

    def _done(
        self,
        candidate: Candidate,
        file_stat: FileStat | None,
        outcome: Outcome,
        note: str | None = None,
        *,
        removed: bool = False,
    ) -> None:
        self.results.append(self._context.result(candidate, file_stat, outcome, note, removed=removed))
