"""Moving the projects of another index into the store, over its Simple API, while servers go on serving both.

Theory of operation
-------------------
Each project's page is read and compared with what is here; only files that are missing are fetched, several at once.
Each must have the size and the digest that its page announces. Those of a project are published in one step, or in
several where they are many or large, with upload time, yank and provenance. So an import that ended early is repeated,
and goes on where it was; nothing is ever overwritten, and no part of a file is ever published.

The other index is not trusted: names, links and addresses are checked as those of an upstream are
(`quire.upstream`), and all is bounded.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol, TypeVar

from quire.domain.errors import (
    DamagedRecord,
    FileExists,
    InvalidRequest,
    ProjectClosed,
    TooLarge,
    UpstreamError,
)
from quire.domain.names import ParsedFilename, guess_filename
from quire.domain.namespaces import Grants, deciding
from quire.domain.project import File, Status
from quire.dropin.folder import Folder
from quire.index.audit.entries import entries_of
from quire.index.commits import Change, deleted_files
from quire.index.index import Index
from quire.index.integrity import has_digest
from quire.index.upload import Upload, new_blob_key
from quire.operations import changing
from quire.operations.importing.examining import as_served
from quire.operations.importing.offered import Here, judged, upload_time
from quire.operations.importing.outcome import Outcome, Report, Result
from quire.operations.importing.source import Refused
from quire.process.at_once import each_of
from quire.process.in_thread import in_thread
from quire.process.progress import Progress
from quire.store.contracts import Staging
from quire.upstream.client import WITH_OLD_DIGESTS, Sink
from quire.upstream.documents import MOST_PROVENANCE, check_provenance
from quire.upstream.pages import UpstreamFile, UpstreamPage

MOST_PROJECTS: Final = 50_000
"""An index that lists more is probably a mirror of a public one."""
BATCH_FILES: Final = 50
BATCH_BYTES: Final = 256 * 1024**2
"""So many files or bytes are fetched before they are published: staged bytes must not lie for long."""
MOST_FAILURES: Final = 20
"""Projects in a row that the index could not give; then no other one is tried."""
_PROJECTS_AT_ONCE: Final = 4
_MOST_LEFT_OUT: Final = 100
_UNKNOWN_BYTES: Final = 16 * 1024**2
"""Assumed of a file whose size is not said."""
_FAILED: Final = {Outcome.CONFLICT, Outcome.REFUSED, Outcome.DELETED}
_DISTRIBUTIONS: Final = (".whl", ".tar.gz", ".zip", ".egg", ".tar.bz2", ".tgz")
_AS_PROVENANCE: Final = "application/vnd.pypi.integrity.v1+json, application/json;q=0.9"


S = TypeVar("S", bound=Sink)


class Source(Protocol):
    """The projects to import: those of another index (`quire.upstream.client.Upstream`), or of an export of one. Each
    method as there."""

    @property
    def url(self) -> str: ...

    @property
    def reached(self) -> bool: ...

    async def projects(self) -> tuple[str, ...]: ...

    async def page(self, name: str, left_out: list[str] | None = None) -> UpstreamPage | None: ...

    async def document(self, url: str, limit: int, accept: str) -> bytes: ...

    async def download(
        self,
        file: UpstreamFile,
        open_sink: Callable[[], S],
        *,
        limit: int,
        digests: Collection[str],
        begun: Callable[[Mapping[str, str]], object],
    ) -> S: ...


@dataclass(frozen=True, slots=True)
class Target:
    """The index that is filled, and its limits."""

    index: Index
    drop_ins: Folder | None
    """The drop-in files that are served with it; None for none."""
    limit: int
    """Bytes of a file."""
    tries: bool = False
    """Only say what would be done."""
    namespaces: Grants = ()
    """Of the index; a project below one that is not here yet is imported only by its name."""


class IndexImporter:
    """Imports projects of one other index. Belongs to one event loop. Use once."""

    def __init__(self, source: Source, target: Target, progress: Progress | None = None) -> None:
        self.report = Report()
        self.unsaid = Counter[str]()
        """How many files the other index does not say a fact of, by the fact."""
        self._source = source
        self._target = target
        self._progress = progress or Progress()
        self._failures = 0

    async def run(self, named: Sequence[str] = ()) -> None:
        """Import all projects, or those that are named (normalized). The results before an error are in the report.

        Raises UpstreamError when the index cannot be asked, StoreError when the store fails as a whole.
        """
        names = named or await self._source.projects()
        if len(names) > MOST_PROJECTS:
            raise UpstreamError(
                f"The index lists {len(names)} projects, more than {MOST_PROJECTS}, so it may be a mirror of a public "
                "one; name the projects to import, or list them in a file for --projects."
            )
        self._progress.step(self._source.url, len(names))

        async def work(name: str) -> None:
            await self._project(name, is_named=bool(named))
            self._progress.advance(1)

        try:
            await each_of(names, work, _PROJECTS_AT_ONCE)
        finally:
            self.report.results.sort(key=lambda result: (result.project, result.path))

    # -- one project --------------------------------------------------------------------------------------------------

    async def _project(self, name: str, *, is_named: bool) -> None:
        left_out = list[str]()
        try:
            page = await self._source.page(name, left_out)
            here = await in_thread(None, self._here, name)
        except (UpstreamError, DamagedRecord) as error:
            self._failures += 1
            if not self._source.reached or self._failures >= MOST_FAILURES:
                raise
            self._add(name, "", 0, Outcome.REFUSED, str(error))
            return
        self._failures = 0
        if page is None:
            if is_named:
                self._add(name, "", 0, Outcome.REFUSED, "The index has no such project.")
            return
        if not is_named and not here.is_known and (owned := deciding(self._target.namespaces, name)) is not None:
            owners = ", ".join(owned.owners)
            why = f"It is not here, and below the namespace {owned.name} of {owners}; name the project to import it."
            self._add(name, "", 0, Outcome.REFUSED, why)
            return
        for filename in [each for each in left_out if each.endswith(_DISTRIBUTIONS)][:_MOST_LEFT_OUT]:
            why = "Its name or its link is none of a distribution of this project, so it was not fetched."
            self._add(name, filename[:200], 0, Outcome.REFUSED, why)
        wanted = [file for file in page.files if self._is_wanted(name, file, here)]
        for batch in [] if self._target.tries else _batches(wanted):
            await self._take(name, batch)
        is_ours = bool(wanted) or here.is_as_imported
        if is_ours and not self._target.tries and page.status is not Status.ACTIVE:
            await in_thread(None, self._set_status, name, page)

    def _here(self, name: str) -> Here:
        """The project as it is in the store. Blocks. Raises DamagedRecord, StoreError."""
        index = self._target.index
        record = index.store.records.read(index.key(name))
        project = index.decode(record)
        hosted = project.files if project is not None else {}
        blobs = index.store.blobs
        last = (entries_of(record) or [{}])[-1]
        return Here(
            (self._fixed(name) or {}) | hosted,
            frozenset(
                file.filename
                for file in hosted.values()
                if not has_digest(blobs, f"{file.blob}/{file.filename}", None, file.size)
            ),
            deleted_files(record),
            f"The project is {project.status} and takes no files; 'quire status' can change that."
            if project is not None and not project.status.accepts_uploads
            else None,
            record.was_written,
            project is not None and project.status is Status.ACTIVE and last.get("command") == index.origin.command,
        )

    def _is_wanted(self, name: str, file: UpstreamFile, here: Here) -> bool:
        """Whether a file is to be fetched; if not, it has its result."""
        self.unsaid += Counter(
            {
                "size": file.size is None,
                "upload time": file.uploaded is None,
                "sha256": "sha256" not in file.hashes,
            }
        )
        verdict = judged(file, here, self._target.limit)
        if verdict is not None:
            self._add(name, file.filename, file.size or 0, *verdict)
        elif self._target.tries:
            self._add(name, file.filename, file.size or 0, Outcome.WANTED)
        return verdict is None

    def _set_status(self, name: str, page: UpstreamPage) -> None:
        """Carry the project's status over, once all of its files are here: it may take no more then. Blocks."""
        results = [each for each in self.report.results if each.project == name]
        if any(each.failed for each in results):
            note = f"It is {page.status} there; its status was not set, since some of its files are not here."
            self._add(name, "", 0, Outcome.PRESENT, note)
        elif results:
            changing.set_status(self._target.index, name, page.status, page.status_reason)

    # -- files --------------------------------------------------------------------------------------------------------

    async def _take(self, name: str, batch: Sequence[UpstreamFile]) -> None:
        """Fetch files and publish them in one step; where that is refused, one by one."""
        uploads = [each for each in await self._fetch_all(name, batch) if each is not None]
        if not uploads:
            return
        sizes = {each.parsed.filename: each.staged.size for each in uploads}
        try:
            change = await in_thread(None, self._publish, name, uploads)
        except (FileExists, InvalidRequest, ProjectClosed, DamagedRecord) as error:
            if len(sizes) > 1:
                for file in batch:
                    if file.filename in sizes:
                        await self._take(name, [file])
                return
            outcome = Outcome.CONFLICT if isinstance(error, FileExists) else Outcome.REFUSED
            for filename, size in sizes.items():
                self._add(name, filename, size, outcome, str(error))
            return
        before = change.before.files if change.before is not None else {}
        after = change.after.files if change.after is not None else {}
        for filename, size in sizes.items():
            is_new = filename in after and filename not in before
            self._add(name, filename, size, Outcome.IMPORTED if is_new else Outcome.PRESENT)

    def _publish(self, name: str, uploads: Sequence[Upload]) -> Change:
        """Blocks. Raises as `changing.publish`."""
        return changing.publish(self._target.index, uploads, imported=True, existing=self._fixed(name))

    def _fixed(self, name: str) -> dict[str, File] | None:
        """The drop-in files of a project, by filename; None where none are served. Blocks. Raises StoreError."""
        folder = self._target.drop_ins
        return None if folder is None else {each.file.filename: each.file for each in folder.project(name).files}

    async def _fetch_all(self, name: str, batch: Sequence[UpstreamFile]) -> list[Upload | None]:
        tasks = [asyncio.ensure_future(self._fetch(name, file)) for file in batch]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(done, Upload):
                    done.staged.discard()
            raise

    async def _fetch(self, name: str, file: UpstreamFile) -> Upload | None:
        """The file, examined; None when it has its result instead. Raises StoreError."""
        parsed = guess_filename(file.filename)
        modified = list[str | None]()
        try:
            if parsed is None or parsed.project != name:
                raise Refused("Its name is none of a distribution of this project.")
            key = new_blob_key(parsed)
            staging = await self._source.download(
                file,
                partial(self._target.index.store.blobs.stage, key),
                limit=self._target.limit,
                digests=WITH_OLD_DIGESTS,
                begun=lambda headers: modified.append(headers.get("Last-Modified")),
            )
            try:
                provenance = await self._provenance(file)
                upload = await in_thread(None, _examined, staging, parsed)
            except BaseException:
                staging.discard()
                raise
        except (UpstreamError, TooLarge, InvalidRequest, Refused) as error:
            self._add(name, file.filename, file.size or 0, Outcome.REFUSED, str(error))
            return None
        return replace(
            upload,
            requires_python=upload.requires_python or file.requires_python,
            provenance=provenance,
            uploaded=upload_time(file, modified[-1], datetime.now(UTC)),
            yanked=file.yanked,
        )

    async def _provenance(self, file: UpstreamFile) -> bytes | None:
        """The provenance object of a file, as mirrors pass it on: its signatures are the client's to verify."""
        if file.provenance is None:
            return None
        body = await self._source.document(file.provenance, MOST_PROVENANCE, _AS_PROVENANCE)
        check_provenance(f"provenance of {file.filename}", body)
        return body

    def _add(self, project: str, filename: str, size: int, outcome: Outcome, note: str | None = None) -> None:
        path = f"{project}/{filename}" if filename else project
        failed = outcome in _FAILED
        self.report.results.append(Result(path, project, filename, size, outcome, note, failed=failed))


def _examined(staging: Staging, parsed: ParsedFilename) -> Upload:
    staged = staging.finish()
    try:
        return as_served(staged, parsed)
    except BaseException:
        staged.discard()
        raise


def _batches(files: Sequence[UpstreamFile]) -> Iterator[list[UpstreamFile]]:
    batch, size = list[UpstreamFile](), 0
    for file in files:
        batch.append(file)
        size += _UNKNOWN_BYTES if file.size is None else file.size
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
