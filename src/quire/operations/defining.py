"""Changes of the definitions of indexes: the one door for commands and requests, with the same checks and log lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from quire.access import defining
from quire.access.document import AccessDocument, with_fields
from quire.access.grants import parse_owner
from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.domain.errors import ChangedMeanwhile, InvalidRequest, NotFound
from quire.domain.indexes import DEFAULT, IndexDefinition, chain
from quire.domain.namespaces import Namespace, parse_namespace
from quire.domain.policy import Policy
from quire.domain.project import Project
from quire.domain.publishing_sessions import is_token
from quire.domain.times import stamp
from quire.domain.trash import is_trash
from quire.index.audit.entries import Origin
from quire.index.commits import Change
from quire.index.index import Index, all_indexes
from quire.operations import changing
from quire.store.contracts import Store

log = structlog.stdlib.get_logger(__name__)


def set_index(
    access: AccessRecords, name: str, changes: Mapping[str, Any], *, default: str, origin: Origin
) -> tuple[IndexDefinition, bool]:
    """Change fields of an index's definition: the definition, and whether that changed it.

    `default`: the name of the index at the server's root. Raises InvalidRequest, NotFound, StoreError.
    """
    if not changes:
        raise InvalidRequest("No setting of the index was named.")
    details = {"index": name, "set": dict(changes)}
    granted = changes.get("grant_namespace")
    if granted is not None:
        document = access.read().state.document
        namespace = Namespace(name=parse_namespace(granted["name"]), owners=tuple(granted["owners"]))
        existing = (
            None if granted["with_existing"] else existing_below(access.store, document, name, namespace, default)
        )
        changes = {**changes, "grant_namespace": {**granted, "existing": existing}}
    before, after = access.change(
        lambda document: defining.with_settings(document, name, changes, default), "index-set", details, origin
    )
    if before is not after:
        log.info("index changed", index=name, user=origin.user)
    return after.indexes.get(name, DEFAULT), before is not after


def set_policy(
    access: AccessRecords, name: str, changes: Mapping[str, Any], *, default: str, origin: Origin
) -> tuple[Policy, bool]:
    """Change the policy of an index: the policy, and whether that changed it.

    `changes`: see `quire.domain.policy.with_changes`. Raises InvalidRequest, NotFound, StoreError.
    """
    if not changes:
        raise InvalidRequest("No rule of the policy was named.")
    details = {"index": name, "set": dict(changes)}
    at = stamp(datetime.now(UTC))
    before, after = access.change(
        lambda document: defining.with_policy(document, name, changes, default, at=at, by=origin.user),
        "policy-set",
        details,
        origin,
    )
    if before is not after:
        log.info("policy changed", index=name, user=origin.user)
    return after.indexes.get(name, DEFAULT).policy, before is not after


def existing_below(store: Store, document: AccessDocument, name: str, namespace: Namespace, default: str) -> list[str]:
    """The projects (`INDEX/PROJECT`) below a namespace that is granted in an index: its own, and those of indexes that
    it is behind. Those that one of the new owners has are not among them."""
    subjects = {str(parse_owner(each)) for each in namespace.owners}
    subjects |= {f"user:{user}" for each in subjects for user in document.groups.get(each.removeprefix("group:"), ())}
    fronts = [each for each in {default, *document.indexes} if name in (each, *chain(document.indexes, each))]
    found = []
    for index in (Index(store, each) for each in fronts):
        for project in filter(namespace.covers, index.names()):
            record = index.project(project)
            if record is not None and record.files and subjects.isdisjoint(record.owners):
                found.append(f"{index.name}/{project}")
    return found


def create_index(
    access: AccessRecords, name: str, settings: Mapping[str, Any], *, default: str, origin: Origin
) -> tuple[IndexDefinition, bool]:
    """Make an index: the next request of every worker finds it. Its definition, and whether it is new.

    `settings`: as the changes of `set_index`. Repeated with the same settings, it changes nothing. Raises
    InvalidRequest, StoreError.
    """
    definition = defining.changed(DEFAULT, settings)
    before, after = access.change(
        lambda document: defining.with_index(document, name, definition, default),
        "index-create",
        {"index": name, "set": dict(settings)},
        origin,
    )
    if before is not after:
        log.info("index created", index=name, user=origin.user)
    return definition, before is not after


def delete_index(
    access: AccessRecords,
    index: Index,
    *,
    with_files: bool,
    default: str,
    origin: Origin,
    still: Callable[[IndexDefinition], bool] | None = None,
) -> int:
    """Delete an index: the next request of every worker does not find it. How many files of it were deleted.

    `index`: its hosted files, which go to the trash where `with_files` says so. The step that deletes the definition
    leaves its name in the document, and no other index is made under it before all projects are gone: repeated after an
    interruption, the deletion goes on. `still`: has to be true of its definition in the step that deletes it; only for
    the stage of a publishing session, as no later index has its name (`end_stage` is for the others).
    Raises NotFound, InvalidRequest for one with files otherwise (one that got a file just then is put back), and
    StoreError.
    """

    is_reused = not is_token(index.name)  # the stage of a publishing session is erased by its name alone

    def is_interrupted(document: AccessDocument) -> bool:
        """Whether an earlier deletion left projects. One by an earlier version left no name in the document, but an
        entry in the log; an index that is the root of another server was never defined, and has none."""
        if index.name == default or index.name in document.indexes:
            return False
        if defining.is_deleting(document, index.name):
            return True
        return is_reused and first_project(access.store, index.name) is not None and _was_deleted(access, index.name)

    def check_no_files(document: AccessDocument) -> None:
        if there := projects_with_files(access.store, index.name):
            raise InvalidRequest(
                f"The index {index.name} has files of {len(there)} project{'s' * (len(there) > 1)}, such as "
                f"{there[0]}; delete them first, or with the index (--yes), which puts them in the trash."
            )
        fronts = [name for name, each in document.indexes.items() if each.session and each.in_front_of == index.name]
        if any(projects_with_files(access.store, name) for name in fronts):
            raise InvalidRequest(
                f"The index {index.name} has open publishing sessions with files; cancel them first, or with the index "
                "(--yes), which deletes these files for good."
            )

    def remove(document: AccessDocument) -> AccessDocument:
        if still is not None and not still(defining.find(document, index.name, default)):
            raise NotFound(f"The index {index.name} is another one by now.")
        # Its refusals come first: they are those that no --yes lifts.
        after = document if is_interrupted(document) else defining.without_index(document, index.name, default)
        if not with_files:
            check_no_files(document)
        # Also an empty one: an upload may be published until this step is written, and `end_deletion` looks after it.
        is_left = (with_files and is_reused) or first_project(access.store, index.name) is not None
        return defining.with_deletions(after, [index.name]) if is_left else after

    before, after = access.change(remove, "index-delete", {"index": index.name}, origin)
    if index.name in before.indexes:
        log.info("index deleted", index=index.name, user=origin.user)
        if before.indexes[index.name].session is None:
            clear_sessions(access, before, after, origin)
        if not with_files:
            put_back_with_files(access, before, after, default, origin)
    deleted = end_deletion(access, index, with_files=with_files, origin=origin)
    if not with_files and index.name in before.indexes:
        put_back_with_files(access, before, after, default, origin)  # an upload may have come meanwhile
    return deleted


def _was_deleted(access: AccessRecords, name: str) -> bool:
    return any(entry.get("action") == "index-delete" and entry.get("index") == name for entry in access.log())


def end_deletion(access: AccessRecords, index: Index, *, with_files: bool, origin: Origin) -> int:
    """Delete the projects that are left of a deleted index, and then let others have its name; how many files that
    were. Of an index whose deletion has ended, or that was made again meanwhile, nothing is deleted. Raises StoreError.

    `with_files`: also the projects that have files; else those that have only a status.
    """
    deleted, known = 0, access.read()

    def end(document: AccessDocument) -> AccessDocument:
        is_over = first_project(access.store, index.name, with_files=with_files) is None
        return defining.without_deletions(document, [index.name]) if is_over else document

    while defining.is_deleting(known.state.document, index.name):
        for name in index.names():
            seen = index.project(name)
            # After the project: so it is of the deleted index, and not of one that was made again under its name.
            known = access.read(known)
            if not defining.is_deleting(known.state.document, index.name):
                return deleted
            if seen is not None and (with_files or not seen.files):
                with contextlib.suppress(ChangedMeanwhile):  # it is looked at again
                    deleted += len(_delete_whole(index, seen, name, to_trash=True, origin=origin).unlisted)
        access.change(end, "index-delete", {"index": index.name}, origin)
        known = access.read(known)
    return deleted


def _delete_whole(index: Index, seen: Project, name: str, *, to_trash: bool, origin: Origin) -> Change:
    """Delete a project and its status, if it is as it was seen. Raises ChangedMeanwhile, StoreError."""
    guard = changing.only_of(seen)
    change = changing.delete(
        index, name, Selection(), (), to_trash=to_trash, with_status=True, origin=origin, guard=guard
    )
    index.remove_blobs(change.removed)
    return change


def end_stage(
    access: AccessRecords,
    stage: Index,
    *,
    default: str,
    origin: Origin,
    has_ended: Callable[[IndexDefinition], bool],
) -> None:
    """Delete a stage that has ended: its files, for good, and then its definition.

    The definition is the last that goes: by it the next sweep finds the rest of an end that was interrupted, or a file
    of an upload that was let in before the end. Until then its addresses say that it has ended, and no other index has
    its name. `has_ended`: of its definition, asked before anything is deleted.
    Raises NotFound for one that is another one by now, InvalidRequest for one that cannot be deleted, or not yet, and
    StoreError.
    """

    def without(document: AccessDocument) -> AccessDocument:
        if not has_ended(defining.find(document, stage.name, default)):
            raise NotFound(f"The index {stage.name} is another one by now.")
        return defining.without_index(document, stage.name, default)

    for name in stage.names():
        seen = stage.project(name)
        # After the project: so it is of this stage, and not of one that was made again under its name.
        without(access.read().state.document)
        if seen is not None:
            with contextlib.suppress(ChangedMeanwhile):  # the next sweep sees it as it is by then
                _delete_whole(stage, seen, name, to_trash=False, origin=origin)

    def remove(document: AccessDocument) -> AccessDocument:
        after = without(document)
        if there := first_project(access.store, stage.name):
            raise InvalidRequest(f"The stage {stage.name} got files while it was deleted, such as of {there}.")
        return after

    before, after = access.change(remove, "index-delete", {"index": stage.name}, origin)
    log.info("index deleted", index=stage.name, user=origin.user)
    put_back_with_files(access, before, after, default, origin)


def clear_sessions(access: AccessRecords, before: AccessDocument, after: AccessDocument, origin: Origin) -> None:
    """Delete, for good, the files of the publishing sessions that a change has removed with their index.

    Their records are forgotten with those of other sessions (`quire gc`), and so is all that an interruption leaves.
    Raises StoreError.
    """
    for name in before.indexes.keys() - after.indexes.keys():
        if before.indexes[name].session is None:
            continue
        delete_for_good(Index(access.store, name, origin), origin)
        log.info("session canceled with its index", index=before.indexes[name].in_front_of, user=origin.user)


def delete_for_good(stage: Index, origin: Origin) -> None:
    """Delete the files of the stage of a publishing session, whose name no other index has. Raises StoreError."""
    for project in stage.names():
        with contextlib.suppress(NotFound):
            change = changing.delete(stage, project, Selection(), (), to_trash=False, origin=origin)
            stage.remove_blobs(change.removed)


def put_back_with_files(
    access: AccessRecords, before: AccessDocument, after: AccessDocument, default: str, origin: Origin
) -> None:
    """Define those indexes again that a change has removed and that have files. Raises InvalidRequest that names one.

    A file is one record and a definition another, so an upload that was let in before the removal can be published
    just before it, after the look at the files that came first. It was acknowledged, and has to be served.
    `default`: the index at the server's root, which is there without a definition.
    """
    removed = before.indexes.keys() - after.indexes.keys() - {default}
    removed = {name for name in removed if before.indexes[name].session is None}
    filled = [name for name in sorted(removed) if projects_with_files(access.store, name)]
    if not filled:
        return
    needed = removed & {each for name in filled for each in (name, *chain(before.indexes, name))}

    def put_back(document: AccessDocument) -> AccessDocument:
        missing = {name: before.indexes[name] for name in sorted(needed - document.indexes.keys())}
        there = with_fields(document, indexes={**document.indexes, **missing}) if missing else document
        return defining.without_deletions(there, needed)

    for name in filled:
        access.change(put_back, "index-create", {"index": name, "set": {}}, origin)
        log.warning("index with a file that came meanwhile is put back", index=name)
    raise InvalidRequest(f"The index {filled[0]} got a file while it was being removed, and is there again.")


def check_index(store: Store, name: str, default: str) -> None:
    """Check that a store has an index: the default one, a defined one, or one that was ever published to.

    Raises NotFound, StoreError.
    """
    if name == default:
        return
    known = {default, *AccessRecords(store).read().state.document.indexes}
    if name in known:
        return
    known |= {index.name for index in all_indexes(store) if not is_trash(index.name)}
    if name not in known:
        raise NotFound(
            f"There is no index {name!r} in {store.place}; there is {', '.join(sorted(known))}. "
            f"'quire index create {name}' makes one."
        )


def projects_with_files(store: Store, name: str) -> list[str]:
    """The projects of an index that have files. Raises StoreError."""
    return [project for project, found in _projects(store, name) if found.files]


def first_project(store: Store, name: str, *, with_files: bool = True) -> str | None:
    """A project of an index, if it has one; `with_files` off: one that has a status alone. Raises StoreError."""
    return next((project for project, found in _projects(store, name) if with_files or not found.files), None)


def _projects(store: Store, name: str) -> Iterator[tuple[str, Project]]:
    index = Index(store, name)
    for each in index.names():
        project = index.project(each)
        if project is not None:
            yield each, project
