"""What looks at every project at once: the number of files for the home page, and the list of all files.

Both take time that grows with the index, so both are worked out in a thread, and neither goes through the memory of
views: the pages that installers ask for would be pushed out of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import structlog

from quire.errors import QuireError, StoreError
from quire.folder import Folder
from quire.index import Index
from quire.repository import ProjectNames, Projects, file_path
from quire.store.contracts import Names, Record

PAUSE = 2.0
"""Seconds between two counts, at least."""
SHARE = 20
"""A count that took long is not repeated before so many times its duration have passed."""
PATIENCE = 1.0
"""Seconds that a page waits for a count; after that it says the last number."""

log = structlog.get_logger(__name__)


class FileCount:
    """How many files there are: for people, so a few seconds old, and cheap however often it is asked for.

    Health checks ask for the home page every few seconds. So there is one count at a time in a process, and in it an
    unchanged project costs one validation. A drop-in file that is hosted too, or is not complete yet, counts as well.
    """

    def __init__(self, index: Index, folder: Folder, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._index = index
        self._folder = folder
        self._clock = clock
        self._number: int | None = None
        self._due = clock()
        self._task: asyncio.Task[None] | None = None
        self._names: Names | None = None
        self._hosted: dict[str, tuple[Record, int]] = {}

    async def get(self, in_thread: Callable[[Callable[[], int]], Awaitable[int]]) -> int | None:
        """The number, as it was a moment ago; None while it is not known yet. Never raises QuireError."""
        if self._task is None and self._clock() >= self._due:
            self._task = asyncio.create_task(self._refresh(in_thread))
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=PATIENCE)
        return self._number

    async def _refresh(self, in_thread: Callable[[Callable[[], int]], Awaitable[int]]) -> None:
        begun = self._clock()
        try:
            self._number = await in_thread(self.count)
        except QuireError as error:
            log.warning("files not counted", error=str(error))
        finally:
            self._due = self._clock() + max(PAUSE, SHARE * (self._clock() - begun))
            self._task = None

    def count(self) -> int:
        """Count now. Blocks; one at a time. Raises StoreError."""
        records = self._index.store.records
        self._names = records.names(self._index.prefix, self._names)
        hosted: dict[str, tuple[Record, int]] = {}
        for name in self._names.names:
            known = self._hosted.get(name)
            try:
                record = records.read(self._index.key(name), known[0] if known is not None else None)
                if known is not None and record is known[0]:
                    hosted[name] = known
                    continue
                project = self._index.decode(record)
            except StoreError:
                self._names = records.names(self._index.prefix, self._names)  # raises if it is not this project alone
                continue
            # Of the record only what revalidates it is kept.
            light = Record(record.key, b"", record.tag, record.validation)
            offers = project is not None and project.status.offers_files
            hosted[name] = (light, len(project.files) if project is not None and offers else 0)
        self._hosted = hosted
        return sum(number for _, number in hosted.values()) + self._folder.count()


def file_links(index: Index, folder: Folder) -> Iterator[tuple[str, str]]:
    """(path below `packages/` with its fragment, text) of every file that can be downloaded. Blocks.

    A project that cannot be read is left out: its own page tells what is wrong, the others are not its hostages.
    Raises StoreError when it is not that project alone.
    """
    projects, every = Projects(index, folder), ProjectNames(index, folder)
    listed = every.load("", None)
    for name in listed.names:
        try:
            view = projects.load(name, None)
        except StoreError as error:
            every.load("", listed)
            log.error("left out of the list of files", project=name, error=str(error))
            continue
        for each in view.offered.values():
            path = file_path(name, each).removeprefix("packages/")
            text = each.dropin.relative_path if each.dropin is not None else each.file.filename
            yield f"{path}#sha256={each.file.sha256}", text
