"""Emptying the trash of what has been in it for its time.

Every worker does this now and then, and `quire gc`. It costs one listing of the projects that have something in the
trash, and a read of those that are new there or due. The clock of this machine says what is due, and it is removed only
if the store's clock agrees: a deletion resets the age of the file's bytes, so a machine whose clock is wrong empties
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import structlog

from quire.domain.errors import DamagedRecord
from quire.domain.project import File
from quire.domain.trash import TrashedFile
from quire.index.index import Index
from quire.operations import changing
from quire.store.contracts import Names

_SLACK: Final = 3600.0
"""Seconds that the bytes may be younger than the deletion: the record is replaced a moment after it."""

log = structlog.stdlib.get_logger(__name__)


class Expiry:
    """Empties the trash of one index, again and again. One call at a time."""

    def __init__(self, index: Index, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`now`: the clock of this machine."""
        self._index = index
        self._now = now
        self._names: Names | None = None
        self._due: dict[str, datetime] = {}
        """When the next file of a project is due, by its name. Later deletions are due later."""

    def run(self, *, dry_run: bool = False) -> list[tuple[str, File]]:
        """Remove what is due; the files with their projects. `dry_run`: say only what would be removed.

        A project whose trash cannot be understood is left to `quire check`. Raises StoreError.
        """
        self._names = self._index.trash.names(self._names)
        self._due = {name: self._due[name] for name in self._names.names if name in self._due}
        now = self._now()
        removed: list[tuple[str, File]] = []
        for name in self._names.names:
            if name in self._due and self._due[name] > now:
                continue
            try:
                removed += [(name, file) for file in self._project(name, now, dry_run=dry_run)]
            except DamagedRecord as error:
                log.warning("trash not emptied", project=name, error=str(error))
        return removed

    def _project(self, name: str, now: datetime, *, dry_run: bool) -> Iterable[File]:
        files = self._index.trash.files(name)
        over = {each.file.blob for each in self._confirmed(name, [each for each in files if each.until <= now])}
        if not dry_run and (left := [each.until for each in files if each.file.blob not in over]):
            self._due[name] = min(left)
        if not over:
            return ()
        if dry_run:
            return [each.file for each in files if each.file.blob in over]
        return changing.empty_trash(
            self._index, name, lambda each: each.file.blob in over and each.until <= now, is_over=True
        )

    def _confirmed(self, name: str, files: list[TrashedFile]) -> list[TrashedFile]:
        """Those that have been there for their time by the store's clock, too."""
        if not files:
            return files
        ages = {blob.key: blob.age for blob in self._index.store.blobs.list(name)}

        def is_over(each: TrashedFile) -> bool:
            age = ages.get(f"{each.file.blob}/{each.file.filename}")
            return age is None or age + _SLACK >= (each.until - each.deleted).total_seconds()

        return [each for each in files if is_over(each)]
