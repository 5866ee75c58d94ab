"""Taking in advisories: in one step or not at all, kept by gc, verified by check, known to every process at once."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quire.access.document import KEY, decode_access, encode_access
from quire.access.records import AccessRecords
from quire.advisories.known import AdvisoryCache, KnownAdvisories
from quire.domain.advisories import Advisories, Severity
from quire.domain.errors import InvalidRequest, NotFound, StoreError
from quire.index.audit.entries import Origin
from quire.index.index import Index, all_indexes
from quire.operations.advisories import Updated, remove_advisories, update_advisories
from quire.operations.checking import Check, Checked, collect_garbage
from quire.operations.checking import Severity as Found
from quire.process.progress import Progress
from quire.store.contracts import Store
from quire.store.faults import Fault, Operation
from quire.store.memory import MemoryStore
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from tests.advisories import taking


def document(identity: str, name: str = "demo", version: str = "1.0", **fields: Any) -> dict[str, Any]:
    return taking.document(identity, name, versions=[version], **fields)


class Rig:
    """A store, and folders of documents to take in."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self.access = AccessRecords(store)

    def update(self, *documents: dict[str, Any], source: str = "osv", **options: Any) -> Updated:
        path = self.folder / "all.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for number, each in enumerate(documents):
                archive.writestr(f"{number}.json", json.dumps(each))
        origin = Origin(user="ann")
        return update_advisories(
            self.store, self.access, str(path), source, origin=origin, progress=Progress(), **options
        )

    def known(self) -> KnownAdvisories:
        return AdvisoryCache(self.store).at(self.access.read().state.document.advisories)

    def ids(self, version: str = "1.0", project: str = "demo") -> list[str]:
        return [each.id for each in self.known().of(project, version)]

    def blobs(self) -> list[str]:
        return [blob.key for blob in self.store.blobs.list()]

    def check(self) -> Checked:
        inspector = PosixInspector(self.store) if isinstance(self.store, PosixStore) else None
        return Check(self.store, lambda: all_indexes(self.store), inspector).run()


@pytest.fixture(params=["memory", "posix"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    (tmp_path / "root").mkdir()
    store = MemoryStore() if request.param == "memory" else PosixStore.open(tmp_path / "root")
    Index(store)
    return Rig(store, tmp_path)


def test_what_is_known(rig: Rig) -> None:
    """By another process, from its next read on; policies see it as they expect."""
    assert not rig.known()
    done = rig.update(
        document("GHSA-1", database_specific={"severity": "HIGH"}),
        document("MAL-1", summary="Steals."),
        document("X-1", "x"),
    )
    assert (done.source.advisories, done.source.malicious, done.source.by, done.changed) == (3, 1, "ann", True)
    known: Advisories = rig.known()
    assert known
    first, second = known.of("demo", "1.0.0")
    assert (first.id, first.severity, first.is_malicious) == ("GHSA-1", Severity.HIGH, False)
    assert (second.id, second.severity, second.is_malicious, second.summary) == ("MAL-1", None, True, "Steals.")
    assert known.of("demo", "2.0") == []
    assert not rig.update(
        document("GHSA-1", database_specific={"severity": "HIGH"}),
        document("MAL-1", summary="Steals."),
        document("X-1", "x"),
    ).changed


def test_sources_stand_beside_each_other(rig: Rig) -> None:
    """An update replaces the data of its own source alone; of one id, an operator's own advisory counts."""
    rig.update(document("A-1", version="1.0"), document("A-2"))
    rig.update(document("ACME-1"), document("A-1", version="9.0"), source="acme")
    assert rig.ids() == ["ACME-1", "A-2"]
    assert rig.ids("9.0") == ["A-1"]
    rig.update(document("ACME-1"), document("A-1", withdrawn="2024-06-01T00:00:00Z"), source="acme")
    assert (rig.ids(), rig.ids("9.0")) == (["ACME-1", "A-2"], [])
    rig.update(document("A-3"), source="osv")
    assert rig.ids() == ["ACME-1", "A-3"]
    assert remove_advisories(rig.store, rig.access, "osv", origin=Origin()).advisories == 1
    assert rig.ids() == ["ACME-1"]
    with pytest.raises(NotFound, match="there is acme"):
        remove_advisories(rig.store, rig.access, "osv", origin=Origin())


def test_bad_documents_are_told_and_left_out(rig: Rig) -> None:
    """Also one whose id another one has; documents of other ecosystems are counted."""
    npm = {"id": "N-1", "modified": "", "affected": [{"package": {"ecosystem": "npm", "name": "demo"}}]}
    read = rig.update(document("A-1"), {"id": "A-2"}, document("A-1", version="2.0"), npm).read
    assert (read.advisories, read.bad, read.others) == (1, 2, 1)
    assert [name for name, _ in read.problems] == ["1.json", "2.json"]
    assert "another document has the id A-1" in read.problems[1][1]


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ([], "empty archive"),
        ([{"id": "A-1"}], "of 0.json: it is no OSV document"),
        ([{"id": "N-1", "modified": "", "affected": []}], "none of its documents is about a project of PyPI"),
    ],
)
def test_what_is_no_data_changes_nothing(documents: list[dict[str, Any]], words: str, rig: Rig) -> None:
    """It is refused, and leaves nothing in the store."""
    rig.update(document("A-1"))
    before = rig.blobs()
    with pytest.raises(InvalidRequest, match=words):
        rig.update(*documents)
    assert (rig.ids(), rig.blobs()) == (["A-1"], before)


def test_much_less_than_before_is_refused(rig: Rig) -> None:
    """Half a download would take advisories away; `--yes` says that it is meant."""
    rig.update(*(document(f"A-{number}") for number in range(5)))
    before = rig.blobs()
    with pytest.raises(InvalidRequest, match=r"has 2 advisories, and the source osv has 5"):
        rig.update(document("A-1"), document("A-2"))
    assert rig.blobs() == before
    rig.update(document("A-1"), document("A-2"), shrinks=True)
    assert rig.ids() == ["A-1", "A-2"]


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        *((operation, Fault.FULL) for operation in ("stage", "stage.write", "finish", "publish", "write")),
        *((operation, Fault.AFTER) for operation in ("finish", "publish", "renew", "write")),
    ],
)
def test_a_failure_changes_nothing(operation: Operation, fault: Fault, tmp_path: Path) -> None:
    """Before the blob is there, after it, and at the swap; and the command can be repeated."""
    store = MemoryStore()
    rig = Rig(store, tmp_path)
    rig.update(document("A-1"))
    store.faults.next(operation, fault)
    with pytest.raises(StoreError):
        rig.update(document("A-2"))
    was_written = operation == "write" and fault is Fault.AFTER
    assert rig.ids() == ["A-2" if was_written else "A-1"]
    rig.update(document("A-2"))
    assert rig.ids() == ["A-2"]


def test_the_log_has_each_change(rig: Rig) -> None:
    """With its user and what was taken in."""
    rig.update(document("MAL-1"))
    rig.update(document("A-1"), source="acme")
    remove_advisories(rig.store, rig.access, "acme", origin=Origin(user="bob"))
    first, _, last = rig.access.log()
    assert {key: first[key] for key in ("action", "user", "source", "advisories", "malicious", "origin")} == {
        "action": "osv-update",
        "user": "ann",
        "source": "osv",
        "advisories": 1,
        "malicious": 1,
        "origin": "all.zip",
    }
    assert (last["action"], last["user"], last["source"]) == ("osv-remove", "bob", "acme")


def test_garbage_is_what_no_source_names(rig: Rig) -> None:
    """And is kept for a while, since workers may read documents of it."""
    rig.update(document("A-1"))
    rig.update(document("A-2"))
    (kept,) = (each.key for each in rig.access.read().state.document.advisories.values())
    assert len(rig.blobs()) == 2
    indexes = lambda: all_indexes(rig.store)  # noqa: E731 - as the command gives it
    collected = collect_garbage(rig.store, indexes)
    assert (collected.blobs, collected.young) == ([], 1)
    collected = collect_garbage(rig.store, indexes, older_than=0.0)
    assert len(collected.blobs) == 1
    assert rig.blobs() == [kept]
    assert rig.ids() == ["A-2"]
    rig.update(document("A-1"))  # the same bytes again
    assert rig.ids() == ["A-1"]


def test_data_that_is_removed_while_it_is_taken_in_again(tmp_path: Path) -> None:
    """By a removal that found it old before it was made young: it is stored once more."""
    store = MemoryStore()
    rig = Rig(store, tmp_path)
    rig.update(document("A-1"))
    (old,) = rig.blobs()
    rig.update(document("A-2"))
    store.faults.call("write", lambda: store.blobs.remove(old))
    rig.update(document("A-1"))
    assert rig.ids() == ["A-1"]


def test_check_verifies_the_data(rig: Rig) -> None:
    """A missing blob is damage, with the remedy; one that no source names is an orphan."""
    rig.update(document("A-1"))
    assert rig.check().findings == []
    rig.update(document("A-2"))
    (orphan,) = rig.check().findings
    assert (orphan.severity, orphan.code) == (Found.ORPHAN, "orphan")
    (source,) = rig.access.read().state.document.advisories.values()
    rig.store.blobs.remove(source.key)
    damage = next(each for each in rig.check().findings if each.severity is Found.DAMAGE)
    assert damage.code == "missing-advisories"
    assert "quire osv update" in damage.sentence
    with pytest.raises(StoreError, match="take them in again"):
        rig.ids()


def test_other_versions_keep_the_sources(rig: Rig) -> None:
    """A version that does not know them, and fields of later versions that this one does not know."""
    rig.update(document("A-1"))
    record = rig.store.records.read(KEY)
    stored = msgspec.json.decode(record.data or b"")
    assert stored["format"] == 1
    stored["advisories"]["osv"]["later"] = [1]
    again = msgspec.json.decode(encode_access(decode_access(msgspec.json.encode(stored))))
    assert again["advisories"] == stored["advisories"]
    rig.store.records.write(KEY, msgspec.json.encode(stored), record)
    rig.update(document("A-2"))
    assert msgspec.json.decode(rig.store.records.read(KEY).data or b"")["advisories"]["osv"]["later"] == [1]


def test_one_object_stands_for_one_state(rig: Rig) -> None:
    """A worker keeps what it has read, and reads what is new alone."""
    cache = AdvisoryCache(rig.store)
    rig.update(document("A-1"))
    rig.update(document("B-1"), source="acme")
    known = cache.at(rig.access.read().state.document.advisories)
    states = [known.is_loaded]
    known.load()
    assert [*states, known.is_loaded] == [False, True]
    assert cache.at(rig.access.read().state.document.advisories) is known
    rig.update(document("A-2"))
    after = cache.at(rig.access.read().state.document.advisories)
    assert after is not known
    assert after.sources["acme"] is known.sources["acme"]
    assert not after.is_loaded
    assert [each.id for each in known.of("demo", "1.0")] == ["B-1", "A-1"]
