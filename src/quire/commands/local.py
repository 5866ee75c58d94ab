"""`Administration` on a store, for commands."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from quire.access.grants import ANY
from quire.access.history import part_about
from quire.administration import describing
from quire.administration.advisory_documents import (
    AdvisoriesRemoved,
    AdvisoriesUpdated,
    AdvisorySources,
    ProjectAdvisories,
    advisories_about,
    sources_of,
    updated_of,
)
from quire.administration.declared_documents import (
    Applied,
    Configuration,
    ConfigurationBody,
    applied_of,
    configuration_of,
    tables_of,
)
from quire.administration.describing import log_reader
from quire.administration.describing_changes import deletion_of, status_of, yanked_of
from quire.administration.describing_indexes import index_entries, index_entry, settings_of
from quire.administration.describing_policies import changes_of, policy_entry
from quire.administration.describing_promotions import promotion_of
from quire.administration.describing_trash import emptied_of, restored_of, trash_entry
from quire.administration.documents import (
    Deleted,
    DeletedIndex,
    IndexBody,
    IndexChange,
    IndexEntry,
    NewIndexBody,
    Owners,
    ProjectDetails,
    ProjectEntry,
    ProjectPage,
    ProjectStatus,
    Release,
    Yanked,
)
from quire.administration.policy_documents import PolicyBody, PolicyChange, PolicyEntry, PolicyExplanation, Trial
from quire.administration.promotion_documents import Promotion, PromotionBody
from quire.administration.retention_documents import RetentionPage, retention_page
from quire.administration.trash_documents import Emptied, Restored, TrashPage
from quire.advisories.known import AdvisoryCache
from quire.catalog.composing import Projects
from quire.catalog.drop_ins import DropInFile, DropIns
from quire.catalog.filtering import check_upload, utc_now
from quire.catalog.hosted import Hosted, count_bytes
from quire.catalog.views import ProjectView
from quire.commands.common import Opened
from quire.commands.local_access import READERS, LocalAccess
from quire.config.values import index_name
from quire.domain.changes import Selection
from quire.domain.errors import DamagedRecord, NoSuchProject, NotFound
from quire.domain.indexes import chain
from quire.domain.project import File, Project, Status
from quire.domain.retention import parse_rules
from quire.domain.rulings import Rules
from quire.dropin.listing import Candidate
from quire.index.audit.reading import LogFilter, Logged
from quire.index.index import Index
from quire.operations import (
    advisories,
    defining,
    owning,
    promoting,
    selecting,
    trash,
)
from quire.operations.changing import FixedFile
from quire.operations.declaring.applying import apply
from quire.operations.declaring.reading import parse_declared
from quire.operations.declaring.writing import export
from quire.operations.missing import no_such_project
from quire.operations.retention import preview
from quire.operations.selecting import Target, only_drop_ins
from quire.operations.trash import TrashFilter
from quire.process.progress import Progress


class Local(LocalAccess):
    """`quire.administration.contract.Administration` of a store."""

    # -- indexes ------------------------------------------------------------------------------------------------------

    def indexes(self, *, used_of: str | None = None) -> list[IndexEntry]:
        state, default = self._access.read().state, self._opened.root
        used = {}
        if used_of is not None and state.definition(used_of).quota is not None:
            used[used_of] = count_bytes(Index(self._opened.store, used_of))
        return index_entries(state, default, read_only=not self._opened.store.writable, used=used)

    @property
    def of_readable(self) -> str:
        return ""

    def create_index(self, body: NewIndexBody) -> IndexChange:
        default, changes = self._opened.root, settings_of(body)
        definition, changed = defining.create_index(
            self._access, body.name, changes, default=default, origin=self._origin
        )
        return IndexChange(index=index_entry(body.name, definition, default, read_only=False), changed=changed)

    def delete_index(self, name: str, *, with_files: bool) -> DeletedIndex:
        try:
            name = index_name(name)
        except ValueError:
            raise NotFound(f"There is no index {name[:200]!r}; 'quire index list' lists them.") from None
        index = Index(self._opened.store, name, self._origin, trash_seconds=self._opened.settings.trash_seconds)
        deleted = defining.delete_index(
            self._access, index, with_files=with_files, default=self._opened.root, origin=self._origin
        )
        return DeletedIndex(index=name, deleted_files=deleted)

    def promote(self, stage: str, body: PromotionBody, progress: Progress) -> Promotion:
        state, root = self._access.read().state, self._opened.root
        target = promoting.target_of(state.document, stage, root)
        source, into = (Index(self._opened.store, name, self._origin) for name in (stage, target))
        rules = [Rules(target, state.definition(target).policy)]
        advisories = AdvisoryCache(self._opened.store).at(state.document.advisories)
        promoted = promoting.promote(
            source,
            promoting.projects_of(source, body.projects),
            promoting.Target(
                into,
                overwrite=state.definition(target).overwrite,
                existing=partial(drop_in_files, self._opened) if target == root else lambda _: {},
                check=lambda facts: check_upload(rules, facts, advisories, utc_now()),
            ),
            dry_run=body.dry_run,
            origin=self._origin,
            progress=progress,
        )
        return promotion_of(stage, target, promoted, dry_run=body.dry_run)

    def set_index(self, name: str, body: IndexBody) -> IndexChange:
        default, changes = self._opened.root, settings_of(body)
        definition, changed = defining.set_index(self._access, name, changes, default=default, origin=self._origin)
        return IndexChange(index=index_entry(name, definition, default, read_only=False), changed=changed)

    def policy(self) -> PolicyEntry:
        name = self._index.name
        return policy_entry(name, self._access.read().state.definition(name).policy)

    def set_policy(self, body: PolicyBody) -> PolicyChange:
        name, root = self._index.name, self._opened.root
        policy, changed = defining.set_policy(self._access, name, changes_of(body), default=root, origin=self._origin)
        return PolicyChange(policy=policy_entry(name, policy), changed=changed)

    def try_policy(self, releases: Sequence[str], change: PolicyBody | None) -> Trial:
        from quire.commands.explaining import tried_on  # noqa: PLC0415 - as below

        return tried_on(self._opened, self._index.name, releases, change)

    def explain_policy(self, project: str, version: str | None) -> PolicyExplanation:
        from quire.commands.explaining import explained  # noqa: PLC0415 - all that a server has, for this only

        return explained(self._opened, self._index.name, project, version)

    def configuration(self) -> Configuration:
        return configuration_of(export(self._access.read().state.document, self._opened.root))

    def apply(self, body: ConfigurationBody) -> Applied:
        found = apply(
            self._access,
            parse_declared(tables_of(body)),
            default=self._opened.root,
            prune=body.prune,
            dry_run=body.dry_run,
            origin=self._origin,
        )
        return applied_of(found, dry_run=body.dry_run)

    def advisory_sources(self) -> AdvisorySources:
        return sources_of(self._access.read().state.document.advisories)

    def advisories(self, project: str, version: str | None) -> ProjectAdvisories:
        sources = self._access.read().state.document.advisories
        if not sources:  # an empty list would look like a clean bill
            raise NotFound("There are no advisories in this store; 'quire osv update' takes some in.")
        entries = AdvisoryCache(self._opened.store).at(sources).entries(project, version)
        return advisories_about(project, version, entries)

    def update_advisories(self, path: str, source: str, *, shrinks: bool, progress: Progress) -> AdvisoriesUpdated:
        done = advisories.update_advisories(
            self._opened.store,
            self._access,
            path,
            source,
            origin=self._origin,
            progress=progress,
            shrinks=shrinks,
        )
        return updated_of(source, done)

    def remove_advisories(self, source: str) -> AdvisoriesRemoved:
        advisories.remove_advisories(self._opened.store, self._access, source, origin=self._origin)
        return AdvisoriesRemoved(source=source, removed=True)

    def retention(self, keep: Sequence[str] | None) -> RetentionPage:
        rules = self._access.read().state.definition(self._index.name).keep if keep is None else parse_rules(keep)
        return retention_page(self._index.name, rules, preview(self._index, rules))

    # -- projects -----------------------------------------------------------------------------------------------------

    def projects(self) -> ProjectPage:
        stored, dropped = set(self._index.names()), self._opened.all_candidates()
        with ThreadPoolExecutor(READERS) as pool:

            def entry(name: str) -> ProjectEntry:
                return self._entry(name, name in stored, dropped.get(name, ()))

            found = list(pool.map(entry, sorted({*stored, *dropped})))
        return ProjectPage(index=self._index.name, projects=found)

    def project(self, name: str) -> ProjectDetails:
        view = project_view(self._opened, name)
        deleted = self._index.deleted(name)
        if not (view.exists or deleted):
            for each in chain(self._access.read().state.document.indexes, self._index.name):
                if self._is_in(each, name):
                    raise NotFound(
                        f"{self._index.name} itself has no project {name}; {each} has, behind it: --index {each}."
                    )
            raise self._missing(name)
        paths = {filename: each.drop_in.path for filename, each in view.files.items() if isinstance(each, DropInFile)}
        return describing.project_of(self._index.name, view, deleted, paths)

    def _is_in(self, index: str, name: str) -> bool:
        """Whether an index of the store itself has a project."""
        is_dropped = index == self._opened.root and name in self._opened.beside_store()
        return is_dropped or Index(self._opened.store, index).project(name) is not None

    def release(self, name: str, version: str | None) -> Release:
        return describing.release_of(project_view(self._opened, name), version)

    def yank(self, name: str, selection: Selection, reason: str | None) -> Yanked:
        with self._suggesting():
            return yanked_of(selecting.yank(self._target(name), selection, reason), selection)

    def unyank(self, name: str, selection: Selection) -> Yanked:
        with self._suggesting():
            return yanked_of(selecting.unyank(self._target(name), selection), selection)

    def delete(self, name: str, selection: Selection, *, dry_run: bool, no_trash: bool = False) -> Deleted:
        with self._suggesting():
            done = selecting.delete(self._target(name), selection, to_trash=not no_trash, dry_run=dry_run)
        # An open file outlives its name on a local file system. Over NFS a download under way would break off, so
        # there the bytes stay until they are collected.
        frees = done.changed and (self._opened.store.validates_inline or no_trash)
        if frees:
            self._index.remove_blobs(done.removed)
        trash_days = self._opened.settings.trash_days
        return deletion_of(name, selection, done, dry_run=dry_run, freed=frees, trash_days=trash_days)

    def status(self, name: str) -> ProjectStatus:
        target = self._target(name)
        with self._suggesting():
            target.check_exists()
        return status_of(name, target.stored, changed=False)

    def set_status(self, name: str, status: Status, reason: str | None) -> ProjectStatus:
        with self._suggesting():
            change = selecting.set_status(self._target(name), status, reason)
        return status_of(name, change.after, changed=change.changed)

    def owners(self, name: str) -> Owners:
        return self._owners(name, self._owned(name).owners, changed=False)

    def add_owner(self, name: str, subject: str) -> Owners:
        before = self._owned(name).owners
        after = owning.add_owner(self._index, name, subject)
        return self._owners(name, after, changed=after != before)

    def remove_owner(self, name: str, subject: str, *, force: bool) -> Owners:
        before = self._owned(name).owners
        after = owning.remove_owner(self._index, name, subject, may_be_last=force)
        return self._owners(name, after, changed=after != before)

    # -- the trash ----------------------------------------------------------------------------------------------------

    def trash(self, name: str | None, filter_: TrashFilter) -> TrashPage:
        names = self._index.trash.names().names if name is None else (name,)
        found = [each for project in names for each in trash.find(self._index, project, filter_)]
        if name is not None and not found:
            with self._suggesting():
                trash.check_known(self._index, name)
        return TrashPage(index=self._index.name, files=[trash_entry(each) for each in found])

    def restore(self, name: str, filter_: TrashFilter, *, dry_run: bool) -> Restored:
        with self._suggesting():
            existing = drop_in_files(self._opened, name) if self._opened.has_drop_ins else {}
            restored = trash.restore(self._index, name, filter_, existing=existing, dry_run=dry_run)
        return restored_of(name, restored, dry_run=dry_run)

    def empty_trash(self, name: str, filter_: TrashFilter, *, dry_run: bool) -> Emptied:
        with self._suggesting():
            removed = trash.empty(self._index, name, filter_, dry_run=dry_run)
        return emptied_of(name, removed, dry_run=dry_run)

    # -- the log ------------------------------------------------------------------------------------------------------

    def log(self, name: str | None, filter_: LogFilter) -> list[Logged]:
        self._check_logged(name)
        return log_reader(self._index).all(self._logged(name), filter_, self._of_access(name))

    def follow(self, name: str | None, filter_: LogFilter) -> Callable[[], list[Logged]]:
        self._check_logged(name)
        reader, seen = log_reader(self._index), set[str]()
        return lambda: reader.new_entries(lambda: self._logged(name), filter_, seen, lambda: self._of_access(name))

    def _check_logged(self, name: str | None) -> None:
        """Raises NoSuchProject for a name of which there never was anything."""
        if name is None or self._index.was_written(name) or self._opened.candidates(name) or self._of_access(name):
            return
        raise self._missing(name, self._logged(None))

    def _of_access(self, name: str | None) -> list[Logged]:
        """The changes of grants, groups and tokens that are about a project of the index, or all of the store."""
        index = ANY if name is None else self._index.name
        log = self._access.log()
        return [Logged("", part) for entry in log if (part := part_about(entry, index, name)) is not None]

    def _logged(self, name: str | None) -> tuple[str, ...]:
        if name is not None:
            return (name,)
        return self._opened.store.records.written(self._index.prefix)  # those that were deleted, too

    # -- parts --------------------------------------------------------------------------------------------------------

    def _owned(self, name: str) -> Project:
        """A project that can have owners. Raises NotFound, ReadOnlyFile."""
        project = self._index.stored(name)
        if project is None:
            if not self._opened.candidates(name):
                raise self._missing(name)
            raise only_drop_ins(name)
        return project

    def _owners(self, name: str, owners: Sequence[str], *, changed: bool) -> Owners:
        is_owned = self._access.read().state.has_owned_projects(self._index.name)
        return Owners(project=name, owners=list(owners), changed=changed, count=is_owned)

    def _missing(self, name: str, further: Iterable[str] = ()) -> NoSuchProject:
        """The error for a name without a project. `further`: names that may be meant beside those of the projects."""
        return no_such_project(name, sorted({*self._index.names(), *self._opened.all_candidates(), *further}))

    @contextlib.contextmanager
    def _suggesting(self) -> Iterator[None]:
        """With the name that was probably meant in the error for one without a project, in the trash as well."""
        try:
            yield
        except NoSuchProject as error:
            raise self._missing(error.project, self._index.trash.names().names) from None

    def _target(self, name: str) -> Target:
        """A project that is to be changed, and those of its files that cannot be."""
        stored = self._index.project(name)
        files = stored.files if stored is not None else {}
        fixed = [_fixed(dropin, files, self._opened.store.place) for dropin in self._opened.candidates(name)]
        return Target(self._index, name, stored, fixed)

    def _entry(self, name: str, stored: bool, dropins: Sequence[Candidate]) -> ProjectEntry:
        """By its record and by the names of its drop-in files, none of which is read."""
        files: dict[str, tuple[str, int]] = {}
        for dropin in dropins:
            with contextlib.suppress(OSError):  # it has just gone
                files[dropin.parsed.filename] = (dropin.parsed.version, os.stat(dropin.path).st_size)
        error = None
        try:
            hosted = self._index.project(name) if stored else None
            files |= {file.filename: (file.version, file.size) for file in (hosted.files.values() if hosted else ())}
        except DamagedRecord as damaged:
            error = str(damaged)
        return describing.entry(name, files, stored=stored, drop_in=bool(dropins), error=error)


def project_view(opened: Opened, name: str) -> ProjectView:
    """A project as servers see it, or its absence."""
    dropped = [DropIns(opened.folder())] if opened.has_drop_ins else []
    return Projects([Hosted(opened.index), *dropped]).load_blocking(name)


def drop_in_files(opened: Opened, name: str) -> dict[str, File]:
    """The drop-in files of a project of the index at the root, by filename."""
    listed = Projects([DropIns(opened.folder())]).load_blocking(name).all_files()
    return {each.file.filename: each.file for each in listed}


def _fixed(dropin: Candidate, files: Collection[str], root: str) -> FixedFile:
    filename, folder = dropin.parsed.filename, dropin.path.removesuffix(f"/{dropin.relative}")
    problem = (
        f"{filename} is a drop-in file; change it where it lies ({dropin.path}), or take all files of that directory "
        f"into the store first: quire import --move {shlex.quote(folder)} --into {shlex.quote(root)}"
    )
    return FixedFile(filename, dropin.parsed.version, filename in files, problem)
