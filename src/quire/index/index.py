"""The only writer of projects.

Blobs are durable before the record that names them is written (`quire.index.commits`) and invisible until then. Blobs
that a change made unreachable are removed after it, or, if the process dies first, by `collect_garbage`. Its grace
period (for downloads under way) begins when the blobs were last renewed: right before the write that unlists them.
Every publication stores its blobs under a key of its own, so a removal never disturbs a publication of the same bytes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from quire.domain import changes
from quire.domain import trash as trash_documents
from quire.domain.changes import Selection, present
from quire.domain.errors import NotFound, QuireError, StoreError, StoreFull, StoreReadOnly
from quire.domain.names import normalize_name
from quire.domain.project import File, Project, Status
from quire.domain.promotions import without_pending
from quire.domain.quotas import UNLIMITED, Quotas
from quire.domain.trash import TrashedFile
from quire.index import commits
from quire.index.audit.archive import archive_key, carry
from quire.index.audit.entries import Entry, Origin
from quire.index.commits import (
    Change,
    Commits,
    Known,
    Transition,
    decode,
    deleted_files,
    is_same,
    stored_project,
)
from quire.index.file_blobs import check_present, entry_of, lost_blobs, remove_blobs, store_blobs, with_companions
from quire.index.trash import Trash
from quire.index.upload import Upload
from quire.index.usage import Room, Usage
from quire.store.contracts import Draft, Record, Store

PUBLICATION_SECONDS = 600.0
"""A publication that stored its blobs longer ago than this is given up: `collect_garbage` removes blobs that no
record names, and must spare those of a publication under way. Its grace period is longer than this."""


Guard = Callable[[Project | None], None]
"""Is called with the stored project right before a change of it, perhaps several times; raises to refuse the change.
A project whose files are all deleted has no files then, but its tombstones and owners."""


class Index:
    """One named index in a store. Safe to use from several threads and any number of processes."""

    def __init__(
        self, store: Store, name: str = "main", origin: Origin | None = None, *, trash_seconds: float = 0
    ) -> None:
        """`origin`: of changes that name no origin, for the audit log. `trash_seconds`: how long deleted files can be
        restored; 0: not at all.
        """
        self.store = store
        self.name = name
        self.prefix = f"{name}/projects"
        self.origin = origin or Origin()
        self.commits = Commits(store, name, self.origin)
        self.trash = Trash(store, name, self.origin)
        self.usage = Usage(name)
        self._trash_seconds = trash_seconds

    def key(self, project: str) -> str:
        """The record's key of a project (any spelling)."""
        return f"{self.prefix}/{normalize_name(project)}"

    def project(self, name: str) -> Project | None:
        """The project now, or None. Raises DamagedRecord, StoreError."""
        record = self.store.records.read(self.key(name))
        return self.commits.journal.see(record, self.decode(record)).project

    def stored(self, name: str) -> Project | None:
        """The same; of a project whose files are all deleted its tombstones and owners."""
        record = self.store.records.read(self.key(name))
        seen = self.commits.journal.see(record, self.decode(record))
        if seen.project is not None:
            return seen.project
        stored = stored_project(seen.record)
        return None if stored is None else without_pending(stored)

    def was_written(self, name: str) -> bool:
        """Whether the project is there or ever was. Raises StoreError."""
        return self.store.records.read(self.key(name)).was_written

    def names(self) -> tuple[str, ...]:
        """The normalized names of all projects now."""
        return self.commits.journal.names().names

    @staticmethod
    def decode(record: Record) -> Project | None:
        """The project that a record describes; None when it is absent. Raises DamagedRecord."""
        return decode(record)

    def deleted(self, name: str) -> dict[str, str]:
        """sha256 by filename of all files that were published and are not listed any more.

        Raises DamagedRecord, StoreError.
        """
        return deleted_files(self.store.records.read(self.key(name)))

    # -- changes ------------------------------------------------------------------------------------------------------

    def publish(
        self,
        uploads: Sequence[Upload],
        *,
        overwrite: bool = False,
        existing: Mapping[str, File] | None = None,
        imported: bool = False,
        quotas: Quotas = UNLIMITED,
        origin: Origin | None = None,
        guard: Guard | None = None,
        owner: str | None = None,
    ) -> Change:
        """Publish one or several distributions of one project in one atomic step, or none of them.

        A file that is listed with the same content changes nothing if it is whole in the store; else its bytes, and
        what belongs beside them, are restored. Provenance is added to one that has none. The rest of its entry stays.
        `existing`, `imported`, `owner`: see changes.publish. `origin`: for the audit log. The
        staged bytes are used up in any case.
        Raises FileExists, FilenameUsed, InvalidRequest, ProjectClosed, QuotaExceeded, and StoreError or a subclass.
        """
        if len({upload.parsed.project for upload in uploads}) != 1:
            raise ValueError("a publication is of one project")
        name = uploads[0].parsed.project
        with Room(self.usage, name, quotas) as room:
            return self._publish(
                name,
                uploads,
                room,
                overwrite=overwrite,
                existing=existing,
                imported=imported,
                origin=origin,
                guard=guard,
                owner=owner,
            )

    def _publish(
        self,
        name: str,
        uploads: Sequence[Upload],
        room: Room,
        *,
        overwrite: bool,
        existing: Mapping[str, File] | None,
        imported: bool,
        origin: Origin | None,
        guard: Guard | None,
        owner: str | None,
    ) -> Change:
        # An upload that is refused, or changes nothing, is found before blobs are stored, so that it costs no write.
        files = [entry_of(upload) for upload in uploads]
        display_name = uploads[0].project_name

        lost: frozenset[str | None] = frozenset()

        def publish(project: Project | None) -> Project:
            _ask(guard, project)
            after = changes.publish(
                project,
                display_name,
                files,
                overwrite=overwrite,
                existing=existing,
                imported=imported,
                lost=lost,
                owner=owner,
            )
            return room.check(project, after) if room.is_limited else after

        def transition(project: Project | None) -> Project:
            return after if project is before else publish(project)

        stored: list[File] = []
        draft: Draft | None = None
        try:
            read_at = commits.now()
            record = self.store.records.read(self.key(name))
            before = stored_project(record)
            lost = lost_blobs(self.store.blobs, before, files)
            if before is not None and (lost or any(upload.provenance is not None for upload in uploads)):
                uploads = [with_companions(self.store.blobs, upload, before) for upload in uploads]
                files = [entry_of(upload) for upload in uploads]
            after = publish(before)
            if is_same(before, after):
                self.store.records.confirm(record)
                return Change(name, present(before), present(before), record.tag)
            if before is not None and before.pending is None:
                draft = self.commits.draft(Known(record, before), after, "publish", origin)
            until = commits.now() + PUBLICATION_SECONDS
            try:
                for upload, file in zip(uploads, files, strict=True):
                    stored.append(file)
                    store_blobs(self.store.blobs, upload, file)
            except BaseException:  # no record can have named them
                remove_blobs(self.store.blobs, stored)
                raise
            # without a draft other writers may be at work, but for a new project
            known = Known(record, before, draft, read_at if draft is not None or before is None else -math.inf)
            change = room.settle(
                self.commits.make(self.key(name), transition, "publish", origin, until=until, known=known)
            )
        except (StoreFull, StoreReadOnly):
            remove_blobs(self.store.blobs, stored)
            raise
        except StoreError:
            raise  # the record may have been written: leave the blobs to collect_garbage
        except QuireError:
            remove_blobs(self.store.blobs, stored)
            raise
        finally:
            if draft is not None:
                draft.discard()
            for upload in uploads:
                upload.staged.discard()
        if change.was_in_doubt:
            return change  # deleted and published again since, its own files may be in the trash: see Change.meant
        listed = {file.blob for file in change.after.files.values()} if change.after is not None else set()
        remove_blobs(self.store.blobs, [file for file in stored if file.blob not in listed])
        return change

    def delete(
        self,
        name: str,
        selection: Selection,
        *,
        to_trash: bool = True,
        with_status: bool = False,
        origin: Origin | None = None,
        guard: Guard | None = None,
    ) -> Change:
        """Delete a file, a release, or the whole project: into the trash, if the index has one and `to_trash` is on.

        `with_status`: the whole project, and its status, also where it has no files; for the deletion of the index.
        Raises NotFound, DamagedRecord, StoreError.
        """
        name = normalize_name(name)
        is_kept = to_trash and self._trash_seconds > 0

        def transition(project: Project | None) -> Project:
            after = changes.clear(project) if with_status else changes.delete(project, selection)
            if is_kept and project is not None and project.files:
                # At each attempt: a restoration may have taken them out of the trash since the one before.
                files = [file for name, file in project.files.items() if name not in after.files and file.blob]
                self.trash.put(name, project, files, seconds=self._trash_seconds, origin=origin or self.origin)
            return after

        return dataclasses.replace(self._change(name, transition, "delete", origin, guard), is_in_trash=is_kept)

    def restore(
        self,
        name: str,
        is_meant: Callable[[TrashedFile], bool],
        *,
        existing: Mapping[str, File] | None = None,
        quotas: Quotas = UNLIMITED,
        origin: Origin | None = None,
        guard: Guard | None = None,
    ) -> Change:
        """List files of the trash again, all or none. `existing`: files that are served besides.

        Raises NotFound when the trash has none of them, or one has lost its bytes; FileExists when other content has
        one of the names; QuotaExceeded, DamagedRecord, StoreError.
        """
        name = normalize_name(name)
        chosen: list[TrashedFile] = []

        def transition(project: Project | None) -> Project:
            _ask(guard, project)
            # The trash is read after the record, and the record replaced that was read: see `quire.index.trash`.
            trash, key = self.trash.document(name), self.trash.key(name)
            chosen[:] = [each for each in trash_documents.files_of(trash, key) if is_meant(each)]
            listed = project.files if project is not None else {}
            check_present(self.store.blobs, name, [each.file for each in chosen if each.file.filename not in listed])
            after = project
            if trash is not None:
                files = [each.file for each in chosen]
                after = trash_documents.restore(project, trash, files, existing=existing or {}, key=key)
            if after is None or not chosen:
                raise NotFound(f"The trash of {name} has no such file; 'quire trash list {name}' shows what it has.")
            return room.check(project, after)

        until = commits.now() + PUBLICATION_SECONDS
        with Room(self.usage, name, quotas) as room:
            change = room.settle(self.commits.make(self.key(name), transition, "restore", origin, until=until))
        if not chosen:  # the write was in doubt, and the trash has been emptied since
            raise NotFound(f"The trash of {name} was emptied meanwhile.")
        if change.changed:
            before = change.before.files if change.before is not None else {}
            # These very entries: a later deletion of the same file has made another one.
            restored = {each.file.filename: each for each in chosen if each.file.filename not in before}
            self.trash.take(name, lambda each: restored.get(each.file.filename) == each, "restore", origin)
        return change

    def empty_trash(
        self,
        name: str,
        is_meant: Callable[[TrashedFile], bool],
        *,
        action: str = "empty",
        origin: Origin | None = None,
    ) -> tuple[File, ...]:
        """Remove files from the trash for good; those that were in it. `action`: for the audit log.

        Raises DamagedRecord, StoreError.
        """
        name = normalize_name(name)
        # `unlisted`, also after doubt: here it is looked at what names the blobs
        removed = self.trash.take(name, is_meant, action, origin).unlisted
        if removed:
            listed = self.trash.fence(self.key(name))
            still = [project for project in (listed, self.trash.document(name)) if project is not None]
            named = {file.blob for project in still for file in project.files.values()}
            remove_blobs(self.store.blobs, [file for file in removed if file.blob not in named])
        return removed

    def yank(
        self,
        name: str,
        selection: Selection,
        reason: str | None = None,
        *,
        origin: Origin | None = None,
        guard: Guard | None = None,
    ) -> Change:
        """Yank files (PEP 592). Raises NotFound."""
        return self._change(name, lambda project: changes.yank(project, selection, reason), "yank", origin, guard)

    def unyank(
        self, name: str, selection: Selection, *, origin: Origin | None = None, guard: Guard | None = None
    ) -> Change:
        """Take the yanked mark away. Raises NotFound."""
        return self._change(name, lambda project: changes.unyank(project, selection), "unyank", origin, guard)

    def set_status(
        self,
        name: str,
        status: Status,
        reason: str | None = None,
        *,
        origin: Origin | None = None,
        guard: Guard | None = None,
    ) -> Change:
        """Set the project's PEP 792 status. Raises NotFound."""

        def transition(project: Project | None) -> Project:
            return changes.set_status(project, name, status, reason)

        return self._change(name, transition, "status", origin, guard)

    def add_owner(
        self, name: str, owner: str, *, origin: Origin | None = None, guard: Guard | None = None
    ) -> tuple[str, ...]:
        """Add an owner (a subject, such as `user:alice`) to a project; all that it has then. Raises NotFound."""
        return self._change_owners(name, lambda project: changes.with_owner(project, owner), "owner-add", origin, guard)

    def remove_owner(
        self,
        name: str,
        owner: str,
        *,
        may_be_last: bool,
        origin: Origin | None = None,
        guard: Guard | None = None,
    ) -> tuple[str, ...]:
        """Remove an owner; those that are left. Raises NotFound; InvalidRequest for the last one, unless
        `may_be_last` is on."""

        def transition(project: Project | None) -> Project:
            return changes.without_owner(project, owner, may_be_last=may_be_last)

        return self._change_owners(name, transition, "owner-remove", origin, guard)

    def _change_owners(
        self, name: str, transition: Transition, action: str, origin: Origin | None, guard: Guard | None
    ) -> tuple[str, ...]:
        left: tuple[str, ...] = ()

        def changed(project: Project | None) -> Project:
            nonlocal left
            after = transition(project)
            left = after.owners
            return after

        self._change(normalize_name(name), changed, action, origin, guard)
        return left

    def amend(self, name: str, transition: Transition, *, origin: Origin | None = None) -> Change:
        """Any other change, for repairs. `transition` gives back the very project it got when nothing is to change.

        It may be called several times, each time with what is stored by then.
        """
        return self._change(name, lambda project: transition(present(project)), "amend", origin)

    def carry(
        self,
        name: str,
        transition: Transition,
        history: Sequence[Entry],
        *,
        follows: bool,
        origin: Origin | None,
        until: float,
    ) -> Change:
        """Take over what another store has of a project, and its audit log before that. For `quire import --from`.

        `transition`: of the stored project, which has its tombstones though no file may be left. `history`: the log
        entries of the source, the oldest first. `follows`: whether the project becomes what the source has; else files
        of it are added to what others made, which is logged as a publication. `until`: as for Commits.make.
        """
        name, action = normalize_name(name), "import" if follows else "publish"
        carry(self.store.records, archive_key(self.name, name), history)
        with Room(self.usage, name) as room:
            return room.settle(
                self.commits.make(self.key(name), transition, action, origin, until=until, history=history)
            )

    def _change(
        self, name: str, transition: Transition, action: str, origin: Origin | None, guard: Guard | None = None
    ) -> Change:
        def guarded(project: Project | None) -> Project:
            _ask(guard, project)
            return transition(project)

        with Room(self.usage, normalize_name(name)) as room:
            return room.settle(self.commits.make(self.key(name), guarded, action, origin))

    def remove_blobs(self, files: Iterable[File]) -> None:
        """Remove what files of `Change.removed` had stored. Failure is left to collect_garbage."""
        remove_blobs(self.store.blobs, files)


def _ask(guard: Guard | None, project: Project | None) -> None:
    if guard is not None:
        guard(project)


def all_indexes(store: Store, origin: Origin | None = None) -> list[Index]:
    """Every index of a store. `origin`: as for one of them. Raises StoreError."""
    prefixes = (prefix.partition("/") for prefix in store.records.prefixes())
    return [Index(store, name, origin) for name, _, kind in prefixes if kind == "projects"]
