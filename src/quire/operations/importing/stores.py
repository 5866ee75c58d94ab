"""Copying an index from one store to another, while servers go on serving both.

Theory of operation
-------------------
Projects are copied one by one, several at a time. Each round reads the project's record in the source and in the
target, copies the next missing files, and lists them in the target in one step, with everything else that the source
says of the project (`quire.domain.carrying`). A file's bytes are compared with its digest on their way. When there is
nothing left to copy or to change, the project is done; so a copy that ended early, or whose source has changed since,
goes on where it was, and costs two reads for each project that is there already.

The step that lists files is refused when the target's record is no longer the one that was read, and the round is
repeated. Whether the target follows its source (see `carrying`) is decided by its audit log: the last change of the
project there was an import from this source. Files that are added to a project that does not follow are published.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Final

from quire.domain import carrying
from quire.domain.errors import DamagedRecord, QuireError, StoreError, StoreFull, StoreReadOnly
from quire.domain.project import File, Project
from quire.domain.promotions import JOURNAL
from quire.index import commits
from quire.index.audit.archive import archive_key, read_archive
from quire.index.audit.entries import Entry, entries_of
from quire.index.commits import stored_project
from quire.index.index import PUBLICATION_SECONDS, Index
from quire.operations import changing
from quire.operations.copying import Unreadable, copy_file
from quire.operations.importing.context import Stopped
from quire.operations.importing.outcome import Outcome, Report, Result
from quire.process.progress import Progress

BATCH_FILES: Final = 100
BATCH_BYTES: Final = 256 * 1024**2
BATCH_SECONDS: Final = 120.0
"""A step lists so many files at most, or those that were copied in this time: copied bytes must not lie for long
before a record names them (see `PUBLICATION_SECONDS`)."""
_ROUNDS: Final = 20
"""Attempts for a step while others change the same project."""


class _Overtaken(QuireError):
    """Another writer changed the project in the target meanwhile."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A project in both stores, as it was read."""

    source: Project | None
    """None: the source never had it."""
    target: Project | None
    history: tuple[Entry, ...]
    """The entries that the source's record carries."""
    follows: bool
    """Whether the target is as imports from this source left it."""

    def missing(self) -> list[File]:
        return carrying.missing_files(self.target, self.source, follows=self.follows) if self.source is not None else []


class StoreImporter:
    """Copies one index of a store into an index of another one. Use once."""

    def __init__(
        self, source: Index, target: Index, *, jobs: int, progress: Progress | None = None, user: str | None = None
    ) -> None:
        """`jobs`: projects at once. `user`: for the audit log."""
        self._source = source
        self._target = target
        self._jobs = jobs
        self._progress = progress or Progress()
        command = f"quire import --from {source.store.place}"
        self._origin = replace(target.origin, user=user or target.origin.user, command=command)
        self._stop = threading.Event()

    def run(self, report: Report | None = None) -> Report:
        """Copy everything that is missing. The results before an error are in the `report` that was given.

        Raises StoreError when a store fails as a whole (full, read-only, gone); repeat then.
        """
        report = report if report is not None else Report()
        written = self._source.store.records.written(self._source.prefix)
        names = [name for name in written if name != JOURNAL]
        self._progress.step(f"{self._source.store.place}, comparing", len(names))
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="import") as pool:
            futures: list[Future[tuple[list[Result], bool]]] = []
            try:
                sizes = dict(zip(names, pool.map(self._bytes_missing, names), strict=True))
                self._progress.step(self._source.store.place, sum(sizes.values()))
                futures = [pool.submit(self._project, name) for name in names]
                for future in as_completed(futures):
                    results, is_updated = future.result()
                    report.results += results
                    report.updated += is_updated
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        report.results.sort(key=lambda result: (result.project, result.path))
        return report

    def _advance(self, amount: int) -> None:
        if self._stop.is_set():
            raise Stopped
        self._progress.advance(amount)

    # -- one project --------------------------------------------------------------------------------------------------

    def _bytes_missing(self, name: str) -> int:
        self._advance(1)
        try:
            return sum(file.size for file in self._read(name).missing())
        except DamagedRecord:
            return 0  # reported when its turn comes

    def _read(self, name: str) -> _Pair:
        """Raises DamagedRecord, StoreError."""
        source = self._source.store.records.read(self._source.key(name))
        target = self._target.store.records.read(self._target.key(name))
        last = (entries_of(target) or [{}])[-1]
        is_import = last.get("action") == "import" and last.get("command") == self._origin.command
        follows = is_import or not target.was_written
        project = stored_project(source)
        if project is not None and project.pending is not None:
            project = self._source.stored(name)  # as its readers see it: a promotion is not copied
        return _Pair(project, stored_project(target), tuple(entries_of(source)), follows)

    def _project(self, name: str) -> tuple[list[Result], bool]:
        """The results for the files of a project, and whether anything else of it was carried over."""
        results: dict[str, Result] = {}
        is_updated, overtaken = False, 0
        try:
            while True:
                self._advance(0)
                pair = self._read(name)
                if pair.source is None:
                    break
                copied, until = self._copy(name, pair, results)
                try:
                    change = self._commit(name, pair, copied, until)
                except _Overtaken:
                    overtaken += 1
                    if overtaken == _ROUNDS:
                        raise StoreError(f"The project {name} has too many writers at once; repeat.") from None
                    continue
                for file in copied:
                    results[file.filename] = _result(name, file, Outcome.IMPORTED)
                is_updated |= change and not copied
                if not copied:
                    break
        except DamagedRecord as error:
            results[""] = Result(name, name, "", 0, Outcome.REFUSED, str(error), failed=True)
            return list(results.values()), is_updated
        if pair.source is not None:
            for file in pair.source.files.values():
                if file.filename not in results:
                    results[file.filename] = _judged(name, file, pair)
        return list(results.values()), is_updated

    def _copy(self, name: str, pair: _Pair, results: dict[str, Result]) -> tuple[list[File], float]:
        """The next of the missing files, stored in the target, and the time (of `commits.now`) until which a record may
        name them. Those that cannot be read get their result.
        """
        copied: list[File] = []
        size, begun = 0, commits.now()
        try:
            for file in pair.missing():
                if file.filename in results and results[file.filename].failed:
                    continue
                size += file.size
                if copied and (
                    len(copied) == BATCH_FILES or size > BATCH_BYTES or commits.now() - begun > BATCH_SECONDS
                ):
                    break
                try:
                    blob = copy_file(self._source.store.blobs, self._target.store.blobs, name, file, self._advance)
                except Unreadable as error:
                    results[file.filename] = _result(name, file, Outcome.REFUSED, str(error))
                    continue
                copied.append(blob)
                if len(copied) == 1:
                    begun = commits.now()  # of a large file, the bytes count from their publication on
        except BaseException:
            self._target.remove_blobs(copied)
            raise
        return copied, begun + PUBLICATION_SECONDS

    def _commit(self, name: str, pair: _Pair, copied: Sequence[File], until: float) -> bool:
        """List the copied files; whether anything changed. Raises _Overtaken, DamagedRecord, StoreError."""
        source = pair.source
        assert source is not None  # the caller has looked

        def transition(project: Project | None) -> Project:
            if project != pair.target:
                raise _Overtaken
            return carrying.carry(project, source, copied, follows=pair.follows)

        try:
            after = transition(pair.target)
            if commits.is_same(pair.target, after):
                return False
            archived = read_archive(self._source.store.records, archive_key(self._source.name, name))
            changing.carry(
                self._target,
                name,
                transition,
                [*archived, *pair.history],
                follows=pair.follows,
                origin=self._origin,
                until=until,
            )
        except (StoreFull, StoreReadOnly):
            self._target.remove_blobs(copied)
            raise
        except StoreError:
            raise  # the record may have been written: blobs that it does not name are left to collect_garbage
        except QuireError:
            self._target.remove_blobs(copied)
            raise
        return True


def _judged(project: str, file: File, pair: _Pair) -> Result:
    """Of a file that was not copied."""
    sentence = carrying.conflict_of(pair.target, file)
    if sentence is not None:
        return _result(project, file, Outcome.CONFLICT, sentence)
    if carrying.was_deleted(pair.target, file):
        sentence = "It was deleted from the target after an earlier import, and stays deleted."
        return _result(project, file, Outcome.DELETED, sentence)
    return _result(project, file, Outcome.PRESENT)


def _result(project: str, file: File, outcome: Outcome, note: str | None = None) -> Result:
    return Result(
        path=file.filename,
        project=project,
        filename=file.filename,
        size=file.size,
        outcome=outcome,
        note=note,
        failed=outcome in {Outcome.CONFLICT, Outcome.REFUSED},
    )
