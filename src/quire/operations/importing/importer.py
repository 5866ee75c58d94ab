"""The import of one folder: which projects there are, and several of them at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import structlog

from quire.domain.errors import DamagedRecord, InvalidRequest
from quire.dropin.folder import Folder
from quire.dropin.listing import Candidate
from quire.index.index import Index
from quire.operations.importing.context import ImportContext
from quire.operations.importing.outcome import Outcome, Report, Result
from quire.operations.importing.project import ProjectImport
from quire.process.progress import Progress

_log = structlog.get_logger(__name__)

JOBS = 4
"""Projects that are worked on at once: on a network file system most of the time is waiting for it."""


class Importer:
    """Imports one folder into one index. Use once."""

    def __init__(
        self,
        index: Index,
        source: Path,
        *,
        drop_ins: Folder | None = None,
        exclude: Sequence[Path] = (),
        facts_apply: bool = False,
        move: bool = False,
        link: bool = False,
        jobs: int = JOBS,
        progress: Progress | None = None,
        user: str | None = None,
    ) -> None:
        """`drop_ins`: the drop-in files that are served with the index and may not be contradicted; None when there are
        none but those of the source.
        `exclude`: folders that are no part of the source (a store within it; one directly in it is left out anyway).
        `facts_apply`: whether the source is the served folder that the index's digests of drop-in files are about.
        `move`: remove each source file once it is safe in the store. `link`: hard links where possible.
        `user`: for the log.
        """
        self._context = ImportContext(
            index,
            source,
            drop_ins=drop_ins,
            exclude=exclude,
            facts_apply=facts_apply,
            move=move,
            link=link,
            progress=progress,
        )
        self._jobs = jobs
        self._user = user

    def run(self, report: Report | None = None) -> Report:
        """Import everything that can be. The results before an error are in the `report` that was given.

        Raises StoreError when the store or the source fails as a whole (full, read-only, gone); repeat then.
        """
        report = report if report is not None else Report()
        listing = self._context.begin()
        report.results += self._context.unread()
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="import") as pool:
            futures: list[Future[list[Result]]] = []
            try:
                futures = [pool.submit(self._project, name, listing.projects[name]) for name in listing.names]
                for future in as_completed(futures):
                    report.results += future.result()
            except BaseException:
                self._context.stop()
                for future in futures:
                    future.cancel()
                raise
        reasons = self._context.remove_late_sources()
        report.results = [
            dataclasses.replace(result, note=reason, removed=False, failed=True)
            if (reason := reasons.get(result.path)) is not None
            else result
            for result in sorted(report.results, key=lambda result: result.path)
        ]
        return report

    def _project(self, name: str, candidates: Sequence[Candidate]) -> list[Result]:
        try:
            work = ProjectImport(self._context, name)
        except (InvalidRequest, DamagedRecord) as error:
            return [self._context.result(candidate, None, Outcome.REFUSED, str(error)) for candidate in candidates]
        try:
            for candidate in candidates:
                self._context.advance(0)
                work.take(candidate)
            work.publish()
        finally:
            work.discard()
        count = sum(result.outcome is Outcome.IMPORTED for result in work.results)
        if count:
            _log.info("imported", project=name, files=count, user=self._user)
        return work.results
