"""The deletion of an index: a later one of its name begins empty, also where the deletion was killed half-way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from quire.access import defining as rules
from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.project import Status
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import defining, promoting
from quire.operations.declaring.applying import apply
from quire.operations.declaring.reading import Declared
from quire.store.bucket.store import BucketStore
from quire.store.contracts import Store
from quire.store.faults import Faults
from quire.store.memory import MemoryStore
from tests.distributions import wheel_name
from tests.index.test_index import staged_wheel
from tests.store.bucket.changes import one_at_a_time
from tests.store.bucket.memory import MemoryBucket
from tests.store.bucket.test_kills import DyingBucket, Killed

ORIGIN: Final = Origin(user="ann")
FILES: Final = {"alpha": ["1.0", "2.0"], "beta": ["1.0"]}
KINDS: Final = {"index": 86_400.0, "stage": 0.0}
"""How long the deleted files of each stay in the trash."""
_MOST = 200


def create(store: Store, kind: str) -> None:
    settings = {"in_front_of": "main"} if kind == "stage" else {}
    defining.create_index(AccessRecords(store), "team", settings, default="main", origin=ORIGIN)


def delete(store: Store, kind: str, *, with_files: bool = True) -> int:
    index = Index(store, "team", trash_seconds=KINDS[kind])
    return defining.delete_index(AccessRecords(store), index, with_files=with_files, default="main", origin=ORIGIN)


def prepare(store: Store, kind: str) -> None:
    """An index with two projects with files, one of them quarantined, and one that is archived without files."""
    create(store, kind)
    index = Index(store, "team")
    for name, versions in {**FILES, "gamma": ["1.0"]}.items():
        index.publish([staged_wheel(store, name, version) for version in versions])
    index.set_status("beta", Status.QUARANTINED, "looks bad")
    index.set_status("gamma", Status.ARCHIVED)
    index.remove_blobs(index.delete("gamma", Selection()).removed)


def is_defined(store: Store) -> bool:
    return "team" in AccessRecords(store).read().state.document.indexes


def judge(store: Store, kind: str, *, told: bool) -> None:
    """After a deletion that was perhaps killed: all is there or will go, and a later index has nothing of it.

    `told`: whether the deletion had ended.
    """
    index = Index(store, "team")
    if is_defined(store):
        assert not told
        assert index.names() == ("alpha", "beta", "gamma")
        delete(store, kind)
    try:
        create(store, kind)
    except InvalidRequest as refusal:
        assert not told
        assert "'quire index delete team --yes' ends it" in str(refusal)  # noqa: PT017 - it need not be raised
        with pytest.raises(InvalidRequest):
            create(store, kind)
        delete(store, kind)
        create(store, kind)
    assert index.names() == ()
    in_trash = {name: [each.file.version for each in index.trash.files(name)] for name in index.trash.names().names}
    assert in_trash == (FILES if kind == "index" else {})
    assert delete(store, kind) == 0
    with pytest.raises(NotFound):
        delete(store, kind)
    create(store, kind)
    index.publish([staged_wheel(store, "beta", "9.0")])
    project = index.project("beta")
    assert project is not None
    assert (project.status, project.status_reason, [*project.files]) == (
        Status.ACTIVE,
        None,
        [wheel_name("beta", "9.0")],
    )


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_deletion_that_was_killed_ends(kind: str, *, is_after: bool) -> None:
    """At each of its requests to a bucket."""
    for number in range(1, _MOST):
        bucket = MemoryBucket()
        prepare(BucketStore(bucket, "memory"), kind)
        dying = DyingBucket(bucket, number, is_after=is_after)
        with one_at_a_time():
            try:
                delete(BucketStore(dying, "memory"), kind)
            except Killed:
                assert dying.is_dead
        judge(BucketStore(bucket, "memory"), kind, told=not dying.is_dead)
        if not dying.is_dead:
            break
    assert 20 < number < _MOST, "the deletion makes so few or many requests that this was no test"


def by_delete(store: Store) -> None:
    """Without files: there is nothing but a status."""
    delete(store, "index", with_files=False)


def by_apply(store: Store) -> None:
    wanted = Declared({"main": {}})
    apply(AccessRecords(store), wanted, default="main", prune=True, dry_run=False, origin=ORIGIN)


def by_end(store: Store) -> None:
    """The end of a stage."""
    now = datetime.now(UTC) + timedelta(days=2)
    assert promoting.end_stages(AccessRecords(store), store, "main", ORIGIN, now) == 1


@pytest.mark.parametrize("way", [by_delete, by_apply, by_end])
def test_the_status_of_a_project_goes_with_its_index(way: Callable[[Store], None]) -> None:
    """Also of one without files, whichever way the index goes; its tombstones and its owners stay."""
    store = MemoryStore()
    ends = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    settings = {"in_front_of": "main", "expires": ends} if way is by_end else {}
    defining.create_index(AccessRecords(store), "team", settings, default="main", origin=ORIGIN)
    index = Index(store, "team")
    index.publish([staged_wheel(store, "alpha", "1.0")], owner="user:ann")
    index.set_status("alpha", Status.QUARANTINED, "looks bad")
    index.delete("alpha", Selection())
    assert index.names() == ("alpha",)
    way(store)
    assert not is_defined(store)
    create(store, "index")
    assert index.names() == ()
    stored = index.stored("alpha")
    assert stored is not None
    assert (stored.status, stored.owners, [*stored.deleted.entries()]) == (
        Status.ACTIVE,
        ("user:ann",),
        [wheel_name("alpha", "1.0")],
    )


@pytest.mark.parametrize("operation", ["read", "names", "write"])
@pytest.mark.parametrize("step", range(0, 30, 3))
def test_an_index_that_was_made_again_stays(operation: str, step: int) -> None:
    """A slow deletion, which another one overtakes, deletes nothing of the next index of its name."""
    store = MemoryStore()
    prepare(store, "index")

    def made_again() -> None:
        with contextlib.suppress(NotFound):  # the slow one had ended
            delete(store.shared(), "index")
        create(store.shared(), "index")
        Index(store.shared(), "team").publish([staged_wheel(store.shared(), "beta", "3.0")])

    slow = store.shared()
    slow.faults.call(operation, made_again, skip=step)  # type: ignore[arg-type]
    delete(slow, "index")
    if is_defined(store):
        assert Index(store, "team").names() == ("beta",)


@pytest.mark.parametrize("kind", KINDS)
def test_a_deletion_that_an_earlier_version_began_is_ended(kind: str) -> None:
    """It removed the definition, and left no name in the document."""
    store = MemoryStore()
    prepare(store, kind)
    access = AccessRecords(store)
    details = {"index": "team"}
    access.change(lambda document: rules.without_index(document, "team", "main"), "index-delete", details, ORIGIN)
    assert delete(store, kind) == 3
    assert Index(store, "team").names() == ()
    create(store, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_comes_while_an_empty_index_is_deleted_goes_with_it(kind: str) -> None:
    """It was let in before the definition was gone."""
    store = MemoryStore()
    create(store, kind)
    other = store.shared(Faults())

    def publish() -> None:
        assert is_defined(other)
        Index(other, "team").publish([staged_wheel(other, "alpha", "1.0")])

    store.faults.call("write", publish)
    delete(store, kind)
    assert Index(store, "team").names() == ()
    create(store, kind)


def test_the_root_of_another_server_is_not_deleted() -> None:
    """It is served without a definition, so it was never deleted either."""
    store = MemoryStore()
    Index(store, "team").publish([staged_wheel(store, "alpha", "1.0")])
    with pytest.raises(NotFound):
        delete(store, "index")
    assert Index(store, "team").names() == ("alpha",)
