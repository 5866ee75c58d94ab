"""The trash of an index: deleted files that can be restored for a time.

Theory of operation. Each project has a second record, its trash (`quire.domain.trash`), in an index of its own. Its
files are those that were deleted; their blobs stay where they are. A blob's key is never used for other bytes.

- A deletion puts the files into the trash, and then takes them out of the project's record: that is its commit. A crash
  in between leaves a file in both, where it is still published, and the entry in the trash does nothing.
- A restoration lists the files in the project's record again: that is its commit. Then it takes these very entries out
  of the trash; one that a later deletion has put there since is another one, and stays. A crash in between leaves a
  file in both again.
- Emptying takes the files out of the trash: that is its commit. Then it removes the blobs that nothing names.

Emptying must not remove blobs that a restoration is about to list. A restoration reads the project's record, then the
trash, and replaces exactly the record that it read. Emptying takes the entry out of the trash, then writes the
project's record unchanged (a fence), then looks whether the record or the trash names the blob. So a restoration that
still found the entry has read the project's record before the fence: its write came before the fence, and emptying
finds the blob listed; or its write fails, and it reads the trash again.

A process that dies before it removes the blobs leaves garbage. `collect_garbage` spares it for an hour, and a
restoration gives up earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from quire.domain import trash as documents
from quire.domain.errors import Conflict, NotFound, StoreError
from quire.domain.project import File, Project
from quire.domain.trash import TrashedFile
from quire.index.audit.entries import Origin
from quire.index.commits import PATIENCE, Change, Commits, decode, now
from quire.store.contracts import Names, Store


class Trash:
    """The deleted files of one index. Safe to use from several threads and any number of processes."""

    def __init__(self, store: Store, index: str, origin: Origin) -> None:
        """`index`: the name of the index that files are deleted from. `origin`: as for an Index."""
        self.name = documents.trash_of(index)
        self.prefix = f"{self.name}/projects"
        self._store = store
        self._commits = Commits(store, self.name, origin)

    def key(self, project: str) -> str:
        """The record's key of a project (normalized name)."""
        return f"{self.prefix}/{project}"

    def names(self, known: Names | None = None) -> Names:
        """The normalized names of the projects that have something in the trash. Raises StoreError."""
        return self._store.records.names(self.prefix, known)

    def document(self, project: str) -> Project | None:
        """The trash of a project; None when it is empty. Raises DamagedRecord, StoreError."""
        return decode(self._store.records.read(self.key(project)))

    def files(self, project: str) -> list[TrashedFile]:
        """The files in the trash of a project, the earliest deletion first. Raises DamagedRecord, StoreError."""
        return documents.files_of(self.document(project), self.key(project))

    def put(self, name: str, project: Project, files: Sequence[File], *, seconds: float, origin: Origin) -> None:
        """Put files of a project into its trash, before they are deleted. Raises DamagedRecord, StoreError."""
        deleted = datetime.now(UTC)

        def transition(trash: Project | None) -> Project:
            return documents.put(trash, project, files, deleted=deleted, seconds=seconds, by=origin.user)

        self._commits.make(self.key(name), transition, "delete", origin)

    def take(self, name: str, is_meant: Callable[[TrashedFile], bool], action: str, origin: Origin | None) -> Change:
        """Take files out of the trash; their blobs stay. Raises DamagedRecord, StoreError."""
        key = self.key(name)

        def transition(trash: Project | None) -> Project:
            after = documents.take(trash, is_meant, key)
            if after is None:
                raise NotFound(f"The trash has nothing of {name}.")
            return after

        try:
            return self._commits.make(key, transition, action, origin)
        except NotFound:
            return Change(name, None, None, "")

    def fence(self, key: str) -> Project | None:
        """Write a project's record as it is, so that a change that read it before cannot be made any more; the
        project then. Raises DamagedRecord, StoreError.
        """
        records, deadline = self._store.records, now() + PATIENCE
        while True:
            record = records.read(key)
            if not record.was_written:
                return None
            try:
                return decode(records.write(key, record.data, record, record.note))
            except Conflict as error:
                if now() > deadline:
                    raise StoreError(f"The record {key} has too many writers at once; repeat later.") from error
