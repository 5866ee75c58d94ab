"""Fetches the files that locks name into the mirrors of a store.

The index answers as it would answer an installer: so a name that belongs to this store is asked of no other index, and
a file that the index does not offer is not fetched. The page of each project is confirmed by the upstream first. Every
file is kept by itself, durably, once its bytes have the announced digest; so a fetch that ended half-way is repeated,
and goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from hmac import compare_digest
from typing import Any, Final, TypeVar, cast

from quire.catalog.served import ServedIndex
from quire.catalog.sources import Content, FetchedFile, ListedFile
from quire.domain.errors import DigestMismatch, HeldBack, QuireError, StoreFull, StoreReadOnly, UpstreamBusy
from quire.locks.locked import LockedRelease
from quire.locks.selecting import Selection
from quire.operations.mirroring.report import Got, How, Missing, Report
from quire.operations.mirroring.wanted import Wanted, releases_by_project, wanted_of
from quire.process.at_once import each_of
from quire.process.in_thread import in_thread
from quire.process.progress import Progress
from quire.store.open_blob import OpenBlob

JOBS: Final = 8
"""Files at once."""
ATTEMPTS: Final = 3
MOST_FAILURES: Final = 20
"""In a row, of files that an upstream could not give: then no other one is tried."""
LONGEST_WAIT: Final = 30.0
"""Seconds between two attempts."""
_PAUSE: Final = 1.0

T = TypeVar("T")
_File = tuple[str, Wanted, ListedFile]
"""With the project, normalized."""


async def fetch(
    index: ServedIndex,
    releases: Iterable[LockedRelease],
    selection: Selection,
    progress: Progress,
    jobs: int = JOBS,
) -> Report:
    """Fetch what is wanted of these releases and is not here; what could not be had is in the report.

    Raises StoreFull, StoreReadOnly.
    """
    fetching = _Fetching(index, selection, progress)
    projects = releases_by_project(releases)
    progress.step("pages", len(projects))
    files = list[_File]()

    async def read(item: tuple[str, list[LockedRelease]]) -> None:
        files.extend(await fetching.wanted(*item))
        progress.advance(1)

    await each_of(projects.items(), read, jobs)
    progress.step("files", sum(max(file.file.size, 0) for _, _, file in files))
    await each_of(files, fetching.keep, jobs)
    report = fetching.report
    report.got.sort(key=lambda each: (each.project, each.filename))
    report.missing.sort(key=lambda each: (each.project, each.version, each.file))
    return report


class _Fetching:
    def __init__(self, index: ServedIndex, selection: Selection, progress: Progress) -> None:
        self.report = Report()
        self._index = index
        self._selection = selection
        self._progress = progress
        self._failures = 0

    async def wanted(self, project: str, releases: list[LockedRelease]) -> list[_File]:
        """The files of a project that are wanted."""
        try:
            view = await _attempts(lambda: self._index.project(project))
        except QuireError as error:
            self._all_missing(releases, str(error))
            return []
        if not view.exists:
            why = "The project has no files here, and its name is of this store, so no upstream is asked for it."
            is_local = await self._index.is_local(view)
            self._all_missing(releases, why if is_local else "No index has this project.")
            return []
        every = view.every if view.status.offers_files else {}
        listed = {name: each.file for name, each in every.items()}
        files = list[_File]()
        for wanted in wanted_of(releases, listed, self._selection, self.report):
            try:
                files += [(project, wanted, each) for each in (view.offers(wanted.filename),) if each is not None]
            except HeldBack as error:
                self.report.missing.append(Missing(project, wanted.version, wanted.filename, str(error)))
        return files

    async def keep(self, item: _File) -> None:
        """Keep one file. Raises StoreFull, StoreReadOnly."""
        project, wanted, listed = item
        try:
            if self._failures >= MOST_FAILURES:
                raise UpstreamBusy("It was not tried: the upstream gave none of the files before it.")
            how = await self._kept(listed)
            if wanted.unproved:
                await in_thread(None, _prove, await self._index.open(listed, ""), wanted)
        except (StoreFull, StoreReadOnly):
            raise
        except QuireError as error:
            self._failures += isinstance(error, UpstreamBusy)
            self.report.missing.append(Missing(project, wanted.version, wanted.filename, str(error)))
        else:
            self._failures = 0
            self.report.got.append(Got(project, wanted.filename, listed.file.size, how))

    async def _kept(self, listed: ListedFile) -> How:
        if not listed.needs_awaiting:
            self._progress.advance(max(listed.file.size, 0))
            return How.OWN
        file = cast(FetchedFile, listed)
        was_fetched = await _attempts(lambda: file.keep(self._progress.advance))
        if not was_fetched:
            self._progress.advance(max(listed.file.size, 0))
        return How.FETCHED if was_fetched else How.KEPT

    def _all_missing(self, releases: Iterable[LockedRelease], why: str) -> None:
        self.report.missing += [Missing(each.project, each.version, "", why) for each in releases]


async def _attempts(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer, asked for again where that may help."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await ask()
        except UpstreamBusy as error:
            await asyncio.sleep(min(max(error.wait, _PAUSE * attempt), LONGEST_WAIT))
    return await ask()


def _prove(content: Content, wanted: Wanted) -> None:
    """Raises DigestMismatch for bytes without the digests of a lock. Blocks."""
    digests = [(each.partition(":")[0], each.partition(":")[2]) for each in wanted.unproved]
    hashes = {kind: _hash(kind) for kind, _ in digests}
    body = content.body
    try:
        for piece in body.pieces() if isinstance(body, OpenBlob) else (body,):
            for each in hashes.values():
                each.update(piece)
    finally:
        if isinstance(body, OpenBlob):
            body.close()
    for kind, digest in digests:
        if not compare_digest(hashes[kind].hexdigest(), digest):
            raise DigestMismatch(
                f"Its bytes have the {kind} digest {hashes[kind].hexdigest()}, but the lock has {digest}."
            )


def _hash(kind: str) -> Any:
    return hashlib.blake2b(digest_size=32) if kind == "blake2b_256" else hashlib.new(kind, usedforsecurity=False)
