"""Deleted files stay in the trash until they are restored or removed, whatever fails and with other writers at work."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from quire.domain import trash as documents
from quire.domain.changes import Selection
from quire.domain.errors import FileExists, FilenameUsed, NotFound, QuireError
from quire.domain.project import File, Project, Status
from quire.index.audit.reading import LogReader
from quire.index.commits import blob_keys
from quire.index.index import Index, all_indexes
from quire.operations.checking import Check, Severity, collect_garbage
from quire.operations.expiring import Expiry
from quire.store.faults import Fault, Faults, Operation
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from tests.clocks import Clock
from tests.distributions import wheel_name
from tests.index.test_index import staged_wheel

WEEK = 7 * 86_400.0
WHEEL = wheel_name("demo", "1.0")


def everything(_: object) -> bool:
    return True


def index_of(state: MemoryState, faults: Faults | None = None) -> Index:
    """A worker's own handle."""
    return Index(MemoryStore(state, faults), trash_seconds=WEEK)


def published(state: MemoryState, *versions: str, variant: str = "") -> Index:
    index = index_of(state)
    for version in versions:
        index.publish([staged_wheel(index.store, "demo", version, variant=variant, signature=b"sig")], overwrite=True)
    return index


def listed(state: MemoryState) -> dict[str, File]:
    project = index_of(state).project("demo")
    return project.files if project is not None else {}


def trashed(state: MemoryState) -> dict[str, File]:
    return {each.file.filename: each.file for each in index_of(state).trash.files("demo")}


def stored(state: MemoryState) -> set[str]:
    return {blob.key for blob in MemoryStore(state).blobs.list()}


def test_a_deleted_project_is_restored_as_it_was() -> None:
    """Its name, its status, and each file with its yank, companions, time and bytes. Until then no page has it."""
    state = MemoryState()
    index = published(state, "1.0", "2.0")
    index.yank("demo", Selection(version="1.0"), "broken")
    index.set_status("demo", Status.DEPRECATED, "use other")
    before, blobs = index.project("demo"), stored(state)
    assert before is not None
    index.set_status("demo", Status.ACTIVE)
    for version in ("1.0", "2.0"):
        index.delete("demo", Selection(version=version))
    assert (index.names(), index.project("demo"), stored(state)) == ((), None, blobs)
    assert trashed(state) == before.files
    change = index.restore("demo", everything)
    after = index.project("demo")
    assert change.changed
    assert after is not None
    assert after.files == before.files
    assert (trashed(state), index.trash.names().names, stored(state)) == ({}, (), blobs)
    assert index.deleted("demo") == {}
    index.set_status("demo", Status.DEPRECATED, "use other")
    index.delete("demo", Selection())
    assert index.project("demo") is not None, "a project with a status stays, without files"


def test_the_name_and_status_of_a_project_that_is_gone_come_back() -> None:
    """Also fields of it that this version does not know."""
    project = Project(name="De.mo", status=Status.ARCHIVED, status_reason="old", unknown={"owner": "x"})
    file = File(filename=WHEEL, version="1.0", size=1, hashes={"sha256": "0" * 64}, blob="demo/x", unknown={"built": 1})
    trash = documents.put(None, project, [file], deleted=datetime.now(UTC), seconds=1, by="alice")
    assert not trash.status.offers_files
    [each] = documents.files_of(trash)
    assert (each.file, each.by) == (file, "alice")
    restored = documents.restore(None, trash, [each.file], existing={})
    assert restored == msgspec.structs.replace(project, files={WHEEL: file})


def test_deletion_and_removal_are_in_the_log() -> None:
    """Who deleted, restored and removed what."""
    state = MemoryState()
    index = published(state, "1.0")
    index.delete("demo", Selection())
    index.restore("demo", everything)
    index.delete("demo", Selection())
    index.empty_trash("demo", everything)
    trash = index.trash
    further = LogReader(index.store.records, trash.name, trash.prefix, actions=("empty", "expire"))
    log = LogReader(index.store.records, index.name, index.prefix, further=further).all(["demo"])
    found = [(each.entry["action"], [file["filename"] for file in each.entry["files"]]) for each in log]
    assert found == [(action, [WHEEL]) for action in ("publish", "delete", "restore", "delete", "empty")]


def test_other_content_has_the_name() -> None:
    """It is for the overwrite policy to allow that; then nothing is restored until that file is gone."""
    state = MemoryState()
    index = published(state, "1.0", "2.0")
    index.delete("demo", Selection())
    with pytest.raises(FilenameUsed):
        index.publish([staged_wheel(index.store, "demo", "1.0", variant="other")])
    index.publish([staged_wheel(index.store, "demo", "1.0", variant="other")], overwrite=True)
    before = listed(state)
    with pytest.raises(FileExists, match=r"already exists with other content .* nothing was restored"):
        index.restore("demo", everything)
    assert listed(state) == before
    index.restore("demo", lambda each: each.file.version == "2.0")
    assert set(listed(state)) == {WHEEL, wheel_name("demo", "2.0")}


def test_a_drop_in_has_the_name() -> None:
    """A file beside the store is not hidden by a restored one with other content."""
    state = MemoryState()
    index = published(state, "1.0")
    index.delete("demo", Selection())
    other = msgspec.structs.replace(trashed(state)[WHEEL], hashes={"sha256": "0" * 64}, blob=None)
    with pytest.raises(FileExists):
        index.restore("demo", everything, existing={WHEEL: other})


def test_the_same_content_was_published_again() -> None:
    """There is nothing to restore, as often as it is tried."""
    state = MemoryState()
    index = published(state, "1.0")
    index.delete("demo", Selection())
    published(state, "1.0")
    before = listed(state)
    assert not index.restore("demo", everything).changed
    assert not index.restore("demo", everything).changed
    assert listed(state) == before
    index.empty_trash("demo", everything)
    assert stored(state) == {key for file in before.values() for key in blob_keys(file)}


def test_what_is_not_there_is_not_restored() -> None:
    """Nothing in the trash, nothing of that name in it, or its bytes lost: one sentence, and no record changes."""
    state = MemoryState()
    index = published(state, "1.0")
    with pytest.raises(NotFound, match="quire trash list demo"):
        index.restore("demo", everything)
    index.delete("demo", Selection())
    with pytest.raises(NotFound, match="no such file"):
        index.restore("demo", lambda each: each.file.version == "3.0")
    for key in stored(state):
        index.store.blobs.remove(key)
    with pytest.raises(NotFound, match=r"bytes of demo-1\.0-.* are not in the store"):
        index.restore("demo", everything)
    assert listed(state) == {}


def test_without_a_trash_bytes_may_go_at_once() -> None:
    """The setting is 0, or the caller asks for it: nothing is kept."""
    state = MemoryState()
    index = published(state, "1.0", "2.0")
    change = index.delete("demo", Selection(version="1.0"), to_trash=False)
    assert [file.version for file in change.removed] == ["1.0"]
    change = Index(MemoryStore(state)).delete("demo", Selection(version="2.0"))
    assert [file.version for file in change.removed] == ["2.0"]
    assert trashed(state) == {}


# -- failures and other writers ---------------------------------------------------------------------------------------

Act = Callable[[Index], object]


def delete(index: Index) -> None:
    index.delete("demo", Selection())


def restore(index: Index) -> None:
    index.restore("demo", everything)


def empty(index: Index) -> None:
    index.empty_trash("demo", everything)


def is_whole(state: MemoryState, file: File) -> bool:
    return set(blob_keys(file)) <= stored(state)


@pytest.mark.parametrize(
    "fault", [Fault.BEFORE, Fault.AFTER, Fault.CONFLICT, Fault.UNKNOWN_BEFORE, Fault.UNKNOWN_AFTER]
)
@pytest.mark.parametrize("act", [delete, restore])
@pytest.mark.parametrize("place", range(4))
def test_nothing_is_lost_when_a_write_fails(act: Act, fault: Fault, place: int) -> None:
    """After a deletion or restoration that failed at any write, each file is published or in the trash, whole; and the
    same once more completes it."""
    state = MemoryState()
    index = published(state, "1.0", "2.0")
    versions = set(listed(state))
    if act is restore:
        delete(index)
    faults = Faults()
    faults.next("write", fault, skip=place)
    with contextlib.suppress(QuireError):
        act(index_of(state, faults))
    found = trashed(state) | listed(state)
    assert set(found) == versions
    assert all(is_whole(state, file) for file in found.values())
    with contextlib.suppress(NotFound):
        act(index_of(state))
    assert set(listed(state)) == (set() if act is delete else versions)
    assert act is restore or set(trashed(state)) == versions
    assert all(is_whole(state, file) for file in (trashed(state) | listed(state)).values())


@pytest.mark.parametrize("operation", ["read", "write", "open", "remove"])
@pytest.mark.parametrize(
    ("first", "second"), [(restore, empty), (empty, restore), (delete, empty), (empty, delete), (delete, restore)]
)
def test_two_writers_at_once(first: Act, second: Act, operation: Operation) -> None:
    """Before each step of one the other does all of its work: a listed file always has its bytes, and what is neither
    listed nor in the trash was emptied."""
    steps = 0
    for place in range(20):
        state = MemoryState()
        index = published(state, "1.0", "2.0")
        if restore in {first, second} or first is empty:
            index.delete("demo", Selection(version="1.0"))
        met: list[bool] = []

        def meddle(state: MemoryState = state, met: list[bool] = met) -> None:
            met.append(True)
            with contextlib.suppress(QuireError):
                second(index_of(state))

        faults = Faults()
        faults.call(operation, meddle, skip=place)
        with contextlib.suppress(QuireError):
            first(index_of(state, faults))
        assert all(is_whole(state, file) for file in listed(state).values()), place
        if empty not in {first, second}:
            assert set(listed(state) | trashed(state)) == {WHEEL, wheel_name("demo", "2.0")}
        if not met:
            break
        steps += 1
    assert steps or operation in {"open", "remove"}


def test_a_stalled_restoration_meets_the_fence() -> None:
    """It has read the trash; then the file is removed for good, with its bytes: its write fails, nothing is listed."""
    state = MemoryState()
    delete(published(state, "1.0"))
    faults = Faults()
    faults.call("write", lambda: empty(index_of(state)))
    with pytest.raises(NotFound):
        restore(index_of(state, faults))
    assert (listed(state), stored(state)) == ({}, set())


# -- time, garbage, checks --------------------------------------------------------------------------------------------


def test_garbage_collection_spares_the_trash(tmp_path: Path) -> None:
    """However old it is. The check counts it, reads it, and finds its damage. Removed bytes are gone at once."""
    index = Index(PosixStore.open(tmp_path), trash_seconds=WEEK)
    for version in ("1.0", "2.0"):
        index.publish([staged_wheel(index.store, "demo", version)])
    index.delete("demo", Selection())
    collected = collect_garbage(index.store, lambda: all_indexes(index.store), older_than=0)
    assert (collected.blobs, collected.expired) == ([], [])
    checked = Check(index.store, lambda: all_indexes(index.store), PosixInspector(PosixStore.open(tmp_path))).run()
    assert (checked.findings, checked.projects, checked.files, checked.trashed, checked.deleted) == ([], 0, 0, 2, 2)
    index.empty_trash("demo", lambda each: each.file.version == "1.0")
    [left] = [blob.key for blob in index.store.blobs.list() if not blob.key.endswith(".metadata")]
    assert left.endswith(wheel_name("demo", "2.0"))
    index.store.blobs.remove(left)
    checked = Check(index.store, lambda: all_indexes(index.store)).run()
    [finding] = checked.findings
    assert (finding.severity, finding.code) == (Severity.DAMAGE, "missing-file")


def test_a_repaired_record_leaves_the_trash_alone(tmp_path: Path) -> None:
    """An earlier revision is put in force: bytes that the trash names are not put aside as unlisted ones."""
    index = Index(PosixStore.open(tmp_path), trash_seconds=WEEK)
    for version in ("1.0", "2.0"):
        index.publish([staged_wheel(index.store, "demo", version)])
    index.delete("demo", Selection(version="1.0"))
    records = index.store.records
    records.write(index.key("demo"), b"garbage", records.read(index.key("demo")))
    store = PosixStore.open(tmp_path)
    checked = Check(store, lambda: all_indexes(store), PosixInspector(store), repair=True).run()
    assert not checked.has_open_damage
    assert index.restore("demo", everything).changed
    assert Check(store, lambda: all_indexes(store)).run().findings == []


def test_files_leave_the_trash_after_their_time() -> None:
    """By the clocks of the machine and of the store together: a machine whose clock is wrong removes nothing."""
    clock = Clock()
    state = MemoryState(clock)
    index = published(state, "1.0", "2.0")
    index.delete("demo", Selection(version="1.0"))
    later = [timedelta(days=8)]
    expiry = Expiry(index, lambda: datetime.now(UTC) + later[0])
    assert expiry.run() == []
    clock.now += WEEK - 4000
    index.delete("demo", Selection(version="2.0"))
    assert expiry.run() == []
    clock.now += 4000
    assert [file.filename for _, file in expiry.run(dry_run=True)] == [WHEEL]
    assert [file.filename for _, file in expiry.run()] == [WHEEL]
    assert set(trashed(state)) == {wheel_name("demo", "2.0")}
    assert all(is_whole(state, file) for file in trashed(state).values())
    later[0] = timedelta(days=16)
    clock.now += WEEK
    assert len(expiry.run()) == 1
    assert (trashed(state), stored(state), expiry.run()) == ({}, set(), [])
    assert json.loads(json.dumps(index.deleted("demo"))).keys() == {WHEEL, wheel_name("demo", "2.0")}


def test_what_is_not_due_is_not_read_again() -> None:
    """A sweep costs one listing when nothing has changed in the trash."""
    state = MemoryState()
    delete(published(state, "1.0"))
    faults = Faults()
    expiry = Expiry(index_of(state, faults))
    expiry.run()
    for operation in get_args(Operation):
        if operation != "names":
            faults.next(operation, Fault.BEFORE)
    assert expiry.run() == []
    assert faults.happened == []


def test_the_trash_of_a_project_is_bounded() -> None:
    """The oldest files leave it; those of one deletion stay together, however many they are."""
    now = datetime.now(UTC)

    def files(first: int, number: int) -> list[File]:
        return [
            File(filename=f"f{each}", version="1", size=1, hashes={"sha256": "0"}, blob=f"demo/{each}")
            for each in range(first, first + number)
        ]

    project, trash = Project(name="demo"), None
    for first, number in ((0, documents.MOST_FILES), (documents.MOST_FILES, 3), (documents.MOST_FILES + 3, 2)):
        trash = documents.put(trash, project, files(first, number), deleted=now, seconds=1, by=None)
    assert trash is not None
    assert len(trash.files) == documents.MOST_FILES + 2
    assert next(iter(trash.files)) == "f3"
    huge = files(0, documents.MOST_FILES + 10)
    assert len(documents.put(None, project, huge, deleted=now, seconds=1, by=None).files) == len(huge)
