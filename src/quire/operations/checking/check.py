"""The check of one store."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from quire.access.document import KEY
from quire.access.records import AccessRecords
from quire.domain.advisory_sources import is_advisories
from quire.domain.errors import BlobMissing, DamagedRecord, InvalidName, InvalidRequest, StoreError
from quire.domain.names import is_normalized, normalize_name
from quire.domain.namespaces import Grants
from quire.domain.project import FORMAT_WITH_PENDING, File, Project
from quire.domain.promotions import JOURNAL
from quire.domain.trash import is_trash
from quire.dropin.folder import Folder
from quire.index.commits import deleted_files
from quire.index.index import Index
from quire.operations.advisories import unnamed_advisories
from quire.operations.checking.collect import GRACE
from quire.operations.checking.copies import Copies, Copy
from quire.operations.checking.documents import check_journal, check_sessions, is_newer
from quire.operations.checking.drop_ins import DropInCheck
from quire.operations.checking.findings import Checked, Finding, Severity
from quire.operations.checking.name_lists import ListRepairs, check_agreement, check_readable
from quire.operations.checking.references import is_mirrored, named_blobs, project_of
from quire.operations.checking.repair import Repairs
from quire.process.progress import Progress
from quire.store.contracts import Record, Store, StoredBlob
from quire.store.open_blob import OpenBlob
from quire.store.posix.inspector import Anomaly, Kind, PosixInspector

_ANOMALIES = {
    Kind.INCOMING: (
        Severity.LEFTOVER,
        "Staged bytes that were never published; servers sweep them a day after the last write, --repair an hour.",
    ),
    Kind.INTENT: (Severity.LEFTOVER, "A change of the list of projects that did not tidy up; the list is right."),
    Kind.MARKER: (Severity.DAMAGE, "The list of projects does not agree with this record."),
    Kind.NO_REVISION: (Severity.LEFTOVER, "The folder of a record without any revision."),
    Kind.EMPTY_DIRECTORY: (Severity.LEFTOVER, "An empty folder where a file was, or was about to be."),
    Kind.FOREIGN: (Severity.FOREIGN, "Not made by quire; move it out of the store."),
}
_UNANSWERED = "So nothing is known of it, and --repair leaves it alone; see to the volume or bucket, and check again."


class Check:
    """One run over everything in a store. Use once."""

    def __init__(
        self,
        store: Store,
        indexes: Callable[[], Sequence[Index]],
        inspector: PosixInspector | None = None,
        *,
        quick: bool = False,
        repair: bool = False,
        grace: float = GRACE,
        folder: Folder | None = None,
        namespaces: Grants = (),
        lists: ListRepairs | None = None,
        progress: Progress | None = None,
    ) -> None:
        """`indexes`: all indexes of the store; asked after the blobs were listed.
        `inspector`: examines the store's own folders; None skips that, and the repairs there. `lists`: repairs of the
        lists of projects, where these are objects of their own; None for none.
        `quick`: believe the sizes, and read no file. `grace`: seconds in which a change is expected to be complete.
        `folder`: the drop-in files that are served with the store: checked too, and lost files are restored from them;
        `namespaces`: those of its index.
        """
        self._store = store
        self._indexes = indexes
        self._inspector = inspector
        self._quick = quick
        self._repairs = Repairs(store, inspector) if repair and inspector is not None else None
        self._grace = grace
        self._folder = folder
        self._namespaces = namespaces
        self._lists = lists if repair else None
        self._copies: Copies | None = None
        self._progress = progress or Progress()
        self._checked = Checked()
        self._blobs: dict[str, StoredBlob] = {}

    def run(self) -> Checked:
        """Check everything. Raises StoreError when the store as a whole cannot be read."""
        self._blobs = {blob.key: blob for blob in self._store.blobs.list()}
        self._progress.step("reading", 0 if self._quick else sum(blob.size for blob in self._blobs.values()))
        indexes = self._indexes()
        for index in indexes:
            self._check_index(index)
        self._checked.findings += check_sessions(self._store.records, self._repairs, is_repairable=self._is_repairable)
        self._check_unlisted(indexes)
        self._check_advisories()
        self._check_anomalies()
        if self._folder is not None:
            DropInCheck(self._folder, self._checked, self._grace, self._quick, self._namespaces).run()
        return self._checked

    def _found(self, severity: Severity, code: str, where: str, sentence: str, **more: Any) -> None:
        self._checked.findings.append(Finding(severity, code, where, sentence, **more))

    @property
    def _is_repairable(self) -> bool:
        return self._inspector is not None

    def _check_index(self, index: Index) -> None:
        records, folder = self._store.records, index.prefix
        self._checked.findings += check_readable(records, folder, self._lists)
        names = records.written(folder)
        present = {name: self._check_record(index, name) for name in names if name != JOURNAL}
        if JOURNAL in names:
            self._checked.findings += check_journal(records, folder, self._repairs, is_repairable=self._is_repairable)
        if self._inspector is None:  # which else looks at the marks from which a list is made
            self._checked.findings += check_agreement(records, folder, present, self._lists)

    # -- records ------------------------------------------------------------------------------------------------------

    def _check_record(self, index: Index, name: str) -> bool | None:
        """Whether the project is present; None when that is not known."""
        key = f"{index.prefix}/{name}"
        if not is_normalized(name):
            self._found(
                Severity.FOREIGN,
                "record-name",
                key,
                "No project has this name in its normalized form; it is not served.",
            )
            return None
        try:
            record = self._store.records.read(key)
        except DamagedRecord as error:  # the store itself cannot understand it
            self._found(Severity.DAMAGE, "damaged-record", key, str(error))
            return None
        except StoreError as error:
            self._found(Severity.DAMAGE, "unreadable-record", key, str(error))
            return None
        try:
            project = Index.decode(record)
        except DamagedRecord as error:
            if self._store.records.read(key, record) is not record:
                return self._check_record(index, name)  # another one was just written
            self._damaged_record(index, name, record, error)
            return record.data is not None
        if not is_trash(index.name):
            self._check_tombstones(record)
        if project is not None:
            self._checked.projects += not is_trash(index.name)
            self._check_project(index, name, project)
        return project is not None

    def _check_tombstones(self, record: Record) -> None:
        try:
            self._checked.deleted += len(deleted_files(record))
        except DamagedRecord as error:
            repair = self._repairs.mend_tombstones(record) if self._repairs is not None else None
            sentence = f"{error.args[0].partition(';')[0]}. Until then uploads and deletions are refused."
            self._found(Severity.DAMAGE, "damaged-tombstones", record.key, sentence, repair=repair)

    def _damaged_record(self, index: Index, name: str, record: Record, error: DamagedRecord) -> None:
        if is_newer(record.data or b"", FORMAT_WITH_PENDING):
            self._found(Severity.DAMAGE, "newer-format", record.key, str(error))
            return
        reason = f" ({error.__cause__})" if error.__cause__ is not None else ""
        sentence = f"The record is no project document{reason}; the project cannot be served."
        restored = None
        if self._repairs is not None:
            restored = self._repairs.restore(record.key, record, self._stored_for(index, name))
            if restored is None:
                sentence += " There is no earlier revision to go back to; restore it from a backup."
        self._found(Severity.DAMAGE, "damaged-record", record.key, sentence, repair=str(restored) if restored else None)
        if restored is not None:
            self._check_record(index, name)

    def _stored_for(self, index: Index, name: str) -> list[str]:
        """The blobs of a project that no record beside that of this index names; none while that is not known."""
        try:
            named = named_blobs([each for each in self._indexes() if each.name != index.name], name)
        except DamagedRecord:
            return []
        return [blob for blob in self._blobs if project_of(blob) == name and blob not in named]

    def _check_project(self, index: Index, name: str, project: Project) -> None:
        key = f"{index.prefix}/{name}"
        try:
            agrees = normalize_name(project.name) == name
        except InvalidName:
            agrees = False
        if not agrees:
            repair = self._repairs.rename(index, name) if self._repairs is not None else None
            self._found(
                Severity.DAMAGE, "wrong-name", key, f"The record says that its name is {project.name!r}.", repair=repair
            )
        for filename, file in project.files.items():
            if is_trash(index.name):
                self._checked.trashed += 1
            else:
                self._checked.files += 1
            where = f"{key}/{filename}"
            found = self._check_file(file)
            if found is not None:
                if self._is_promised(index, name, file):
                    self._lost_file(index, name, file, where, found)
                continue
            self._check_companions(index, name, file, where)

    def _lost_file(self, index: Index, name: str, file: File, where: str, found: tuple[str, str]) -> None:
        """A file that cannot be served: where from it can be restored, or what else is to be done."""
        code, sentence = found
        if _is_unanswered(code):
            self._found(Severity.DAMAGE, code, where, f"{sentence} {_UNANSWERED}")
            return
        self._copies = self._copies or Copies(self._store, self._blobs, self._folder)
        copy = self._copies.of(name, file)
        repair = self._repairs.restore_file(index, name, file, copy) if self._repairs is not None else None
        if repair is None:
            sentence += f" {self._advice(copy)}"
        self._found(Severity.DAMAGE, code, where, sentence, repair=repair)

    def _advice(self, copy: Copy | None) -> str:
        if copy is None:
            return "No other copy of it is here; publish the same file again, and it is restored."
        if self._inspector is None:
            return f"It can be restored from {copy.where}: publish that file again."
        if self._repairs is None:
            return f"It can be restored from {copy.where}, by --repair."
        return f"It could not be restored from {copy.where}; is the project archived?"

    def _check_companions(self, index: Index, name: str, file: File, where: str) -> None:
        if file.metadata_sha256 is not None:
            found = self._check_blob(f"{file.blob}/{file.filename}.metadata", "metadata", sha256=file.metadata_sha256)
            if found is not None and self._is_promised(index, name, file):
                self._lost_companion(where, found, lambda repairs: repairs.renew_metadata(index, name, file))
        if file.signed:
            found = self._check_blob(f"{file.blob}/{file.filename}.asc", "signature")
            if found is not None and self._is_promised(index, name, file):
                self._lost_companion(where, found, lambda repairs: repairs.drop_signature(index, name, file))
        if file.attested:
            self._check_attestations(index, name, file, where)

    def _check_attestations(self, index: Index, name: str, file: File, where: str) -> None:
        severity, found = Severity.DAMAGE, None
        if file.provenance_sha256 is not None:
            key = f"{file.blob}/{file.filename}.attestations"
            found = self._check_blob(key, "attestations", sha256=file.provenance_sha256)
        else:
            sentence = "Its attestations were kept by an earlier version, which did not verify them; none is served."
            severity, found = Severity.LEFTOVER, ("unverified-attestations", sentence)
        if found is not None and self._is_promised(index, name, file):
            self._lost_companion(
                where, found, lambda repairs: repairs.drop_attestations(index, name, file), severity=severity
            )

    def _lost_companion(
        self,
        where: str,
        found: tuple[str, str],
        mend: Callable[[Repairs], str | None],
        *,
        severity: Severity = Severity.DAMAGE,
    ) -> None:
        code, sentence = found
        if _is_unanswered(code):
            self._found(severity, code, where, f"{sentence} {_UNANSWERED}")
            return
        self._found(severity, code, where, sentence, repair=mend(self._repairs) if self._repairs is not None else None)

    def _is_promised(self, index: Index, name: str, file: File) -> bool:
        """Whether the record, read again, still lists the file with this blob."""
        try:
            project = index.project(name)
        except StoreError:
            return True
        present = project.files.get(file.filename) if project is not None else None
        return present is not None and present.blob == file.blob

    def _check_advisories(self) -> None:
        """The data of every source of advisories that the store names, and such data that it does not name."""
        access = AccessRecords(self._store)
        try:
            sources = access.read().state.document.advisories
            stored = [blob for blob in self._blobs.values() if is_advisories(blob.key)]
            unnamed = unnamed_advisories(access, stored)
        except StoreError as error:
            self._found(Severity.DAMAGE, "damaged-record", KEY, str(error))
            return
        for name, source in sources.items():
            found = self._check_blob(source.key, "advisories", size=source.size, sha256=source.digest)
            if found is not None and access.read().state.document.advisories.get(name) == source:
                sentence = f"{found[1]} Take the source {name} in again with 'quire osv update'."
                self._found(Severity.DAMAGE, found[0], f"blobs/{source.key}", sentence)
        for blob in unnamed:
            self._orphan(blob)

    def _orphan(self, blob: StoredBlob) -> None:
        self._found(
            Severity.ORPHAN,
            "orphan",
            f"blobs/{blob.key}",
            "Stored bytes that no record lists.",
            size=blob.size,
            young=blob.age < self._grace,
        )

    # -- blobs --------------------------------------------------------------------------------------------------------

    def _check_file(self, file: File) -> tuple[str, str] | None:
        """(code, sentence) of the fault of the stored distribution; None when there is none."""
        if file.blob is None:
            return "missing-file", "The record does not say where the file is stored."
        return self._check_blob(f"{file.blob}/{file.filename}", "file", size=file.size, sha256=file.sha256)

    def _check_blob(
        self, key: str, word: str, *, size: int | None = None, sha256: str | None = None
    ) -> tuple[str, str] | None:
        try:
            opened = self._store.blobs.open(key)
        except (BlobMissing, InvalidRequest):
            return f"missing-{word}", f"The stored {word} is missing."
        except StoreError as error:
            return f"unreadable-{word}", str(error)
        try:
            with opened:
                if size is not None and opened.size != size:
                    return f"damaged-{word}", f"The stored {word} has {opened.size} bytes instead of {size}."
                digest = sha256 if self._quick or sha256 is None else self._digest(opened)
        except StoreError as error:
            return f"unreadable-{word}", str(error)
        if digest == sha256:
            return None
        return f"damaged-{word}", f"The stored {word} has the sha256 {digest} instead of {sha256}."

    def _digest(self, opened: OpenBlob) -> str:
        hasher = hashlib.sha256()
        for piece in opened.pieces():
            hasher.update(piece)
            self._checked.bytes += len(piece)
            self._progress.advance(len(piece))
        return hasher.hexdigest()

    def _check_unlisted(self, indexes: Sequence[Index]) -> None:
        """Report blobs that no record lists; the records are read after the blobs were listed."""
        by_project: dict[str, list[StoredBlob]] = {}
        for blob in self._blobs.values():
            project = project_of(blob.key)
            if is_mirrored(blob.key) or is_advisories(blob.key):
                continue
            if project is None:
                self._found(
                    Severity.FOREIGN,
                    "foreign",
                    f"blobs/{blob.key}",
                    _ANOMALIES[Kind.FOREIGN][1],
                    size=blob.size,
                )
            else:
                by_project.setdefault(project, []).append(blob)
        for project, blobs in by_project.items():
            try:
                named = named_blobs(indexes, project)
                if all(blob.key in named for blob in blobs):
                    continue
                named |= named_blobs(self._indexes(), project)  # a trash may be new, with what was deleted since
            except DamagedRecord:
                continue  # the record is damaged, which is a finding of its own; its files are not known
            present = {blob.key for blob in self._store.blobs.list(project)}
            for blob in blobs:
                if blob.key not in named and blob.key in present:
                    self._orphan(blob)

    # -- the store's own folders --------------------------------------------------------------------------------------

    def _check_anomalies(self) -> None:
        if self._inspector is None:
            return
        anomalies = self._inspector.anomalies()
        if self._repairs is not None:
            self._store.sweep(self._grace)
        for anomaly in anomalies:
            severity, sentence = _ANOMALIES[anomaly.kind]
            finding = Finding(
                severity,
                str(anomaly.kind),
                anomaly.path,
                sentence,
                size=anomaly.size,
                young=anomaly.kind is not Kind.FOREIGN and anomaly.age < self._grace,
            )
            if self._repairs is not None:
                finding = dataclasses.replace(finding, repair=self._tidied(anomaly, young=finding.young))
            self._checked.findings.append(finding)

    def _tidied(self, anomaly: Anomaly, *, young: bool) -> str | None:
        assert self._inspector is not None
        if anomaly.kind is Kind.MARKER:
            return self._inspector.tidy(anomaly)
        if young:
            return None
        if anomaly.kind in {Kind.INCOMING, Kind.INTENT}:
            return "It was swept."
        return self._inspector.tidy(anomaly)


def _is_unanswered(code: str) -> bool:
    """Whether the store could not say what is there: one error in passing must not cost a healthy file its listing."""
    return code.startswith("unreadable-")
