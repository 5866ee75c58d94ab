"""Backups of a store: all of it comes back, what is shared is stored once, and no interruption leaves half of one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from quire.access.document import KEY
from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.domain.errors import DamagedRecord, InvalidRequest, NotFound, StoreError, UnknownLayout
from quire.domain.project import Status
from quire.index.audit.entries import Origin
from quire.index.index import Index, all_indexes
from quire.index.promoting import Part, Promoter
from quire.index.upload import examine, upload_key
from quire.operations.advisories import update_advisories
from quire.operations.backup import Backups, ReadBack, Taken, restore, take
from quire.operations.backup.manifest import decode, encode, new_moment
from quire.operations.backup.taking import faults_of
from quire.operations.checking import Check
from quire.operations.checking.findings import Finding, Severity
from quire.operations.granting import begin
from quire.process.progress import Progress
from quire.store.bucket.store import BucketStore
from quire.store.contracts import Store
from quire.store.faults import Fault, Faults, Operation
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from quire.store.purposes import Purpose
from tests.distributions import make_wheel, wheel_name
from tests.index.test_promotions import parts
from tests.serving import DEADLINE
from tests.store.bucket.memory import MemoryBucket

ALICE = Origin(user="alice", command="quire yank")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def in_directory(folder: Path, purpose: Purpose) -> Store:
    folder.mkdir()
    return PosixStore.open(folder, purpose=purpose)


def in_bucket(folder: Path, purpose: Purpose) -> Store:
    return BucketStore(MemoryBucket(), f"s3://{folder.name}/python", purpose=purpose)


KINDS: dict[str, Callable[[Path, Purpose], Store]] = {"directory": in_directory, "bucket": in_bucket}
PLACES = (("store", Purpose.INDEX), ("place", Purpose.BACKUPS))


@pytest.fixture
def three() -> tuple[MemoryStore, MemoryStore, MemoryStore]:
    """A store, a place of backups, and an empty store, where operations can be made to fail."""
    store, place, empty = MemoryStore(), MemoryStore(), MemoryStore()
    place.dedicate(Purpose.BACKUPS)
    return store, place, empty


def publish(index: Index, name: str = "alpha", version: str = "1.0") -> str:
    filename = wheel_name(name, version)
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(make_wheel(name, version))
    index.publish([examine(staging.finish(), filename, signature=b"signed", provenance=b"[]", uploader="alice")])
    return filename


def fill(store: Store, tmp_path: Path) -> None:
    """Everything that a store can have: also what is deleted, older than the records, or about to be published."""
    index = Index(store, trash_seconds=1e6)
    publish(index)
    gone = publish(index, version="2.0")
    publish(index, "beta")
    publish(index, "gone")
    for _ in range(15):  # so that a part of the log is in its archive
        index.yank("alpha", Selection(version="1.0"), "broken", origin=ALICE)
        index.unyank("alpha", Selection(version="1.0"), origin=ALICE)
    index.yank("alpha", Selection(version="1.0"), "broken", origin=ALICE)
    index.delete("alpha", Selection(filename=gone), origin=ALICE)
    index.delete("gone", Selection(), origin=ALICE)
    index.set_status("beta", Status.ARCHIVED, "unused", origin=ALICE)
    stage = Index(store, "stage")
    publish(stage, "alpha", "3.0")
    access = AccessRecords(store)
    advisory = tmp_path / "PYSEC-1.json"
    advisory.write_text(
        '{"id": "PYSEC-1", "modified": "2026-01-01T00:00:00Z", "affected": [{"package": {"ecosystem": "PyPI", "name": '
        '"beta"}, "versions": ["1.0"]}]}'
    )
    update_advisories(store, access, str(advisory), "osv", origin=ALICE, progress=Progress())
    store.records.write("main/dropins/alpha", b"{}", store.records.read("main/dropins/alpha"))
    store.records.write("mirror/upstream-0/six", b"{}", store.records.read("mirror/upstream-0/six"))


def content(store: Store) -> dict[str, object]:
    """All that is in a store and belongs to a backup of it, and the names that its folders list."""
    found: dict[str, object] = {}
    for folder in store.records.prefixes():
        if names := store.records.names(folder).names:
            found[f"{folder}/"] = names
        for name in store.records.written(folder):
            record = store.records.read(f"{folder}/{name}")
            found[record.key] = (record.data, record.note)
    for blob in store.blobs.list():
        with store.blobs.open(blob.key) as opened:
            found[f"blobs/{blob.key}"] = opened.read()
    return {key: each for key, each in found.items() if "/dropins/" not in key and not key.startswith("mirror/")}


def damaged(store: Store) -> list[Finding]:
    return [*Check(store, lambda: all_indexes(store)).run().findings]


def back(place: Store, store: Store, moment: str | None = None) -> Store:
    """Restore a backup into this store, and return it."""
    backups = Backups(place)
    restored = restore(backups.chosen(moment), backups, store)
    assert (restored.damaged, restored.is_complete) == ({}, True)
    return store


@pytest.mark.parametrize(
    ("kind", "place", "other"), [("directory", "bucket", "directory"), ("bucket", "directory", "bucket")]
)
def test_everything_comes_back(kind: str, place: str, other: str, tmp_path: Path) -> None:
    """From any kind of store by way of any kind into the other, byte for byte; a check of the result is clean, and a
    backup of it is equal."""
    store = KINDS[kind](tmp_path / "store", Purpose.INDEX)
    fill(store, tmp_path)
    backups = Backups(KINDS[place](tmp_path / "place", Purpose.BACKUPS))
    taken = take(store, backups, now=NOON)
    assert (taken.manifest.missing, taken.manifest.moment) == ((), "20261130T120000Z")
    target = KINDS[other](tmp_path / "target", Purpose.RESTORE)
    restored = restore(backups.chosen(None), backups, target)
    assert (restored.damaged, restored.is_complete, target.purpose) == ({}, True, Purpose.INDEX)
    assert content(target) == content(store)
    assert len(content(store)) > 20
    assert damaged(target) == damaged(store)
    assert {each.key for each in taken.manifest.files} == {blob.key for blob in target.blobs.list()}
    again = take(target, backups, now=NOON)
    assert again.new == {}
    assert (again.manifest.records, again.manifest.files) == (taken.manifest.records, taken.manifest.files)
    assert again.manifest.moment == "20261130T120001Z"


@pytest.mark.parametrize("kind", KINDS)
def test_folders_of_deleted_records_only(kind: str, tmp_path: Path) -> None:
    """An index whose projects are all deleted, and records that are deleted without a note: all are known as deleted in
    what is restored, none is listed, and a check finds nothing."""
    store, place = (KINDS[kind](tmp_path / each, purpose) for each, purpose in PLACES)
    index = Index(store)
    for name in ("alpha", "beta"):
        publish(index, name)
        index.remove_blobs(index.delete(name, Selection(), origin=ALICE).removed)
    for key in ("access/publishing/one", "access/publishing/two"):
        store.records.write(key, None, store.records.write(key, b"{}", store.records.read(key)))
    take(store, Backups(place), now=NOON)
    target = back(place, KINDS[kind](tmp_path / "target", Purpose.RESTORE))
    assert list(Index(target).names()) == []
    assert content(target) == content(store)
    inspector = PosixInspector(target) if isinstance(target, PosixStore) else None
    assert [*Check(target, lambda: all_indexes(target), inspector).run().findings] == []


Three = tuple[MemoryStore, MemoryStore, MemoryStore]


def test_backups_share_what_is_the_same(three: Three) -> None:
    """A second one stores only what changed since; each restores its own moment."""
    store, place, empty = three
    index = Index(store)
    publish(index)
    publish(index, "beta")
    backups = Backups(place)
    first, before = take(store, backups, now=NOON), content(store)
    publish(index, version="2.0")
    second = take(store, backups, now=NOON)
    assert len(second.new) == 3  # the record, the file, its metadata; the signature is as those before
    assert backups.moments() == [first.manifest.moment, second.manifest.moment]
    assert content(back(place, empty)) == content(store)
    assert content(back(place, MemoryStore(), first.manifest.moment)) == before


def test_one_place_of_several_stores() -> None:
    """Only backups of the store that is backed up are removed, and none is restored for another by chance."""
    here, there, place = (MemoryStore(MemoryState(place=name)) for name in ("memory:a", "memory:b", "memory:c"))
    publish(Index(here))
    publish(Index(there), "beta")
    backups = Backups(place)
    others = [take(there, backups, now=NOON).manifest.moment for _ in range(3)]
    assert backups.chosen(None).moment == others[-1]
    mine = [take(here, backups, now=NOON).manifest.moment for _ in range(3)]
    assert backups.keep(2, here.place, unnamed_seconds=0.0) == mine[:1]
    assert backups.moments() == [*others, *mine[1:]]
    with pytest.raises(InvalidRequest, match=f"{mine[-1]} of memory:a, {others[-1]} of memory:b"):
        backups.chosen(None)
    assert content(back(place, MemoryStore(), others[0])) == content(there)
    with place.blobs.open(f"manifests/{mine[1]}.json.gz") as opened:
        damaged_bytes = opened.read()[:-1]
    place.blobs.remove(f"manifests/{mine[1]}.json.gz")
    staging = place.blobs.stage(f"manifests/{mine[1]}.json.gz")
    staging.write(damaged_bytes)
    place.blobs.publish(staging.finish())
    with pytest.raises(DamagedRecord):  # it may be of the other store, so it stays, and what it names is not known
        backups.keep(2, there.place, unnamed_seconds=0.0)
    assert backups.moments() == [*others, *mine[1:]]


def test_older_ones_are_removed_with_what_only_they_use(three: Three) -> None:
    """The newest stay whole. Objects that no backup names yet are left while they are young."""
    store, place, _ = three
    index = Index(store)
    publish(index)
    publish(index, "beta")
    backups = Backups(place)
    old = take(store, backups, now=NOON)
    index.remove_blobs(index.delete("beta", Selection(), origin=ALICE).removed)
    kept = [take(store, backups, now=NOON).manifest.moment for _ in range(2)]
    everything = backups.objects()
    assert backups.keep(2, store.place) == [old.manifest.moment]
    assert backups.objects() == everything
    assert backups.keep(2, store.place, unnamed_seconds=0.0) == []
    assert backups.objects().keys() < everything.keys()
    for moment in kept:
        assert content(back(place, MemoryStore(), moment)) == content(store)
    with pytest.raises(NotFound):
        backups.chosen(old.manifest.moment)


def test_a_removal_without_a_readable_list_removes_no_object(three: Three) -> None:
    """The objects of a damaged backup are not known, so nothing may be taken for unused."""
    store, place, _ = three
    publish(Index(store))
    backups = Backups(place)
    moments = [take(store, backups, now=NOON).manifest.moment for _ in range(2)]
    damage(place, f"manifests/{moments[0]}.json.gz", b"no manifest")
    with pytest.raises(DamagedRecord):
        backups.keep(2, store.place, unnamed_seconds=0.0)
    assert content(back(place, MemoryStore())) == content(store)
    assert take(store, backups, now=NOON).new == {}  # nor does it stop the next one


def damage(store: Store, key: str, data: bytes) -> None:
    store.blobs.remove(key)
    staging = store.blobs.stage(key)
    staging.write(data)
    store.blobs.publish(staging.finish())


def test_a_backup_whose_predecessor_was_removed_is_withdrawn(three: Three) -> None:
    """Its objects may be gone; nothing of it is left, and the next one is whole."""
    store, place, empty = three
    publish(Index(store))
    backups = Backups(place)
    first = take(store, backups, now=NOON).manifest.moment
    faults = Faults()
    faults.call("open", lambda: backups.withdraw(first), skip=1)  # after its list was read
    with pytest.raises(StoreError, match="relied"):
        take(store, Backups(place.shared(faults)), now=NOON, read_back=ReadBack.ALL)
    assert backups.moments() == []
    take(store, backups, now=NOON)
    assert content(back(place, empty)) == content(store)


def test_a_backup_whose_objects_were_removed_is_withdrawn(three: Three) -> None:
    """An object of an interrupted backup, which was found old before it was made young, and removed after that."""
    store, place, empty = three
    publish(Index(store))
    backups, faults = Backups(place), Faults()
    faults.call("publish", lambda: backups.discard(min(backups.objects())))  # of the manifest, after all is read back
    backups.withdraw(take(store, backups, now=NOON).manifest.moment)
    with pytest.raises(StoreError, match="relied"):
        take(store, Backups(place.shared(faults)), now=NOON, read_back=ReadBack.ALL)
    assert backups.moments() == []
    take(store, backups, now=NOON)
    assert content(back(place, empty)) == content(store)


def test_a_removal_that_cannot_be_finished_is_not_begun(three: Three) -> None:
    """One of the backups that are to stay is damaged: those before it, which may be the last good ones, stay too."""
    store, place, _ = three
    publish(Index(store))
    backups = Backups(place)
    moments = [take(store, backups, now=NOON).manifest.moment for _ in range(3)]
    damage(place, f"manifests/{moments[1]}.json.gz", b"no manifest")
    with pytest.raises(DamagedRecord):
        backups.keep(2, store.place, unnamed_seconds=0.0)
    assert backups.moments() == moments
    assert content(back(place, MemoryStore(), moments[0])) == content(store)
    backups.withdraw(moments[1])
    take(store, backups, now=NOON)
    assert backups.keep(2, store.place, unnamed_seconds=0.0) == [moments[0]]


STEPS: list[tuple[Operation, Fault]] = [
    *((operation, fault) for operation in ("publish", "finish") for fault in (Fault.FULL, Fault.AFTER)),
    ("stage", Fault.BEFORE),
    ("stage.write", Fault.FULL),
    ("open", Fault.BEFORE),
    ("renew", Fault.BEFORE),
]


@pytest.mark.parametrize(("operation", "fault"), STEPS)
def test_an_interrupted_backup_is_none(three: Three, operation: Operation, fault: Fault) -> None:
    """Whatever step in the place fails: what is listed as a backup can be restored, and a repetition goes on."""
    store, place, _ = three
    index = Index(store)
    for number in range(3):
        publish(index, version=f"{number}.0")
    for skip in range(0, 16, 3):
        faults = Faults()
        faults.next(operation, fault, skip=skip)
        with suppress(StoreError):
            take(store, Backups(place.shared(faults)), now=NOON)
        backups = Backups(place)
        for moment in backups.moments():
            back(place, MemoryStore(), moment)
        if backups.moments() and not faults.happened:
            break
        for moment in backups.moments():
            backups.withdraw(moment)
    take(store, Backups(place), now=NOON)
    assert content(back(place, MemoryStore())) == content(store)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        *((operation, fault) for operation in ("publish", "write") for fault in (Fault.FULL, Fault.AFTER)),
        ("write", Fault.UNKNOWN_AFTER),
        ("read", Fault.BEFORE),
        ("stage.write", Fault.FULL),
    ],
)
def test_an_interrupted_restore_is_repeated(three: Three, operation: Operation, fault: Fault) -> None:
    """Whatever step fails, the store is marked until all is there; the repetition ends with the same."""
    store, place, _ = three
    index = Index(store)
    publish(index)
    publish(index, version="2.0")
    index.remove_blobs(index.delete("alpha", Selection(version="2.0"), origin=ALICE).removed)
    backups = Backups(place)
    take(store, backups, now=NOON)
    manifest = backups.chosen(None)
    for skip in range(8):
        target, faults = MemoryStore(), Faults()
        faults.next(operation, fault, skip=skip)
        with suppress(StoreError):
            restore(manifest, backups, target.shared(faults))
        assert content(target) == content(store) or target.purpose is Purpose.RESTORE or not content(target)
        if target.purpose is Purpose.RESTORE or not content(target):
            restore(manifest, backups, target)
        assert (content(target), target.purpose) == (content(store), Purpose.INDEX)


def test_a_restore_is_into_an_empty_store(three: Three) -> None:
    """One that has anything is refused, and so is going on with another backup."""
    store, place, empty = three
    index = Index(store)
    publish(index)
    backups = Backups(place)
    first = take(store, backups, now=NOON).manifest
    with pytest.raises(InvalidRequest, match="is not empty: it has main/"):
        restore(first, backups, store)
    publish(index, "beta")
    second = take(store, backups, now=NOON).manifest
    faults = Faults()
    faults.next("write", Fault.FULL, skip=2)
    with pytest.raises(StoreError):
        restore(second, backups, empty.shared(faults))
    with pytest.raises(InvalidRequest, match="which is not of the backup"):
        restore(first, backups, empty)
    assert back(place, empty).purpose is Purpose.INDEX


def test_a_file_that_is_deleted_meanwhile(three: Three) -> None:
    """Its record is read again, and the backup is whole without it."""
    store, place, empty = three
    index = Index(store)
    publish(index)
    publish(index, "beta")

    def delete() -> None:
        index.remove_blobs(index.delete("beta", Selection(), origin=ALICE).removed)

    faults = Faults()
    faults.call("open", delete)
    taken = take(store.shared(faults), Backups(place), now=NOON)
    assert taken.manifest.missing == ()
    assert content(back(place, empty)) == content(store)


def test_what_the_store_has_lost_is_listed(three: Three) -> None:
    """A missing file, a damaged one, and a record that is no document are named; all else is in the backup."""
    store, place, empty = three
    index = Index(store)
    names = [publish(index, version=f"{number}.0") for number in range(3)]
    publish(index, "beta")
    project = index.project("alpha")
    assert project is not None
    keys = [f"{project.files[name].blob}/{name}" for name in names]
    store.blobs.remove(keys[0])
    damage(store, keys[1], b"damaged")
    record = store.records.read("main/projects/beta")
    store.records.write(record.key, b"{", record)
    taken = take(store, Backups(place), now=NOON)
    assert {each.key for each in taken.manifest.missing} == {keys[0], keys[1], "main/projects/beta"}
    restored = content(back(place, empty))
    assert restored[f"blobs/{keys[2]}"] == make_wheel("alpha", "2.0")
    assert restored["main/projects/beta"] == (b"{", None)


@pytest.mark.parametrize("lost_by", ["store", "place"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_record_opens_nothing(kind: str, lost_by: str, tmp_path: Path) -> None:
    """Whether the store could not give it to the backup, or the place has lost its bytes: the rest is served only when
    that is wanted, and then a private name stays local, and no setting decides in the place of lost grants."""
    bucket = MemoryBucket()
    store, place = BucketStore(bucket, "s3://acme/python"), MemoryStore()
    index, backups = Index(store), Backups(place)
    for name in ("acme-secret", "acme-gone", "beta"):
        publish(index, name)
    index.delete("acme-gone", Selection(), origin=ALICE)
    begin(AccessRecords(store), "root", ["update"], ALICE)
    lost = {"main/projects/acme-secret", "main/projects/acme-gone", KEY}
    if lost_by == "store":
        for key in lost:
            bucket.overwrite(f"records/{key}.json", b"damaged")
    manifest = take(store, backups, now=NOON).manifest
    if lost_by == "place":
        for digest in {digest for each in manifest.records if each.key in lost for digest in each.digests}:
            place.blobs.remove(f"objects/{digest[:2]}/{digest}")
    target = KINDS[kind](tmp_path / "target", Purpose.RESTORE)
    for _ in range(2):
        refused = restore(manifest, backups, target)
        assert ({*refused.damaged}, refused.is_complete, target.purpose) == (lost, False, Purpose.RESTORE)
    restored = restore(manifest, backups, target, skip_damaged=True)
    assert ({*restored.damaged}, restored.is_complete, target.purpose) == (lost, True, Purpose.INDEX)
    found = Index(target)
    assert found.names() == ("beta",)
    assert [found.was_written(name) for name in ("acme-secret", "acme-gone", "other")] == [True, True, False]
    with pytest.raises(DamagedRecord):
        AccessRecords(target).read()
    assert ("damaged-record", KEY) in {(each.code, each.where) for each in damaged(target)}


def test_lost_files_are_no_lost_records(three: Three, tmp_path: Path) -> None:
    """Advisories neither, whose key looks like that of a record: what the store had lost before holds no restore up."""
    store, place, empty = three
    fill(store, tmp_path)
    for blob in list(store.blobs.list()):
        store.blobs.remove(blob.key)
    assert take(store, Backups(place), now=NOON).manifest.missing
    back(place, empty)


def test_an_interrupted_restore_without_lost_records_is_repeated(three: Three) -> None:
    """Also where it was interrupted while it wrote those."""
    store, place, _ = three
    publish(Index(store))
    backups = Backups(place)
    manifest = take(store, backups, now=NOON).manifest
    (record,) = manifest.records
    for digest in record.digests:
        place.blobs.remove(f"objects/{digest[:2]}/{digest}")
    for skip in range(2):
        target, faults = MemoryStore(), Faults()
        faults.next("write", Fault.AFTER, skip=skip)
        with pytest.raises(StoreError):
            restore(manifest, backups, target.shared(faults), skip_damaged=True)
        assert target.purpose is Purpose.RESTORE
        restore(manifest, backups, target, skip_damaged=True)
        assert (Index(target).names(), Index(target).was_written("alpha")) == ((), True)
        assert {each.severity for each in damaged(target)} == {Severity.ORPHAN}


def test_damage_in_the_place_is_found(three: Three) -> None:
    """By a verification and by a restore, which serves the rest only when it is told to. The next backup that reads all
    back stores the bytes again."""
    store, place, empty = three
    publish(Index(store))
    backups = Backups(place)
    manifest = take(store, backups, now=NOON).manifest
    file = next(each for each in manifest.files if each.key.endswith(".whl"))
    damage(place, f"objects/{file.content.sha256[:2]}/{file.content.sha256}", bytes(file.content.size))
    assert set(faults_of(backups, manifest.objects(), Progress())) == {file.content.sha256}
    restored = restore(manifest, backups, empty)
    assert (list(restored.damaged), restored.is_complete, empty.purpose) == (
        [f"blobs/{file.key}"],
        False,
        Purpose.RESTORE,
    )
    assert restore(manifest, backups, empty, skip_damaged=True).is_complete
    assert [finding.code for finding in Check(empty, lambda: all_indexes(empty)).run().findings] == ["missing-file"]
    again = take(store, backups, now=NOON, read_back=ReadBack.ALL)
    assert list(again.new) == [file.content.sha256]
    assert content(back(place, MemoryStore())) == content(store)


def test_what_cannot_be_read_back_is_not_removed(three: Three) -> None:
    """The place does not answer while objects are read back, and a writer changes a project meanwhile: the earlier
    backup keeps what the store does not have any more. The repetition is whole."""
    store, place, empty = three
    index = Index(store)
    publish(index)
    backups = Backups(place)
    first, before = take(store, backups, now=NOON).manifest, content(store)

    def fail() -> None:
        if content(store) == before:
            index.yank("alpha", Selection(version="1.0"), "broken", origin=ALICE)
        raise StoreError("The place cannot be read: it timed out.")

    faults = Faults()
    faults.call("open", lambda: None)  # of the list of the first backup
    for _ in first.objects():
        faults.call("open", fail)
    with suppress(StoreError):
        take(store, Backups(place.shared(faults)), now=NOON, read_back=ReadBack.ALL)
    assert faults_of(backups, first.objects(), Progress()) == {}
    assert backups.moments() == [first.moment]
    take(store, backups, now=NOON, read_back=ReadBack.ALL)
    assert content(back(place, empty)) == content(store)
    assert content(back(place, MemoryStore(), first.moment)) == before


@pytest.mark.parametrize("skip", range(0, 24, 2))
def test_a_promotion_is_in_it_whole_or_not_at_all(three: Three, skip: int) -> None:
    """Whenever two projects are published in one step while their records are read."""
    store, place, empty = three
    index = Index(store)
    for name in ("alpha", "beta", "gamma"):
        publish(index, name)
    promote = Promoter(Index(store.shared())).promote
    promoted = with_bytes(store, parts("alpha", "gamma"))
    faults = Faults()
    faults.call("read", lambda: promote("stage", promoted), skip=skip)
    take(store.shared(faults), Backups(place), now=NOON)
    restored = Index(back(place, empty))
    shown = {name: len(project.files) for name in restored.names() if (project := restored.project(name)) is not None}
    assert shown in ({"alpha": 1, "beta": 1, "gamma": 1}, {"alpha": 2, "beta": 1, "gamma": 2})


def with_bytes(store: Store, promoted: list[Part]) -> list[Part]:
    """Files that are about to be promoted, whose bytes are stored."""
    for file in (file for part in promoted for file in part.files):
        staging = store.blobs.stage(f"{file.blob}/{file.filename}")
        staging.write(file.filename.encode())
        store.blobs.publish(staging.finish())
    return promoted


@pytest.mark.parametrize("skip", range(6))
def test_the_first_promotion_of_an_index(three: Three, skip: int) -> None:
    """It has prepared one of two projects when the backup lists something, and ends before the backup reads on: both
    projects are in the backup, or none."""
    store, place, empty = three
    publish(Index(store, "other"))
    promoted = with_bytes(store, parts("beta", "gamma"))
    is_prepared, is_listed = threading.Event(), threading.Event()

    def pause() -> None:
        is_prepared.set()
        assert is_listed.wait(DEADLINE)

    paused, faults = Faults(), Faults()
    paused.call("write", pause, skip=2)  # those before are of the journal and of beta
    promotion = threading.Thread(target=Promoter(Index(store.shared(paused))).promote, args=("stage", promoted))

    def begin() -> None:
        promotion.start()
        assert is_prepared.wait(DEADLINE)
        faults.call("read", end)

    def end() -> None:
        is_listed.set()
        promotion.join()

    faults.call("names", begin, skip=skip)
    take(store.shared(faults), Backups(place), now=NOON)
    restored = Index(back(place, empty))
    assert set(restored.names()) in (set(), {"beta", "gamma"})
    assert set(Index(store).names()) == ({"beta", "gamma"} if is_listed.is_set() else set())


def test_while_writers_publish(tmp_path: Path) -> None:
    """All that was acknowledged before the start is in it, with its bytes, whatever is published and deleted since."""
    store = in_directory(tmp_path / "store", Purpose.INDEX)
    backups = Backups(in_directory(tmp_path / "place", Purpose.BACKUPS))
    published: list[str] = []
    over, first = threading.Event(), threading.Barrier(3, timeout=DEADLINE)

    def write(name: str) -> None:
        index = Index(PosixStore.open(tmp_path / "store"))
        for number in range(60):
            published.append(publish(index, f"{name}-{number % 4}", f"1.{number}"))
            doomed = publish(index, f"{name}-doomed", f"1.{number}")
            index.remove_blobs(index.delete(f"{name}-doomed", Selection(filename=doomed), origin=ALICE).removed)
            if number == 3:
                first.wait()
            if over.is_set():
                break

    writers = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    first.wait()
    taken: list[tuple[set[str], Taken]] = []
    try:
        for _ in range(2):
            before = set(published)
            taken.append((before, take(store, backups)))
    finally:
        over.set()
        for writer in writers:
            writer.join()
    for number, (before, each) in enumerate(taken):
        assert each.manifest.missing == ()
        target = in_bucket(tmp_path / f"target-{number}", Purpose.RESTORE)
        restored = restore(each.manifest, backups, target)
        assert restored.damaged == {}
        index = Index(target)
        listed = {file for name in index.names() if (found := index.project(name)) is not None for file in found.files}
        assert before <= listed
        assert len(before) >= 8
        assert {finding.code for finding in damaged(target)} <= {
            "orphan"
        }  # a record changed while its files were copied


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_is_opened_for_its_purpose_only(kind: str, tmp_path: Path) -> None:
    """Neither servers nor commands take a place of backups, or one that is being restored, for an index."""
    bucket, folder = MemoryBucket(), tmp_path / "store"
    folder.mkdir()

    def opened(purpose: Purpose) -> Store:
        if kind == "directory":
            return PosixStore.open(folder, purpose=purpose)
        store = BucketStore(bucket, "s3://acme/python", purpose=purpose)
        store.probe()
        return store

    assert opened(Purpose.BACKUPS).purpose is Purpose.BACKUPS
    for purpose in (Purpose.INDEX, Purpose.RESTORE):
        with pytest.raises(UnknownLayout, match="has backups"):
            opened(purpose)
    opened(Purpose.BACKUPS).dedicate(Purpose.RESTORE)
    with pytest.raises(UnknownLayout, match="is being restored"):
        opened(Purpose.INDEX)
    opened(Purpose.RESTORE).dedicate(Purpose.INDEX)
    assert opened(Purpose.INDEX).purpose is Purpose.INDEX
    with pytest.raises(UnknownLayout, match="no place for backups"):
        opened(Purpose.BACKUPS)
    opened(Purpose.RESTORE)  # a restore may begin with a store that a server has made


def test_secrets_of_backups_are_closed_to_others(tmp_path: Path) -> None:
    """Other users of the machine get no right on the folder of backups."""
    in_directory(tmp_path / "place", Purpose.BACKUPS)
    assert (tmp_path / "place" / "quire").stat().st_mode & 0o007 == 0


def test_a_manifest_that_is_not_whole_is_none(three: Three) -> None:
    """Cut off, of another backup, or no manifest at all."""
    store, place, _ = three
    publish(Index(store))
    manifest = take(store, Backups(place), now=NOON).manifest
    data = encode(manifest)
    assert decode(data, manifest.moment) == manifest
    for bad in (data[:-1], data[: len(data) // 2], b"", b"{}", data + b"x", encode(manifest)[::-1]):
        with pytest.raises(DamagedRecord):
            decode(bad, manifest.moment)
    with pytest.raises(DamagedRecord):
        decode(data, "20261130T120001Z")


def test_moments_are_in_order() -> None:
    """Also when the clock went back, or two begin in one second."""
    assert new_moment(NOON, []) == "20261130T120000Z"
    assert new_moment(NOON, ["20261130T120000Z"]) == "20261130T120001Z"
    assert new_moment(NOON, ["20270101T000000Z", "20261130T120000Z"]) == "20270101T000001Z"
