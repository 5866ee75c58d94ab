"""Drop-in folders: what lies in a directory is what is served, now.

Replaced here: system calls and the methods right above them, since no real file system fails, shows an old timestamp
or is overtaken by another process on request.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from quire.domain.errors import ConfigurationError, StoreError
from quire.domain.names import ParsedFilename
from quire.dropin.digests import STALLED
from quire.dropin.drop_in import DropIn
from quire.dropin.facts import Facts, Measure, measure
from quire.dropin.files import MAX_SIGNATURE_BYTES, FileStat, Fingerprint
from quire.dropin.folder import Folder, FolderProject
from quire.dropin.listing import Candidate, Listing
from quire.dropin.tree import Tree
from quire.process.budget import Budget
from quire.store.contracts import Record
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryStore
from quire.store.posix.directory import Directories, Identity
from quire.store.posix.mounts import Mount
from tests.clocks import Clock
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.serving import DEADLINE

KEY = "main/dropins/alpha"
ZIP = make_wheel("alpha", "1.0")
"""A complete zip, whatever it may be called."""


def much_later() -> float:
    """A wall clock by which everything written in a test is old."""
    return time.time() + 7200


def put(folder: Path, name: str = "alpha", version: str = "1.0", **options: Any) -> Path:
    """A wheel copied into a folder; the options are those of make_wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / wheel_name(name, version)
    path.write_bytes(make_wheel(name, version, **options))
    return path


def listed(folder: Folder, name: str = "alpha", known: FolderProject | None = None) -> list[str]:
    """The relative paths of a project's files."""
    return [drop_in.relative_path for drop_in in folder.project(name, known).files]


def only(folder: Folder, name: str = "alpha") -> DropIn:
    """The one file of a project."""
    (drop_in,) = folder.project(name).files
    return drop_in


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Measured(list[str]):
    """Examines files as usual; the filenames that were read and hashed, in order."""

    def __call__(self, file: BinaryIO, parsed: ParsedFilename, algorithms: Sequence[str]) -> Facts | None:
        self.append(parsed.filename)
        return measure(file, parsed, algorithms)


@pytest.fixture
def measured() -> Measured:
    return Measured()


def changing(change: Callable[[str], object]) -> Measure:
    """Examines files that change meanwhile: `change` is called with the filename when the beginning has been read."""

    class Changing:
        def __init__(self, file: BinaryIO, name: str) -> None:
            self.file = file
            self.name = name

        def read(self, size: int = -1) -> bytes:
            is_beginning = self.file.tell() == 0
            data = self.file.read(size)
            if is_beginning:
                change(self.name)
            return data

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    return lambda file, parsed, algorithms: measure(
        cast("BinaryIO", Changing(file, parsed.filename)), parsed, algorithms
    )


# -- what is listed ---------------------------------------------------------------------------------------------------


def test_an_old_file_gets_full_data(tmp_path: Path) -> None:
    """A file that was just copied has size, digests, time, requires-python and metadata like an uploaded one."""
    path = put(tmp_path, "Alpha.Beta", "1.0", requires_python=">=3.9")
    os.utime(path, ns=(0, 1_580_601_600_123_456_789))
    folder = Folder([tmp_path])
    drop_in = only(folder, "alpha-beta")
    data = path.read_bytes()
    assert drop_in.file.filename == path.name
    assert (drop_in.file.version, drop_in.file.size) == ("1.0", len(data))
    assert drop_in.file.hashes == {
        "sha256": sha256(data),
        "md5": hashlib.md5(data).hexdigest(),
        "blake2b_256": hashlib.blake2b(data, digest_size=32).hexdigest(),
    }
    assert drop_in.file.uploaded == "2020-02-02T00:00:00.123456Z"
    assert drop_in.file.requires_python == ">=3.9"
    assert (drop_in.file.blob, drop_in.file.signed, drop_in.file.yanked) == (None, False, False)
    assert drop_in.path == str(path)
    assert drop_in.project == "alpha-beta"
    assert drop_in.fingerprint == Fingerprint.of(path.stat())
    document = folder.metadata_document(drop_in)
    assert document == metadata_text("Alpha.Beta", "1.0", requires_python=">=3.9").encode()
    assert drop_in.file.metadata_sha256 == sha256(document or b"")


@pytest.mark.parametrize("network", [False, True])
def test_every_change_is_in_the_very_next_answer(tmp_path: Path, network: bool) -> None:
    """Adding, renaming, replacing and removing show at once, also when no time passes, and also as on NFS."""
    folder = Folder([tmp_path], network=network, clock=Clock())
    assert folder.names() == ()
    path = put(tmp_path)
    assert folder.names() == ("alpha",)
    before = folder.project("alpha")
    assert [drop_in.relative_path for drop_in in before.files] == [path.name]

    other = path.with_name(wheel_name("alpha", "2.0"))
    path.rename(other)
    assert listed(folder, known=before) == [other.name]

    other.write_bytes(make_wheel("alpha", "2.0", files={"more.py": b"x = 1\n"}))
    assert only(folder).file.sha256 == sha256(other.read_bytes())

    replacement = tmp_path / ".partial"
    replacement.write_bytes(make_wheel("alpha", "2.0"))
    replacement.rename(other)
    assert only(folder).file.sha256 == sha256(other.read_bytes())

    other.unlink()
    assert folder.names() == ()
    assert folder.project("alpha", before).files == ()
    assert folder.find(other.name) is None


def test_unchanged_is_the_same_object(tmp_path: Path) -> None:
    """The known object is returned as long as nothing changes; the inline checks agree past the racy window."""
    put(tmp_path)
    clock = Clock()
    folder = Folder([tmp_path], racy_window=2.5, clock=clock, wall=much_later)
    names, known = folder.names(), folder.project("alpha")
    absent = folder.project("beta")
    assert not folder.unchanged("alpha", known)  # a change within the same tick of the clock would not be seen
    clock.now += 2.5
    assert folder.names(names) is names
    assert folder.project("alpha", known) is known
    assert folder.project("beta", absent) is absent
    assert folder.unchanged("alpha", known)
    assert folder.unchanged("beta", absent)
    assert folder.names_unchanged(names)
    assert not folder.unchanged("beta", known)
    assert not folder.unchanged("alpha", None)

    put(tmp_path, "beta")
    assert not folder.names_unchanged(names)
    assert not folder.unchanged("alpha", known)
    assert folder.names(names) == ("alpha", "beta")
    assert folder.project("alpha", known) is known
    assert folder.project("beta", absent) is not absent


def test_a_rewrite_in_place_is_noticed_by_the_quick_question(tmp_path: Path) -> None:
    """No directory changes when a file is overwritten under its name; its stamp does."""
    path = put(tmp_path)
    clock = Clock()
    folder = Folder([tmp_path], racy_window=1.0, clock=clock, wall=much_later)
    known = folder.project("alpha")
    clock.now += 1
    assert folder.project("alpha", known) is known
    path.write_bytes(make_wheel("alpha", "1.0", requires_python=">=3.10"))
    assert not folder.unchanged("alpha", known)
    assert folder.project("alpha", known).files[0].file.requires_python == ">=3.10"


def test_folders_are_searched_recursively(tmp_path: Path) -> None:
    """Nested folders are served under their relative paths; dot names and the store under `quire/` are not."""
    put(tmp_path / "a" / "b c" / "ü", "deep")
    put(tmp_path / ".hidden", "secret")
    put(tmp_path / "quire" / "blobs", "hosted")
    (tmp_path / "quire" / "format").write_text("1\n")
    put(tmp_path / "a" / "quire", "nested")
    (tmp_path / "a" / "quire" / "format").write_text("no store, since it is not directly under the root\n")
    (tmp_path / ".dot-1.0.zip").write_bytes(b"")
    put(tmp_path / "excluded", "other")
    folder = Folder([tmp_path], exclude=[tmp_path / "excluded"])
    assert folder.names() == ("deep", "nested")
    assert listed(folder, "deep") == ["a/b c/ü/deep-1.0-py3-none-any.whl"]
    assert folder.all_files() == (
        ("a/b c/ü/deep-1.0-py3-none-any.whl", "deep"),
        ("a/quire/nested-1.0-py3-none-any.whl", "nested"),
    )
    assert folder.all_files() is folder.all_files()
    assert folder.count() == 2


def test_quire_is_a_folder_like_any_other_until_a_store_is_in_it(tmp_path: Path) -> None:
    """The mark of a store decides, in the very next answer."""
    put(tmp_path / "quire")
    folder = Folder([tmp_path])
    assert folder.names() == ("alpha",)
    (tmp_path / "quire" / "format").write_text("1\n")
    assert folder.names() == ()


def test_the_first_root_wins(tmp_path: Path) -> None:
    """Of copies one is listed: the first root's, then the shortest path. The others are found by their own path."""
    first, second = tmp_path / "first", tmp_path / "second"
    name = put(second).name
    put(first / "b" / "c", requires_python=">=3.10")
    put(first / "zz", requires_python=">=3.11")
    put(first / "aa", requires_python=">=3.12")
    folder = Folder([first, second, first])
    assert listed(folder) == [f"aa/{name}"]
    assert [folder.find(path) is not None for path, _ in folder.all_files()] == [True] * 4
    found = folder.find(name)
    assert found is not None
    assert found.path == str(second / name)
    known = folder.project("alpha")
    put(first, requires_python=">=3.13")  # now both roots have this very path
    assert only(folder).file.requires_python == ">=3.13"
    assert folder.project("alpha", known) is not known
    found = folder.find(name)
    assert found is not None
    assert found.path == str(first / name)
    assert folder.count() == 4


def test_a_root_within_another(tmp_path: Path) -> None:
    """Overlapping roots show a file under both of its relative paths and list it once."""
    name = put(tmp_path / "inner").name
    folder = Folder([tmp_path, tmp_path / "inner"])
    assert [path for path, _ in folder.all_files()] == [name, f"inner/{name}"]
    assert listed(folder) == [f"inner/{name}"]
    (tmp_path / "inner" / name).unlink()
    assert folder.names() == ()


def test_copies_do_not_keep_a_listing_from_being_known(tmp_path: Path, measured: Measured) -> None:
    """A copy that is not listed is not read, and does not make every answer a new one."""
    for place in ("a", "b"):
        put(tmp_path / place)
    folder = Folder([tmp_path], clock=Clock(), wall=much_later, examine=measured)
    known = folder.project("alpha")
    assert folder.project("alpha", known) is known
    assert len(measured) == 1


def test_what_is_no_distribution_is_not_listed(tmp_path: Path) -> None:
    """Foreign, garbage and undecodable names, directories named like files, FIFOs: none is listed, none does harm."""
    for name in ("README.txt", "x.whl", "noversion.whl", "alpha-1.0.tar.gz.part", "a\nb-1.0.zip", "alpha-1.0.tar.gz~"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"bad\xff-1.0.zip")).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"dir\xff")).mkdir()
    (tmp_path / "dir-1.0.tar.gz").mkdir()
    os.mkfifo(tmp_path / "fifo-1.0.tar.gz")
    folder = Folder([tmp_path])
    assert folder.names() == ()
    assert folder.all_files() == ()
    assert folder.find("fifo-1.0.tar.gz") is None


def test_garbage_with_a_good_name_is_not_offered(tmp_path: Path) -> None:
    """A project may be named all of whose files are no archives; it has no files to offer."""
    (tmp_path / wheel_name("alpha", "1.0")).write_bytes(b"not a zip at all")
    (tmp_path / sdist_name("alpha", "1.0")).write_bytes(b"")
    folder = Folder([tmp_path])
    assert folder.names() == ("alpha",)
    assert folder.project("alpha").files == ()
    assert folder.find(wheel_name("alpha", "1.0")) is None


def test_an_installer_of_unknown_format_is_served(tmp_path: Path) -> None:
    """Formats that cannot be judged are listed as they are, without metadata."""
    (tmp_path / "alpha-1.0.win-amd64-py2.7.exe").write_bytes(b"MZ")
    drop_in = only(folder := Folder([tmp_path]))
    assert drop_in.file.metadata_sha256 is None
    assert folder.metadata_document(drop_in) is None


# -- links, and names of strangers ------------------------------------------------------------------------------------


def test_links_are_followed_only_into_the_folders(tmp_path: Path) -> None:
    """A link to a listed directory's file is served; out of the roots, to dot names, into the store: it is not."""
    root = tmp_path / "root"
    real = put(root / "real", "alpha", "1.0")
    outside = put(tmp_path / "outside", "alpha", "2.0")
    hidden = put(root / ".hidden", "alpha", "3.0")
    stored = put(root / "quire" / "blobs", "alpha", "4.0")
    (root / "quire" / "format").write_text("1\n")
    (root / "quire" / "blobs" / "loop").symlink_to(root)
    for target in (outside, hidden, stored):
        (root / target.name).symlink_to(target)
    (root / "linked").symlink_to(tmp_path / "outside")
    (root / wheel_name("alpha", "5.0")).symlink_to("nowhere")
    link = root / wheel_name("beta", "1.0")
    link.symlink_to(real)
    folder = Folder([root])
    assert listed(folder) == [f"real/{real.name}"]
    drop_in = only(folder, "beta")
    assert (drop_in.path, drop_in.relative_path) == (str(real), link.name)
    assert folder.find(outside.name) is None

    known = folder.project("beta")
    real.write_bytes(make_wheel("alpha", "1.0", requires_python=">=3.12"))
    assert folder.project("beta", known).files[0].file.sha256 == sha256(real.read_bytes())
    link.unlink()
    link.symlink_to(outside)
    assert folder.project("beta", known).files == ()
    assert len(Folder([root, tmp_path / "outside"]).project("beta").files) == 1


def test_a_strangers_path_never_reaches_the_file_system(tmp_path: Path) -> None:
    """Only paths that were found in the folders are answered for, spelled exactly as found."""
    root = tmp_path / "root"
    path = put(root)
    (tmp_path / "x-1.0.zip").write_bytes(ZIP)
    folder = Folder([root])
    for hostile in (
        "../x-1.0.zip",
        f"../root/{path.name}",
        f"./{path.name}",
        f"/{path.name}",
        str(path),
        f"{path.name}/",
        f"{path.name}\0",
        f"\udcff{path.name}",
        path.name.upper(),
        "",
        ".",
        "a" * 100_000,
    ):
        assert folder.find(hostile) is None
    assert folder.project("../root").files == ()
    assert folder.find(path.name) is not None


def test_signatures(tmp_path: Path) -> None:
    """`<file>.asc` makes a file signed and is read as it lies there; a link, an empty one or a huge one is not."""
    path = put(tmp_path)
    folder = Folder([tmp_path])
    known = folder.project("alpha")
    assert not known.files[0].file.signed
    assert folder.signature(known.files[0]) is None
    signature = tmp_path / f"{path.name}.asc"
    signature.write_text("signature")
    (tmp_path / "orphan-1.0.zip.asc").write_text("signature")
    assert folder.project("alpha", known).files[0].file.signed
    assert folder.signature(known.files[0]) == b"signature"
    for content in (b"", bytes(MAX_SIGNATURE_BYTES + 1)):
        signature.write_bytes(content)
        assert folder.signature(known.files[0]) is None
    signature.unlink()
    signature.symlink_to("/etc/hostname")
    assert not only(folder).file.signed
    assert folder.signature(known.files[0]) is None


# -- files on their way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "data"),
    [
        (wheel_name("alpha", "1.0"), make_wheel("alpha", "1.0", files={"big.bin": random.Random(1).randbytes(50_000)})),
        (sdist_name("alpha", "1.0"), make_sdist("alpha", "1.0")),
    ],
    ids=["wheel", "sdist"],
)
def test_a_file_being_copied_is_listed_when_it_is_complete(tmp_path: Path, filename: str, data: bytes) -> None:
    """No client ever sees a part of a file; the whole file shows at once."""
    folder = Folder([tmp_path], clock=Clock())
    known = folder.project("alpha")
    path = tmp_path / filename
    for size in (0, 1, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        known = folder.project("alpha", known)
        assert known.files == ()
        assert folder.find(filename) is None
    path.write_bytes(data)
    assert folder.project("alpha", known).files[0].file.sha256 == sha256(data)


def test_a_file_that_stays_incomplete_is_logged_once(tmp_path: Path) -> None:
    """Not while it may still be copied; then by one worker, however often and by any worker it is checked."""
    path = tmp_path / "alpha-1.0.zip"
    path.write_bytes(ZIP[:-10])
    clock, store = Clock(), MemoryStore()
    folder = Folder([tmp_path], digests=store.records, clock=clock)
    with capture_logs() as logs:
        known = folder.project("alpha")
        clock.now += STALLED - 1
        known = folder.project("alpha", known)
        assert logs == []
        clock.now += 1
        for _ in range(3):
            known = folder.project("alpha", known)
            folder.find(path.name)
        other = Folder([tmp_path], digests=store.shared().records, clock=clock)
        other.project("alpha")
        assert (folder.left_out["damaged"], other.left_out["damaged"]) == (1, 1)  # no server that they belong to
    assert [(line["event"], line["path"]) for line in logs] == [("file left out", str(path))]
    path.write_bytes(ZIP)
    assert len(folder.project("alpha", known).files) == 1


def test_a_copy_is_listed_as_long_as_the_preferred_one_is_incomplete(tmp_path: Path) -> None:
    """Overwriting one of two copies does not take the file from the listing."""
    path = put(tmp_path)
    copy = put(tmp_path / "copy")
    folder = Folder([tmp_path], clock=Clock())
    assert listed(folder) == [path.name]
    path.write_bytes(b"PK")
    assert listed(folder) == [f"copy/{copy.name}"]


def test_a_growing_file_is_not_read_again_all_the_time(tmp_path: Path) -> None:
    """After a judgement that took long, twice as long passes before the next; then the file is listed."""
    clock = Clock()
    measured = Measured()

    def slow(file: BinaryIO, parsed: ParsedFilename, algorithms: Sequence[str]) -> Facts | None:
        clock.now += 10
        return measured(file, parsed, algorithms)

    data = make_sdist("alpha", "1.0")
    path = tmp_path / sdist_name("alpha", "1.0")
    path.write_bytes(data[:50])
    folder = Folder([tmp_path], clock=clock, examine=slow)
    known = folder.project("alpha")
    for size in (60, 70, 80, len(data)):
        path.write_bytes(data[:size])
        known = folder.project("alpha", known)
        assert known.files == ()
    assert len(measured) == 1
    clock.now += 20
    assert not folder.unchanged("alpha", known)
    assert folder.project("alpha", known).files[0].file.sha256 == sha256(data)


def test_a_file_that_is_overwritten_while_it_is_read(tmp_path: Path) -> None:
    """Digests of two halves of two files are never shown nor recorded: it is read again, or left out."""
    path = put(tmp_path)
    contents = [make_wheel("alpha", "1.0", requires_python=f">=3.{number}") for number in range(8, 18)]
    changes = contents[:1]

    def change(_: str) -> None:
        if changes:
            path.write_bytes(changes.pop())

    store = MemoryStore()
    folder = Folder([tmp_path], digests=store.records, examine=changing(change))
    known = folder.project("alpha")
    assert known.files[0].file.sha256 == sha256(contents[0])
    before = store.records.read(KEY).tag
    changes += contents[1:] * 4
    assert folder.find(path.name) is None
    assert changes
    changes[:] = contents[1:] * 20
    known = folder.project("alpha", known)
    assert known.files == ()
    assert store.records.read(KEY).tag == before
    changes.clear()
    assert folder.project("alpha", known).files[0].file.sha256 == sha256(path.read_bytes())


# -- times that do not tell -------------------------------------------------------------------------------------------


def test_changes_within_one_tick_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the identity of a directory may still be shared by a later change, the directory is listed each time.

    Here its times never move at all, which shows both: that they are not believed before `racy_window`, and are after
    it.
    """
    original = Directories.open

    def frozen(self: Directories, path: str) -> tuple[int, Identity | None] | None:
        opened = original(self, path)
        return None if opened is None else (opened[0], Identity(1, 1, 1))

    monkeypatch.setattr(Directories, "open", frozen)
    clock = Clock()
    folder = Folder([tmp_path], racy_window=2.5, clock=clock)
    assert folder.names() == ()
    put(tmp_path, "alpha")
    assert folder.names() == ("alpha",)
    clock.now += 2.4
    put(tmp_path, "beta")
    assert folder.names() == ("alpha", "beta")
    clock.now += 0.1
    put(tmp_path, "gamma")
    assert folder.names() == ("alpha", "beta", "gamma")
    put(tmp_path, "delta")
    assert folder.names() == ("alpha", "beta", "gamma")


def test_an_uncertain_identity_is_never_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system cannot say what state a directory is in, it is listed each time."""
    original = Directories.open

    def uncertain(self: Directories, path: str) -> tuple[int, Identity | None] | None:
        opened = original(self, path)
        return None if opened is None else (opened[0], None)

    monkeypatch.setattr(Directories, "open", uncertain)
    clock = Clock()
    folder = Folder([tmp_path], racy_window=1.0, clock=clock)
    names = folder.names()
    clock.now += 10
    assert folder.names(names) is names
    assert not folder.names_unchanged(names)
    put(tmp_path)
    assert folder.names(names) == ("alpha",)


def in_the_same_tick(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    """Let the file system's clock stand still for files: whatever is written there, their times stay the same."""
    times = paths[0].stat()
    original = Fingerprint.of

    def still(status: os.stat_result) -> Fingerprint:
        return original(status)._replace(mtime_ns=times.st_mtime_ns, ctime_ns=times.st_ctime_ns)

    def lstat(asked: str) -> Any:
        status = os.stat(asked, follow_symlinks=False)
        if asked not in map(str, paths):
            return status
        fingerprint = still(status)
        return SimpleNamespace(
            st_size=fingerprint.size,
            st_mtime_ns=fingerprint.mtime_ns,
            st_ino=fingerprint.inode,
            st_ctime_ns=fingerprint.ctime_ns,
        )

    monkeypatch.setattr(Fingerprint, "of", still)
    monkeypatch.setattr("quire.dropin.tree.os.lstat", lstat)


def two_wheels(version: str = "1.0") -> tuple[bytes, bytes]:
    """Two contents of one length."""
    others = (make_wheel("alpha", version, requires_python=f">=3.11,!={number}.*") for number in range(100, 1000))
    first = next(others)
    return first, next(other for other in others if len(other) == len(first))


def test_a_young_file_is_read_for_every_answer(
    tmp_path: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewrite of equal size within one tick keeps the stamp; nothing is believed of a file before `racy_window`."""
    first, second = two_wheels()
    path = tmp_path / wheel_name("alpha", "1.0")
    path.write_bytes(first)
    in_the_same_tick(monkeypatch, path)
    store, clock = MemoryStore(), Clock()
    folder = Folder([tmp_path], digests=store.records, racy_window=2.5, clock=clock, examine=measured)
    other = Folder([tmp_path], digests=store.shared().records, racy_window=2.5, clock=clock, examine=measured)
    known = folder.project("alpha")
    assert known.files[0].file.sha256 == sha256(first)
    for content in (second, first, second):
        with path.open("r+b") as file:
            file.write(content)
        assert not folder.unchanged("alpha", known)
        found = folder.find(path.name)
        assert found is not None
        assert found.file.sha256 == sha256(content)
        known = folder.project("alpha", known)
        assert known.files[0].file.sha256 == sha256(content)
        assert only(other).file.sha256 == sha256(content)
    clock.now += 2.5
    folder.names()
    assert not folder.unchanged("alpha", known)
    assert folder.project("alpha", known) is known
    reads = len(measured)
    clock.now += 1000
    assert folder.project("alpha", known) is known
    assert folder.unchanged("alpha", known)
    assert only(
        Folder([tmp_path], digests=store.shared().records, racy_window=2.5, clock=clock, examine=measured)
    ).file.sha256 == sha256(second)
    assert len(measured) == reads


@pytest.mark.parametrize("way", ["over", "again", "renamed"])
def test_equal_size_and_mtime(tmp_path: Path, way: str) -> None:
    """`cp -p` over a file, `rm` and `cp -p` with the inode used again, or a rename: the digest follows the bytes."""
    first, second = two_wheels()
    path = tmp_path / wheel_name("alpha", "1.0")
    path.write_bytes(first)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    clock, store = Clock(), MemoryStore()
    folder = Folder([tmp_path], digests=store.records, clock=clock, wall=much_later)
    known = folder.project("alpha")
    clock.now += 10
    assert folder.project("alpha", known) is known
    if way == "again":
        path.unlink()
    target = tmp_path / ".new" if way == "renamed" else path
    target.write_bytes(second)
    os.utime(target, (1_700_000_000, 1_700_000_000))
    target.rename(path)
    assert not folder.unchanged("alpha", known)
    assert folder.project("alpha", known).files[0].file.sha256 == sha256(second)
    assert only(Folder([tmp_path], digests=store.shared().records, wall=much_later)).file.sha256 == sha256(second)


def test_facts_of_an_older_version_are_not_believed(tmp_path: Path, measured: Measured) -> None:
    """Facts stored without a ctime may be of another content: the file is read again, once for all workers."""
    path = put(tmp_path)
    store = MemoryStore()
    Folder([tmp_path], digests=store.records, wall=much_later, examine=measured).project("alpha")
    record = store.records.read(KEY)
    document = json.loads(record.data or b"")
    (entry,) = document["files"].values()
    del entry["ctime_ns"]
    entry["hashes"]["sha256"] = "0" * 64
    store.records.write(KEY, json.dumps(document).encode(), record)
    for _ in range(2):
        folder = Folder([tmp_path], digests=store.shared().records, wall=much_later, examine=measured)
        assert only(folder).file.sha256 == sha256(path.read_bytes())
    assert len(measured) == 2


# -- files that are renamed are never absent --------------------------------------------------------------------------


def renaming(monkeypatch: pytest.MonkeyPatch, path: Path, contents: list[bytes]) -> Measure:
    """Rename the next content over the file each time that a stat of it was made, or it was opened, or begun to be read
    by the result."""

    def next_one() -> None:
        if contents:
            staging = path.with_name(".new")
            staging.write_bytes(contents.pop(0))
            staging.rename(path)

    originals = Tree.stat, Tree.open

    def stat(self: Tree, candidate: Candidate, listing: Listing) -> FileStat | None:
        found = originals[0](self, candidate, listing)
        next_one()
        return found

    def opens(self: Tree, candidate: Candidate, listing: Listing) -> tuple[FileStat, int]:
        found = originals[1](self, candidate, listing)
        next_one()
        return found

    def examine(file: BinaryIO, parsed: ParsedFilename, algorithms: Sequence[str]) -> Facts | None:
        next_one()
        return measure(file, parsed, algorithms)

    monkeypatch.setattr(Tree, "stat", stat)
    monkeypatch.setattr(Tree, "open", opens)
    return examine


@pytest.mark.parametrize("network", [False, True])
def test_a_file_that_is_replaced_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool) -> None:
    """Its page and the file are always there, with the digest of one whole content that was there meanwhile."""
    contents = [make_wheel("alpha", "1.0", files={"turn.txt": str(turn).encode()}) for turn in range(100)]
    path = tmp_path / wheel_name("alpha", "1.0")
    path.write_bytes(contents[0])
    left = contents[1:]
    examine = renaming(monkeypatch, path, left)
    folder = Folder([tmp_path], network=network, digests=MemoryStore().records, examine=examine)
    known = None
    while left:
        turn = len(contents) - len(left) - 1
        known = folder.project("alpha", known)
        assert [drop_in.file.sha256 in map(sha256, contents[turn:]) for drop_in in known.files] == [True]
        turn = len(contents) - len(left) - 1
        opened = folder.open(path.name)
        assert opened is not None
        with opened.file:
            opened.file.seek(0)
            data = opened.file.read()
            assert data in contents[turn:]
            assert opened.drop_in.file.sha256 == sha256(data)
            document = folder.metadata_document(opened.drop_in, opened.file)
            assert document is not None
    assert folder.project("alpha", known).files[0].file.sha256 == sha256(contents[-1])


@pytest.mark.parametrize("network", [False, True])
def test_a_page_is_of_one_instant(tmp_path: Path, network: bool) -> None:
    """While one file is read it is replaced and another one removed: no page has the old one without the other."""
    paths = [put(tmp_path, "alpha", "1.0"), put(tmp_path, "alpha", "2.0")]
    removed: list[Path] = []

    def change(filename: str) -> None:
        if not removed:
            (changed,) = [path for path in paths if path.name == filename]
            put(tmp_path / ".new", "alpha", changed.name.split("-")[1], requires_python=">=3.12").rename(changed)
            removed.extend(path for path in paths if path != changed)
            removed[0].unlink()

    folder = Folder([tmp_path], examine=changing(change), network=network)
    (only_one,) = folder.project("alpha").files
    assert only_one.file.requires_python == ">=3.12"


@pytest.mark.parametrize("network", [False, True])
def test_a_page_is_of_one_instant_within_a_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool) -> None:
    """The same where a rewrite shows in no stamp: no page has the old content of one file beside a later change."""
    contents = {tmp_path / wheel_name("alpha", version): two_wheels(version) for version in ("1.0", "2.0")}
    for path, (first, _) in contents.items():
        path.write_bytes(first)
    in_the_same_tick(monkeypatch, *contents)
    rewritten: list[Path] = []

    def rewriting(file: BinaryIO, parsed: ParsedFilename, algorithms: Sequence[str]) -> Facts | None:
        facts = measure(file, parsed, algorithms)
        if not rewritten:
            rewritten.extend(sorted(contents, key=lambda path: path.name != parsed.filename))
            for path in rewritten:
                with path.open("r+b") as opened:
                    opened.write(contents[path][1])
        return facts

    folder = Folder([tmp_path], examine=rewriting, network=network, racy_window=2.5, clock=Clock())
    answer = [each.file.sha256 for each in folder.project("alpha").files]
    assert answer == [sha256(second) for _, second in contents.values()]


@pytest.mark.parametrize("network", [False, True])
def test_files_that_never_rest_have_no_page(tmp_path: Path, network: bool) -> None:
    """Where each reading of one finds another one changed, an answer would mix states that never were together."""
    names = [put(tmp_path, "alpha", version).name for version in ("1.0", "2.0")]
    turns = iter(range(1000))
    is_resting: list[bool] = []

    def change(filename: str) -> None:
        for name in names:
            if name != filename and not is_resting:
                more = {"turn.txt": b"%d" % next(turns)}
                new = tmp_path / ".new"
                new.write_bytes(make_wheel("alpha", name.split("-")[1], files=more))
                new.rename(tmp_path / name)

    folder = Folder([tmp_path], examine=changing(change), network=network)
    with pytest.raises(StoreError, match="faster than they can be read; ask again"):
        folder.project("alpha")
    is_resting.append(True)
    assert [each.file.sha256 for each in folder.project("alpha").files] == [
        sha256((tmp_path / name).read_bytes()) for name in names
    ]


def test_a_copy_that_grows_at_each_look_delays_no_page(tmp_path: Path) -> None:
    """It is not listed before its end, so how far it is makes no other answer."""
    put(tmp_path, "alpha", "1.0")
    growing = tmp_path / wheel_name("alpha", "2.0")
    data = make_wheel("alpha", "2.0", files={"blob": random.Random(1).randbytes(100_000)})
    growing.write_bytes(data[:1000])
    looks: list[str] = []

    def change(filename: str) -> None:
        looks.append(filename)
        with growing.open("ab") as file:
            file.write(data[1000 + 100 * len(looks) :][:100])

    folder = Folder([tmp_path], examine=changing(change))
    assert [each.file.filename for each in folder.project("alpha").files] == [wheel_name("alpha", "1.0")]
    assert len(looks) < 30


def test_a_file_that_is_replaced_before_each_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never absent, so no answer says that it is."""
    path = put(tmp_path)

    def stale(*_: object) -> tuple[FileStat, int]:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(Tree, "open", stale)
    with pytest.raises(StoreError, match="faster than it can be opened"):
        Folder([tmp_path]).open(path.name)


def test_a_name_that_a_listing_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """readdir need not report a name that a rename replaces meanwhile; it is looked up before it counts as gone."""
    path = put(tmp_path)
    folder = Folder([tmp_path], clock=Clock())
    assert folder.names() == ("alpha",)
    original = os.scandir

    @contextlib.contextmanager
    def scandir(fd: int) -> Iterator[list[os.DirEntry[str]]]:
        with original(fd) as entries:
            yield [entry for entry in entries if entry.name != path.name]

    monkeypatch.setattr("quire.dropin.tree.os.scandir", scandir)
    assert folder.names() == ("alpha",)
    assert folder.find(path.name) is not None
    path.unlink()
    assert folder.names() == ()


@pytest.mark.parametrize("back", [False, True])
def test_a_file_that_moves_between_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, back: bool) -> None:
    """From a directory that a walk has yet to reach to one that it has left: it is in the list all the time."""
    places = [tmp_path / "a", tmp_path / "b"]
    source, target = reversed(places) if back else places
    target.mkdir()
    path = put(source)
    folder = Folder([tmp_path], clock=Clock())
    assert folder.names() == ("alpha",)
    original = os.scandir

    @contextmanager
    def scandir(fd: int) -> Iterator[list[os.DirEntry[str]]]:
        with original(fd) as entries:
            listed = list(entries)
        if os.readlink(f"/proc/self/fd/{fd}") == str(target) and path.exists():
            path.rename(target / path.name)
        yield listed

    monkeypatch.setattr("quire.dropin.tree.os.scandir", scandir)
    assert folder.names() == ("alpha",)
    assert listed(folder) == [f"{target.name}/{path.name}"]


def test_a_new_spelling_where_case_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is found under its old name, too, and listed under the new one alone."""
    path = put(tmp_path).rename(tmp_path / wheel_name("alpha", "1.0").capitalize())
    folder = Folder([tmp_path], racy_window=0.0)
    assert listed(folder) == [path.name]
    original = os.stat

    def stat(name: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        if dir_fd is not None:
            name = next((each for each in os.listdir(dir_fd) if each.casefold() == name.casefold()), name)
        return original(name, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr("quire.dropin.tree.os.stat", stat)
    path = path.rename(tmp_path / path.name.lower())
    assert folder.all_files() == ((path.name, "alpha"),)
    path.unlink()
    assert folder.names() == ()


# -- times that cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-(10**11), 10**12])
def test_a_time_beyond_the_calendar(tmp_path: Path, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with an impossible mtime is served without a time."""
    put(tmp_path)
    original = Fingerprint.of
    monkeypatch.setattr(Fingerprint, "of", lambda status: original(status)._replace(mtime_ns=seconds * 10**9))
    assert only(Folder([tmp_path])).file.uploaded is None


# -- what workers share -----------------------------------------------------------------------------------------------


def test_the_next_worker_reads_nothing_again(tmp_path: Path, measured: Measured) -> None:
    """Facts that one worker found serve the others, wherever the folder is mounted for them."""
    root = tmp_path / "here"
    path = put(root)
    (root / "broken-1.0.zip").write_bytes(b"")
    store = MemoryStore()
    first = Folder([root], digests=store.records, wall=much_later, examine=measured)
    expected = only(first)
    first.project("broken")
    assert len(measured) == 2
    root.rename(tmp_path / "there")
    second = Folder([tmp_path / "there"], digests=store.shared().records, wall=much_later, examine=measured)
    assert only(second).file == expected.file
    assert second.find(path.name) is not None
    assert second.project("broken").files == ()
    assert len(measured) == 2


def test_in_memory_only_each_worker_reads_for_itself_once(tmp_path: Path, measured: Measured) -> None:
    """Without a store everything works, and what was read is remembered without a `known`."""
    put(tmp_path)
    folder = Folder([tmp_path], wall=much_later, examine=measured)
    assert only(folder) == only(folder)
    assert len(measured) == 1


def test_the_derived_document(tmp_path: Path) -> None:
    """People can read it; it forgets files that are gone, and keeps what other servers know of further roots."""
    one, two = put(tmp_path, "alpha", "1.0"), put(tmp_path, "alpha", "2.0")
    store = MemoryStore()
    folder = Folder([tmp_path], digests=store.records, wall=much_later)
    folder.project("alpha")
    record = store.records.read(KEY)
    document = json.loads(record.data or b"")
    assert document["format"] == 1
    assert sorted(document["files"]) == [f"0/{one.name}", f"0/{two.name}"]
    entry = document["files"][f"0/{one.name}"]
    assert (entry["size"], entry["mtime_ns"], entry["inode"], entry["ctime_ns"]) == tuple(Fingerprint.of(one.stat()))
    assert entry["complete"] is True
    assert entry["hashes"]["sha256"] == sha256(one.read_bytes())

    document["files"]["1/elsewhere/x.whl"] = entry
    store.records.write(KEY, json.dumps(document).encode(), record)
    one.unlink()
    put(tmp_path, "alpha", "3.0")
    folder.project("alpha")
    document = json.loads(store.records.read(KEY).data or b"")
    assert sorted(document["files"]) == [f"0/{two.name}", f"0/{wheel_name('alpha', '3.0')}", "1/elsewhere/x.whl"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\0 not json",
        b"[]",
        b"{}",
        b'{"format": "1", "files": 7}',
        b'{"format": 1, "files": {"0/alpha-1.0-py3-none-any.whl": {"size": "x"}, "y": 3}}',
        b'{"format": 1, "files": {"0/alpha-1.0-py3-none-any.whl": {"size": 1, "mtime_ns": 1, "inode": 1}}}',
    ],
)
def test_a_damaged_document_is_rebuilt(tmp_path: Path, garbage: bytes) -> None:
    """Garbage in the derived record costs a second reading, and is replaced."""
    path = put(tmp_path)
    store = MemoryStore()
    store.records.write(KEY, garbage, store.records.read(KEY))
    folder = Folder([tmp_path], digests=store.records, wall=much_later)
    assert only(folder).file.sha256 == sha256(path.read_bytes())
    document = json.loads(store.records.read(KEY).data or b"")
    assert list(document["files"]) == [f"0/{path.name}"]


def test_a_newer_document_is_left_alone(tmp_path: Path) -> None:
    """A record of a newer quire is neither believed nor overwritten."""
    path = put(tmp_path)
    store = MemoryStore()
    newer = store.records.write(KEY, b'{"format": 2, "files": {}}', store.records.read(KEY))
    folder = Folder([tmp_path], digests=store.records)
    assert only(folder).file.sha256 == sha256(path.read_bytes())
    assert store.records.read(KEY).tag == newer.tag


def test_a_stale_entry_is_not_believed(tmp_path: Path) -> None:
    """An entry whose size, mtime or inode is not the file's own is computed again."""
    path = put(tmp_path)
    store = MemoryStore()
    Folder([tmp_path], digests=store.records, wall=much_later).project("alpha")
    path.write_bytes(make_wheel("alpha", "1.0", requires_python=">=3.12"))
    folder = Folder([tmp_path], digests=store.shared().records, wall=much_later)
    assert only(folder).file.sha256 == sha256(path.read_bytes())


def test_two_writers_merge(tmp_path: Path, measured: Measured) -> None:
    """When another worker stores its share first, both shares end up in the record."""
    one, two = put(tmp_path, "alpha", "1.0"), put(tmp_path, "alpha", "2.0")
    faults = Faults()
    store = MemoryStore(faults=faults)
    mine = Folder([tmp_path], digests=store.records, wall=much_later, examine=measured)
    other = Folder([tmp_path], digests=store.shared().records, wall=much_later, examine=measured)
    faults.call("write", lambda: other.find(two.name))
    mine.find(one.name)
    document = json.loads(store.records.read(KEY).data or b"")
    assert sorted(document["files"]) == [f"0/{one.name}", f"0/{two.name}"]
    assert sorted(measured) == [one.name, two.name]


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER, Fault.FULL, Fault.READ_ONLY, Fault.CONFLICT])
def test_a_store_that_cannot_be_written_costs_no_answer(tmp_path: Path, fault: Fault) -> None:
    """Every way a write can fail leaves the answer right; facts that were not stored are stored with the next ones."""
    put(tmp_path)
    faults = Faults()
    store = MemoryStore(faults=faults)
    folder = Folder([tmp_path], digests=store.records, wall=much_later)
    attempts = 8 if fault is Fault.CONFLICT else 1
    for _ in range(attempts):
        faults.next("write", fault)
    with capture_logs() as logs:
        assert len(folder.project("alpha").files) == 1
    assert all("digests" in line["event"] for line in logs)
    assert len(faults.happened) == attempts
    put(tmp_path, "alpha", "2.0")
    assert len(folder.project("alpha").files) == 2
    stored = store.records.read(KEY).data
    if fault is Fault.READ_ONLY:
        assert stored is None
    else:
        assert len(json.loads(stored or b"")["files"]) == 2


def test_a_store_that_cannot_be_read_costs_no_answer(tmp_path: Path) -> None:
    """A failing read of the derived record means reading the files, with a line in the log."""
    put(tmp_path)
    faults = Faults()
    faults.next("read", Fault.BEFORE)
    folder = Folder([tmp_path], digests=MemoryStore(faults=faults).records)
    with capture_logs() as logs:
        assert len(folder.project("alpha").files) == 1
    assert [line["event"] for line in logs] == ["stored digests not readable"]


def test_a_read_only_store_is_read(tmp_path: Path, measured: Measured) -> None:
    """A worker that may not write still takes what others computed."""
    put(tmp_path)
    store = MemoryStore()
    Folder([tmp_path], digests=store.records, wall=much_later, examine=measured).project("alpha")
    Folder([tmp_path], digests=store.shared(writable=False).records, wall=much_later, examine=measured).project("alpha")
    assert len(measured) == 1


def test_a_name_too_long_for_a_record(tmp_path: Path) -> None:
    """A project that no record can be named after is served all the same."""
    name = "a" * 198
    (tmp_path / f"{name}-1.0.zip").write_bytes(ZIP)
    folder = Folder([tmp_path], digests=MemoryStore().records)
    assert len(folder.project(name).files) == 1


def test_long_work_is_stored_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed in the middle of many gigabytes has not worked for nothing."""
    monkeypatch.setattr("quire.dropin.digests.SAVE_AFTER_BYTES", 1)
    for version in ("1.0", "2.0", "3.0"):
        put(tmp_path, "alpha", version)
    faults = Faults()
    store = MemoryStore(faults=faults)
    written: list[int] = []

    def next_writer() -> None:
        record: Record = store.shared().records.read(KEY)
        written.append(len(json.loads(record.data)["files"]) if record.data else 0)

    for _ in range(3):
        faults.call("write", next_writer)
    Folder([tmp_path], digests=store.records, wall=much_later).project("alpha")
    assert written == [0, 1, 2]


def test_further_algorithms(tmp_path: Path, measured: Measured) -> None:
    """Asked-for digests are there, also when an earlier worker did not compute them; unknown ones are refused."""
    path = put(tmp_path)
    store = MemoryStore()
    Folder([tmp_path], digests=store.records, wall=much_later, examine=measured).project("alpha")
    folder = Folder([tmp_path], digests=store.records, algorithms=["sha512"], wall=much_later, examine=measured)
    assert only(folder).file.hashes["sha512"] == hashlib.sha512(path.read_bytes()).hexdigest()
    assert len(measured) == 2
    for name in ("sha257", "shake_128", ""):
        with pytest.raises(ConfigurationError, match="hash algorithm"):
            Folder([tmp_path], algorithms=[name], examine=measured)


# -- metadata ---------------------------------------------------------------------------------------------------------


def test_metadata_of_an_sdist_is_offered_only_if_it_is_final(tmp_path: Path) -> None:
    """PEP 643: what an sdist calls dynamic, or wrote before 2.2, may differ from what is built; it is kept back."""
    for version, metadata in {
        "1.0": metadata_text("alpha", "1.0"),
        "2.0": metadata_text("alpha", "2.0", extra="Dynamic: Requires-Dist\n"),
        "3.0": metadata_text("alpha", "3.0", metadata_version="2.1"),
    }.items():
        (tmp_path / sdist_name("alpha", version)).write_bytes(make_sdist("alpha", version, metadata=metadata))
    folder = Folder([tmp_path])
    files = folder.project("alpha").files
    assert [drop_in.file.metadata_sha256 is not None for drop_in in files] == [True, False, False]
    assert [drop_in.file.requires_python for drop_in in files] == [">=3.8"] * 3
    assert folder.metadata_document(files[0]) == metadata_text("alpha", "1.0").encode()


@pytest.mark.parametrize("metadata", ["no metadata at all", "Metadata-Version: 2.1\n\n", "\x00\x01"])
def test_damaged_metadata_does_not_hide_a_file(tmp_path: Path, metadata: str) -> None:
    """An old wheel that no standard would pass is served as before, only without metadata."""
    put(tmp_path, metadata=metadata)
    assert only(Folder([tmp_path])).file.metadata_sha256 is None


def test_metadata_of_a_replaced_file_is_not_given_out(tmp_path: Path) -> None:
    """The document always has the digest that was announced; a file replaced or gone since has none."""
    path = put(tmp_path)
    folder = Folder([tmp_path])
    old = only(folder)
    path.write_bytes(make_wheel("alpha", "1.0", requires_python=">=3.12"))
    assert folder.metadata_document(old) is None
    new = only(folder)
    assert folder.metadata_document(new) is not None
    path.unlink()
    assert folder.metadata_document(old) is None
    assert folder.metadata_document(new) is not None  # remembered


def test_little_metadata_is_remembered(tmp_path: Path) -> None:
    """Memory for documents is bounded; the least recently used goes first."""
    budget = Budget(1_000_000)
    for version in ("1.0", "2.0", "3.0"):
        put(tmp_path, "alpha", version)
    folder = Folder([tmp_path], budget=budget)
    files = folder.project("alpha").files
    for number in (0, 1, 0, 2):
        assert folder.metadata_document(files[number]) is not None
        budget.limit = 5 * folder.documents.bytes // 2 if number == 0 and len(folder.documents) == 1 else budget.limit
    shutil.rmtree(tmp_path)
    assert [folder.metadata_document(drop_in) is not None for drop_in in files] == [True, False, True]


def workers(root: Path, count: int = 2) -> tuple[list[Folder], Clock]:
    """The folder in several workers that cannot store anything, in the order of their requests."""
    clock = Clock()
    return [Folder([root], facts_are_stored=False, clock=clock) for _ in range(count)], clock


def reported(folders: list[Folder]) -> dict[str, int]:
    """The reports of all workers together."""
    return {reason: sum(folder.left_out[reason] for folder in folders) for reason in folders[0].left_out}


def test_workers_report_a_damaged_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and one count for all workers of a server, also where they share no digests; one more when the file
    is replaced by another that is damaged."""
    runtime, root = tmp_path / "runtime", tmp_path / "root"
    runtime.mkdir()
    root.mkdir()
    monkeypatch.setenv("QUIRE_RUNTIME", str(runtime))
    path = root / "alpha-1.0.zip"
    folders, clock = workers(root)

    def validate_again() -> None:
        for _ in range(3):
            for folder in folders:
                assert folder.project("alpha").files == ()
            clock.now += STALLED

    with capture_logs() as logs:
        for size in (10, 20):
            path.write_bytes(ZIP[:-size])
            validate_again()
            assert len(logs) == size // 10
            assert reported(folders) == {"damaged": size // 10, "unreadable": 0, "directory": 0}
    assert {(line["event"], line["path"]) for line in logs} == {("file left out", str(path))}


def test_workers_report_what_they_cannot_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file and a directory without permission."""
    runtime, root = tmp_path / "runtime", tmp_path / "root"
    runtime.mkdir()
    put(root, "alpha")
    put(root / "sub", "beta")
    monkeypatch.setenv("QUIRE_RUNTIME", str(runtime))
    failing(monkeypatch, root / "sub", errno.EACCES)
    monkeypatch.setattr("quire.dropin.digests.open_regular", refusing_to_open)
    folders, _ = workers(root)
    with capture_logs() as logs:
        for folder in folders * 2:
            assert folder.project("alpha").files == ()
    assert sorted(line["event"] for line in logs) == ["directory left out", "file left out"]
    assert reported(folders) == {"damaged": 0, "unreadable": 1, "directory": 1}


def test_workers_report_once_what_has_no_printable_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such files are not served, by no link either; they keep their names, and are named themselves."""
    runtime, root = tmp_path / "runtime", tmp_path / "root"
    runtime.mkdir()
    monkeypatch.setenv("QUIRE_RUNTIME", str(runtime))
    put(root / "caf\udce9" / "sub", "within")
    put(root / "a\u00a0b").with_name("notes.txt").write_bytes(b"")
    put(root / "a\u00a0b").unlink()
    put(root).rename(root / "beside-1.0 \udce9.zip")
    (root / "caf\udce9.txt").write_bytes(b"")
    (root / wheel_name("link", "1.0")).symlink_to(root / "caf\udce9" / "sub" / wheel_name("within", "1.0"))
    folders, _ = workers(root)
    with capture_logs() as logs:
        for folder in folders:
            assert folder.names() == ("link",)
            assert folder.project("link").files == ()
            assert all(map(folder.claims, ("within", "beside")))
            assert not folder.claims("alpha")
            assert folder.unprintable() == (
                "beside-1.0 \udce9.zip",
                f"caf\udce9/sub/{wheel_name('within', '1.0')}",
            )
    assert sorted((entry["event"], entry["path"]) for entry in logs) == [
        ("directory left out", f"{root}/caf\\xe9/sub"),
        ("file left out", f"{root}/beside-1.0 \\xe9.zip"),
    ]
    assert reported(folders) == {"damaged": 0, "unreadable": 1, "directory": 1}


def refusing_to_open(path: str) -> int:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def test_workers_tell_once_that_digests_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same failure of the store is one line, however many workers meet it."""
    runtime, root = tmp_path / "runtime", tmp_path / "root"
    runtime.mkdir()
    put(root, "alpha")
    monkeypatch.setenv("QUIRE_RUNTIME", str(runtime))
    faults = Faults()
    store = MemoryStore(faults=faults)
    for _ in range(2):
        faults.next("write", Fault.FULL)
    with capture_logs() as logs:
        for _ in range(2):
            assert len(Folder([root], digests=store.records, clock=Clock()).project("alpha").files) == 1
    assert [line["event"] for line in logs] == ["digests not stored"]


# -- directories that cannot be read ----------------------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, where: Path, number: int) -> Callable[[], None]:
    """Let opening one directory fail with this errno; the result makes it work again."""
    original = Directories.open

    def opens(self: Directories, path: str) -> tuple[int, Identity | None] | None:
        if path == str(where):
            raise OSError(number, os.strerror(number), path)
        return original(self, path)

    monkeypatch.setattr(Directories, "open", opens)
    return lambda: monkeypatch.setattr(Directories, "open", original)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.ELOOP])
def test_an_unreadable_directory_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The files below it vanish, with one warning; the rest is served; it is back as soon as it can be read."""
    put(tmp_path, "alpha")
    put(tmp_path / "sub", "beta")
    clock = Clock()
    folder = Folder([tmp_path], clock=clock)
    assert folder.names() == ("alpha", "beta")
    repair = failing(monkeypatch, tmp_path / "sub", number)
    with capture_logs() as logs:
        names = folder.names()
        assert names == ("alpha",)
        clock.now += 10
        assert folder.names(names) is names
        assert folder.names_unchanged(names)
    assert [(line["event"], line["path"]) for line in logs] == [("directory left out", str(tmp_path / "sub"))]
    repair()
    assert not folder.names_unchanged(names)
    assert folder.names() == ("alpha", "beta")


def test_an_answer_that_would_be_too_short_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing disk or missing descriptors are an error, never a shorter list; and nothing is forgotten by it."""
    put(tmp_path / "one", "alpha")
    (tmp_path / "two").mkdir()
    clock = Clock()
    folder = Folder([tmp_path / "one", tmp_path / "two"], clock=clock, racy_window=1.0)
    known = folder.names()
    clock.now += 1
    folder.names()
    put(tmp_path / "one", "beta")
    repair = failing(monkeypatch, tmp_path / "two", errno.EMFILE)
    with pytest.raises(StoreError, match=r"two cannot be read \(Too many open files\)"):
        folder.names()
    assert not folder.names_unchanged(known)
    clock.now += 5
    repair()
    assert folder.names() == ("alpha", "beta")


def test_a_missing_root(tmp_path: Path) -> None:
    """One sentence as long as it is missing; the right answer as soon as it is there."""
    folder = Folder([tmp_path / "later"], clock=Clock())
    with pytest.raises(StoreError, match="cannot be read"):
        folder.names()
    with pytest.raises(StoreError, match="cannot be read"):
        folder.find("x")
    assert not folder.names_unchanged(())
    put(tmp_path / "later")
    names = folder.names()
    assert names == ("alpha",)
    shutil.rmtree(tmp_path / "later")
    with pytest.raises(StoreError, match="cannot be read"):
        folder.project("alpha")
    (tmp_path / "later").write_text("a file")
    with pytest.raises(StoreError, match="cannot be read"):
        folder.project("alpha")


def test_a_directory_that_vanishes_is_no_error(tmp_path: Path) -> None:
    """Removing a whole folder shows at once, and so does a new one in its place."""
    put(tmp_path / "sub" / "sub")
    folder = Folder([tmp_path])
    assert folder.names() == ("alpha",)
    shutil.rmtree(tmp_path / "sub")
    assert folder.names() == ()
    put(tmp_path / "sub" / "sub", "beta")
    assert folder.names() == ("beta",)


def test_an_unreadable_file_is_left_out(tmp_path: Path) -> None:
    """A file without permission is not listed, with one warning, and is listed once it may be read."""
    put(tmp_path, "alpha", "1.0")
    put(tmp_path, "alpha", "2.0")
    refused = {"1.0"}

    def examine(file: BinaryIO, parsed: ParsedFilename, algorithms: Sequence[str]) -> Facts | None:
        if refused & set(parsed.filename.split("-")):
            raise PermissionError(errno.EACCES, "Permission denied")
        return measure(file, parsed, algorithms)

    folder = Folder([tmp_path], examine=examine)
    with capture_logs() as logs:
        known = folder.project("alpha")
        assert listed(folder, known=known) == [wheel_name("alpha", "2.0")]
    assert [line["event"] for line in logs] == ["file left out"]
    refused.clear()
    assert len(listed(folder, known=known)) == 2


@pytest.mark.parametrize("ask", [listed, lambda folder: [folder.find(wheel_name("alpha", "1.0"))]])
@pytest.mark.parametrize("times", [1, 9])
def test_a_file_that_another_machine_replaces_while_it_is_read_is_read_again(
    tmp_path: Path, ask: Callable[[Folder], list[object]], times: int
) -> None:
    """NFS answers ESTALE then, as often as it happens: that is no reason to leave the file out, nor to warn."""
    path = put(tmp_path, "alpha", "1.0")
    left = iter(range(times))

    def replaced(file: BinaryIO, parsed: ParsedFilename, algorithms: Sequence[str]) -> Facts | None:
        if next(left, None) is None:
            return measure(file, parsed, algorithms)
        successor = tmp_path / ".successor"
        successor.write_bytes(path.read_bytes())
        successor.rename(path)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    folder = Folder([tmp_path], examine=replaced)
    with capture_logs() as logs:
        assert ask(folder) not in ([], [None])
    assert logs == []


def test_a_file_whose_handle_stays_stale_is_left_out(tmp_path: Path) -> None:
    """With one warning, once it has lasted a minute: a damaged inode of the file server answers so for good."""
    put(tmp_path, "alpha", "1.0")
    clock = Clock()
    damaged = [True]

    def examine(file: BinaryIO, parsed: ParsedFilename, algorithms: Sequence[str]) -> Facts | None:
        if damaged:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return measure(file, parsed, algorithms)

    folder = Folder([tmp_path], clock=clock, examine=examine)
    with capture_logs() as logs:
        assert listed(folder) == []
        clock.now += STALLED - 1
        assert listed(folder) == []
        assert logs == []
        clock.now += 1
        assert listed(folder) == listed(folder) == []
    assert [line["event"] for line in logs] == ["file left out"]
    damaged.clear()
    assert len(listed(folder)) == 1


def test_the_tree_never_waits_on_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another thread is scanning, the quick question answers "ask in a thread" instead of waiting."""
    tree = Tree([tmp_path], racy_window=0.0)
    tree.refresh()
    assert tree.current() is not None
    put(tmp_path)
    is_scanning, may_end = threading.Event(), threading.Event()
    original = os.scandir

    def scandir(fd: int) -> Any:
        is_scanning.set()
        assert may_end.wait(DEADLINE)
        return original(fd)

    monkeypatch.setattr("quire.dropin.tree.os.scandir", scandir)
    with ThreadPoolExecutor(1) as other:
        listing = other.submit(tree.refresh)
        assert is_scanning.wait(DEADLINE)
        assert tree.current() is None
        may_end.set()
    assert tree.current() is listing.result()


# -- against the plain truth ------------------------------------------------------------------------------------------

_PLACES = st.sampled_from(["", "a", "a/b", "c"])
_NAMES = st.sampled_from(["alpha-1.0.zip", "alpha-2.0.zip", "beta-1.0.zip", ".dot-1.0.zip", "note.txt"])
_STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "move", "clear"]), _PLACES, _NAMES, _PLACES), min_size=1, max_size=12
)


@settings(max_examples=40, deadline=None)
@given(_STEPS, st.booleans())
def test_any_history_is_followed(steps: list[tuple[str, str, str, str]], network: bool) -> None:
    """After each of any steps, the list is what a walk through the directory finds."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        folder = Folder([root], network=network)
        known = folder.project("alpha")
        for action, place, filename, target in steps:
            path = root / place / filename
            if action == "add":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(ZIP)
            elif action == "remove":
                path.unlink(missing_ok=True)
            elif action == "move" and path.exists():
                (root / target).mkdir(parents=True, exist_ok=True)
                path.rename(root / target / filename)
            elif action == "clear" and place and (root / place).exists():
                shutil.rmtree(root / place)
            found = sorted(
                str(path.relative_to(root)) for path in root.rglob("*-*.zip") if not path.name.startswith(".")
            )
            assert [path for path, _ in folder.all_files()] == found
            known = folder.project("alpha", known)
            expected = {path.rpartition("/")[2] for path in found if "alpha" in path}
            assert {drop_in.file.filename for drop_in in known.files} == expected


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=50))
def test_only_found_paths_are_found(text: str) -> None:
    """Whatever a client asks for, an answer is one of the listed files."""
    with tempfile.TemporaryDirectory() as name:
        put(Path(name))
        folder = Folder([Path(name)])
        found = folder.find(text)
        assert found is None or found.relative_path == text == wheel_name("alpha", "1.0")


def test_a_network_volume_below_a_local_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are asked for by opening them, and not on the event loop; one that is mounted where nothing is served
    from does not count."""
    volume = tmp_path / "root" / "volume"
    volume.mkdir(parents=True)
    path = volume / wheel_name("alpha", "1.0")
    path.write_bytes(make_wheel("alpha", "1.0"))
    mounts = [Mount("/", "ext4", "/dev/vda", ("rw",)), Mount(str(volume), "nfs4", "server:/", ("rw",))]
    monkeypatch.setattr("quire.dropin.tree.read_mounts", lambda: mounts)
    monkeypatch.setattr("quire.dropin.tree.is_network", lambda asked: asked == str(volume))
    root = tmp_path / "root"
    assert Folder([root], exclude=[volume]).validates_inline
    assert Folder([tmp_path / "another"]).validates_inline
    folder = Folder([root])
    assert not folder.validates_inline
    (drop_in,) = folder.project("alpha").files
    remembered, lstat = os.lstat(path), os.lstat
    monkeypatch.setattr(os, "lstat", lambda asked: remembered if asked == str(path) else lstat(asked))
    known = folder.project("alpha")
    path.write_bytes(make_wheel("alpha", "1.0", files={"more": b"more"}))
    (after,) = folder.project("alpha", known).files
    assert after.file.sha256 != drop_in.file.sha256
