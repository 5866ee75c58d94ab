"""Wrong answers of NFS clients, one scene each, with the store's safeguard against it or without.

A scene returns how often it was played and how often the answer was wrong. Replaced here:
functions of the store, which takes its safeguards away, since no setting does that.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from unittest import mock

from quire.access import passwords
from quire.access.passwords import NETWORK_SECONDS, RACY_SECONDS, Passwords
from quire.domain.errors import BlobMissing, Conflict, OutcomeUnknown, StoreError
from quire.store.posix import blobs as posix_blobs
from quire.store.posix import directory
from quire.store.posix import records as posix_records
from quire.store.posix.directory import FINE_RACY_SECONDS, Directories, Identity
from quire.store.posix.store import PosixStore
from tests.nfs.guest.mounts import SERVER, A, B, new_folder
from tests.nfs.guest.processes import Counters, background

KEY = "main/projects/foo"
Scene = Callable[[], Iterator[bool]]
"""Yields for every play whether the answer was right."""


def run(scene: str, guarded: bool, seconds: float = 30.0, until_wrong: bool = False) -> dict[str, int]:
    """Play a scene until it ends, or until `seconds` have passed, or until the answer is wrong if that is enough."""
    play, unguarded = _SCENES[scene]
    until = time.monotonic() + seconds
    plays = wrong = 0
    with contextlib.nullcontext() if guarded else unguarded():
        for right in play():
            plays += 1
            wrong += not right
            if time.monotonic() > until or (wrong and until_wrong):
                break
    return {"plays": plays, "wrong": wrong}


def _pair() -> tuple[PosixStore, PosixStore]:
    """A store through both clients: the writer's and the reader's."""
    folder = new_folder()
    return PosixStore.open(A / folder), PosixStore.open(B / folder)


def _write(store: PosixStore, key: str, data: bytes | None) -> None:
    store.records.write(key, data, store.records.read(key))


def _publish(store: PosixStore, key: str, data: bytes) -> None:
    staging = store.blobs.stage(key)
    staging.write(data)
    store.blobs.publish(staging.finish())


# -- scenes -----------------------------------------------------------------------------------------------------------


def a_known_record_is_read_again() -> Iterator[bool]:
    """The reader has come to rest with what it knows; then it changes."""
    writer, reader = _pair()
    _write(writer, KEY, b"0")
    known = reader.records.read(KEY)
    for number in range(8):
        for _ in range(3):
            time.sleep(FINE_RACY_SECONDS)
            known = reader.records.read(KEY, known)
        _write(writer, KEY, b"%d" % number)
        known = reader.records.read(KEY, known)
        yield known.data == b"%d" % number


def a_record_changes_twice_within_a_tick() -> Iterator[bool]:
    """The reader asks between two changes that carry the same timestamps."""
    writer, reader = _pair()
    known = reader.records.read(KEY)
    for number in range(0, 40, 2):
        for change in (number, number + 1):
            _write(writer, KEY, b"%d" % change)
            known = reader.records.read(KEY, known)
            yield known.data == b"%d" % change


def a_record_appears() -> Iterator[bool]:
    """The reader has just been told that there is none."""
    writer, reader = _pair()
    _write(writer, KEY, b"so that the folder is there")
    for number in range(20):
        key = f"main/projects/new{number}"
        known = reader.records.read(key)
        _write(writer, key, b"here")
        yield reader.records.read(key, known).data == b"here"


def a_name_appears() -> Iterator[bool]:
    """The reader lists the names after every new one, and has listed them before."""
    writer, reader = _pair()
    known = reader.records.names("main/projects")
    for number in range(30):
        _write(writer, f"main/projects/new{number}", b"here")
        known = reader.records.names("main/projects", known)
        yield len(known.names) == number + 1


def a_blob_appears() -> Iterator[bool]:
    """The reader has asked for it before it was published."""
    writer, reader = _pair()
    _publish(writer, "foo/one/first", b"so that the directory is there")
    for number in range(20):
        key = f"foo/one/{number}"
        with contextlib.suppress(BlobMissing):
            reader.blobs.open(key).close()
        _publish(writer, key, b"here")
        try:
            with reader.blobs.open(key) as file:
                yield file.read() == b"here"
        except BlobMissing:
            yield False


def a_blob_vanishes() -> Iterator[bool]:
    """The reader has opened it before it was removed."""
    writer, reader = _pair()
    for number in range(20):
        key = f"foo/{number}/file"
        _publish(writer, key, b"here")
        reader.blobs.open(key).close()
        writer.blobs.remove(key)
        try:
            reader.blobs.open(key).close()
            yield False
        except BlobMissing:
            yield True
        except StoreError:
            yield False


def a_link_is_repeated() -> Iterator[bool]:
    """The network repeats a LINK: the answer is EEXIST, and the name is the caller's own. Both must succeed."""
    writer, reader = _pair()
    _write(writer, KEY, b"first")
    link = os.link

    def repeated(source: str, target: str, **more: bool) -> None:
        link(source, target, **more)
        link(source, target, **more)

    with mock.patch("os.link", repeated):
        for number in range(10):
            try:
                _write(writer, KEY, b"%d" % number)
                _publish(writer, f"foo/{number}/file", b"%d" % number)
            except Conflict:
                yield False
                continue
            with reader.blobs.open(f"foo/{number}/file") as file:
                yield reader.records.read(KEY).data == file.read() == b"%d" % number


def a_writer_stalls_while_revisions_are_pruned() -> Iterator[bool]:
    """It goes on to write a revision whose number is free again. It must not be told that this was its doing."""
    folder = new_folder()
    stalled, busy = (PosixStore.open(mount / folder, prune_age=0) for mount in (A, B))
    for number in range(5):
        key = f"main/projects/foo{number}"
        _write(stalled, key, b"first")
        expected = stalled.records.read(key)
        for change in range(20):
            _write(busy, key, b"%d" % change)
        try:
            stalled.records.write(key, b"from the past", expected)
        except (Conflict, OutcomeUnknown):
            yield busy.records.read(key).data == b"19"
        else:
            yield False


def a_person_copies_on_another_machine() -> Iterator[bool]:
    """Over a file that this machine knows, and that the other one has replaced. The safeguard is the person's."""
    folder = new_folder()
    for number in range(10):
        name, content = f"foo-{number}.zip", b"%d" % number
        (A / folder / name).write_bytes(b"first")
        _look_at(B / folder)
        (B / folder / name).read_bytes()
        (A / folder / "second").write_bytes(b"second")
        (A / folder / "second").rename(A / folder / name)
        if _is_looking():
            _look_at(B / folder)
        with contextlib.suppress(OSError):  # ESTALE, at best
            (B / folder / name).write_bytes(content)
        yield (SERVER / folder / name).read_bytes() == content


def _is_looking() -> bool:
    return True


def _look_at(folder: Path) -> None:
    os.listdir(folder)


def a_password_file_changes() -> Iterator[bool]:
    """On the other machine, long after the last change: replaced by a rename, and written over in place."""
    folder = new_folder()
    now = [0.0]

    def write(path: Path, user: str) -> None:
        path.write_text(f"{user}:{{SHA}}{'A' * 27}=\n")

    write(A / folder / ".htpasswd", "user0")
    reader = Passwords(B / folder / ".htpasswd", clock=lambda: now[0])
    for number in range(1, 11):
        for _ in range(3):
            now[0] += RACY_SECONDS
            reader.current()
        time.sleep(FINE_RACY_SECONDS)  # the server's clock ticks on, as it does in so many seconds
        path = A / folder / ".htpasswd"
        write(path.with_name("new") if number % 2 else path, f"user{number}")
        if number % 2:
            path.with_name("new").rename(path)
        now[0] += NETWORK_SECONDS
        yield set(reader.current().hashes) == {f"user{number}"}


def late_replies() -> Iterator[bool]:
    """A worker changes a directory while others on the same machine ask for its identity."""
    name = new_folder()
    path = str(B / name)
    acknowledged = Counters(1)
    (B / name / "source").touch()

    def change() -> None:
        for number in count():
            os.link(f"{path}/source", f"{path}/{number}")
            acknowledged[0] = os.stat(SERVER / name).st_mtime_ns
            if number >= 20:
                os.unlink(f"{path}/{number - 20}")
            time.sleep(random.choice((0, 0, 0.01, 0.03)))

    def ask() -> bool:
        least = acknowledged[0]
        identity = directories.identity(path)
        time.sleep(random.random() * 0.002)
        return identity is None or identity.mtime_ns >= least

    def keep_asking() -> None:
        while True:
            ask()

    directories = Directories(str(B), network=True)
    with background([change, keep_asking]):
        while True:
            yield ask()


# -- safeguards taken away --------------------------------------------------------------------------------------------


@contextmanager
def _held_descriptors() -> Iterator[None]:
    """Ask descriptors that were opened once, and paths, without opening anything again."""
    held: dict[str, int] = {}

    def open_held(directories: Directories, path: str) -> tuple[int, Identity | None] | None:
        try:
            if path not in held:
                held[path] = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            status = os.stat(path)
        except FileNotFoundError:
            return None
        return os.dup(held[path]), Identity(status.st_ino, status.st_mtime_ns, status.st_ctime_ns)

    with mock.patch.object(Directories, "open", open_held):
        yield
    for descriptor in held.values():
        os.close(descriptor)


def _absence_believed() -> AbstractContextManager[object]:
    def descriptor(directories: Directories, path: str) -> int | None:
        try:
            return os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None

    return mock.patch.object(Directories, "_descriptor", descriptor)


def _blob_by_path() -> AbstractContextManager[object]:
    def open_file(directories: Directories, folder: str, name: str) -> int | None:
        try:
            return os.open(f"{folder}/{name}", os.O_RDONLY)
        except FileNotFoundError:
            return None

    return mock.patch.object(Directories, "open_file", open_file)


def _no_settling() -> AbstractContextManager[object]:
    return mock.patch.multiple(directory, COARSE_RACY_SECONDS=0.0, FINE_RACY_SECONDS=0.0)


def _no_validity() -> AbstractContextManager[object]:
    def times(fd: int) -> tuple[int, int]:
        status = os.fstat(fd)
        return status.st_mtime_ns, status.st_ctime_ns

    return mock.patch.object(directory, "cached_times", times)


@contextmanager
def _no_comparing_of_inodes() -> Iterator[None]:
    with (
        mock.patch.object(posix_records, "is_same_file", return_value=False),
        mock.patch.object(posix_blobs, "is_same_file", return_value=False),
    ):
        yield


def _no_judging() -> AbstractContextManager[object]:
    return mock.patch.object(posix_records.PosixRecords, "_judge_overtaken")


def _no_look() -> AbstractContextManager[object]:
    return mock.patch(f"{__name__}._is_looking", return_value=False)


def _no_asking() -> AbstractContextManager[object]:
    return mock.patch.object(passwords, "_ask_server")


_SCENES: dict[str, tuple[Scene, Callable[[], AbstractContextManager[object]]]] = {
    "stat": (a_known_record_is_read_again, _held_descriptors),
    "tick": (a_record_changes_twice_within_a_tick, _no_settling),
    "late": (late_replies, _no_validity),
    "absence": (a_record_appears, _absence_believed),
    "names": (a_name_appears, _held_descriptors),
    "blob": (a_blob_appears, _blob_by_path),
    "vanished blob": (a_blob_vanishes, _blob_by_path),
    "link": (a_link_is_repeated, _no_comparing_of_inodes),
    "copy": (a_person_copies_on_another_machine, _no_look),
    "passwords": (a_password_file_changes, _no_asking),
    "pruning": (a_writer_stalls_while_revisions_are_pruned, _no_judging),
}
