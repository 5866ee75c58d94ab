"""Copying a store into another one: everything arrives, nothing is overwritten, and a repetition goes on.

Replaced here: the number of files in one step, since a test of a hundred would be slow.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from quire.domain.changes import Selection
from quire.domain.errors import FilenameUsed, StoreError
from quire.domain.project import File, Project, Status
from quire.index.audit.entries import Origin
from quire.index.audit.reading import LogReader
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations.checking import Check
from quire.operations.importing import Outcome, Report, StoreImporter
from quire.operations.importing import stores as copying
from quire.store.bucket.store import BucketStore
from quire.store.contracts import Store
from quire.store.faults import Fault, Faults, Operation
from quire.store.memory import MemoryStore
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, wheel_name
from tests.store.bucket.memory import MemoryBucket

ALICE = Origin(user="alice", command="quire yank")


def in_directory(folder: Path) -> Store:
    folder.mkdir()
    return PosixStore.open(folder)


def in_bucket(folder: Path) -> Store:
    return BucketStore(MemoryBucket(), f"s3://{folder.name}/python")


KINDS: dict[str, Callable[[Path], Store]] = {"directory": in_directory, "bucket": in_bucket}
WAYS = list(itertools.product(KINDS, repeat=2))


@pytest.fixture(params=WAYS, ids="-to-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Index, Index]:
    """A source and an empty target, in each kind of store."""
    first, second = request.param
    return Index(KINDS[first](tmp_path / "first")), Index(KINDS[second](tmp_path / "second"))


@pytest.fixture
def two() -> tuple[Index, Index]:
    """Both in memory, where operations can be made to fail."""
    return Index(MemoryStore()), Index(MemoryStore())


def publish(index: Index, name: str = "alpha", version: str = "1.0", *, other: bool = False) -> str:
    """`other`: with other bytes."""
    filename = wheel_name(name, version)
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(make_wheel(name, version, files={"other.py": b""} if other else {}))
    upload = examine(
        staging.finish(), filename, signature=b"signed", provenance=b"[]", uploader="alice", uploaded=UPLOADED
    )
    index.publish([upload], origin=ALICE)
    return filename


UPLOADED = "2020-02-02T00:00:00.123456Z"


def copy(source: Index, target: Index) -> Report:
    return StoreImporter(source, target, jobs=3, user="ops").run()


def counts(report: Report) -> dict[Outcome, int]:
    return {outcome: report.count(outcome) for outcome in Outcome if report.count(outcome)}


def project(index: Index, name: str = "alpha") -> Project:
    found = index.project(name)
    assert found is not None
    return found


def without_place(file: File) -> File:
    return msgspec.structs.replace(file, blob=None)


def assert_same(source: Index, target: Index) -> None:
    """Both have the same projects, with the same facts, and every stored byte."""
    assert target.names() == source.names()
    for name in source.names():
        ours, theirs = project(target, name), project(source, name)
        assert [*map(without_place, ours.files.values())] == [*map(without_place, theirs.files.values())]
        assert msgspec.structs.replace(ours, files={}) == msgspec.structs.replace(theirs, files={})
        for file in ours.files.values():
            other = theirs.files[file.filename]
            for suffix in ("", ".metadata", ".asc", ".attestations"):
                with (
                    target.store.blobs.open(f"{file.blob}/{file.filename}{suffix}") as here,
                    source.store.blobs.open(f"{other.blob}/{file.filename}{suffix}") as there,
                ):
                    assert here.read() == there.read()


def test_attestations_that_were_never_verified_stay_behind(pair: tuple[Index, Index]) -> None:
    """An earlier version kept them; the copy is complete without them, and a repetition has nothing to do."""
    source, target = pair
    filename = publish(source)

    def as_kept_before(stored: Project | None) -> Project:
        assert stored is not None
        entry = msgspec.structs.replace(stored.files[filename], provenance_sha256=None)
        return msgspec.structs.replace(stored, files={filename: entry})

    source.amend("alpha", as_kept_before)
    assert counts(copy(source, target)) == {Outcome.IMPORTED: 1}
    copied = project(target).files[filename]
    assert (copied.attested, copied.signed) == (False, True)
    assert not [blob.key for blob in target.store.blobs.list("alpha") if blob.key.endswith(".attestations")]
    assert counts(copy(source, target)) == {Outcome.PRESENT: 1}
    assert project(target).files[filename] == copied


def test_provenance_that_is_damaged_is_not_copied(two: tuple[Index, Index]) -> None:
    """The file is reported, and is there after the source was repaired."""
    source, target = two
    filename = publish(source)

    def of_another_document(stored: Project | None) -> Project:
        assert stored is not None
        entry = msgspec.structs.replace(stored.files[filename], provenance_sha256="0" * 64)
        return msgspec.structs.replace(stored, files={filename: entry})

    source.amend("alpha", of_another_document)
    (result,) = copy(source, target).results
    assert (result.outcome, "run 'quire check'" in str(result.note)) == (Outcome.REFUSED, True)


def test_everything_is_carried(pair: tuple[Index, Index]) -> None:
    """Files and what lies beside them, upload times, uploaders, yanks, statuses, and names of deleted files."""
    source, target = pair
    kept = publish(source)
    publish(source, version="2.0")
    gone = publish(source, version="3.0")
    source.yank("alpha", Selection(version="2.0"), "broken", origin=ALICE)
    source.delete("alpha", Selection(filename=gone), origin=ALICE)
    publish(source, "Beta.Project")
    source.set_status("beta-project", Status.ARCHIVED, "unused", origin=ALICE)
    report = copy(source, target)
    assert counts(report) == {Outcome.IMPORTED: 3}
    assert_same(source, target)
    assert project(target).files[kept].uploaded == UPLOADED
    assert project(target).files[kept].uploader == "alice"
    assert project(target).deleted.get(gone) == project(source).deleted.get(gone) is not None
    with pytest.raises(FilenameUsed):
        publish(target, version="3.0", other=True)


def test_a_deleted_project_keeps_its_names(pair: tuple[Index, Index]) -> None:
    """Of a project without files the tombstones are carried: its filenames stay refused for other bytes."""
    source, target = pair
    gone = publish(source)
    source.delete("alpha", Selection(), origin=ALICE)
    publish(source, "beta")
    report = copy(source, target)
    assert counts(report) == {Outcome.IMPORTED: 1}
    assert report.updated == 1
    assert target.names() == ("beta",)
    assert target.deleted("alpha") == source.deleted("alpha") == {gone: source.deleted("alpha")[gone]}
    with pytest.raises(FilenameUsed):
        publish(target, other=True)
    assert copy(source, target).updated == 0


def test_the_audit_log_is_carried(pair: tuple[Index, Index]) -> None:
    """With its users and times; the import is an entry of its own, that says where the project came from."""
    source, target = pair
    publish(source)
    for _ in range(15):  # so that a part of the log is in its archive
        source.yank("alpha", Selection(version="1.0"), "broken", origin=ALICE)
        source.unyank("alpha", Selection(version="1.0"), origin=ALICE)
    copy(source, target)
    before = LogReader(source.store.records, "main", "main/projects").project("alpha")
    after = LogReader(target.store.records, "main", "main/projects").project("alpha")
    assert [each.entry for each in after[:-1]] == [each.entry for each in before]
    assert len(before) == 31
    last = after[-1].entry
    assert last["action"] == "import"
    assert (last["revision"], last["user"]) == (32, "ops")
    assert last["command"] == f"quire import --from {source.store.place}"


def test_a_repetition_copies_what_is_new(pair: tuple[Index, Index]) -> None:
    """Of an unchanged source nothing; else new files, deletions and changed marks, until both are the same."""
    source, target = pair
    publish(source)
    gone = publish(source, version="2.0")
    publish(source, "beta")
    assert counts(copy(source, target)) == {Outcome.IMPORTED: 3}
    tag = target.store.records.read(target.key("alpha")).tag
    report = copy(source, target)
    assert counts(report) == {Outcome.PRESENT: 3}
    assert report.updated == 0
    assert target.store.records.read(target.key("alpha")).tag == tag
    publish(source, version="3.0")
    source.delete("alpha", Selection(filename=gone))
    source.yank("beta", Selection(), "broken")
    report = copy(source, target)
    assert counts(report) == {Outcome.IMPORTED: 1, Outcome.PRESENT: 2}
    assert_same(source, target)
    assert target.deleted("alpha") == source.deleted("alpha")
    source.delete("beta", Selection())
    copy(source, target)
    assert_same(source, target)


def test_a_file_of_many_pieces_and_batches(pair: tuple[Index, Index], monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with more files than one step lists arrives whole, in the order of its publication."""
    monkeypatch.setattr(copying, "BATCH_FILES", 2)
    source, target = pair
    for number in range(5):
        publish(source, version=f"{number}.0")
    assert counts(copy(source, target)) == {Outcome.IMPORTED: 5}
    assert list(project(target).files) == list(project(source).files)
    assert_same(source, target)


def test_what_is_there_is_never_overwritten(pair: tuple[Index, Index]) -> None:
    """Other content under a name, listed or deleted, is a conflict of one line; the rest is copied."""
    source, target = pair
    taken, used = publish(source), publish(source, version="2.0")
    publish(source, version="3.0")
    publish(target, other=True)
    publish(target, version="2.0", other=True)
    target.delete("alpha", Selection(filename=used))
    before = project(target).files[taken]
    report = copy(source, target)
    assert counts(report) == {Outcome.IMPORTED: 1, Outcome.CONFLICT: 2}
    assert [result.filename for result in report.failed] == [taken, used]
    assert all(result.note is not None and "sha256" in result.note for result in report.failed)
    assert project(target).files[taken] == before
    assert used not in project(target).files


def test_a_project_that_others_changed_is_theirs(pair: tuple[Index, Index]) -> None:
    """After the move, later imports add what is missing, and undo no yank, status or deletion made in the target."""
    source, target = pair
    kept, gone = publish(source), publish(source, version="2.0")
    copy(source, target)
    target.yank("alpha", Selection(filename=kept), "found later", origin=ALICE)
    target.delete("alpha", Selection(filename=gone), origin=ALICE)
    new = publish(source, version="3.0")
    report = copy(source, target)
    assert counts(report) == {Outcome.IMPORTED: 1, Outcome.PRESENT: 1, Outcome.DELETED: 1}
    assert report.failed == []
    assert set(project(target).files) == {kept, new}
    assert project(target).files[kept].yanked == "found later"


def test_damaged_bytes_are_not_copied(pair: tuple[Index, Index]) -> None:
    """Of files whose bytes are gone or have another digest, each gets one sentence; the others are copied."""
    source, target = pair
    missing, damaged = publish(source), publish(source, version="2.0")
    publish(source, version="3.0")
    files = project(source).files
    source.store.blobs.remove(f"{files[missing].blob}/{missing}")
    key = f"{files[damaged].blob}/{damaged}"
    source.store.blobs.remove(key)
    staging = source.store.blobs.stage(key)
    staging.write(bytes(files[damaged].size))
    source.store.blobs.publish(staging.finish())
    report = copy(source, target)
    assert counts(report) == {Outcome.IMPORTED: 1, Outcome.REFUSED: 2}
    notes = {result.filename: result.note for result in report.failed}
    assert "missing" in str(notes[missing])
    assert "digest" in str(notes[damaged])
    assert {blob.key.rpartition("/")[0] for blob in target.store.blobs.list()} == {
        file.blob for file in project(target).files.values()
    }


def test_a_damaged_record_is_named(two: tuple[Index, Index]) -> None:
    """And the other projects are copied."""
    source, target = two
    publish(source)
    publish(source, "beta")
    record = source.store.records.read(source.key("alpha"))
    source.store.records.write(record.key, b"{", record)
    report = copy(source, target)
    assert counts(report) == {Outcome.IMPORTED: 1, Outcome.REFUSED: 1}
    assert "quire check" in str(report.failed[0].note)


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        *(
            (operation, fault)
            for operation in ("write", "publish")
            for fault in (Fault.FULL, Fault.BEFORE, Fault.AFTER)
        ),
        *(("write", fault) for fault in (Fault.UNKNOWN_BEFORE, Fault.UNKNOWN_AFTER, Fault.CONFLICT)),
    ],
)
@pytest.mark.parametrize("skip", [0, 1])
def test_a_failing_target_is_left_in_order(
    two: tuple[Index, Index], operation: Operation, fault: Fault, skip: int
) -> None:
    """A repetition after any failure completes the copy; nothing is listed that is not there."""
    source, target = two
    for number in range(3):
        publish(source, version=f"{number}.0")
    faults = Faults()
    store = target.store
    assert isinstance(store, MemoryStore)
    failing = Index(store.shared(faults))
    faults.next(operation, fault, skip=skip)
    with contextlib.suppress(StoreError):
        copy(source, failing)
    assert faults.happened == [(operation, fault)]
    copy(source, target)
    assert_same(source, target)


def test_another_writer_is_not_overtaken(two: tuple[Index, Index]) -> None:
    """A change that another user makes in the target between the reading and the step is kept."""
    source, target = two
    new = publish(source)
    store = target.store
    assert isinstance(store, MemoryStore)
    faults = Faults()
    faults.call("publish", lambda: publish(target, version="9.0"))
    copy(source, Index(store.shared(faults)))
    assert set(project(target).files) == {new, wheel_name("alpha", "9.0")}


def test_a_copy_passes_the_check(pair: tuple[Index, Index]) -> None:
    """`quire check` finds nothing wrong with it."""
    source, target = pair
    publish(source)
    publish(source, "beta")
    source.delete("beta", Selection())
    copy(source, target)
    checked = Check(target.store, lambda: [target]).run()
    assert (checked.findings, checked.files, checked.deleted) == ([], 1, 1)
