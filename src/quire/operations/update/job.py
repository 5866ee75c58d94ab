"""The work of `quire update`: find what is present, ask another index, then fetch if that is wanted."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError, InvalidName, QuireError, StoreError, UpstreamError, reason_of
from quire.domain.names import guess_filename, normalize_name
from quire.domain.reserved import Reserved
from quire.dropin.tree import Tree
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import upload_key
from quire.operations.opening import open_index
from quire.operations.update.files import ForDirectory, ForStore, settle
from quire.operations.update.plan import Fetch, Present, Update, plan, usable
from quire.process.progress import Progress
from quire.store.contracts import Store
from quire.upstream.client import Upstream
from quire.upstream.pages import UpstreamFile

MAX_IGNORELIST_BYTES = 4 * 1024 * 1024
_PROJECTS_AT_ONCE = 4  # being downloaded; each may hold several open files

_log = structlog.stdlib.get_logger("quire.update")


@dataclass(frozen=True, slots=True)
class Job:
    """The parameters of an update."""

    settings: Settings
    index_url: str
    """Ended by a slash; may hold a login."""
    directory: str | None
    """Where all downloads go; None: beside the present files."""
    unstable: bool
    execute: bool
    ignored: frozenset[str] | None
    """Normalized names; None when no list was given."""
    hosted: bool
    """Whether the projects that were published to this index are asked for too."""
    origin: Origin
    """For the audit log."""

    def command(self, update: Update) -> list[str]:
        """The pip command that gets an update; for a hosted project into the first directory."""
        directory = self.directory or update.directory or self.settings.root
        command = ["pip", "-q", "download", "--no-deps", "-i", self.index_url, "-d", directory]
        return [*command, f"{update.project}=={update.version}"]


@dataclass(slots=True)
class Report:
    """The results, by normalized project name."""

    checked: int = 0
    updates: list[Update] = field(default_factory=list)
    done: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """The results of `settle`."""
    hosted: int = 0
    """So many hosted projects were left alone."""
    missing: list[str] = field(default_factory=list)
    """The other index has no release of these."""
    closed: dict[str, str] = field(default_factory=dict)
    """Hosted projects whose status (PEP 792) takes no uploads, and the status; they were not asked for."""
    problems: dict[str, str] = field(default_factory=dict)
    """A sentence each."""


def update(job: Job, progress: Progress) -> Report:
    """Do it. Raises ConfigurationError, StoreError, UpstreamError when nothing can be done at all."""
    index = _open_index(job)
    report = Report()
    present = find_present(index, job.settings.folders, job.ignored or frozenset(), report, hosted=job.hosted)
    reserved = Reserved((*job.settings.local, *_kept(index.store)))
    present = {name: files for name, files in present.items() if name not in reserved}
    asyncio.run(_update(job, index, present, report, progress))
    return report


# -- what is here -----------------------------------------------------------------------------------------------------


def read_ignorelist(file: str, what: str = "ignorelist", flag: str = "--ignorelist-file") -> frozenset[str]:
    """The normalized names in an ignorelist, or another list: one a line, `#` begins a comment.

    Raises ConfigurationError when it cannot be read, or holds anything but names: a private name that was not
    understood would be sent to the other index.
    """
    try:
        with Path(file).expanduser().open("rb") as opened:
            data = opened.read(MAX_IGNORELIST_BYTES + 1)
        if len(data) > MAX_IGNORELIST_BYTES:
            raise ConfigurationError(f"The {what} {file} has more than {MAX_IGNORELIST_BYTES} bytes.")
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{flag}: {file} cannot be read ({reason_of(error)}).") from error
    names = set()
    for number, line in enumerate(lines, 1):
        name = line.partition("#")[0].strip()
        try:
            names |= {normalize_name(name)} if name else set()
        except InvalidName as error:
            raise ConfigurationError(f"Line {number} of the {what} {file} is no project name: {error}") from error
    return frozenset(names)


def _kept(store: Store) -> Iterator[str]:
    """Patterns of the names that any index of the store keeps for itself: a directory of drop-ins says not of which one
    its projects are, and no private name is to leave this machine. Raises StoreError."""
    for definition in AccessRecords(store).read().state.document.indexes.values():
        yield from definition.kept


def _open_index(job: Job) -> Index:
    settings = job.settings
    for directory in settings.folders:
        try:
            with os.scandir(directory) as entries:
                next(entries, None)
        except OSError as error:
            raise ConfigurationError(
                f"The directory {directory} cannot be read: {os.strerror(error.errno or 0)}; create it or name another."
            ) from error
    return open_index(settings, job.origin, writes=job.execute and job.hosted and not settings.read_only)


def find_present(
    index: Index, directories: Sequence[str], ignored: frozenset[str], report: Report, *, hosted: bool
) -> dict[str, list[Present]]:
    """The files of every project that is to be asked for, by normalized name, in the order of names.

    Without `hosted`, the name of a project that was published to this index is not disclosed: it is not
    asked for, and nothing from elsewhere joins it. Of files with the same name the served one counts: the hosted
    one, else the first directory's. Nothing is opened but records. Projects that cannot or must not be updated are
    noted in the report. Raises StoreError.
    """
    found: dict[str, dict[str, Present]] = {}
    for name, candidates in Tree([Path(directory) for directory in directories]).refresh().projects.items():
        files = found.setdefault(name, {})
        for candidate in candidates:
            files.setdefault(candidate.parsed.filename, Present(candidate.parsed, os.path.dirname(candidate.path)))
    for name in index.names():
        if name in ignored:
            continue
        if not hosted:
            found.pop(name, None)
            report.hosted += 1
            continue
        try:
            project = index.project(name)
        except StoreError as error:
            report.problems[name] = str(error)
            continue
        if project is not None and not project.status.accepts_uploads:
            report.closed[name] = str(project.status)
        elif project is not None:
            parsed = filter(None, map(guess_filename, project.files))
            found.setdefault(name, {}).update({each.filename: Present(each, None) for each in parsed})
    left_out = ignored | report.closed.keys() | report.problems.keys()
    return {name: list(files.values()) for name, files in sorted(found.items()) if files and name not in left_out}


# -- asking and fetching ----------------------------------------------------------------------------------------------


async def _update(
    job: Job, index: Index, present: Mapping[str, list[Present]], report: Report, progress: Progress
) -> None:
    report.checked = len(present)
    if not present:
        return
    async with Upstream(job.index_url) as upstream:
        hint = "" if job.ignored is not None else "; name private ones in a file for --ignorelist-file"
        progress.say(f"Asking {upstream.url} for {len(present)} projects, whose names it learns{hint}.")
        offered = await _ask(upstream, list(present), report, progress)
        for name, files in offered.items():
            found = plan(name, present[name], files, unstable=job.unstable, directory=job.directory)
            if found is not None:
                report.updates.append(found)
        report.updates.sort(key=lambda update: update.project)
        if job.execute:
            await _fetch_all(job, upstream, index, report, progress)


async def _ask(
    upstream: Upstream, names: Sequence[str], report: Report, progress: Progress
) -> dict[str, tuple[UpstreamFile, ...]]:
    """The files that the index offers of each project, without projects that it does not know or could not list."""
    offered: dict[str, tuple[UpstreamFile, ...]] = {}

    async def ask(name: str) -> None:
        try:
            files = await upstream.project(name)
        except UpstreamError as error:
            report.problems[name] = str(error)
        else:
            _log.info("asked", project=name, files=None if files is None else len(files))
            if files and usable(files):
                offered[name] = files
            else:
                report.missing.append(name)
        progress.advance(1)

    progress.step("asking", len(names))
    # The first one alone: an index that cannot be reached is found out once, not for each project.
    await ask(names[0])
    if not upstream.reached:
        raise UpstreamError(report.problems[names[0]])
    async with asyncio.TaskGroup() as group:
        for name in names[1:]:
            group.create_task(ask(name))
    report.missing.sort()
    return offered


async def _fetch_all(job: Job, upstream: Upstream, index: Index, report: Report, progress: Progress) -> None:
    turns = asyncio.Semaphore(_PROJECTS_AT_ONCE)

    async def fetch(update: Update) -> None:
        async with turns:
            try:
                report.done[update.project] = await _fetch(job, upstream, index, update)
            except QuireError as error:
                report.problems[update.project] = str(error)
        progress.advance(1)

    progress.step("fetching", len(report.updates))
    async with asyncio.TaskGroup() as group:
        for update in report.updates:
            group.create_task(fetch(update))


async def _fetch(job: Job, upstream: Upstream, index: Index, update: Update) -> list[tuple[str, str]]:
    """Get all files of one update, then show them all."""
    if not update.fetches:
        raise UpstreamError(f"The release {update.version} has no file that corresponds to a present one.")
    algorithm = job.settings.hash_algorithm

    def sink_for(fetch: Fetch) -> Callable[[], ForDirectory | ForStore]:
        filename, directory = fetch.file.parsed.filename, fetch.directory
        if directory is not None:
            return lambda: ForDirectory(directory, filename)
        algorithms = (algorithm,) if algorithm is not None else ()
        return lambda: ForStore(index.store.blobs.stage(upload_key(filename), algorithms), filename)

    sinks: list[ForDirectory | ForStore] = []
    try:
        for fetch in update.fetches:
            sinks.append(  # noqa: PERF401 - what was downloaded so far must be discarded when the next one fails
                await upstream.download(fetch.file, sink_for(fetch), limit=job.settings.max_upload_size)
            )
        done = settle(sinks, index)
    finally:
        for sink in sinks:
            sink.discard()
    for outcome, where in done:
        if os.sep in where:  # a path; files that are published are logged by the door for changes
            _log.info(outcome, project=update.project, file=where)
    return done
