"""Faults that only the POSIX store can have: pruning, stalled writers, replayed calls, dying half-way, foreign
files.

Replaced here: system calls and the functions right above them, since no real file system fails, answers late or is
overtaken by another process on request.
"""

from __future__ import annotations

import errno
import io
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from quire.domain.errors import (
    BlobMissing,
    Conflict,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreReadOnly,
    UnknownLayout,
)
from quire.store.contracts import Record
from quire.store.posix import files as posix_files
from quire.store.posix import records as posix_records
from quire.store.posix.directory import Directories, Identity, RacyWindow
from quire.store.posix.files import PendingFile
from quire.store.posix.filesystem import begin_writing, cached_times, filesystem_type
from quire.store.posix.mounts import Mount, mount_of, read_mounts
from quire.store.posix.staging import PosixStaged
from quire.store.posix.store import PosixStore

KEY = "main/projects/foo"


def document(number: int) -> bytes:
    return json.dumps({"number": number}).encode()


def folder(root: Path, key: str = KEY) -> Path:
    return root / "quire" / "records" / key


def write_many(store: PosixStore, count: int, *, start: Record | None = None) -> Record:
    record = start or store.records.read(KEY)
    for number in range(count):
        record = store.records.write(KEY, document(number), record)
    return record


def test_the_layout_is_readable(tmp_path: Path) -> None:
    """Visible names, one JSON document a revision, nothing left in incoming."""
    store = PosixStore.open(tmp_path)
    write_many(store, 2)
    assert (tmp_path / "quire" / "format").read_text() == "quire 1\n"
    assert sorted(path.name for path in folder(tmp_path).iterdir()) == ["00000001.json", "00000002.json"]
    assert (folder(tmp_path) / "00000002.json").read_bytes() == document(1)
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []


def test_pruning_keeps_the_newest_and_the_young(tmp_path: Path) -> None:
    """Old revisions go once they are old; young ones stay, the newest always."""
    patient = PosixStore.open(tmp_path)
    record = write_many(patient, 30)
    assert len(list(folder(tmp_path).iterdir())) == 30
    eager = PosixStore.open(tmp_path, prune_age=0)
    write_many(eager, 1, start=record)
    kept = sorted(path.name for path in folder(tmp_path).iterdir())
    assert kept == [f"{number:08d}.json" for number in range(28, 32)]
    assert eager.records.read(KEY).data == patient.records.read(KEY).data


def test_a_writer_that_slept_past_pruning_is_not_believed(tmp_path: Path) -> None:
    """Its link finds the old name free; it must not succeed, and no reader may see its revision."""
    store = PosixStore.open(tmp_path, prune_age=0)
    stale = write_many(store, 3)
    current = write_many(store, 40, start=stale)
    assert not (folder(tmp_path) / "00000004.json").exists()
    with pytest.raises(OutcomeUnknown):
        store.records.write(KEY, b'{"from": "the past"}', stale)
    assert store.records.read(KEY).tag == current.tag
    assert PosixStore.open(tmp_path).records.read(KEY).data == current.data


def test_a_write_that_is_followed_at_once_by_another_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others build upon a revision before its writer has listed: it was committed, not in conflict."""
    store, other = PosixStore.open(tmp_path), PosixStore.open(tmp_path)
    first = write_many(store, 1)
    real_link = os.link

    def link_and_be_overtaken(source: str, target: str) -> None:
        monkeypatch.setattr(os, "link", real_link)
        real_link(source, target)
        for number in (7, 8):
            other.records.write(KEY, document(number), other.records.read(KEY))

    monkeypatch.setattr(os, "link", link_and_be_overtaken)
    written = store.records.write(KEY, document(5), first)
    assert written.tag.startswith("2.")
    assert store.records.read(KEY, written).data == document(8)


def test_a_replayed_link_is_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A LINK that the network repeats answers EEXIST for the name that it made itself."""
    store = PosixStore.open(tmp_path)
    first = write_many(store, 1)
    real_link = os.link

    def link_twice(source: str, target: str) -> None:
        real_link(source, target)
        real_link(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    assert store.records.write(KEY, document(2), first).data == document(2)
    staging = store.blobs.stage("foo/x/file")
    staging.write(b"x")
    store.blobs.publish(staging.finish())
    with store.blobs.open("foo/x/file") as file:
        assert file.read() == b"x"


def test_a_replayed_rename_is_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A RENAME that the network repeats answers ENOENT, for the source has gone where it should."""
    store = PosixStore.open(tmp_path)
    real_rename = os.rename

    def rename_twice(source: str, target: str) -> None:
        real_rename(source, target)
        real_rename(source, target)

    monkeypatch.setattr(os, "rename", rename_twice)
    assert write_many(store, 1).data == document(0)


def test_two_workers_create_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second first revision is a conflict, and leaves nothing behind."""
    store, other = PosixStore.open(tmp_path), PosixStore.open(tmp_path)
    absent = store.records.read(KEY)
    real_rename = os.rename

    def be_late(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", real_rename)
        other.records.write(KEY, document(1), other.records.read(KEY))
        real_rename(source, target)

    monkeypatch.setattr(os, "rename", be_late)
    with pytest.raises(Conflict):
        store.records.write(KEY, document(2), absent)
    assert store.records.read(KEY).data == document(1)
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []


def stage_something(store: PosixStore) -> None:
    staging = store.blobs.stage("foo/x/f")
    try:
        staging.write(b"x")
        staging.finish()
    finally:
        staging.discard()


class Died(BaseException):
    """Raised by a test in place of a crash."""


@pytest.mark.parametrize("step", range(1, 40))
@pytest.mark.parametrize("delete_first", [False, True])
def test_a_crash_at_any_call_needs_no_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, delete_first: bool
) -> None:
    """A writer that stops before its n-th call to the file system leaves list and records in agreement."""
    store = PosixStore.open(tmp_path)
    record = write_many(store, 1)
    if delete_first:
        record = store.records.write(KEY, None, record)
    calls = 0

    def dying(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= step:
                raise Died
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "link", "unlink", "fsync", "write", "rename", "mkdir"):
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            store.records.write(KEY, document(5) if delete_first else None, record)
        except Died:
            acknowledged = False
        else:
            acknowledged = True
    other = PosixStore.open(tmp_path)
    present = other.records.read(KEY).data is not None
    assert other.records.names("main/projects").names == (("foo",) if present else ())
    if acknowledged:
        assert present == delete_first
    # life goes on without repair
    now = other.records.write(KEY, document(9), other.records.read(KEY))
    assert other.records.names("main/projects").names == ("foo",)
    now = other.records.write(KEY, None, now)
    assert other.records.names("main/projects").names == ()
    other.sweep(older_than=0)
    assert sorted(path.name for path in folder(tmp_path).parent.iterdir()) == ["foo", "foo.deleted"]
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []
    assert other.records.names("main/projects").names == ()


def test_deleting_and_creating_at_once_never_hides_a_project(tmp_path: Path) -> None:
    """Many writers delete and publish one name: at the end, and at every acknowledged step alone, list and record
    agree."""
    rounds = 30
    errors: list[str] = []
    barrier = threading.Barrier(4)

    def change(present: bool) -> None:
        store = PosixStore.open(tmp_path)
        for number in range(rounds):
            barrier.wait()
            while True:
                record = store.records.read(KEY)
                if (record.data is not None) == present:
                    break
                try:
                    store.records.write(KEY, document(number) if present else None, record)
                except (Conflict, OutcomeUnknown):
                    continue
                break
            barrier.wait()
            if present:
                listed = store.records.names("main/projects").names == ("foo",)
                if listed != (store.records.read(KEY).data is not None):
                    errors.append(f"round {number}: listed is {listed}")
            barrier.wait()

    threads = [threading.Thread(target=change, args=(present,)) for present in (True, True, False, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_foreign_things_are_not_records(tmp_path: Path) -> None:
    """Files and folders that are not quire's are not listed as projects, and break nothing."""
    store = PosixStore.open(tmp_path)
    write_many(store, 1)
    projects = folder(tmp_path).parent
    (projects / "README").write_text("hello")
    (projects / ".nfs0001").write_text("x")
    (projects / "file").write_text("x")
    (projects / "Upper").mkdir()
    (projects / "link").symlink_to(tmp_path)
    (folder(tmp_path) / "notes.txt").write_text("x")
    (folder(tmp_path) / ".nfs0002").write_text("x")
    (folder(tmp_path) / "00000009.json.bak").write_text("x")
    other = PosixStore.open(tmp_path)
    assert other.records.names("main/projects").names == ("foo",)
    assert other.records.read(KEY).data == document(0)
    assert other.records.read("main/projects/file").data is None
    with pytest.raises(StoreError, match="not quire's"):
        other.records.write("main/projects/file", document(1), other.records.read("main/projects/file"))
    assert (projects / "file").read_text() == "x"


def test_changes_within_one_tick_are_seen(tmp_path: Path) -> None:
    """Two revisions whose directory times look the same: before an identity is settled, it is not believed."""
    reader, writer = PosixStore.open(tmp_path), PosixStore.open(tmp_path)
    record = write_many(writer, 1)
    known = reader.records.read(KEY)
    for number in range(200):
        record = writer.records.write(KEY, document(number), record)
        known = reader.records.read(KEY, known)
        assert known.data == document(number)


def test_an_identity_is_believed_only_past_the_racy_window() -> None:
    """The rule, with a clock of its own: the listing must begin `racy_window` after the identity was first seen."""
    now = [100.0]
    rule = RacyWindow(clock=lambda: now[0])
    coarse = Identity(1, 5_000_000_000, 5_000_000_000)
    seen = rule.see(coarse, None)
    assert not seen.past_racy_window
    now[0] += 2.4
    assert not rule.see(coarse, seen).past_racy_window
    now[0] += 0.2
    assert rule.see(coarse, seen).past_racy_window
    fine = Identity(1, 5_000_000_000, 5_123_456_789)
    seen = rule.see(fine, seen)
    assert not seen.past_racy_window
    now[0] += 0.11
    assert rule.see(fine, seen).past_racy_window
    assert not rule.see(None, seen).past_racy_window


def test_faked_modification_times_do_not_make_a_file_system_fine() -> None:
    """Any program can set an mtime; only the kernel's own ctime shows the resolution of times."""
    rule = RacyWindow()
    rule.observe(Identity(1, 123_456_789, 5_000_000_000))
    assert rule.seconds == 2.5


def test_an_absent_record_is_known_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One system call, which no name in the nearest folder above passes: wherever on the way the record comes to be."""
    store = PosixStore.open(tmp_path, racy_window=0)
    for key in ("access/rules/store", KEY, "main/projects/bar"):
        records = store.records
        known = records.read(key)
        assert not records.unchanged(known)
        assert records.read(key, known) is known
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", lambda *_, **__: pytest.fail("a directory was opened"))
            assert records.unchanged(known)
            assert records.read(key, known) is known
        PosixStore.open(tmp_path).records.write(key, document(1), PosixStore.open(tmp_path).records.read(key))
        assert not records.unchanged(known)
        assert records.read(key, known).data == document(1)
    slow = PosixStore.open(tmp_path, racy_window=3600)
    known = slow.records.read("main/projects/baz")
    slow.records.read("main/projects/baz", known)
    assert not slow.records.unchanged(known)
    distant = PosixStore.open(tmp_path, network=True, racy_window=0)
    known = distant.records.read("main/projects/baz")
    assert distant.records.read("main/projects/baz", known) is known
    assert not distant.records.unchanged(known)


def test_a_directory_past_the_racy_window_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steady state costs an open and a fstat, however many revisions and names there are."""
    store = PosixStore.open(tmp_path, racy_window=0)
    write_many(store, 3)
    known = store.records.read(KEY)
    known = store.records.read(KEY, known)
    names = store.records.names("main/projects")
    names = store.records.names("main/projects", names)

    def no_listing(*_: object) -> None:
        raise AssertionError("listed")

    monkeypatch.setattr(os, "scandir", no_listing)
    monkeypatch.setattr(os, "listdir", no_listing)
    assert store.records.read(KEY, known) is known
    assert store.records.names("main/projects", names) is names


def test_on_a_network_absence_is_believed_after_its_parent_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first "no such file" is the client's memory; the parent is opened, and the name looked up in it again."""
    store = PosixStore.open(tmp_path, network=True)
    write_many(store, 1)
    real_open = os.open
    lied: list[object] = []

    def forgetful_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is None and str(path).endswith("/foo") and not lied:
            lied.append(path)
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        return real_open(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", forgetful_open)
    assert store.records.read(KEY).data == document(0)
    assert lied


def test_a_late_reply_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that the kernel does not stand by give no identity: list, and remember nothing."""
    monkeypatch.setattr("quire.store.posix.directory.cached_times", lambda fd: None)
    directories = Directories(str(tmp_path), network=True)
    opened = directories.open(str(tmp_path))
    assert opened is not None
    os.close(opened[0])
    assert opened[1] is None
    store = PosixStore.open(tmp_path, network=True, racy_window=0)
    known = write_many(store, 1)
    for number in range(5):
        PosixStore.open(tmp_path).records.write(KEY, document(number), store.records.read(KEY))
        known = store.records.read(KEY, known)
        assert known.data == document(number)


def test_a_late_reply_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One dropped answer costs one more open, not the identity."""
    asked: list[int] = []

    def late_once(fd: int) -> tuple[int, int] | None:
        asked.append(fd)
        status = os.fstat(fd)
        return None if len(asked) == 1 else (status.st_mtime_ns, status.st_ctime_ns)

    monkeypatch.setattr("quire.store.posix.directory.cached_times", late_once)
    opened = Directories(str(tmp_path), network=True).open(str(tmp_path))
    assert opened is not None
    os.close(opened[0])
    assert opened[1] is not None


def test_times_and_type_from_the_kernel(tmp_path: Path) -> None:
    """statx and statfs through ctypes agree with os.stat. A kernel may leave times out that were not asked for."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        status = os.fstat(fd)
        assert cached_times(fd) in {None, (status.st_mtime_ns, status.st_ctime_ns)}
    finally:
        os.close(fd)
    name, local = filesystem_type(str(tmp_path))
    assert isinstance(name, str)
    assert isinstance(local, bool)
    with pytest.raises(FileNotFoundError):
        filesystem_type(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EROFS, StoreReadOnly),
        (errno.EACCES, StoreReadOnly),
        (errno.EIO, StoreError),
    ],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link"])
def test_every_failing_call_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, error: type[StoreError]
) -> None:
    """Errors of the file system become the contract's, without a path; nothing is half-written."""
    store = PosixStore.open(tmp_path)
    record = write_many(store, 1)
    with monkeypatch.context() as patch:

        def failing(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number), "/secret/path")

        patch.setattr(os, call, failing)
        with pytest.raises(error) as raised:
            store.records.write(KEY, document(5), record)
        if call != "link":
            with pytest.raises(error):
                stage_something(store)
    assert "/secret/path" not in str(raised.value)
    assert PosixStore.open(tmp_path).records.read(KEY).data in {document(0), document(5)}
    assert (PosixStore.open(tmp_path).records.read(KEY).data == document(0)) or call == "fsync"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_takes_removals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Where no file can be made, the age of the others is told all the same, and none is older than it is."""
    store = PosixStore.open(tmp_path)
    stage_something(store)
    staged = store.blobs.stage("foo/x/file")
    staged.write(b"published")
    store.blobs.publish(staged.finish())
    store.blobs.stage("foo/x/f").write(b"under way")
    real_open = os.open

    def full(path: str, flags: int, *rest: int, **options: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number), path)
        return real_open(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", full)
    (blob,) = store.blobs.list()
    assert 0 <= blob.age <= time.time() - os.stat(tmp_path / "quire" / "blobs" / "foo" / "x" / "file").st_ctime
    assert not store.blobs.remove_old(blob.key, 3600)
    assert store.blobs.remove_old(blob.key, 0)
    assert store.sweep(0, thorough=True) == 1
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) may take less than it was given."""
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data[:3])))
    store = PosixStore.open(tmp_path)
    write_many(store, 1)
    staging = store.blobs.stage("a/b/c")
    staging.write(b"0123456789")
    store.blobs.publish(staging.finish())
    with store.blobs.open("a/b/c") as file:
        assert file.read() == b"0123456789"
    assert store.records.read(KEY).data == document(0)


def test_opening_what_is_not_a_store(tmp_path: Path) -> None:
    """Missing, not a directory, a newer layout, an unrelated folder: one sentence each."""
    with pytest.raises(StoreError, match="cannot be used"):
        PosixStore.open(tmp_path / "missing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be used"):
        PosixStore.open(tmp_path / "file")
    newer = tmp_path / "newer"
    (newer / "quire").mkdir(parents=True)
    (newer / "quire" / "format").write_text("quire 2\n")
    with pytest.raises(UnknownLayout, match="newer quire"):
        PosixStore.open(newer)
    foreign = tmp_path / "foreign"
    (foreign / "quire").mkdir(parents=True)
    (foreign / "quire" / "setup.py").write_text("x")
    with pytest.raises(UnknownLayout, match="in the way"):
        PosixStore.open(foreign)


def test_a_store_that_cannot_be_written_is_served(tmp_path: Path) -> None:
    """Read-only: everything reads, every change is refused with a sentence."""
    record = write_many(PosixStore.open(tmp_path), 1)
    store = PosixStore.open(tmp_path, read_only=True)
    assert not store.writable
    assert store.records.read(KEY).data == record.data
    with pytest.raises(StoreReadOnly):
        store.records.write(KEY, document(2), record)
    with pytest.raises(StoreReadOnly):
        store.blobs.stage("foo/x/f")


def test_an_empty_directory_is_served_read_only_without_being_touched(tmp_path: Path) -> None:
    """A directory without a store is an empty index; nothing is made in it."""
    store = PosixStore.open(tmp_path, read_only=True)
    assert store.records.names("main/projects").names == ()
    assert store.records.read(KEY).data is None
    assert list(store.blobs.list()) == []
    assert list(tmp_path.iterdir()) == []
    write_many(PosixStore.open(tmp_path), 1)
    assert store.records.read(KEY).data == document(0)


def test_a_directory_that_vanishes_is_an_error_not_absence(tmp_path: Path) -> None:
    """An unmounted volume must not look like an index from which everything was deleted."""
    root = tmp_path / "root"
    root.mkdir()
    store = PosixStore.open(root)
    record = write_many(store, 1)
    root.rename(tmp_path / "away")
    with pytest.raises(StoreError):
        store.records.read(KEY, record)
    with pytest.raises(StoreError):
        store.records.names("main/projects")
    root.mkdir()  # a mount point without its volume
    with pytest.raises(StoreError):
        store.records.read(KEY, record)
    with pytest.raises(StoreError):
        store.records.names("main/projects")
    root.rmdir()
    (tmp_path / "away").rename(root)
    assert store.records.read(KEY, record).data == document(0)


def test_many_workers_may_make_the_store_at_once(tmp_path: Path) -> None:
    """The folder appears complete, once."""
    stores: list[PosixStore] = []
    threads = [threading.Thread(target=lambda: stores.append(PosixStore.open(tmp_path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 16
    assert all(store.writable for store in stores)
    assert [path.name for path in tmp_path.iterdir()] == ["quire"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("step", range(1, 30))
@pytest.mark.parametrize("scenario", ["create", "replace", "delete", "recreate"])
def test_nothing_was_written_is_only_said_when_it_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, step: int, scenario: str
) -> None:
    """The n-th call fails: StoreFull and StoreReadOnly promise that nothing happened, since callers then clean up."""
    store = PosixStore.open(tmp_path)
    record = store.records.read(KEY)
    if scenario != "create":
        record = store.records.write(KEY, document(0), record)
    if scenario == "recreate":
        record = store.records.write(KEY, None, record)
    calls = 0

    def failing(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                raise OSError(number, os.strerror(number))
            return real(*args, **kwargs)

        return call

    failure: StoreError | None = None
    with monkeypatch.context() as patch:
        for name in ("open", "link", "unlink", "fsync", "write", "rename", "mkdir"):
            patch.setattr(os, name, failing(getattr(os, name)))
        try:
            store.records.write(KEY, None if scenario == "delete" else document(7), record)
        except StoreError as error:
            failure = error
    other = PosixStore.open(tmp_path)
    now = other.records.read(KEY)
    if isinstance(failure, StoreFull | StoreReadOnly):
        assert now.tag == record.tag
    if failure is None:
        assert now.tag != record.tag
    assert other.records.names("main/projects").names == (("foo",) if now.data is not None else ())
    assert other.records.write(KEY, document(9), now).data == document(9)
    assert other.records.names("main/projects").names == ("foo",)


def test_a_refused_write_leaves_no_intent_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a death may leave one: each costs every listing a read."""
    store = PosixStore.open(tmp_path)
    record = write_many(store, 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        with pytest.raises(StoreFull):
            store.records.write(KEY, None, record)
    assert sorted(path.name for path in folder(tmp_path).parent.iterdir()) == ["foo"]


def test_an_intent_marker_left_behind_is_not_listed_around_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead writer's intent marker costs one validation of its record, not a listing per request."""
    store = PosixStore.open(tmp_path, racy_window=0)
    record = write_many(store, 1)
    (folder(tmp_path).parent / "foo.0123.changing").touch()
    names = store.records.names("main/projects")
    names = store.records.names("main/projects", names)
    with monkeypatch.context() as patch:

        def no_listing(*_: object) -> None:
            raise AssertionError("listed")

        patch.setattr(os, "scandir", no_listing)
        assert store.records.names("main/projects", names) is names
    record = PosixStore.open(tmp_path).records.write(KEY, None, record)
    assert store.records.names("main/projects", names).names == ()
    assert not store.sweep(older_than=3600)
    assert store.sweep(older_than=0) == 1
    assert sorted(path.name for path in folder(tmp_path).parent.iterdir()) == ["foo", "foo.deleted"]


def test_a_deletion_does_not_slip_through_a_long_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing is several system calls. A deletion that ends between them is either seen or not yet made."""
    store, other = PosixStore.open(tmp_path), PosixStore.open(tmp_path)
    record = write_many(store, 1)
    for number in range(3):
        key = f"main/projects/other{number}"
        store.records.write(key, document(0), store.records.read(key))
    real_scandir = os.scandir
    deleted: list[Record] = []

    class Slow:
        """Yields the folder's state of before the deletion, which happens when half of it was read."""

        def __init__(self, directory: Any) -> None:
            with real_scandir(directory) as entries:
                self.entries = list(entries)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __iter__(self) -> Any:
            for position, entry in enumerate(self.entries):
                if position == len(self.entries) // 2 and not deleted:
                    deleted.append(record)
                    with monkeypatch.context() as patch:
                        patch.setattr(os, "scandir", real_scandir)
                        other.records.write(KEY, None, record)
                yield entry

    monkeypatch.setattr(os, "scandir", Slow)
    assert "foo" not in store.records.names("main/projects").names


def test_the_sweep_does_not_empty_what_a_slow_writer_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first revision is swept just before its rename: the writer fails, no empty project appears."""
    store, sweeper = PosixStore.open(tmp_path), PosixStore.open(tmp_path)
    write_many(store, 1)
    key = "main/projects/bar"
    real_rename = os.rename

    def swept_first(source: str, target: str) -> None:
        monkeypatch.setattr(os, "rename", real_rename)
        sweeper.sweep(older_than=0)
        real_rename(source, target)

    monkeypatch.setattr(os, "rename", swept_first)
    with pytest.raises(StoreError):
        store.records.write(key, document(1), store.records.read(key))
    assert store.records.names("main/projects").names == ("foo",)
    assert store.records.write(key, document(1), store.records.read(key)).data == document(1)


def noting_syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of what is synced from now on."""
    synced: list[str] = []
    real_fsync = os.fsync

    def noting(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    return synced


def test_what_another_worker_did_not_make_certain_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that finds its change already made makes it durable first; directories of others are synced once."""
    record = write_many(PosixStore.open(tmp_path), 1)
    store = PosixStore.open(tmp_path)
    synced = noting_syncs(monkeypatch)
    store.records.confirm(record)
    home = tmp_path / "quire"
    assert {str(home / part) for part in ("records/main/projects/foo", "records/main/projects", "records/main")} <= {
        *synced
    }
    synced.clear()
    store.records.confirm(record)
    assert synced == [str(home / "records/main/projects/foo")]


def unfinished(store: PosixStore, key: str, content: bytes) -> PosixStaged:
    """Staged bytes that publishing makes durable."""
    staging = store.blobs.stage(key)
    staging.write(content)
    return staging.finish(durable=False)


def test_publishing_syncs_each_file_and_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that finish left undone is done when publish returns, for the publication's folder and its name as well."""
    store = PosixStore.open(tmp_path)
    store.blobs.publish(unfinished(store, "foo/first/f", b"0"))
    synced: list[tuple[int, int]] = []
    real_fsync = os.fsync

    def noting(fd: int) -> None:
        status = os.fstat(fd)
        synced.append((status.st_dev, status.st_ino))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    staged = unfinished(store, "foo/second/f", b"2")
    assert synced == []
    store.blobs.publish(staged, {"foo/second/f.metadata": b"1"})
    project = tmp_path / "quire" / "blobs" / "foo"
    expected = [project, project / "second", project / "second" / "f", project / "second" / "f.metadata"]
    assert sorted(synced) == sorted((path.stat().st_dev, path.stat().st_ino) for path in expected)
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []


def test_a_failed_sync_is_never_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that could not be made durable cannot be published any more: a second fsync might succeed for nothing."""
    store = PosixStore.open(tmp_path)
    store.blobs.publish(unfinished(store, "foo/x/other", b"0"))  # so that the folders are certain already
    staged = unfinished(store, "foo/x/f", b"1")

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match=os.strerror(errno.EIO)):
            store.blobs.publish(staged)
    with pytest.raises(StoreError, match="given up"):
        store.blobs.publish(staged)


def test_writeback_of_all_files_begins_before_the_first_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of the other files that are written meanwhile need no wait afterwards."""
    store = PosixStore.open(tmp_path)
    steps: list[tuple[str, int]] = []
    real_fsync = os.fsync

    def noting(fd: int) -> None:
        if not os.path.isdir(f"/proc/self/fd/{fd}"):
            steps.append(("sync", os.fstat(fd).st_size))
        real_fsync(fd)

    def noting_begin(fd: int) -> None:
        steps.append(("begin", os.fstat(fd).st_size))
        begin_writing(fd)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(posix_files, "begin_writing", noting_begin)
    documents = {f"foo/x/{size}": b"1" * size for size in (1, 2)}
    store.blobs.publish(unfinished(store, "foo/x/3", b"111"), documents)
    assert steps == [("begin", 2), ("begin", 3), ("sync", 1), ("sync", 2), ("sync", 3)]


def test_bytes_that_fail_early_writeback_cannot_be_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fsync that follows might not be told of the failure a second time, so it is not asked."""
    store = PosixStore.open(tmp_path)
    staged = unfinished(store, "foo/x/f", b"2")

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(posix_files, "begin_writing", fail)
        with pytest.raises(StoreError, match=os.strerror(errno.EIO)):
            store.blobs.publish(staged, {"foo/x/f.metadata": b"1"})
    with pytest.raises(StoreError, match="given up"):
        store.blobs.publish(staged)


@pytest.mark.parametrize("call", ["write_all", "begin_writing", "fsync"])
def test_a_document_that_cannot_be_published_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It is written where it stays; a full disk, or the file that comes after it, may still take it away."""
    store = PosixStore.open(tmp_path)
    store.blobs.publish(unfinished(store, "foo/x/taken", b"0"))
    staged, before = unfinished(store, "foo/x/f", b"1"), len(os.listdir("/proc/self/fd"))

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(*(os, "fsync") if call == "fsync" else (posix_files, call), fail)
        with pytest.raises(StoreFull):
            store.blobs.publish(staged, {"foo/x/f.metadata": b"text"})
    with pytest.raises(Conflict):
        store.blobs.publish(unfinished(store, "foo/x/taken", b"2"), {"foo/x/g.metadata": b"text"})
    staged.discard()
    folder = tmp_path / "quire" / "blobs" / "foo" / "x"
    assert {path.name for path in folder.iterdir()} <= {"taken", "f"}
    assert len(os.listdir("/proc/self/fd")) <= before


def test_early_writeback_is_optional(tmp_path: Path) -> None:
    """Of a pipe it cannot; a descriptor that is not one is an error all the same."""
    reader, writer = os.pipe()
    try:
        begin_writing(writer)
    finally:
        os.close(reader)
        os.close(writer)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        begin_writing(writer)


def test_a_folder_that_another_worker_made_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication's folder that is there already may not last yet: its parent is synced as for a new one."""
    store = PosixStore.open(tmp_path)
    store.blobs.publish(unfinished(store, "foo/first/f", b"0"))
    project = tmp_path / "quire" / "blobs" / "foo"
    (project / "second").mkdir()
    synced = noting_syncs(monkeypatch)
    store.blobs.publish(unfinished(store, "foo/second/f", b"1"))
    assert str(project) in synced


def test_small_uploads_are_examined_as_they_came(tmp_path: Path) -> None:
    """Bytes that came in one small piece need not be read back from the disk; all others are."""
    store = PosixStore.open(tmp_path)
    for pieces in ([b"small"], [bytearray(b"small")], [b"in ", b"two"], [b"large" * 2**18], [b"", b"late"], []):
        staging = store.blobs.stage("foo/x/f")
        for piece in pieces:
            staging.write(piece)
        staged = staging.finish(durable=False)
        with staged.open() as file:
            assert file.read() == b"".join(pieces)
            assert isinstance(file, io.BytesIO) == (pieces in ([b"small"], [bytearray(b"small")], [b"", b"late"]))
        staged.discard()
        with pytest.raises(StoreError):
            staged.open()


def test_a_draft_is_written_once_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is on its way to the disk when it is made; the write only waits for it. Used, refused or given up, it goes."""
    store = PosixStore.open(tmp_path)
    record = write_many(store, 1)
    incoming = tmp_path / "quire" / "incoming"
    begun: list[int] = []
    monkeypatch.setattr(posix_files, "begin_writing", begun.append)
    draft = store.records.draft(KEY, document(7))
    (file,) = incoming.iterdir()
    assert file.read_bytes() == document(7)
    assert len(begun) == 1
    inode = file.stat().st_ino
    written = store.records.write(KEY, draft, record)
    assert (folder(tmp_path) / "00000002.json").stat().st_ino == inode
    assert type(written.data) is bytes
    assert list(incoming.iterdir()) == []
    with pytest.raises(StoreError, match="already"):
        store.records.write(KEY, draft, written)
    refused = store.records.draft(KEY, document(8))
    with pytest.raises(Conflict):
        store.records.write(KEY, refused, record)
    store.records.draft(KEY, document(9)).discard()
    unborn = store.records.draft("main/projects/new", document(10))
    store.records.write("main/projects/new", unborn, store.records.read("main/projects/new"))
    unborn.discard()
    assert list(incoming.iterdir()) == []
    assert store.records.read(KEY).data == document(7)


@pytest.mark.parametrize("call", ["write_all", "begin_writing"])
def test_a_draft_that_cannot_be_begun_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A full disk says so before anything is stored; no descriptor stays open, no part of the file stays."""
    store = PosixStore.open(tmp_path)
    record = write_many(store, 1)
    before = len(os.listdir("/proc/self/fd"))

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(posix_files, call, fail)
        with pytest.raises(StoreFull):
            store.records.draft(KEY, document(7))
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) <= before
    assert store.records.read(KEY, record).tag == record.tag
    with pytest.raises(StoreReadOnly):
        PosixStore.open(tmp_path, read_only=True).records.draft(KEY, document(7))


def test_descriptors_of_staged_bytes_are_let_go(tmp_path: Path) -> None:
    """Published, discarded or refused: none stays open."""
    store = PosixStore.open(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    store.blobs.publish(unfinished(store, "foo/x/f", b"1"))
    unfinished(store, "foo/x/f", b"2").discard()
    refused = unfinished(store, "foo/x/f", b"3")
    with pytest.raises(Conflict):
        store.blobs.publish(refused)
    refused.discard()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_write_that_is_cancelled_does_not_reach_another_file(tmp_path: Path) -> None:
    """Discarding waits for a write under way, so its descriptor's number cannot be another file's yet."""
    store = PosixStore.open(tmp_path)
    staging = store.blobs.stage("foo/x/f")
    writing, go_on = threading.Event(), threading.Event()
    real_write = os.write

    def slow_write(fd: int, data: Any) -> int:
        writing.set()
        go_on.wait()
        return real_write(fd, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", slow_write)
        writer = threading.Thread(target=staging.write, args=(b"AAAA",))
        writer.start()
        writing.wait()
    discarder = threading.Thread(target=staging.discard)
    discarder.start()
    other = store.blobs.stage("foo/x/f")
    other.write(b"BB")
    go_on.set()
    writer.join()
    discarder.join()
    with other.finish().open() as file:
        assert file.read() == b"BB"
    with pytest.raises(StoreError):
        staging.write(b"more")


def test_nocto_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount option that switches off what the promise rests on."""
    monkeypatch.setattr(
        "quire.store.posix.store.read_mounts", lambda: [Mount("/", "nfs4", "server:/", ("nocto", "rw"))]
    )
    with pytest.raises(StoreError, match="nocto"):
        PosixStore.open(tmp_path, network=True)
    PosixStore.open(tmp_path, network=False)


def test_mount_options_are_those_of_the_directory() -> None:
    """Read from the kernel's own table."""
    mount = mount_of("/proc", read_mounts())
    assert mount is not None
    assert set(mount.options) & {"rw", "ro"}


def test_constants_fit_together() -> None:
    """Pruning starts well above what it keeps."""
    assert posix_records.PRUNE_ABOVE > posix_records.KEEP_REVISIONS >= 2


def test_a_disk_that_fails_under_an_examination_is_not_the_clients_fault(tmp_path: Path) -> None:
    """Reading staged bytes back gives the store's error to any reader; a seek to nowhere stays the reader's own."""
    store = PosixStore.open(tmp_path)
    staging = store.blobs.stage("foo/x/f")
    staging.write(b"x")
    digests = staging.finish().digests
    memory = PendingFile("/proc/self/mem", is_durable=True)  # its first bytes cannot be read: EIO
    unreadable = PosixStaged("foo/x/f", memory, 1, digests)
    with unreadable.open() as file:
        for size in (-1, 10):
            with pytest.raises(StoreError, match=os.strerror(errno.EIO)):
                file.read(size)
        with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
            file.seek(-1, os.SEEK_END)
    with pytest.raises(StoreError):
        PosixStaged("foo/x/f", PendingFile(str(tmp_path / "gone"), is_durable=True), 1, digests).open()


@pytest.mark.parametrize("call", ["open", "fstat"])
def test_a_file_that_another_machine_removes_while_it_is_opened_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """NFS answers ESTALE then, to the opening or to what is asked of the open file. No descriptor stays behind."""
    store = PosixStore.open(tmp_path)
    staging = store.blobs.stage("foo/1/file")
    staging.write(b"content")
    store.blobs.publish(staging.finish())
    original = getattr(os, call)

    def stale(what: Any, *rest: Any, **more: Any) -> Any:
        path = what if isinstance(what, str) else os.readlink(f"/proc/self/fd/{what}")
        if path.endswith("/foo/1/file"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return original(what, *rest, **more)

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, stale)
        with pytest.raises(BlobMissing):
            store.blobs.open("foo/1/file")
    assert len(os.listdir("/proc/self/fd")) <= before
    store.blobs.open("foo/1/file").close()


@pytest.mark.parametrize("call", ["stat", "unlink", "utime", "fstat", "scandir"])
def test_what_another_machine_removes_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """NFS answers ESTALE for a name that it remembers: one such file stops no listing and no sweep."""
    store = PosixStore.open(tmp_path)
    for number in (1, 2):
        staging = store.blobs.stage(f"foo/{number}/file")
        staging.write(b"content")
        store.blobs.publish(staging.finish())
    original = getattr(os, call)

    def stale(what: Any, *rest: Any, **more: Any) -> Any:
        path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else os.fspath(what)
        if "/foo/1" in path:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)
        return original(what, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, stale)
        if call in {"stat", "scandir"}:
            assert [each.key for each in store.blobs.list()] == ["foo/2/file"]
            assert store.blobs.remove_empty_folders(0) == 0
        if call == "fstat":
            assert not store.blobs.remove_old("foo/1/file", 0)
        if call in {"stat", "utime"}:
            store.blobs.renew("foo/1/file")
        if call == "unlink":
            store.blobs.remove("foo/1/file")
