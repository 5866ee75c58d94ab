"""`quire backup` and `quire restore` are killed at every system call, and the power fails after each of them.

Also the meanest case: a command dies, is repeated to its end, and right after that the power fails.

Replaced here: the threads of both, so that the order of calls is the same in each run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from quire.domain.changes import Selection
from quire.domain.errors import QuireError, UnknownLayout
from quire.index.index import Index, all_indexes
from quire.operations.backup import Backups, place, restore, take
from quire.operations.backup.taking import faults_of
from quire.operations.checking import Check
from quire.process.progress import Progress
from quire.store.posix.store import PosixStore
from quire.store.purposes import Purpose
from tests.faults import ptracing
from tests.faults.crash_model import Disk, materialize, signature_of
from tests.faults.judging import Violated, expect
from tests.faults.ptracing import Call, How, Meddling, Run, traced
from tests.faults.publisher import publish, wheel
from tests.faults.sweep import deaths, scratch
from tests.operations.test_backup import content

Note = Callable[[str, object], None]

pytestmark = pytest.mark.skipif(ptracing.unavailable() is not None, reason=str(ptracing.unavailable()))

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
_KILLS = 60  # every so-manieth, in `make test`


class _Inline:
    """An executor without threads: of a process that has several only one is traced."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> _Inline:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return map(work, items)

    def shutdown(self, **_: object) -> None: ...


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """For the stores of a test."""
    monkeypatch.setattr(place, "ThreadPoolExecutor", _Inline)
    made = scratch()
    yield made
    shutil.rmtree(made)


def backups_in(root: Path) -> Backups:
    return Backups(PosixStore.open(root / "place", purpose=Purpose.BACKUPS))


def store_in(root: Path) -> PosixStore:
    """The copies of a folder have one store for their backups, which know it by its path."""
    store = PosixStore.open(root / "store")
    store.place = "the store"
    return store


class Work:
    """A command: the folder that it begins with, its work, and what is true afterwards."""

    def prepare(self, root: Path) -> None:
        """A store with files, a deleted project and a record that was deleted without a note."""
        for name in ("store", "place", "target"):
            (root / name).mkdir()
        index = Index(store_in(root))
        publish(index, wheel("1.0"), wheel("2.0"))
        publish(index, wheel("1.0", project="gone"))
        index.remove_blobs(index.delete("gone", Selection()).removed)
        records, key = index.store.records, "access/publishing/gone"
        records.write(key, None, records.write(key, b"{}", records.read(key)))

    def act(self, root: Path) -> None:
        raise NotImplementedError

    def judge(self, root: Path, *, told: bool, times: int = 1) -> None:
        """`told`: whether the command had ended, which began so many times. Raises Violated."""
        raise NotImplementedError


class FirstBackup(Work):
    """Into an empty folder."""

    before = 0

    def act(self, root: Path) -> None:
        take(store_in(root), backups_in(root), now=NOON)

    def judge(self, root: Path, *, told: bool, times: int = 1) -> None:
        backups = backups_in(root)
        moments = backups.moments()
        expect(len(moments) in self.numbers(told=told, times=times), f"{len(moments)} backups are listed")
        for moment in moments:
            expect(not faults_of(backups, backups.read(moment).objects(), Progress()), f"{moment} is not whole")
        taken = take(store_in(root), backups, now=NOON, unnamed_seconds=0.0)
        expect(not taken.manifest.missing, "the next backup misses something")
        self.is_restored(root, backups)
        backups.keep(2, store_in(root).place, unnamed_seconds=0.0)
        named = set().union(*(backups.read(moment).objects() for moment in backups.moments()))
        expect(backups.objects().keys() == named, "objects that no backup names are left")
        expect(not list((root / "place" / "quire" / "incoming").iterdir()), "staged bytes are left")
        expect([each.name for each in (root / "place").iterdir()] == ["quire"], "a folder is left")
        self.is_restored(root, backups)

    def numbers(self, *, told: bool, times: int) -> set[int]:
        return set(range(told, times + 1))

    def is_restored(self, root: Path, backups: Backups) -> None:
        target = Path(tempfile.mkdtemp(dir=root))
        store = PosixStore.open(target, purpose=Purpose.RESTORE)
        expect(restore(backups.chosen(None), backups, store).is_complete, "the newest backup is not whole")
        expect(content(store) == content(store_in(root)), "the newest backup is not as the store")


class NextBackup(FirstBackup):
    """After others, the older of which is removed, with an object of an interrupted one."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        backups = backups_in(root)
        take(store_in(root), backups, now=NOON)
        index = Index(store_in(root))
        index.remove_blobs(index.delete("alpha", Selection(version="2.0")).removed)
        take(store_in(root), backups, now=NOON)
        publish(index, wheel("3.0"))
        (key,) = (each.key for each in index.store.blobs.list() if each.key.endswith("3.0-py3-none-any.whl"))
        with index.store.blobs.open(key) as opened:
            data = opened.read()
        backups.put(hashlib.sha256(data).hexdigest(), [data])

    def act(self, root: Path) -> None:
        backups = backups_in(root)
        store = store_in(root)
        take(store, backups, now=NOON)
        backups.keep(2, store.place, unnamed_seconds=0.0)

    def numbers(self, *, told: bool, times: int) -> set[int]:
        return {2} if told else {2, 3}


class Restore(Work):
    """Into an empty folder."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        take(store_in(root), backups_in(root), now=NOON)

    def target(self, root: Path) -> PosixStore:
        return PosixStore.open(root / "target", purpose=Purpose.RESTORE)

    def act(self, root: Path) -> None:
        backups = backups_in(root)
        restore(backups.chosen(None), backups, self.target(root))

    def judge(self, root: Path, *, told: bool, times: int = 1) -> None:
        wanted = content(store_in(root))
        served: dict[str, object] = {}
        try:
            served = content(PosixStore.open(root / "target", create=False))
        except UnknownLayout:
            expect(not told, "the restore had ended, and no server starts")
        expect(served in (wanted, {}), f"a server starts on a part: {sorted(served)}")
        expect(served == wanted or not told, "the restore had ended, and the store is empty")
        if served != wanted:
            self.act(root)
        store = PosixStore.open(root / "target", create=False)
        expect(content(store) == wanted, "the repetition does not end it")
        for _ in range(2):  # the removal of one name of a file makes its other names young
            store.sweep(0.0)
        expect(not list((root / "target" / "quire" / "incoming").iterdir()), "staged bytes are left")
        expect([each.name for each in (root / "target").iterdir()] == ["quire"], "a folder is left")
        found = Check(store, lambda: all_indexes(store)).run().findings
        expect(not found, f"check says: {found}")


class RestoreIntoStore(Restore):
    """Into an empty store that a server has made."""

    def prepare(self, root: Path) -> None:
        super().prepare(root)
        PosixStore.open(root / "target")


WORKS: dict[str, Work] = {
    "backup": FirstBackup(),
    "next backup": NextBackup(),
    "restore": Restore(),
    "restore into a store": RestoreIntoStore(),
}


def run(work: Work, root: Path, meddling: Meddling | None = None) -> Run:
    def act(report: Callable[[bytes], None]) -> None:
        work.act(root)
        report(b"ACK\n")

    return traced(act, root=str(root), meddling=meddling)


def judged(work: Work, root: Path, where: str, *, told: bool, times: int = 1) -> list[str]:
    try:
        work.judge(root, told=told, times=times)
    except (Violated, QuireError) as error:
        return [f"{where}: {type(error).__name__}: {error}"]
    return []


def prepared(work: Work, folder: Path) -> Path:
    """The folder that every run begins with. All that is imported late is."""
    template = folder / "template"
    template.mkdir()
    work.prepare(template)
    with tempfile.TemporaryDirectory(dir=folder) as copied:
        root = copy_of(template, Path(copied))
        work.act(root)
        work.judge(root, told=True)
    return template


def copy_of(template: Path, folder: Path) -> Path:
    shutil.copytree(template, folder / "root", symlinks=True)
    return folder / "root"


def killed(work: Work, folder: Path, every: int) -> tuple[int, list[str]]:
    """Kills, and what was wrong."""
    kills = 0
    template, wrong = prepared(work, folder), list[str]()
    with tempfile.TemporaryDirectory(dir=folder) as copied:
        plain = run(work, copy_of(template, Path(copied)))
        assert plain.said == b"ACK\n", plain.said
    for meddling in list(deaths(plain.calls))[::every]:
        with tempfile.TemporaryDirectory(dir=folder) as copied:
            root = copy_of(template, Path(copied))
            died = run(work, root, meddling)
            kills += died.met
            wrong += judged(work, root, f"killed before {died.calls[-1]}", told=died.said == b"ACK\n")
    return kills, wrong


def cut(name: str, folder: Path, *, is_sample: bool = False) -> tuple[int, list[str]]:
    """States after a power cut, and what was wrong. A sample has the first, the middle and the last step by which
    something gets its name."""
    work = WORKS[name]
    template, wrong, seen = prepared(work, folder), list[str](), set[object]()
    with tempfile.TemporaryDirectory(dir=folder) as copied:
        root = copy_of(template, Path(copied))
        disk = Disk(str(root))
        calls = run(work, root)
        assert calls.said == b"ACK\n", calls.said
        steps = [
            call.number for call in calls.calls if call.name in {"link", "rename"} and call.store_number is not None
        ]
        sample = {steps[0], steps[len(steps) // 2], steps[-1]}
        for call in calls.calls:
            disk.apply(call)
            told = call.number >= calls.reported[0]
            if not (disk.changed or call.number == calls.reported[0]):
                continue
            if is_sample and call.number not in sample:
                continue
            for tree in disk.states(seed=call.number):
                signature = hash((signature_of(tree), told))
                if signature in seen:
                    continue
                seen.add(signature)
                with tempfile.TemporaryDirectory(dir=folder) as left:
                    materialize(tree, left)
                    wrong += judged(work, Path(left), f"power cut after {call}", told=told)
    return len(seen), wrong


def changes_names(call: Call) -> bool:
    """Whether it gives something a name in the store, or takes one."""
    is_made = call.name == "openat" and call.arguments[2] & os.O_CREAT
    return call.store_number is not None and bool(is_made or call.name in {"link", "rename", "mkdir", "unlink"})


def repeated(name: str, folder: Path, *, is_sample: bool = False) -> tuple[int, list[str]]:
    """States after a kill, a repetition and a power cut, and what was wrong."""
    work = WORKS[name]
    template, wrong, seen = prepared(work, folder), list[str](), set[object]()
    with tempfile.TemporaryDirectory(dir=folder) as copied:
        calls = run(work, copy_of(template, Path(copied))).calls
    chosen = [call for call in calls if changes_names(call)]
    if is_sample:
        published = [call for call in chosen if call.name in {"link", "rename"}]
        chosen = published[:: len(published) // 6]
    for call in chosen:
        with tempfile.TemporaryDirectory(dir=folder) as copied:
            root = copy_of(template, Path(copied))
            disk = Disk(str(root))
            died = run(work, root, Meddling(How.KILL, call.number + 1))
            for done in died.calls[:-1]:  # the last is the one it died before
                disk.apply(done)
            disk.processes_end()
            again = run(work, root)
            if b"is not empty" in again.said:  # all was done but the answer: a refusal promises nothing
                continue
            assert again.said == b"ACK\n", again.said
        for done in again.calls[: again.reported[0]]:
            disk.apply(done)
        for tree in disk.states(seed=call.number):
            signature = hash(signature_of(tree))
            if signature in seen:
                continue
            seen.add(signature)
            with tempfile.TemporaryDirectory(dir=folder) as left:
                materialize(tree, left)
                where = f"killed after {call}, repeated"
                wrong += judged(work, Path(left), where, told=True, times=2)
    return len(seen), wrong


@pytest.mark.parametrize("name", ["next backup", "restore"])
def test_some_kills(name: str, folder: Path) -> None:
    """A sample of the next."""
    kills, wrong = killed(WORKS[name], folder, _KILLS)
    assert wrong == []
    assert kills > 3


@pytest.mark.faults
@pytest.mark.parametrize("name", WORKS)
def test_death_at_every_call(name: str, folder: Path, record_property: Note) -> None:
    """Every listed backup is whole, and the next one is; a store that is restored in part is not served, and the
    repetition ends it; what is left is removed by the next run or a sweep."""
    kills, wrong = killed(WORKS[name], folder, 1)
    assert wrong == []
    record_property("faults", f"{name} killed at every call: {kills}")


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_some_power_cuts(name: str, folder: Path) -> None:
    """A sample of the next."""
    states, wrong = cut(name, folder, is_sample=True)
    assert wrong == []
    assert states > 1


@pytest.mark.faults
@pytest.mark.parametrize("name", WORKS)
def test_a_power_cut_at_every_moment(name: str, folder: Path, record_property: Note) -> None:
    """Whatever POSIX lets survive, the same holds."""
    states, wrong = cut(name, folder)
    assert wrong == []
    record_property("faults", f"power cut of {name}: {states} states")


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_some_power_cuts_after_a_repetition(name: str, folder: Path) -> None:
    """A sample of the next."""
    states, wrong = repeated(name, folder, is_sample=True)
    assert wrong == []
    assert states > 1


@pytest.mark.faults
@pytest.mark.parametrize("name", WORKS)
def test_a_power_cut_after_every_repetition(name: str, folder: Path, record_property: Note) -> None:
    """A command that ended relies on nothing that the killed one before it had not made durable."""
    states, wrong = repeated(name, folder)
    assert wrong == []
    record_property("faults", f"{name} killed, repeated, then a power cut: {states} states")
