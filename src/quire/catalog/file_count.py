"""The number of all files, for the home page.

It takes time that grows with the index, so it is worked out in a thread, and does not go through the memory of views:
the pages that installers ask for would be pushed out of it. `quire.catalog.file_list` does the same for the list of
files.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence

import structlog

from quire.domain.errors import QuireError, StoreError
from quire.dropin.folder import Folder
from quire.index.index import Index
from quire.process.budget import Budget, Memory
from quire.store.contracts import Names, Record

BATCH_SECONDS = 2.0
"""Seconds between two counts, at least."""
SHARE = 20
"""A count that took long is not repeated before so many times its duration have passed."""
PATIENCE = 1.0
"""Seconds that a page waits for a count; after that it says the last number."""

log = structlog.get_logger(__name__)


class _Counted:
    """The result of a count: of each project only its tag and number, since there may be very many."""

    def __init__(self, names: Names, tags: Sequence[str], numbers: Sequence[int]) -> None:
        """`tags`, `numbers`: of the record of each name, and of its files; "" and 0 for what could not be read."""
        self.names = names
        self._tags = tags
        self._numbers = numbers
        texts = sum(map(len, names.names)) + sum(map(len, tags))
        self.bytes_in_memory = 500 + texts + (57 + 8 + 57 + 8 + 8) * len(tags)

    def of(self, place: int, name: str, names: Names) -> tuple[str, int]:
        """The tag and the number of a name, which has this place in `names`; "" when it was not among them."""
        known = self.names.names
        if names is not self.names:
            place = bisect_left(known, name)
            if place == len(known) or known[place] != name:
                return "", 0
        return self._tags[place], self._numbers[place]


class FileCount:
    """How many files there are: for people, so a few seconds old, and cheap however often it is asked for.

    Health checks ask for the home page every few seconds. So there is one count at a time in a process, and in it an
    unchanged project costs a listing of its record's folder. A drop-in file that is hosted too, or is not complete yet,
    counts as well.
    """

    def __init__(
        self,
        index: Index,
        folder: Folder,
        *,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`budget`: what is remembered from one count to the next is charged to it."""
        self.memory: Memory[_Counted] = Memory(budget or Budget(sys.maxsize))
        self._index = index
        self._folder = folder
        self._clock = clock
        self._number: int | None = None
        self._due = clock()
        self._task: asyncio.Task[None] | None = None

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
            self._due = self._clock() + max(BATCH_SECONDS, SHARE * (self._clock() - begun))
            self._task = None

    def count(self) -> int:
        """Count now. Blocks; one at a time. Raises StoreError."""
        records = self._index.store.records
        before = self.memory.get("")
        names = records.names(self._index.prefix, before.names if before is not None else None)
        tags, numbers = [], array("L")
        for place, name in enumerate(names.names):
            try:
                tag, number = self._count(name, *(before.of(place, name, names) if before is not None else ("", 0)))
            except StoreError:
                records.names(self._index.prefix, names)  # raises if it is not this project alone
                tag, number = "", 0
            tags.append(tag)
            numbers.append(number)
        self.memory.put("", _Counted(names, tags, numbers))
        return sum(numbers) + self._folder.count()

    def _count(self, name: str, tag: str, number: int) -> tuple[str, int]:
        """The tag of a project's record, and the number of its files. `tag`, `number`: what they were before."""
        key = self._index.key(name)
        known = Record(key, b"", tag) if tag else None
        record = self._index.store.records.read(key, known)
        if record is known:
            return tag, number
        project = self._index.decode(record)
        return record.tag, len(project.files) if project is not None and project.status.offers_files else 0
