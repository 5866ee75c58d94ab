"""Opening a store: with errors that pass and errors that stay, and beside the files of processes that died.

Replaced here: system calls, since no real file system fails or is overtaken by another process on request, and the
pauses between attempts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quire.commands.run import prepare
from quire.config.settings import Settings
from quire.domain.errors import ConfigurationError, StoreError, UnknownLayout
from quire.store.posix import layout as posix_layout
from quire.store.posix.files import unique_name
from quire.store.posix.mounts import Mount
from quire.store.posix.store import PosixStore

KEY = "main/projects/foo"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many attempts as ever, without waiting between them."""
    monkeypatch.setattr(posix_layout, "PAUSES", (0.0,) * len(posix_layout.PAUSES))


def write(store: PosixStore, data: bytes = b"{}") -> None:
    store.records.write(KEY, data, store.records.read(KEY))


def failing(
    monkeypatch: pytest.MonkeyPatch, number: int, times: int, concerns: Callable[[str], bool], call: str = "open"
) -> list[str]:
    """Let a call fail so many times for paths that it concerns; returns the paths for which it did."""
    real: Any = getattr(os, call)
    failed: list[str] = []

    def fail(path: Any, *arguments: Any, **more: Any) -> Any:
        if len(failed) < times and isinstance(path, str | os.PathLike) and concerns(os.fspath(path)):
            failed.append(os.fspath(path))
            raise OSError(number, os.strerror(number), path)
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, call, fail)
    return failed


def in_incoming(path: str) -> bool:
    return "/incoming/" in path


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EINTR, errno.EAGAIN, errno.ETIMEDOUT])
def test_an_error_that_passes_leaves_the_store_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A worker that starts in a bad second takes uploads all the same."""
    write(PosixStore.open(tmp_path))
    failed = failing(monkeypatch, number, 2, in_incoming)
    store = PosixStore.open(tmp_path)
    assert len(failed) == 2
    assert store.writable
    write(store, b'{"later": true}')
    assert list((tmp_path / "quire" / "incoming").iterdir()) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_what_is_read_only_is_served_read_only_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """These errors do not pass by themselves: one attempt, and the store is served as it is."""
    write(PosixStore.open(tmp_path))
    failed = failing(monkeypatch, number, 100, in_incoming)
    store = PosixStore.open(tmp_path)
    assert len(failed) == 1
    assert not store.writable
    assert store.records.read(KEY).data == b"{}"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_reason_to_be_read_only_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """There may be room a minute later; until then each change is refused by itself."""
    write(PosixStore.open(tmp_path))
    failing(monkeypatch, number, 1, in_incoming)
    assert PosixStore.open(tmp_path).writable


def test_an_error_that_stays_is_a_refusal_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither read-only in silence nor waiting for ever: the store is not opened, the command says why."""
    write(PosixStore.open(tmp_path))
    failed = failing(monkeypatch, errno.EIO, 1000, in_incoming)
    with pytest.raises(StoreError, match=os.strerror(errno.EIO)):
        PosixStore.open(tmp_path)
    assert len(failed) == len(posix_layout.PAUSES) + 1
    with pytest.raises(ConfigurationError, match=r"serve it read-only"):
        prepare(Settings(directories=(str(tmp_path),)))
    assert PosixStore.open(tmp_path, read_only=True).records.read(KEY).data == b"{}"


def test_a_store_without_its_staging_folder_says_so(tmp_path: Path) -> None:
    """A folder was removed by hand; a worker that takes no uploads would hide that."""
    write(PosixStore.open(tmp_path))
    (tmp_path / "quire" / "incoming").rmdir()
    with pytest.raises(StoreError, match="lacks its folder incoming"):
        PosixStore.open(tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
@pytest.mark.parametrize("has_format", [True, False])
def test_a_store_that_cannot_be_recognised_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, has_format: bool
) -> None:
    """Whichever call fails while the layout is looked at, there is no traceback."""
    home = tmp_path / "quire"
    home.mkdir()
    (home / ("format" if has_format else "something")).write_text("quire 1\n")
    real = Path.open

    def unreadable(path: Path, *arguments: Any, **more: Any) -> Any:
        if has_format and path.name == "format":
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", unreadable)
    failing(monkeypatch, number, 1000, lambda path: not has_format and path.endswith("/quire"), "scandir")
    with pytest.raises(StoreError, match=os.strerror(number)) as raised:
        PosixStore.open(tmp_path, read_only=True)
    assert not isinstance(raised.value, UnknownLayout)


def test_a_file_in_place_of_the_store_is_in_the_way(tmp_path: Path) -> None:
    """Not a store, and no traceback either."""
    (tmp_path / "quire").write_text("somebody's")
    for read_only in (True, False):
        with pytest.raises(UnknownLayout, match="in the way"):
            PosixStore.open(tmp_path, read_only=read_only)


def test_an_empty_format_file_is_no_empty_store(tmp_path: Path) -> None:
    """Its content was lost: what it was is not known, and nothing is written."""
    write(PosixStore.open(tmp_path))
    (tmp_path / "quire" / "format").write_bytes(b"")
    with pytest.raises(UnknownLayout):
        PosixStore.open(tmp_path)


class Died(BaseException):
    """Raised by a test in place of a crash."""


def test_an_unborn_store_is_swept_when_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever its maker dies, what it left beside the store goes by the sweep, and nothing else does."""
    with monkeypatch.context() as patch:

        def die(*_: object, **__: object) -> None:
            raise Died

        patch.setattr(shutil, "rmtree", die)
        for call in ("rename", "fsync"):
            patch.setattr(os, call, die)
            with pytest.raises(Died):
                PosixStore.open(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2
    assert all(name.startswith(".quire-") for name in left)
    foreign = tmp_path / f".quire-{unique_name()}"
    (foreign / "records" / "main").mkdir(parents=True)
    others = [tmp_path / ".quire-backup", tmp_path / "acme-1.0.tar.gz", foreign]
    others[0].mkdir()
    others[1].write_bytes(b"x")
    store = PosixStore.open(tmp_path)
    assert store.sweep(older_than=3600) == 0
    assert all((tmp_path / name).exists() for name in left)
    assert store.sweep(older_than=0) == len(left)
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "quire"])
    assert (foreign / "records" / "main").is_dir()


def test_what_a_killed_doctor_left_beside_is_swept(tmp_path: Path) -> None:
    """It was there before the store, with whatever was tried in it."""
    scratch = tmp_path / ".quire-doctor-0123456789abcdef"
    (scratch / "alone" / "a").mkdir(parents=True)
    store = PosixStore.open(tmp_path)
    assert store.sweep(older_than=3600) == 0
    assert store.sweep(older_than=0) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["quire"]


@pytest.mark.parametrize("call", ["mkdir", "rename", "fsync"])
def test_a_slow_maker_whose_folder_is_swept_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It finds the store that the sweeper works in, or fails with a sentence; the store is whole either way."""
    real: Any = getattr(os, call)

    def overtaken(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(os, call, real)
        PosixStore.open(tmp_path).sweep(older_than=0)
        return real(*arguments, **more)

    monkeypatch.setattr(os, call, overtaken)
    with contextlib.suppress(StoreError):
        write(PosixStore.open(tmp_path))
    write(PosixStore.open(tmp_path), b'{"after": true}')
    assert PosixStore.open(tmp_path).records.read(KEY).data == b'{"after": true}'
    assert [path.name for path in tmp_path.iterdir()] == ["quire"]


def test_sweeping_goes_on_where_the_directory_may_not_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The served directory may belong to another user; the store's own folders are swept all the same."""
    (tmp_path / f".quire-{unique_name()}").mkdir()
    store = PosixStore.open(tmp_path)
    store.blobs.stage("foo/x/f")
    real = os.rename

    def refused(source: str, target: str) -> None:
        if os.path.dirname(source) == str(tmp_path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        real(source, target)

    monkeypatch.setattr(os, "rename", refused)
    assert store.sweep(older_than=0) == 1


def test_a_folder_of_the_store_that_is_a_network_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounted inside a local directory: it takes the care that a network needs."""
    write(PosixStore.open(tmp_path))
    home = str(tmp_path / "quire")
    monkeypatch.setattr(
        "quire.store.posix.store.filesystem_type", lambda path: ("nfs", False) if path == home else ("ext4", True)
    )
    mounts = [Mount("/", "ext4", "/dev/vda", ("rw",)), Mount(home, "nfs4", "server:/", ("rw",))]
    monkeypatch.setattr("quire.store.posix.store.read_mounts", lambda: mounts)
    assert not PosixStore.open(tmp_path).validates_inline
    mounts[1] = Mount(home, "nfs4", "server:/", ("nocto", "rw"))
    with pytest.raises(StoreError, match="nocto"):
        PosixStore.open(tmp_path)
