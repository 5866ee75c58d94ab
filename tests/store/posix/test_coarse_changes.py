"""Changes on a server whose change attribute is as coarse as its clock: those of the store are noticed all the same.

The server is played: its clock moves only while the store waits, and a client lists a directory from memory for as long
as the directory's change attribute is the one that came with the list. The real thing is in tests/nfs.

Replaced here, for that: the system calls and the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.commands.common import add_store_flags, open_store
from quire.config.resolving import resolve
from quire.config.settings import RUN_DEFAULTS, Settings
from quire.domain.errors import BlobMissing, ConfigurationError, Conflict
from quire.http.app.building import build_worker
from quire.store.contracts import Store
from quire.store.posix import changes as posix_changes
from quire.store.posix.store import PosixStore
from quire.testing import check_store

KEY = "main/projects/foo"
TICK = 0.001


class CoarseServer:
    """A server, and one client of it that reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._clock = 0
        self._attributes: dict[str, int] = {}
        self._lists: dict[str, tuple[int, list[os.DirEntry[str]]]] = {}
        self._absent: dict[str, tuple[int, int]] = {}
        self.is_reading = False
        self._scandir, self._open = os.scandir, os.open
        for name, argument in (("link", 1), ("mkdir", 0), ("unlink", 0), ("rmdir", 0)):
            monkeypatch.setattr(os, name, self._changing(getattr(os, name), argument))
        monkeypatch.setattr(os, "rename", self._renaming(os.rename))
        monkeypatch.setattr(os, "utime", self._touching(os.utime))
        monkeypatch.setattr(os, "open", self._opening)
        monkeypatch.setattr(os, "scandir", self._listing)
        monkeypatch.setattr(posix_changes.time, "sleep", self._sleep)  # type: ignore[attr-defined] # the module's own

    @contextlib.contextmanager
    def client(self) -> Iterator[None]:
        """The block runs on the client with the cache."""
        self.is_reading = True
        try:
            yield
        finally:
            self.is_reading = False

    def _sleep(self, seconds: float) -> None:
        assert seconds == TICK
        self._clock += 1

    def _changed(self, path: str) -> None:
        self._attributes[os.path.dirname(path)] = self._clock

    def _changing(self, real: Callable[..., Any], argument: int) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            answer = real(*arguments, **more)
            self._changed(arguments[argument])
            return answer

        return call

    def _renaming(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(source: str, target: str) -> None:
            real(source, target)
            self._changed(source)
            self._changed(target)

        return call

    def _touching(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: str, *arguments: Any, **more: Any) -> None:
            real(path, *arguments, **more)
            self._attributes[path] = self._clock

        return call

    def _opening(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        full = path if dir_fd is None else f"{os.readlink(f'/proc/self/fd/{dir_fd}')}/{path}"
        parent = os.path.dirname(full)
        if self.is_reading and self._absent.get(full) == (self._attributes.get(parent, -1), 0):
            raise FileNotFoundError(2, "as remembered", full)
        try:
            fd = self._open(path, flags, mode, dir_fd=dir_fd)
        except FileNotFoundError:
            if self.is_reading:
                self._absent[full] = (self._attributes.get(parent, -1), 0)
            raise
        if flags & os.O_CREAT:
            self._changed(full)
        return fd

    def _listing(self, path: Any = ".") -> Any:
        if not (self.is_reading and isinstance(path, int)):
            return self._scandir(path)
        name = os.readlink(f"/proc/self/fd/{path}")
        attribute = self._attributes.get(name, -1)
        if name not in self._lists or self._lists[name][0] != attribute:
            with self._scandir(path) as entries:
                self._lists[name] = attribute, list(entries)
        return contextlib.nullcontext(iter(self._lists[name][1]))


Stores = tuple[PosixStore, PosixStore, PosixStore]


def stores(root: Path, tick: float) -> Stores:
    """Two writers and a reader."""
    one, other, reader = (PosixStore.open(root, network=True, coarse_changes=tick) for _ in range(3))
    return one, other, reader


def misses_a_revision(server: CoarseServer, stores: Stores) -> bool:
    """Between two changes of one record the reader lists its folder."""
    one, other, reader = stores
    first = one.records.write(KEY, b"1", one.records.write(KEY, b"0", one.records.read(KEY)))
    with server.client():
        known = reader.records.read(KEY)
    other.records.write(KEY, b"2", first)
    with server.client():
        return reader.records.read(KEY, known).data != b"2"


def misses_a_name(server: CoarseServer, stores: Stores) -> bool:
    """Between the creations of two projects the reader lists them."""
    one, other, reader = stores
    one.records.write("main/projects/one", b"1", one.records.read("main/projects/one"))
    with server.client():
        names = reader.records.names("main/projects")
    other.records.write("main/projects/two", b"1", other.records.read("main/projects/two"))
    with server.client():
        return reader.records.names("main/projects", names).names != ("one", "two")


def misses_that_a_record_appears(server: CoarseServer, stores: Stores) -> bool:
    """The reader asks for it in vain right after another one has come beside it."""
    one, other, reader = stores
    one.records.write("main/projects/one", b"1", one.records.read("main/projects/one"))
    with server.client():
        known = reader.records.read(KEY)
    other.records.write(KEY, b"1", other.records.read(KEY))
    with server.client():
        return reader.records.read(KEY, known).data is None


def misses_a_deletion(server: CoarseServer, stores: Stores) -> bool:
    """The reader lists the names between a creation and the deletion."""
    one, other, reader = stores
    record = one.records.write(KEY, b"1", one.records.read(KEY))
    with server.client():
        names, known = reader.records.names("main/projects"), reader.records.read(KEY)
    other.records.write(KEY, None, record)
    with server.client():
        is_there = reader.records.read(KEY, known).data is not None
        return is_there or reader.records.names("main/projects", names).names != ()


def publish(store: PosixStore, name: str) -> None:
    staging = store.blobs.stage(f"alpha/publication/{name}")
    staging.write(b"content")
    store.blobs.publish(staging.finish())


def is_missing(server: CoarseServer, reader: PosixStore, name: str) -> bool:
    """The answer of the client with the cache about a file."""
    with server.client():
        try:
            reader.blobs.open(f"alpha/publication/{name}").close()
        except BlobMissing:
            return True
    return False


def misses_a_file(server: CoarseServer, stores: Stores) -> bool:
    """A companion comes right after the file, and was asked for in between."""
    one, other, reader = stores
    assert is_missing(server, reader, "file")
    publish(one, "file")
    assert is_missing(server, reader, "file.metadata")
    publish(other, "file.metadata")
    return is_missing(server, reader, "file.metadata")


def misses_what_another_one_met(server: CoarseServer, stores: Stores) -> bool:
    """A publisher is refused because of a file that its writer has not made visible yet."""
    one, other, reader = stores
    publish(one, "file")
    assert is_missing(server, reader, "file.metadata")
    dies_early = PosixStore.open(Path(one.root), network=True)  # as a writer that ends before its intent marker
    publish(dies_early, "file.metadata")
    assert is_missing(server, reader, "file.metadata")
    with pytest.raises(Conflict):
        publish(other, "file.metadata")
    return is_missing(server, reader, "file.metadata")


@pytest.mark.parametrize(
    "scene",
    [
        misses_a_revision,
        misses_a_name,
        misses_that_a_record_appears,
        misses_a_deletion,
        misses_a_file,
        misses_what_another_one_met,
    ],
)
def test_published_changes_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Callable[[CoarseServer, Stores], bool]
) -> None:
    """Without the setting the change is missed for good; with it it is there in the very next answer."""
    for number, tick in enumerate((0.0, TICK)):
        root = tmp_path / str(number)
        root.mkdir()
        with monkeypatch.context() as patch:
            assert scene(CoarseServer(patch), stores(root, tick)) is (tick == 0.0)


def test_two_revisions_never_share_a_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing right after a link, before the touch, has a list of a tick of its own: another reader in the
    same moment sees no more."""
    one, other, reader = stores(tmp_path, TICK)
    server = CoarseServer(monkeypatch)
    first = one.records.write(KEY, b"1", one.records.write(KEY, b"0", one.records.read(KEY)))
    with server.client():
        known = reader.records.read(KEY)
    seen: list[bytes | None] = []
    publish_change = posix_changes.Changes.publish_change

    def look_first(changes: posix_changes.Changes, *directories: str) -> None:
        if directories == (str(tmp_path / "quire" / "records" / KEY),):
            with server.client():
                seen.append(reader.records.read(KEY, known).data)
        publish_change(changes, *directories)

    monkeypatch.setattr(posix_changes.Changes, "publish_change", look_first)
    other.records.write(KEY, b"2", first)
    assert seen == [b"2"]


def test_a_store_with_coarse_changes_keeps_every_rule(tmp_path: Path) -> None:
    """Waiting and touching break no promise."""
    check_store(lambda: PosixStore.open(tmp_path, coarse_changes=TICK), exclusive=True)


def test_a_store_that_does_not_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is off unless it is set."""

    def sleep(_: float) -> None:
        raise AssertionError("no writer has to wait here")

    monkeypatch.setattr(posix_changes.time, "sleep", sleep)  # type: ignore[attr-defined] # the module's own
    store = PosixStore.open(tmp_path)
    record = store.records.write(KEY, b"1", store.records.read(KEY))
    store.records.write(KEY, None, record)


def coarse_changes(store: Store) -> float:
    assert isinstance(store, PosixStore)
    return store.coarse_changes


def test_the_setting_reaches_servers_and_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable for all: every writer has to do it."""
    settings = resolve({"directories": [str(tmp_path)]}, {"QUIRE_COARSE_CHANGES": "0.02"}, RUN_DEFAULTS)
    assert coarse_changes(build_worker(settings).default.store) == 0.02
    assert coarse_changes(build_worker(Settings(directories=(str(tmp_path),))).default.store) == 0.0
    monkeypatch.setenv("QUIRE_COARSE_CHANGES", "0.02")
    parser = argparse.ArgumentParser()
    add_store_flags(parser)
    opened = open_store(parser.parse_args(["-d", str(tmp_path)]), writes=True)
    assert coarse_changes(opened.store) == 0.02


@pytest.mark.parametrize("value", ["20", "0", "-0.1", "soon", "inf"])
def test_a_tick_is_a_short_time(tmp_path: Path, value: str) -> None:
    """A value in milliseconds would make writers wait for minutes."""
    with pytest.raises(ConfigurationError, match="QUIRE_COARSE_CHANGES"):
        resolve({"directories": [str(tmp_path)]}, {"QUIRE_COARSE_CHANGES": value}, RUN_DEFAULTS)
