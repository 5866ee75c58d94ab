"""After a write whose answer is lost, no bytes are removed that another writer put into the trash.

Replaced here: link(2) of the POSIX store and the answers of a bucket in memory, since neither is overtaken on request.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from quire.administration.describing_changes import deletion_of
from quire.domain.changes import Selection
from quire.domain.errors import OutcomeUnknown
from quire.domain.trash import TrashedFile
from quire.index.commits import Change, blob_keys
from quire.index.index import Index
from quire.operations.selecting import Deletion
from quire.store.bucket import swaps
from quire.store.bucket.documents import HISTORY
from quire.store.bucket.objects import Unclear, Version
from quire.store.bucket.store import BucketStore
from quire.store.contracts import Store
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.records import PRUNE_ABOVE
from quire.store.posix.store import PosixStore
from tests.distributions import wheel_name
from tests.index.test_index import Together, blobs, publish, referenced, staged_wheel
from tests.store.bucket.memory import MemoryBucket

WEEK = 7 * 86_400.0
KEY = "main/projects/a"
MANY = max(HISTORY, PRUNE_ABOVE) + 2
"""Writes after which no store knows any more whether an earlier one was made."""


class ForgetfulBucket(MemoryBucket):
    """The answer to the next write of a record is lost; what others do meanwhile comes right after it, or before."""

    meanwhile: Callable[[], None] | None = None
    is_written = True

    def put(self, key: str, data: bytes, expected: Version | None) -> Version:
        meanwhile = self.meanwhile
        if meanwhile is None or key != f"records/{KEY}.json":
            return super().put(key, data, expected)
        self.meanwhile = None
        if self.is_written:
            super().put(key, data, expected)
        meanwhile()
        raise Unclear("The connection was lost.")


class Scene:
    """A writer in doubt, and the truth: the handle of another one."""

    def __init__(self, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.met = False
        self._kind = kind
        self._patch = monkeypatch
        self._state, self._faults, self._bucket = MemoryState(), Faults(), ForgetfulBucket()
        stores: tuple[Store, Store]
        if kind == "memory":
            stores = MemoryStore(self._state, self._faults), MemoryStore(self._state)
        elif kind == "posix":
            stores = PosixStore.open(folder, prune_age=0), PosixStore.open(folder, prune_age=0)
        else:
            monkeypatch.setattr(swaps, "_PAUSE", 0.0)
            stores = BucketStore(self._bucket, "memory:"), BucketStore(self._bucket, "memory:")
        self.index, self.truth = (Index(store, trash_seconds=WEEK) for store in stores)
        for version in ("1.0", "3.0"):
            self.publish(version)

    def publish(self, version: str, variant: str = "") -> None:
        self.truth.publish([staged_wheel(self.truth.store, "a", version, variant=variant)], overwrite=True)

    def delete(self, version: str) -> None:
        """Into the trash."""
        self.truth.delete("a", Selection(version=version))

    def lose(self, *acts: Callable[[], None], is_written: bool) -> None:
        """The answer to the next write of the project, which is made or lost itself; meanwhile others do this, and so
        much more that it cannot be said any more which of both it was."""

        def meanwhile() -> None:
            self.met = True
            for act in acts:
                act()
            for number in range(MANY):
                self.truth.yank("a", Selection(version="3.0"), f"reason {number}")

        if self._kind == "memory":
            self._faults.next("write", Fault.UNKNOWN_AFTER if is_written else Fault.UNKNOWN_BEFORE)
            self._faults.call("read", meanwhile, skip=1)
        elif self._kind == "posix":
            self._overtake(meanwhile, is_written=is_written)
        else:
            self._bucket.meanwhile, self._bucket.is_written = meanwhile, is_written

    def _overtake(self, meanwhile: Callable[[], None], *, is_written: bool) -> None:
        link = os.link

        def overtaken(source: str, target: str) -> None:
            if f"/{KEY}/" not in target:
                link(source, target)
                return
            self._patch.setattr(os, "link", link)
            if is_written:
                link(source, target)
            meanwhile()
            if not is_written:
                link(source, target)  # of a revision that was pruned meanwhile

        self._patch.setattr(os, "link", overtaken)

    def judge(self, change: Change) -> None:
        """Remove what the change says may be removed; all that is listed or in the trash must be whole."""
        assert self.met
        self.index.remove_blobs(change.removed)
        stored = blobs(self.truth.store)
        assert referenced(self.truth) <= stored
        for each in self.truth.trash.files("a"):
            assert set(blob_keys(each.file)) <= stored, each.file.filename


def everything(_: TrashedFile) -> bool:
    return True


@pytest.fixture(params=["memory", "posix", "bucket"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(request.param, tmp_path, monkeypatch)


def test_a_publication_leaves_what_others_deleted(scene: Scene) -> None:
    """They delete another release after it: its bytes stay, and a restoration gives them back for good."""
    scene.lose(lambda: scene.delete("1.0"), is_written=True)
    change = scene.index.publish([staged_wheel(scene.index.store, "a", "2.0")])
    assert change.changed
    assert change.unlisted == ()
    scene.judge(change)
    scene.truth.restore("a", everything)
    scene.judge(change)
    project = scene.truth.project("a")
    assert project is not None
    assert set(project.files) == {wheel_name("a", version) for version in ("1.0", "2.0", "3.0")}


def test_a_publication_leaves_its_own_file_in_the_trash(scene: Scene) -> None:
    """They delete the new file, and publish the same content again: it is in the trash with other bytes."""
    scene.lose(lambda: scene.delete("2.0"), lambda: scene.publish("2.0"), is_written=True)
    change = scene.index.publish([staged_wheel(scene.index.store, "a", "2.0")])
    assert change.changed
    assert [each.file.filename for each in scene.truth.trash.files("a")] == [wheel_name("a", "2.0")]
    scene.judge(change)


@pytest.mark.parametrize("is_written", [True, False], ids=["written", "lost"])
def test_a_replacement_leaves_what_it_was_to_replace(scene: Scene, *, is_written: bool) -> None:
    """Its effect is there: where it was not written, they deleted the old file, and published the new content."""
    acts = [] if is_written else [lambda: scene.delete("1.0"), lambda: scene.publish("1.0", "new")]
    scene.lose(*acts, is_written=is_written)
    upload = staged_wheel(scene.index.store, "a", "1.0", variant="new")
    change = scene.index.publish([upload], overwrite=True)
    assert [file.filename for file in change.unlisted] == [wheel_name("a", "1.0")]
    scene.judge(change)


@pytest.mark.parametrize("is_written", [True, False], ids=["written", "lost"])
def test_a_deletion_leaves_what_others_deleted(scene: Scene, *, is_written: bool) -> None:
    """It says which files it deleted, and leaves the bytes to gc: others may have put each of them into the trash."""
    scene.publish("2.0")
    acts = [] if is_written else [lambda: scene.delete("1.0")]
    scene.lose(*acts, lambda: scene.delete("2.0"), is_written=is_written)
    selection = Selection(version="1.0")
    change = scene.index.delete("a", selection, to_trash=False)
    assert [file.filename for file in change.unlisted] == [wheel_name("a", "1.0")]
    scene.judge(change)
    done = Deletion(change.unlisted, change.changed, change.is_in_trash, change.removed)
    assert not deletion_of("a", selection, done, dry_run=False, freed=True, trash_days=7.0).freed


def test_a_publication_leaves_what_its_batch_deleted() -> None:
    """A deletion into the trash was written together with it, in one step."""
    state, faults = MemoryState(), Faults()
    together = Together(faults, Index(MemoryStore(state, faults), trash_seconds=WEEK))
    faults.next("write", Fault.UNKNOWN_AFTER, skip=1)  # the first one is of the trash
    publish(together, "1")
    together.begin(lambda: together.index.delete("a", Selection(version="0")))
    publish(together, "2")
    changes = together.end()
    assert faults.happened == [("write", Fault.UNKNOWN_AFTER)]
    for change in changes:
        assert isinstance(change, Change)
        assert change.was_in_doubt
        together.index.remove_blobs(change.removed)
    assert [len(change.unlisted) for change in changes if isinstance(change, Change)] == [0, 1, 0]
    (trashed,) = together.index.trash.files("a")
    assert set(blob_keys(trashed.file)) <= blobs(together.index.store)


@pytest.mark.parametrize("fault", [Fault.UNKNOWN_AFTER, Fault.UNKNOWN_BEFORE])
def test_the_trash_is_emptied_in_doubt(fault: Fault) -> None:
    """It looks itself at what names the bytes: they go where its write was made, and a file that was restored stays."""
    state, faults = MemoryState(), Faults()
    truth = Index(MemoryStore(state), trash_seconds=WEEK)
    truth.publish([staged_wheel(truth.store, "a", "1.0"), staged_wheel(truth.store, "a", "2.0")])
    truth.delete("a", Selection(version="1.0"))
    truth.delete("a", Selection(version="2.0"))
    faults.next("write", fault)
    is_lost = fault is Fault.UNKNOWN_BEFORE
    meant = wheel_name("a", "1.0")
    restored = meant if is_lost else wheel_name("a", "2.0")
    faults.call("read", lambda: truth.restore("a", lambda each: each.file.filename == restored), skip=1)
    emptied = Index(MemoryStore(state, faults), trash_seconds=WEEK).empty_trash(
        "a", lambda each: each.file.filename == meant
    )
    assert [file.filename for file in emptied] == [meant]
    project = truth.project("a")
    assert project is not None
    assert list(project.files) == [restored]
    assert blobs(truth.store) - {key for each in truth.trash.files("a") for key in blob_keys(each.file)} == referenced(
        truth
    )


def test_what_others_undid_is_not_known_to_be_done(scene: Scene) -> None:
    """They delete the new file after it: nothing is removed."""
    scene.lose(lambda: scene.delete("2.0"), is_written=True)
    with pytest.raises(OutcomeUnknown):
        scene.index.publish([staged_wheel(scene.index.store, "a", "2.0")])
    scene.judge(Change("a", None, None, ""))
