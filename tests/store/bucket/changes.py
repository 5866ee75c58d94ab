"""Every kind of change of an index in a bucket, with the store that it begins with, and what must be true after a kill.

`python -m tests.store.bucket.changes NAME URL` makes one, and prints ACK when it is acknowledged.

Replaced here: the number of blobs that are sent at a time, so that a kill hits the same request each time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TypeAlias
from unittest import mock

from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.domain.errors import NotFound
from quire.domain.project import Status
from quire.index.audit.entries import Origin
from quire.index.commits import blob_keys
from quire.index.index import Index, all_indexes
from quire.index.upload import examine, upload_key
from quire.operations.checking import Check, Severity, collect_garbage
from quire.operations.granting import set_group
from quire.store.bucket import blobs
from quire.store.bucket.store import BucketStore
from quire.store.contracts import Store
from quire.store.opening import open_store
from tests.distributions import make_wheel, wheel_name

PROJECT, NEIGHBOUR = "alpha", "neighbour"
Seen: TypeAlias = dict[str, dict[str, tuple[str, bool | str]]]
"""The files of each listed project: sha256, and whether or why it is yanked; under "" the project's status. Under
"trash" the files that can be restored, under "groups" the users of the groups.
"""


def publish(index: Index, version: str, variant: str = "", project: str = PROJECT) -> None:
    """As a server does it, with what it removes after the answer."""
    filename = wheel_name(project, version)
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(make_wheel(project, version, files={"variant.txt": variant.encode()}))
    staged = staging.finish()
    try:
        change = index.publish([examine(staged, filename)], overwrite=True)
    finally:
        staged.discard()
    index.remove_blobs(change.removed)


def _delete(index: Index, selection: Selection) -> None:
    try:
        change = index.delete(PROJECT, selection)
    except NotFound:
        return  # done by the one that was killed
    index.remove_blobs(change.removed)


def _nothing(index: Index) -> None:
    publish(index, "1.0", project=NEIGHBOUR)


def _one(index: Index) -> None:
    _nothing(index)
    publish(index, "1.0")


def _two(index: Index) -> None:
    _one(index)
    publish(index, "2.0")


def _yanked(index: Index) -> None:
    _two(index)
    index.yank(PROJECT, Selection(version="1.0"), "broken")


def _deleted(index: Index) -> None:
    _one(index)
    _delete(index, Selection())


class Died(Exception):
    """A writer did not reach its commit."""


def die() -> None:
    """In the place of a commit."""
    raise Died


def _with_trash(index: Index) -> Index:
    return Index(index.store, trash_seconds=24 * 3600)


def _in_trash(index: Index) -> None:
    _two(index)
    _delete(_with_trash(index), Selection(version="1.0"))


def _restore(index: Index) -> None:
    with suppress(NotFound):  # done by the one that was killed
        _with_trash(index).restore(PROJECT, lambda _: True)


def _give(index: Index) -> object:
    return set_group(AccessRecords(index.store), "ops", ["alice"], Origin())


def _left_behind(index: Index) -> None:
    """By a publisher that was killed before its commit: blobs, and a token in the list of names."""
    _nothing(index)
    store, key = index.store, upload_key(wheel_name(PROJECT, "1.0"))
    assert isinstance(store, BucketStore)
    for suffix in ("", ".metadata"):
        staging = store.blobs.stage(f"{key}{suffix}")
        staging.write(b"bytes")
        staged = staging.finish()
        store.blobs.publish(staged)
        staged.discard()
    with suppress(Died):
        store.records.lists.change(index.prefix, PROJECT, die, is_present=True)


def _collect(index: Index) -> None:
    collect_garbage(index.store, lambda: all_indexes(index.store), older_than=0)


@dataclass(frozen=True)
class Scenario:
    """A change, and what was there before it."""

    prepare: Callable[[Index], None]
    act: Callable[[Index], object]


SCENARIOS = {
    "birth": Scenario(lambda _: None, lambda index: publish(index, "1.0")),
    "first": Scenario(_nothing, lambda index: publish(index, "1.0")),
    "second": Scenario(_one, lambda index: publish(index, "2.0")),
    "overwrite": Scenario(_one, lambda index: publish(index, "1.0", "other")),
    "same": Scenario(_one, lambda index: publish(index, "1.0")),
    "yank": Scenario(_two, lambda index: index.yank(PROJECT, Selection(version="1.0"), "broken")),
    "unyank": Scenario(_yanked, lambda index: index.unyank(PROJECT, Selection(version="1.0"))),
    "status": Scenario(_one, lambda index: index.set_status(PROJECT, Status.ARCHIVED, "moved")),
    "release": Scenario(_two, lambda index: _delete(index, Selection(version="1.0"))),
    "last": Scenario(_one, lambda index: _delete(index, Selection(version="1.0"))),
    "project": Scenario(_two, lambda index: _delete(index, Selection())),
    "trash": Scenario(_two, lambda index: _delete(_with_trash(index), Selection(version="1.0"))),
    "project to trash": Scenario(_one, lambda index: _delete(_with_trash(index), Selection())),
    "restore": Scenario(_in_trash, _restore),
    "empty": Scenario(_in_trash, lambda index: _with_trash(index).empty_trash(PROJECT, lambda _: True)),
    "group": Scenario(_one, _give),
    "again": Scenario(_deleted, lambda index: publish(index, "1.0")),
    "gc": Scenario(_left_behind, _collect),
    "sweep": Scenario(_left_behind, lambda index: index.store.sweep(older_than=0, thorough=True)),
}


def seen(store: Store) -> Seen:
    """An index as clients see it, by its list of names. Every listed file can be read, whole."""
    index = Index(store)
    found: Seen = {}
    for name in index.names():
        project = index.project(name)
        assert project is not None, f"{name} is listed, and not there"
        assert project.files, f"{name} is listed without files"
        found[name] = {file.filename: (file.sha256, file.yanked) for file in project.files.values()}
        found[name][""] = (project.status, project.status_reason or "")
    for name in (PROJECT, NEIGHBOUR):
        hidden = index.project(name)
        assert name in found or hidden is None or not hidden.files, f"{name} is there, and not listed"
    listed = found.get(PROJECT, {})
    trash = index.trash.files(PROJECT)
    # an entry of a file that is still listed does nothing
    found["trash"] = {each.file.filename: (each.file.sha256, "") for each in trash if each.file.filename not in listed}
    groups = AccessRecords(store).read().state.document.groups
    found["groups"] = {group: (" ".join(users), "") for group, users in groups.items()}
    assert not _damage(store)
    return found


def _damage(store: Store) -> list[str]:
    """The findings of a check of the whole store, besides bytes that gc removes."""
    checked = Check(store, lambda: [Index(store)]).run()
    return [finding.sentence for finding in checked.findings if finding.severity is not Severity.ORPHAN]


def check_after(store: BucketStore, name: str, before: Seen, after: Seen, *, is_acknowledged: bool) -> None:
    """All that must be true when the process that made the change was killed, for a worker that begins afresh."""
    found = seen(store)
    assert found == after if is_acknowledged else found in (before, after)
    store.sweep(older_than=0, thorough=True)
    assert seen(store) == found, "a sweep changed more than what was left over"
    names = store.records.names("main/projects")
    assert store.records.names("main/projects", names) is names, "a stale token was not healed"
    _collect(Index(store))
    assert seen(store) == found, "gc removed what is listed"
    SCENARIOS[name].act(Index(store))
    assert seen(store) == after, "the change cannot be made again"
    _collect(Index(store))
    store.sweep(older_than=0, thorough=True)
    assert {blob.key for blob in store.blobs.list()} == _listed(Index(store)), "bytes are left over"
    assert store.sweep(older_than=0, thorough=True) == 0, "something is left over"


def _listed(index: Index) -> set[str]:
    projects = [index.project(name) for name in index.names()]
    files = [file for project in projects if project for file in project.files.values()]
    return {key for file in [*files, *(each.file for each in index.trash.files(PROJECT))] for key in blob_keys(file)}


def one_at_a_time() -> AbstractContextManager[object]:
    """The blobs of a publication one after the other, so that the order of requests is always the same."""
    return mock.patch.object(blobs, "_AT_ONCE", 1)


def main() -> int:
    """Make one change."""
    with one_at_a_time():
        SCENARIOS[sys.argv[1]].act(Index(open_store(sys.argv[2])))
        print("ACK", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
