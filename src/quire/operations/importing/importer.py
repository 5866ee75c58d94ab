"""The import of one folder: which projects there are, several at once, and what they have in common."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Protocol, runtime_checkable

import structlog

from quire.domain.errors import DamagedRecord, InvalidRequest, QuireError
from quire.dropin.facts import Facts, decode_facts
from quire.dropin.files import Look
from quire.dropin.folder import Folder
from quire.dropin.listing import Candidate, Listing
from quire.dropin.tree import Tree
from quire.index.index import Index
from quire.operations.importing import source as files
from quire.operations.importing.outcome import NoProgress, Outcome, Progress, Report, Result
from quire.operations.importing.project import ProjectImport
from quire.store.contracts import Staged

_log = structlog.get_logger(__name__)

JOBS = 4
"""Projects that are worked on at once: on a network file system most of the time is waiting for it."""


@runtime_checkable
class _Adopts(Protocol):
    """Blobs that can take a file in by linking it; see PosixBlobs.adopt."""

    def adopt(self, path: str, notify: Callable[[int], object]) -> Staged | None: ...


class _Stopped(BaseException):
    """Raised in the worker threads when the import is given up. No error: nobody is to handle it on its way."""


class Importer:
    """Imports one folder into one index. Use once."""

    def __init__(
        self,
        index: Index,
        source: Path,
        *,
        beside: Folder | None = None,
        exclude: Sequence[Path] = (),
        facts_apply: bool = False,
        move: bool = False,
        link: bool = False,
        jobs: int = JOBS,
        progress: Progress | None = None,
        user: str | None = None,
    ) -> None:
        """`beside`: the drop-in files that are served with the index and may not be contradicted; None when there are
        none but those of the source.
        `exclude`: folders that are no part of the source (a store within it; one directly in it is left out anyway).
        `facts_apply`: whether the source is the served folder that the index's digests of drop-in files are about.
        `move`: remove each source file once it is safe in the store. `link`: hard links where possible.
        `user`: for the log.
        """
        self.index = index
        self.moves = move
        self._tree = Tree([source], exclude=exclude)
        self._listing: Listing | None = None
        self._beside = beside
        self._beside_names: dict[str, set[str]] = {}
        self._facts_apply = facts_apply
        self._link = link
        self._jobs = jobs
        self._progress = progress or NoProgress()
        self._user = user
        self._stop = threading.Event()
        self._link_targets: frozenset[str] = frozenset()
        self._late: dict[str, tuple[Candidate, Look, bool]] = {}  # sources that symbolic links lead to, removed last

    def run(self, report: Report | None = None) -> Report:
        """Import everything that can be. What was done before an error is in the `report` that was given.

        Raises StoreError when the store or the source fails as a whole (full, read-only, gone); repeat then.
        """
        report = report if report is not None else Report()
        self._listing = listing = self._tree.refresh()
        candidates = tuple(listing.by_path.values())
        looks = [self._tree.look(candidate, listing) for candidate in candidates]
        self._progress.start(sum(look.stamp.size for look in looks if look is not None))
        pairs = zip(candidates, looks, strict=True)
        self._link_targets = frozenset(look.path for candidate, look in pairs if candidate.is_link and look is not None)
        for path, project in self._beside.all_files() if self._beside is not None else ():
            self._beside_names.setdefault(project, set()).add(path.rpartition("/")[2])
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="import") as pool:
            futures: list[Future[list[Result]]] = []
            try:
                futures = [pool.submit(self._project, name, listing.projects[name]) for name in listing.names]
                for future in as_completed(futures):
                    report.results += future.result()
            except BaseException:
                self._stop.set()
                for future in futures:
                    future.cancel()
                raise
        late = self._late.items()
        reasons = {path: files.remove(candidate, look, linked=linked) for path, (candidate, look, linked) in late}
        report.results = [
            dataclasses.replace(result, note=reason, removed=False, failed=True)
            if (reason := reasons.get(result.path)) is not None
            else result
            for result in sorted(report.results, key=lambda result: result.path)
        ]
        return report

    def _project(self, name: str, candidates: Sequence[Candidate]) -> list[Result]:
        try:
            work = ProjectImport(self, name)
        except (InvalidRequest, DamagedRecord) as error:
            return [self.result(candidate, None, Outcome.REFUSED, str(error)) for candidate in candidates]
        try:
            for candidate in candidates:
                self.advance(0)
                work.take(candidate)
            work.publish()
        finally:
            work.discard()
        count = sum(result.outcome is Outcome.IMPORTED for result in work.results)
        if count:
            _log.info("imported", project=name, files=count, user=self._user)
        return work.results

    # -- what the work on a project asks for; called in several threads -----------------------------------------------

    def result(
        self,
        candidate: Candidate,
        look: Look | None,
        outcome: Outcome,
        note: str | None = None,
        *,
        removed: bool = False,
    ) -> Result:
        """What became of a file."""
        return Result(
            path=candidate.relative,
            project=candidate.parsed.project,
            filename=candidate.parsed.filename,
            size=look.stamp.size if look is not None else 0,
            outcome=outcome,
            note=note,
            removed=removed,
            failed=outcome in {Outcome.CONFLICT, Outcome.REFUSED} or (self.moves and not removed),
        )

    def advance(self, amount: int) -> None:
        """So many bytes were read. Raises when the import was given up meanwhile."""
        if self._stop.is_set():
            raise _Stopped
        self._progress.advance(amount)

    def look(self, candidate: Candidate) -> Look | None:
        """The file as it is now; None when it is not to be taken."""
        assert self._listing is not None
        return self._tree.look(candidate, self._listing)

    def facts(self, project: str) -> dict[str, Facts]:
        """What servers have found out about the source's files already, by candidate key."""
        if not self._facts_apply:
            return {}
        try:
            return decode_facts(self.index.store.records.read(f"{self.index.name}/dropins/{project}").data) or {}
        except QuireError:
            return {}  # they only save time

    def digest_beside(self, project: str, filename: str) -> str | None:
        """sha256 of the drop-in file of this name that is served beside the store; None when there is none."""
        if self._beside is None or filename not in self._beside_names.get(project, ()):
            return None
        found = {each.file.filename: each.file.sha256 for each in self._beside.project(project).files}
        return found.get(filename)

    def stage(self, look: Look) -> tuple[Staged, bool, Look]:
        """The bytes of a source file in the staging, whether they are the file itself, and the file as it is now.

        Raises Refused.
        """
        blobs = self.index.store.blobs
        if self._link and isinstance(blobs, _Adopts):
            adopted = blobs.adopt(look.path, self.advance)
            if adopted is not None:
                try:
                    return adopted, True, files.look_again(look)
                except files.Refused:
                    adopted.discard()
                    raise
            look = files.look_again(look)
        staging = blobs.stage()
        try:
            files.read_unchanged(look, staging.write, self.advance)
            return staging.finish(), False, look
        except BaseException:
            staging.discard()
            raise

    def remove_source(self, candidate: Candidate, look: Look, *, linked: bool) -> str | None:
        """Remove a source file that is safe in the store; the reason when it stays. `linked`: as for `files.remove`.

        A file that symbolic links of the source lead to goes last, so that they can be read until then.
        """
        if look.path in self._link_targets and not candidate.is_link:
            self._late[candidate.relative] = (candidate, look, linked)
            return None
        return files.remove(candidate, look, linked=linked)
