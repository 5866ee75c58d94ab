"""The writer of projects, over a store in memory whose every operation may fail, against a plain model.

Replaced here: a system call that fails and the clock, since a publication may take ten minutes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quire.domain.changes import Selection
from quire.domain.errors import (
    DamagedRecord,
    FileExists,
    FilenameUsed,
    InvalidName,
    InvalidRequest,
    NotFound,
    OutcomeUnknown,
    ProjectClosed,
    QuireError,
    StoreError,
    StoreFull,
)
from quire.domain.names import parse_filename
from quire.domain.project import File, Project, Status, decode_project, encode_project
from quire.index.audit.entries import entries_of
from quire.index.commits import Change, blob_keys
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.operations.checking.references import project_of
from quire.store.contracts import NO_DOCUMENTS, Staged, Store, check_blob_key
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.files import PendingFile
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, wheel_name
from tests.serving import until


def staged_wheel(store: Store, name: str, version: str, *, variant: str = "", signature: bytes | None = None) -> Upload:
    staging = store.blobs.stage(upload_key(wheel_name(name, version)))
    staging.write(make_wheel(name, version, files={"variant.txt": variant.encode()}))
    return examine(staging.finish(), wheel_name(name, version), signature=signature)


def attested(upload: Upload, provenance: bytes) -> Upload:
    """The upload with the provenance object of its verified attestations."""
    return dataclasses.replace(upload, provenance=provenance)


def blobs(store: Store) -> set[str]:
    return {blob.key for blob in store.blobs.list()}


def referenced(index: Index) -> set[str]:
    keys = set()
    for name in index.names():
        project = index.project(name)
        assert project is not None
        for file in project.files.values():
            keys |= set(blob_keys(file))
    return keys


def test_a_published_file_is_recorded_whole() -> None:
    """Size, digests, metadata and spelling are in the record; file and metadata are in the store."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    change = index.publish([staged_wheel(store, "My.Project", "1.0", signature=b"sig")])
    project = index.project("my-project")
    assert project is not None
    assert change.after == project
    assert project.name == "My.Project"
    [file] = project.files.values()
    content = make_wheel("My.Project", "1.0", files={"variant.txt": b""})
    assert file.size == len(content)
    assert set(file.hashes) == {"sha256", "blake2b_256", "md5"}
    assert file.requires_python == ">=3.8"
    assert file.metadata_sha256 is not None
    assert file.uploaded is not None
    assert len(file.uploaded) == len("2026-01-01T00:00:00.000000Z")
    assert blobs(store) == set(blob_keys(file))
    assert store.blobs.open(blob_keys(file)[0]).read() == content
    assert store.blobs.open(f"{blob_keys(file)[0]}.asc").read() == b"sig"


def test_what_cannot_be_made_to_last_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is linked before it is fsynced; when that fails nothing of it stays, as often as it is tried."""
    index = Index(PosixStore.open(str(tmp_path)))

    def failing(_: PendingFile) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    uploads = [staged_wheel(index.store, "demo", "1.0") for _ in range(2)]
    monkeypatch.setattr(PendingFile, "make_durable", failing)
    for upload in uploads:
        with pytest.raises(StoreError, match="Input/output error"):
            index.publish([upload])
    assert blobs(index.store) == set()


@pytest.mark.parametrize(
    "harm",
    [
        *("gone", "cut off", "other bytes", "no metadata", "other metadata", "no signature", "no provenance"),
        "other provenance",
    ],
)
def test_publishing_again_restores_what_the_store_lost(tmp_path: Path, harm: str) -> None:
    """The same content once more: the file and all that is beside it are whole again, its entry stays."""
    index = Index(PosixStore.open(str(tmp_path)))
    first = attested(staged_wheel(index.store, "a", "1.0", signature=b"sig"), b"{}")
    index.publish([first, staged_wheel(index.store, "a", "2.0")])
    index.yank("a", Selection(version="1.0"), "broken")
    project = index.project("a")
    assert project is not None
    before = project.files[wheel_name("a", "1.0")]
    keys, companions = blob_keys(before), ("metadata", "signature", "provenance")
    paths = [tmp_path / "quire" / "blobs" / key for key in keys]
    content = [path.read_bytes() for path in paths]
    place = next((number for number, each in enumerate(companions, 1) if each in harm), 0)
    paths[place].unlink()
    if harm in {"cut off", "other bytes", "other metadata", "other provenance"}:
        paths[place].write_bytes(content[place][:-1] + b"" if harm == "cut off" else content[place][:-1] + b"?")
    again = staged_wheel(index.store, "a", "1.0")
    change = index.publish(
        [attested(again, b"{}") if "provenance" in harm else again, staged_wheel(index.store, "a", "3.0")]
    )
    assert change.restored == (before.filename,)
    assert change.removed == (before,)
    assert change.after is not None
    after = change.after.files[before.filename]
    assert list(change.after.files) == [wheel_name("a", version) for version in ("1.0", "2.0", "3.0")]
    assert (after.sha256, after.uploaded, after.yanked) == (before.sha256, before.uploaded, "broken")
    assert after.signed is (harm != "no signature")
    assert after.provenance_sha256 == before.provenance_sha256
    restored = [(tmp_path / "quire" / "blobs" / key).read_bytes() for key in blob_keys(after)]
    assert restored == [each for number, each in enumerate(content) if number != 2 or after.signed]
    assert not index.publish([staged_wheel(index.store, "a", "1.0")]).changed


def test_provenance_is_added_to_a_file_without(tmp_path: Path) -> None:
    """By a repeated upload; all else of its entry stays, its signature too, and provenance that it has is kept."""
    index = Index(PosixStore.open(str(tmp_path)))
    index.publish([staged_wheel(index.store, "a", "1.0", signature=b"sig")])
    index.yank("a", Selection(version="1.0"), "broken")
    before = only_file(index, "a")
    change = index.publish([attested(staged_wheel(index.store, "a", "1.0"), b"{}")])
    after = only_file(index, "a")
    assert after.provenance_sha256 == hashlib.sha256(b"{}").hexdigest()
    assert (after.sha256, after.uploaded, after.yanked, after.signed) == (
        before.sha256,
        before.uploaded,
        "broken",
        True,
    )
    assert change.removed == (before,)
    index.remove_blobs(change.removed)
    contents = [(tmp_path / "quire" / "blobs" / key).read_bytes() for key in blob_keys(after)]
    assert contents[2:] == [b"sig", b"{}"]
    for provenance in (b"{}", b"[]", None):
        again = staged_wheel(index.store, "a", "1.0")
        assert not index.publish([again if provenance is None else attested(again, provenance)]).changed
    assert blobs(index.store) == set(blob_keys(after))


def only_file(index: Index, name: str) -> File:
    project = index.project(name)
    assert project is not None
    (file,) = project.files.values()
    return file


@given(st.text())
def test_every_filename_has_a_key_of_its_own(filename: str) -> None:
    """Bytes are staged before their filename is judged. The key is one that a store takes and that gc knows, never the
    same twice, and never in the folder of a project that the filename only pretends to be of."""
    key, other = upload_key(filename), upload_key(filename)
    assert key != other
    check_blob_key(key)
    assert project_of(key) is not None
    try:
        parsed = parse_filename(filename)
    except InvalidName:
        assert project_of(key) == "refused"
    else:
        assert (project_of(key), key.rpartition("/")[2]) == (parsed.project, filename)


@pytest.mark.parametrize("key", [upload_key(wheel_name("b", "1.0")), upload_key(wheel_name("a", "2.0")), "a/x"])
def test_bytes_are_published_as_what_they_were_staged_for(key: str) -> None:
    """Their key is chosen when they begin to arrive: another file must not get it."""
    index = Index(MemoryStore())
    staging = index.store.blobs.stage(key)
    staging.write(make_wheel("a", "1.0"))
    with pytest.raises(ValueError, match=r"a-1\.0-py3-none-any\.whl was staged as"):
        index.publish([examine(staging.finish(), wheel_name("a", "1.0"))])
    assert blobs(index.store) == set()
    assert index.project("a") is None


def test_two_that_restore_one_file_store_it_once(tmp_path: Path) -> None:
    """The second finds the file whole at its turn, and removes the bytes that it has stored meanwhile."""
    index, other = (Index(PosixStore.open(str(tmp_path))) for _ in range(2))
    change = index.publish([staged_wheel(index.store, "a", "1.0")])
    assert change.after is not None
    (file,) = change.after.files.values()
    index.store.blobs.remove(blob_keys(file)[0])
    publish = index.store.blobs.publish

    def overtaken(staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        assert other.publish([staged_wheel(other.store, "a", "1.0")]).restored == (file.filename,)
        publish(staged, documents, durable=durable)

    index.store.blobs.publish = overtaken  # type: ignore[method-assign]  # another worker's step, at that moment
    assert not index.publish([staged_wheel(index.store, "a", "1.0")]).changed
    index.remove_blobs([file])
    assert blobs(index.store) == referenced(index)


def test_several_files_appear_in_one_step() -> None:
    """A release of two files is one revision of the record; if one is refused, none appears."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    absent = store.records.read(index.key("a"))
    index.publish([staged_wheel(store, "a", "1.0"), staged_wheel(store, "a", "1.1")])
    first = store.records.read(index.key("a"), absent)
    assert len(decode_project(first.data or b"").files) == 2
    with pytest.raises(FileExists, match="already exists"):
        index.publish([staged_wheel(store, "a", "1.2"), staged_wheel(store, "a", "1.0", variant="other")])
    assert store.records.read(index.key("a"), first) is first
    assert blobs(store) == referenced(index)


def test_the_same_again_changes_nothing() -> None:
    """Publishing equal content again succeeds, writes no revision and leaves no blob."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    index.publish([staged_wheel(store, "a", "1.0")])
    record = store.records.read(index.key("a"))
    change = index.publish([staged_wheel(store, "a", "1.0")])
    assert not change.changed
    assert store.records.read(index.key("a"), record) is record
    assert blobs(store) == referenced(index)


def test_overwriting_replaces_and_returns_the_files_to_remove() -> None:
    """With overwrite the entry is replaced, and the old blobs are reported for removal."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    index.publish([staged_wheel(store, "a", "1.0")])
    change = index.publish([staged_wheel(store, "a", "1.0", variant="new")], overwrite=True)
    assert len(change.removed) == 1
    index.remove_blobs(change.removed)
    assert blobs(store) == referenced(index)


def test_a_drop_in_file_counts_as_taken() -> None:
    """A name taken beside the record: equal content changes nothing, other content is refused."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    upload = staged_wheel(store, "a", "1.0")
    digests = upload.staged.digests
    file = File(filename=upload.parsed.filename, version="1.0", size=1, hashes={"sha256": digests.sha256})
    existing = {file.filename: file}
    assert not index.publish([upload], existing=existing).changed
    with pytest.raises(FileExists):
        index.publish([staged_wheel(store, "a", "1.0", variant="x")], existing=existing)
    assert index.names() == ()
    assert blobs(store) == set()


def test_a_publication_with_a_conflict_is_applied_to_the_new_record(tmp_path: Path) -> None:
    """A draft is not written over a record that another writer changed meanwhile."""
    store = PosixStore.open(tmp_path)
    index, other = Index(store), Index(PosixStore.open(tmp_path))
    index.publish([staged_wheel(store, "a", "1.0")])
    publish = store.blobs.publish

    def overtaken(staged: Staged, documents: Mapping[str, bytes] = NO_DOCUMENTS, *, durable: bool = True) -> None:
        other.yank("a", Selection(version="1.0"), "broken")
        publish(staged, documents, durable=durable)

    store.blobs.publish = overtaken  # type: ignore[method-assign]  # another worker's step, at that moment
    index.publish([staged_wheel(store, "a", "2.0")])
    project = other.project("a")
    assert project is not None
    assert {file.version: file.yanked for file in project.files.values()} == {"1.0": "broken", "2.0": False}
    record = store.records.read(index.key("a"))
    assert [entry["action"] for entry in entries_of(record)] == ["publish", "yank", "publish"]
    assert [entry["revision"] for entry in entries_of(record)] == [1, 2, 3]
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []


def test_delete_file_release_project() -> None:
    """Each selection takes out just what it names; without files the project is gone, and can come back."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    for version in ("1.0", "1.1", "2.0"):
        index.publish([staged_wheel(store, "a", version)])
    index.delete("A", Selection(filename=wheel_name("a", "1.0")))
    index.delete("a", Selection(version="1.1.0"))
    project = index.project("a")
    assert project is not None
    assert list(project.files) == [wheel_name("a", "2.0")]
    with pytest.raises(NotFound):
        index.delete("a", Selection(version="9"))
    assert index.delete("a", Selection()).after is None
    assert index.names() == ()
    with pytest.raises(NotFound):
        index.delete("a", Selection())
    index.publish([staged_wheel(store, "a", "1.0")])
    assert index.names() == ("a",)


def test_yank_and_unyank() -> None:
    """A yank has a reason or none, is told per file, and can be taken back."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    index.publish([staged_wheel(store, "a", "1.0"), staged_wheel(store, "a", "2.0")])
    index.yank("a", Selection(version="1.0"), "broken")
    index.yank("a", Selection(filename=wheel_name("a", "2.0")))
    project = index.project("a")
    assert project is not None
    assert [file.yanked for file in project.files.values()] == ["broken", True]
    assert not index.yank("a", Selection(version="1.0"), "broken").changed
    index.unyank("a", Selection())
    project = index.project("a")
    assert project is not None
    assert [file.yanked for file in project.files.values()] == [False, False]
    with pytest.raises(InvalidRequest):
        index.yank("a", Selection(), "two\nlines")


@pytest.mark.parametrize("status", [Status.ARCHIVED, Status.QUARANTINED])
def test_closed_projects_refuse_uploads(status: Status) -> None:
    """PEP 792: no uploads to archived and quarantined projects, until they are opened again."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    index.publish([staged_wheel(store, "a", "1.0")])
    index.set_status("a", status, "why")
    with pytest.raises(ProjectClosed, match=status):
        index.publish([staged_wheel(store, "a", "2.0")])
    assert blobs(store) == referenced(index)
    index.set_status("a", Status.ACTIVE)
    assert index.publish([staged_wheel(store, "a", "2.0")]).changed
    with pytest.raises(NotFound):
        index.set_status("nothing", Status.ACTIVE)


def test_fields_of_a_newer_quire_survive() -> None:
    """Fields that this version does not know are written back unchanged."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    index.publish([staged_wheel(store, "a", "1.0")])
    record = store.records.read(index.key("a"))
    document: dict[str, Any] = json.loads(record.data or b"")
    document["tracks"] = ["x"]
    document["files"][wheel_name("a", "1.0")]["scan"] = {"clean": True}
    store.records.write(index.key("a"), json.dumps(document).encode(), record)
    index.yank("a", Selection())
    written = json.loads(store.records.read(index.key("a")).data or b"")
    assert written["tracks"] == ["x"]
    assert written["files"][wheel_name("a", "1.0")]["scan"] == {"clean": True}


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'"x"', b'{"format":1}', b'{"format":"1","name":"a","files":{}}', b'{"format":2,"name":"a"}',
     b'{"format":1,"name":"a","files":{"f":{"version":"1"}}}', b'{"format":1,"name":"a","files":{},"status":"odd"}',
     b"\x00" * 100, b"\xff\xfe"],
)  # fmt: skip
def test_a_damaged_record_is_never_overwritten(data: bytes) -> None:
    """Garbage, half a document, a newer format: every change is refused with a sentence, nothing is lost."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    store.records.write(index.key("a"), data, store.records.read(index.key("a")))
    with pytest.raises(DamagedRecord, match="main/projects/a"):
        index.publish([staged_wheel(store, "a", "1.0")])
    with pytest.raises(DamagedRecord):
        index.delete("a", Selection())
    assert store.records.read(index.key("a")).data == data
    assert blobs(store) == set()


def scripted(state: MemoryState, fault: Fault, between: Any) -> Index:
    """A publication's write fails with `fault`; `between` runs before the read that follows it, its second."""
    faults = Faults()
    faults.next("write", fault)
    faults.call("read", between, skip=1)
    return Index(MemoryStore(state, faults))


def test_after_doubt_a_closed_project_keeps_its_files() -> None:
    """The write went through, then another one archived the project: not known to be done, and no bytes are removed."""
    state = MemoryState()
    truth = Index(MemoryStore(state))
    upload = staged_wheel(truth.store, "a", "1.0")
    doubting = scripted(state, Fault.UNKNOWN_AFTER, lambda: truth.set_status("a", Status.ARCHIVED))
    with pytest.raises(OutcomeUnknown):
        doubting.publish([upload])
    assert referenced(truth) <= blobs(truth.store)
    project = truth.project("a")
    assert project is not None
    assert len(project.files) == 1


def test_after_doubt_nothing_is_published_twice() -> None:
    """The write went through, then another writer deleted the file: the same blobs are not listed again."""
    state = MemoryState()
    truth = Index(MemoryStore(state))
    upload = staged_wheel(truth.store, "a", "1.0")

    def delete() -> None:
        truth.remove_blobs(truth.delete("a", Selection()).removed)

    with pytest.raises(OutcomeUnknown):
        scripted(state, Fault.UNKNOWN_AFTER, delete).publish([upload])
    assert truth.project("a") is None
    assert referenced(truth) <= blobs(truth.store)


def test_after_doubt_a_deletion_does_not_take_what_came_later() -> None:
    """The deletion went through, then another writer published again: that upload was acknowledged and stays."""
    state = MemoryState()
    truth = Index(MemoryStore(state))
    truth.publish([staged_wheel(truth.store, "a", "1.0")])
    faults = Faults()
    faults.next("write", Fault.UNKNOWN_AFTER)
    faults.call("read", lambda: truth.publish([staged_wheel(truth.store, "a", "1.0")]), skip=1)
    with pytest.raises(OutcomeUnknown):
        Index(MemoryStore(state, faults)).delete("a", Selection())
    project = truth.project("a")
    assert project is not None
    assert len(project.files) == 1


@pytest.mark.parametrize("operation", ["publish", "delete", "yank"])
def test_after_doubt_what_is_found_done_is_done(operation: str) -> None:
    """The write went through without another writer in between: the change is reported as made, with the files that it
    took out. Their bytes are left to gc."""
    state = MemoryState()
    truth = Index(MemoryStore(state))
    truth.publish([staged_wheel(truth.store, "a", "1.0")])
    faults = Faults()
    faults.next("write", Fault.UNKNOWN_AFTER)
    index = Index(MemoryStore(state, faults))
    if operation == "publish":
        change = index.publish([staged_wheel(truth.store, "a", "1.0", variant="x")], overwrite=True)
        assert len(change.unlisted) == 1
    elif operation == "delete":
        change = index.delete("a", Selection())
        assert len(change.unlisted) == 1
    else:
        change = index.yank("a", Selection())
    assert change.changed
    assert change.removed == ()


def test_a_publication_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blobs may have been collected as garbage by then, so it must not be listed any more."""
    state = MemoryState()
    store = MemoryStore(state)
    now = [0.0]
    monkeypatch.setattr("quire.index.commits.now", lambda: now[0])
    faults = Faults()
    faults.call("publish", lambda: now.__setitem__(0, 601.0))
    upload = staged_wheel(store, "a", "1.0")
    with pytest.raises(StoreError, match="too long"):
        Index(MemoryStore(state, faults)).publish([upload])
    assert Index(store).names() == ()


def test_fifty_at_once_lose_nothing() -> None:
    """Many writers of one project, each with its own handle as if in its own process: every file is there."""
    state = MemoryState()
    errors: list[BaseException] = []

    def publish(number: int) -> None:
        store = MemoryStore(state)
        try:
            Index(store).publish([staged_wheel(store, "a", f"1.{number}")])
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    project = Index(MemoryStore(state)).project("a")
    assert project is not None
    assert len(project.files) == 50


class Together:
    """Changes by several threads, begun while the write of a first one is held: they are in one batch, in order."""

    def __init__(self, faults: Faults, index: Index) -> None:
        self.index = index
        self.faults = faults
        self.gate = threading.Event()
        self.outcomes: dict[int, Change | Exception] = {}
        self.threads: list[threading.Thread] = []
        faults.call("write", lambda: self.gate.wait(30))
        self.begin(lambda: index.publish([staged_wheel(index.store, "a", "0")]))

    def begin(self, change: Callable[[], Change]) -> None:
        number = len(self.threads)

        def run() -> None:
            try:
                self.outcomes[number] = change()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                self.outcomes[number] = error

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()
        until(lambda: self.index.commits.waiting(self.index.key("a")) == len(self.threads))

    def end(self) -> list[Change | Exception]:
        """The result of each change but the first."""
        self.gate.set()
        for thread in self.threads:
            thread.join(30)
        return [self.outcomes[number] for number in range(1, len(self.threads))]


def together() -> tuple[MemoryState, Faults, Together]:
    state, faults = MemoryState(), Faults()
    return state, faults, Together(faults, Index(MemoryStore(state, faults)))


def publish(scene: Together, version: str, variant: str = "") -> None:
    upload = staged_wheel(scene.index.store, "a", version, variant=variant)
    scene.begin(lambda: scene.index.publish([upload]))


def test_changes_of_one_process_are_committed_together() -> None:
    """Three publications, a yank, a refusal and a repetition wait for one write; each is told its own step."""
    state, _, scene = together()
    for version in ("1", "2", "3"):
        publish(scene, version)
    scene.begin(lambda: scene.index.yank("a", Selection(version="2"), "broken"))
    publish(scene, "1", "other")
    publish(scene, "3")
    *published, yanked, refused, repeated = scene.end()
    assert state.revisions[scene.index.key("a")][0] == 2  # the held one, and one for all others
    for change, version in zip(published, "123", strict=True):
        assert isinstance(change, Change)
        assert change.after is not None
        assert list(change.after.files)[-1] == wheel_name("a", version)
        assert len(change.after.files) == int(version) + 1
    assert isinstance(yanked, Change)
    assert yanked.changed
    assert isinstance(refused, FileExists)
    assert isinstance(repeated, Change)
    assert not repeated.changed
    log = entries_of(scene.index.store.records.read(scene.index.key("a")))
    assert [(entry["revision"], entry["action"]) for entry in log] == [
        (1, "publish"),
        (2, "publish"),
        (3, "publish"),
        (4, "publish"),
        (5, "yank"),
    ]
    assert referenced(scene.index) == blobs(scene.index.store)


@pytest.mark.parametrize("fault", [Fault.FULL, Fault.AFTER])
def test_a_refusal_does_not_outlive_the_failure_it_depends_on(fault: Fault) -> None:
    """Refused because of a file that was never published: the failure of the write is told instead."""
    _, faults, scene = together()
    faults.next("write", fault)
    publish(scene, "1")
    publish(scene, "1", "other")
    assert [type(outcome) for outcome in scene.end()] == [StoreFull if fault is Fault.FULL else StoreError] * 2


def test_a_batch_with_a_conflict_is_applied_to_the_new_record() -> None:
    """Another write comes between reading and writing; every change of the batch is applied to the new record."""
    state, faults, scene = together()
    truth = Index(MemoryStore(state))
    faults.call("write", lambda: truth.publish([staged_wheel(truth.store, "a", "1", variant="first")]))
    publish(scene, "1")
    publish(scene, "2")
    refused, published = scene.end()
    assert isinstance(refused, FileExists)
    assert isinstance(published, Change)
    project = truth.project("a")
    assert project is not None
    assert list(project.files) == [wheel_name("a", version) for version in "012"]
    assert referenced(truth) == blobs(truth.store)


def test_a_batch_in_doubt_is_judged_change_by_change() -> None:
    """Its write went through, then another writer deleted one of its files: that one is not known to be done."""
    state, faults, scene = together()
    truth = Index(MemoryStore(state))
    faults.next("write", Fault.UNKNOWN_AFTER)
    publish(scene, "1")
    publish(scene, "2")

    def delete() -> None:
        truth.remove_blobs(truth.delete("a", Selection(version="1")).removed)

    faults.call("read", delete, skip=1)  # after the read of the batch
    undone, done = scene.end()
    assert isinstance(undone, OutcomeUnknown)
    assert isinstance(done, Change)
    assert done.changed
    project = truth.project("a")
    assert project is not None
    assert list(project.files) == [wheel_name("a", version) for version in "02"]


def test_doubt_does_not_end_with_a_failed_read() -> None:
    """The write went through, and what is stored cannot be read then: it is not known whether the change was made."""
    state = MemoryState()
    truth = Index(MemoryStore(state))
    truth.publish([staged_wheel(truth.store, "a", "1.0")])
    faults = Faults()
    faults.next("write", Fault.UNKNOWN_AFTER)
    faults.next("read", Fault.BEFORE, skip=1)
    with pytest.raises(OutcomeUnknown, match="not known whether"):
        Index(MemoryStore(state, faults)).yank("a", Selection())


@pytest.mark.parametrize("operation", ["stage", "stage.write", "finish", "publish", "write"])
@pytest.mark.parametrize("fault", [Fault.FULL, Fault.READ_ONLY])
def test_a_full_store_keeps_nothing_of_a_failed_upload(operation: Any, fault: Fault) -> None:
    """No space at any step: the sentence of the store, no entry, no blob left behind."""
    state = MemoryState()
    upload = staged_wheel(MemoryStore(state), "a", "1.0")
    faults = Faults()
    store = MemoryStore(state, faults)
    faults.next(operation, fault)
    with contextlib.suppress(StoreFull, StoreError):
        Index(store).publish([upload])
    clean = MemoryStore(state)
    assert blobs(clean) == referenced(Index(clean))


VERSIONS = ("1.0", "1.1", "2.0")
PROJECTS = ("alpha", "beta")


class IndexMachine(RuleBasedStateMachine):
    """Random changes through a store that fails at random, against dictionaries.

    An acknowledged change must be there. A refused one must not have happened. One that failed with a store
    error may or may not have happened, as a whole; the model then takes over what is found.
    """

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.state = MemoryState()
        self.faulty = Index(MemoryStore(self.state, Faults.random(seed, 0.1)))
        self.truth = Index(MemoryStore(self.state))
        self.model: dict[str, dict[str, tuple[str, bool | str]]] = {}
        self.used: dict[tuple[str, str], str] = {}
        """The digest that each filename had last."""
        self.status: dict[str, Status] = {}

    def found(self, name: str) -> dict[str, tuple[str, bool | str]]:
        project = self.truth.project(name)
        files: dict[str, File] = project.files if project is not None else {}
        return {filename: (file.sha256, file.yanked) for filename, file in files.items()}

    def attempt(self, name: str, action: Any, expected: Any) -> None:
        """Run; `expected` computes the model's files of the project, or raises what must be raised."""
        before = dict(self.model.get(name, {}))
        try:
            after = expected(before)
            refusal = None
        except QuireError as error:
            after, refusal = before, type(error)
        happened: type[QuireError] | None
        try:
            action()
        except StoreError:
            happened = StoreError
            assert self.found(name) in (before, after)
        except QuireError as error:
            happened = type(error)
        else:
            happened = None
        if happened is not StoreError:
            assert happened is refusal
            assert self.found(name) == after
        self.model[name] = self.found(name)
        self.used |= {(name, filename): sha256 for filename, (sha256, _) in self.model[name].items()}
        project = self.truth.project(name)
        self.status[name] = project.status if project is not None else Status.ACTIVE

    @rule(
        name=st.sampled_from(PROJECTS),
        versions=st.lists(st.sampled_from(VERSIONS), min_size=1, max_size=2, unique=True),
        variant=st.sampled_from(("", "x")),
        overwrite=st.booleans(),
    )
    def publish(self, name: str, versions: list[str], variant: str, overwrite: bool) -> None:
        uploads = [staged_wheel(self.truth.store, name, version, variant=variant) for version in versions]
        facts = {upload.parsed.filename: upload.staged.digests.sha256 for upload in uploads}

        def expected(before: dict[str, tuple[str, bool | str]]) -> dict[str, tuple[str, bool | str]]:
            if not self.status.get(name, Status.ACTIVE).accepts_uploads:
                raise ProjectClosed("")
            after = dict(before)
            for filename, sha256 in facts.items():
                if filename in after and after[filename][0] == sha256:
                    continue
                if filename in after and not overwrite:
                    raise FileExists("")
                if self.used.get((name, filename), sha256) != sha256 and not overwrite:
                    raise FilenameUsed("")
                after[filename] = (sha256, False)
            return after

        self.attempt(name, lambda: self.faulty.publish(uploads, overwrite=overwrite), expected)

    @rule(name=st.sampled_from(PROJECTS), version=st.sampled_from((*VERSIONS, None)))
    def delete(self, name: str, version: str | None) -> None:
        self.select(name, version, lambda value: None, lambda s: self.faulty.delete(name, s))

    @rule(
        name=st.sampled_from(PROJECTS),
        version=st.sampled_from((*VERSIONS, None)),
        reason=st.sampled_from((None, "bad")),
    )
    def yank(self, name: str, version: str | None, reason: str | None) -> None:
        self.select(
            name, version, lambda value: (value[0], reason or True), lambda s: self.faulty.yank(name, s, reason)
        )

    @rule(name=st.sampled_from(PROJECTS), version=st.sampled_from((*VERSIONS, None)))
    def unyank(self, name: str, version: str | None) -> None:
        self.select(name, version, lambda value: (value[0], False), lambda s: self.faulty.unyank(name, s))

    def select(self, name: str, version: str | None, change: Any, action: Any) -> None:
        chosen = None if version is None else wheel_name(name, version)

        def expected(before: dict[str, tuple[str, bool | str]]) -> dict[str, tuple[str, bool | str]]:
            if not any(chosen in {None, filename} for filename in before):
                raise NotFound("")
            changed = {f: change(value) if chosen in {None, f} else value for f, value in before.items()}
            return {f: value for f, value in changed.items() if value is not None}

        self.attempt(name, lambda: action(Selection(version=version)), expected)

    @rule(name=st.sampled_from(PROJECTS), status=st.sampled_from(Status))
    def set_status(self, name: str, status: Status) -> None:
        def expected(before: dict[str, tuple[str, bool | str]]) -> dict[str, tuple[str, bool | str]]:
            if not before and self.truth.project(name) is None:
                raise NotFound("")
            return before

        self.attempt(name, lambda: self.faulty.set_status(name, status), expected)

    @invariant()
    def every_listed_file_is_there(self) -> None:
        """No entry without its bytes, at any time."""
        if hasattr(self, "truth"):
            assert referenced(self.truth) <= blobs(self.truth.store)


TestIndex = IndexMachine.TestCase
TestIndex.settings = settings(max_examples=40, stateful_step_count=20)


_text = st.text(max_size=20)


@st.composite
def projects(draw: st.DrawFn) -> Project:
    files = {}
    for number in range(draw(st.integers(0, 4))):
        filename = f"f{number}-1.tar.gz"
        files[filename] = File(
            filename=filename,
            version=draw(_text),
            size=draw(st.integers(0, 2**40)),
            hashes={"sha256": draw(_text), "md5": draw(_text)},
            uploaded=draw(st.none() | _text),
            requires_python=draw(st.none() | _text),
            yanked=draw(st.booleans() | st.text(min_size=1)),
            metadata_sha256=draw(st.none() | _text),
            signed=draw(st.booleans()),
            attested=draw(st.booleans()),
            uploader=draw(st.none() | _text),
            blob=draw(st.none() | _text),
            unknown=draw(st.dictionaries(st.from_regex(r"x_[a-z]{1,5}", fullmatch=True), st.integers() | _text)),
        )
    return Project(
        name=draw(_text),
        status=draw(st.sampled_from(Status)),
        status_reason=draw(st.none() | _text),
        files=files,
        unknown=draw(st.dictionaries(st.from_regex(r"x_[a-z]{1,5}", fullmatch=True), st.lists(_text, max_size=2))),
    )


@given(projects())
def test_documents_round_trip(project: Project) -> None:
    """Whatever is in a project, its document says it all, in readable JSON."""
    data = encode_project(project)
    assert decode_project(data) == project
    assert encode_project(decode_project(data)) == data
    assert b"\n " in data


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | _text,
        lambda c: (
            st.lists(c, max_size=3)
            | st.dictionaries(st.sampled_from(["format", "name", "files", "status", "hashes"]), c, max_size=4)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_document_is_an_unexpected_error(data: bytes) -> None:
    """Any bytes are a project or a DamagedRecord."""
    with contextlib.suppress(DamagedRecord):
        decode_project(data)
