"""The check of a store and its garbage collection: every sort of damage is found, repaired without loss, and a store in
use is never accused or robbed.

Replaced here: the clock of the store, since ctimes cannot be set, and a file that changes between two system calls.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.domain.changes import publish as add
from quire.domain.errors import StoreError
from quire.domain.namespaces import with_grant
from quire.domain.project import File, Project, Status, decode_project, encode_project
from quire.domain.promotions import JOURNAL, Promotion, State, prepared
from quire.domain.publishing_sessions import OpenSession
from quire.dropin.facts import decode_facts, encode_facts
from quire.dropin.files import Fingerprint, private_name
from quire.dropin.folder import Folder
from quire.index.audit.entries import Origin, timestamp
from quire.index.commits import blob_keys
from quire.index.file_blobs import entry_of, store_blobs
from quire.index.index import Index, all_indexes
from quire.index.upload import examine, upload_key
from quire.operations.checking import GRACE, Check, Checked, Finding, Severity, collect_garbage
from quire.operations.checking.references import project_of
from quire.operations.publishing_sessions import Sessions
from quire.process.progress import Progress
from quire.store.contracts import StoredBlob
from quire.store.faults import Fault
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from tests.clocks import Clock
from tests.distributions import make_wheel, wheel_name
from tests.index.test_index import staged_wheel

WHEEL = wheel_name("alpha", "1.0")


def publish(index: Index, name: str = "alpha", version: str = "1.0") -> File:
    """A wheel with all companions."""
    staging = index.store.blobs.stage(upload_key(wheel_name(name, version)))
    staging.write(make_wheel(name, version))
    upload = examine(staging.finish(), wheel_name(name, version), signature=b"signature", provenance=b"[{}]")
    change = index.publish([upload])
    assert change.after is not None
    return change.after.files[wheel_name(name, version)]


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(PosixStore.open(tmp_path))


def check(root: Path, **options: Any) -> Checked:
    """A check by a process of its own."""
    store = PosixStore.open(root)
    inspector = PosixInspector(store)
    return Check(store, lambda: all_indexes(store), inspector, **options).run()


def only(checked: Checked) -> Finding:
    (finding,) = checked.findings
    return finding


def blob_path(root: Path, file: File, suffix: str = "") -> Path:
    return root / "quire" / "blobs" / str(file.blob) / f"{file.filename}{suffix}"


def damage_record(root: Path, name: str = "alpha") -> Path:
    """Overwrite the highest revision with garbage."""
    highest = max((root / "quire" / "records" / "main" / "projects" / name).glob("*.json"))
    highest.write_bytes(b'{"format": 1, "na')
    return highest


def test_a_good_store_is_in_order(tmp_path: Path, index: Index) -> None:
    """Nothing is found in a store with uploads, deletions, a project created again, and two indexes."""
    publish(index)
    publish(index, "beta")
    publish(Index(index.store, "other"), "gamma")
    index.set_status("alpha", Status.DEPRECATED, "old")
    index.remove_blobs(index.delete("beta", Selection()).removed)
    checked = check(tmp_path)
    assert checked.findings == []
    assert (checked.projects, checked.files, checked.counts[Severity.DAMAGE]) == (2, 2, False)
    assert checked.bytes > 0
    publish(index, "beta")
    assert check(tmp_path, quick=True).findings == []
    assert check(tmp_path, repair=True).findings == []


def test_keys_of_blobs_are_recognised(index: Index) -> None:
    """Keys that the index stores are recognised as a project's; others are not."""
    file = publish(index)
    assert {project_of(key) for key in blob_keys(file)} == {"alpha"}
    for key in ("alpha/file", "alpha/publication/file", "Alpha/" + str(file.blob)[6:] + "/f", "a/b/c/d"):
        assert project_of(key) is None


@pytest.mark.parametrize(
    ("suffix", "content", "code", "quick"),
    [
        ("", None, "missing-file", True),
        ("", b"short", "damaged-file", True),
        ("", "same size", "damaged-file", False),
        (".metadata", None, "missing-metadata", True),
        (".metadata", b"other", "damaged-metadata", False),
        (".asc", None, "missing-signature", True),
        (".attestations", None, "missing-attestations", True),
        (".attestations", b"other", "damaged-attestations", False),
    ],
)
def test_damaged_blobs(tmp_path: Path, index: Index, suffix: str, content: Any, code: str, quick: bool) -> None:
    """Each is found (by a quick check where it can), and repaired: what is listed can be served, nothing is lost."""
    file = publish(index)
    publish(index, version="2.0")
    path = blob_path(tmp_path, file, suffix)
    before = path.read_bytes()
    path.unlink()
    broken = b"x" * len(before) if content == "same size" else content
    if broken is not None:
        path.write_bytes(broken)
    found = only(check(tmp_path))
    assert (found.severity, found.code, found.where) == (Severity.DAMAGE, code, f"main/projects/alpha/{WHEEL}")
    assert bool(check(tmp_path, quick=True).counts[Severity.DAMAGE]) is quick
    repaired = check(tmp_path, repair=True)
    assert repaired.counts[Severity.DAMAGE]
    assert not repaired.has_open_damage
    assert not check(tmp_path).counts[Severity.DAMAGE]
    after = index.project("alpha")
    assert after is not None
    assert (WHEEL in after.files) is bool(suffix)
    if suffix == ".metadata":
        assert path.read_bytes() == before
        assert after.files[WHEEL].metadata_sha256 == hashlib.sha256(before).hexdigest()
    if suffix == ".asc":
        assert not after.files[WHEEL].signed
    if suffix == ".attestations":
        assert (after.files[WHEEL].attested, after.files[WHEEL].provenance_sha256) == (False, None)
    if broken is not None:
        kept = tmp_path / "quire" / "damaged" / "blobs" / str(file.blob) / path.name
        assert kept.read_bytes() == broken


def test_attestations_that_an_earlier_version_kept_are_removed(tmp_path: Path, index: Index) -> None:
    """They were never verified: no damage, but not listed any more after a repair, which keeps a copy."""
    file = publish(index)

    def as_kept_before(project: Project | None) -> Project:
        assert project is not None
        entry = msgspec.structs.replace(project.files[WHEEL], provenance_sha256=None)
        return msgspec.structs.replace(project, files={WHEEL: entry})

    index.amend("alpha", as_kept_before)
    finding = only(check(tmp_path))
    assert (finding.severity, finding.code) == (Severity.LEFTOVER, "unverified-attestations")
    repaired = only(check(tmp_path, repair=True))
    assert "kept as damaged/blobs/" in str(repaired.repair)
    after = index.project("alpha")
    assert after is not None
    assert (after.files[WHEEL].attested, after.files[WHEEL].signed) == (False, True)
    assert not blob_path(tmp_path, file, ".attestations").exists()
    assert check(tmp_path).findings == []


@pytest.mark.parametrize("source", ["another blob", "a drop-in file"])
@pytest.mark.parametrize("harm", ["gone", "other bytes"])
def test_a_lost_file_is_restored_from_a_copy(tmp_path: Path, index: Index, source: str, harm: str) -> None:
    """The check names the copy; a repair publishes it again under its entry, with the signature that is left."""
    file = publish(index)
    index.yank("alpha", Selection(), "broken")
    path = blob_path(tmp_path, file)
    content = path.read_bytes()
    copy = tmp_path / WHEEL
    if source == "another blob":
        copy = blob_path(tmp_path, msgspec.structs.replace(file, blob=f"alpha/{file.sha256}-00000000"))
        copy.parent.mkdir()
    copy.write_bytes(content)
    false_copy = blob_path(tmp_path, msgspec.structs.replace(file, blob=f"alpha/{file.sha256}-0000000f"))
    false_copy.parent.mkdir()
    false_copy.write_bytes(content[:-1] + b"?")
    path.unlink()
    if harm == "other bytes":
        path.write_bytes(content[:-1] + b"?")
    folder = Folder([tmp_path])
    (found,) = [each for each in check(tmp_path, folder=folder).findings if each.severity is Severity.DAMAGE]
    where = str(copy) if source == "a drop-in file" else f"blobs/{copy.relative_to(tmp_path / 'quire/blobs')}"
    assert f"It can be restored from {where}, by --repair." in found.sentence
    (found,) = [
        each for each in check(tmp_path, repair=True, folder=folder).findings if each.severity is Severity.DAMAGE
    ]
    assert found.repair == f"It was restored from {where}."
    project = index.project("alpha")
    assert project is not None
    after = project.files[WHEEL]
    assert (after.sha256, after.yanked, after.uploaded) == (file.sha256, "broken", file.uploaded)
    assert (after.signed, after.attested, after.metadata_sha256) == (True, True, file.metadata_sha256)
    assert blob_path(tmp_path, after).read_bytes() == content
    assert not check(tmp_path).counts[Severity.DAMAGE]


@pytest.mark.parametrize("suffix", ["", ".metadata", ".asc", ".attestations"])
@pytest.mark.parametrize("of", ["open", "read"])
def test_an_error_in_passing_repairs_nothing(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch, suffix: str, of: str
) -> None:
    """A file that could not be opened or read, once, is reported and stays as it was: it may not be lost at all."""
    if (suffix, of) == (".asc", "read"):
        pytest.skip("a signature has no digest, and is not read")
    file = publish(index)
    before = index.project("alpha")
    store = PosixStore.open(tmp_path)
    opened, failed = store.blobs.open, []

    def fails(*_: object) -> None:
        failed.append(of)
        monkeypatch.undo()
        raise StoreError("The store cannot read a file: Input/output error (EIO).")

    def fail_once(key: str) -> Any:
        if failed or key != f"{file.blob}/{file.filename}{suffix}":
            return opened(key)
        if of == "open":
            fails()
        blob = opened(key)
        monkeypatch.setattr(type(blob), "read_at", fails)
        return blob

    store.blobs.open = fail_once  # type: ignore[method-assign] # a disk that answers with an error
    found = only(Check(store, lambda: all_indexes(store), PosixInspector(store), repair=True).run())
    assert failed
    assert found.code.startswith("unreadable-")
    assert found.repair is None
    assert "--repair leaves it alone" in found.sentence
    assert index.project("alpha") == before
    assert check(tmp_path).findings == []


def test_metadata_that_cannot_be_read_again_now_stays_offered(tmp_path: Path, index: Index) -> None:
    """The metadata is lost; the file that has it too cannot be read a moment: another repair can bring it back."""
    file = publish(index)
    blob_path(tmp_path, file, ".metadata").unlink()
    store = PosixStore.open(tmp_path)
    opened, calls = store.blobs.open, []

    def fail_second(key: str) -> Any:
        calls.append(key)
        if key == f"{file.blob}/{file.filename}" and calls.count(key) == 2:
            raise StoreError("The store cannot open a file: Input/output error (EIO).")
        return opened(key)

    store.blobs.open = fail_second  # type: ignore[method-assign] # a disk that answers with an error
    found = only(Check(store, lambda: all_indexes(store), PosixInspector(store), repair=True).run())
    assert (found.code, found.repair) == ("missing-metadata", None)
    assert check(tmp_path, repair=True).findings[0].repair is not None
    assert check(tmp_path).findings == []


def test_a_lost_file_without_a_copy_is_reported(tmp_path: Path, index: Index) -> None:
    """There is one thing left to do, and the sentence says it."""
    blob_path(tmp_path, publish(index)).unlink()
    assert "publish the same file again" in only(check(tmp_path, folder=Folder([tmp_path]))).sentence
    publish(index)
    assert not check(tmp_path).counts[Severity.DAMAGE]


def test_a_lost_file_of_an_archived_project_stays_listed(tmp_path: Path, index: Index) -> None:
    """It takes no files, but there is a copy: the damage stays open, and nothing is taken out."""
    file = publish(index)
    index.set_status("alpha", Status.ARCHIVED)
    path = blob_path(tmp_path, file)
    (tmp_path / WHEEL).write_bytes(path.read_bytes())
    path.unlink()
    found = only(check(tmp_path, repair=True, folder=Folder([tmp_path])))
    assert (found.repair, "is the project archived?" in found.sentence) == (None, True)
    project = index.project("alpha")
    assert project is not None
    assert WHEEL in project.files


def test_a_damaged_record_goes_back_to_the_newest_good_revision(tmp_path: Path, index: Index) -> None:
    """The loss is reported; the damaged document and the files that it alone listed are kept."""
    publish(index)
    index.yank("alpha", Selection(filename=WHEEL), "reason")
    lost = publish(index, version="2.0")
    path = damage_record(tmp_path)
    found = only(check(tmp_path))
    assert (found.code, found.repair) == ("damaged-record", None)
    repaired = check(tmp_path, repair=True)
    finding = next(each for each in repaired.findings if each.severity is Severity.DAMAGE)
    assert "Revision 2 is in force again, so the changes of revision 3 are lost" in str(finding.repair)
    assert lost.filename in str(finding.repair)
    project = index.project("alpha")
    assert project is not None
    assert {name: file.yanked for name, file in project.files.items()} == {WHEEL: "reason"}
    kept = tmp_path / "quire" / "damaged"
    assert (kept / "records" / "main" / "projects" / "alpha" / path.name).read_bytes() == path.read_bytes()
    for key in blob_keys(lost):
        assert (kept / "blobs" / key).exists()
    again = check(tmp_path)
    assert {each.severity for each in again.findings} == {Severity.ORPHAN}
    publish(index, version="2.0")


@pytest.mark.parametrize("deleted_before", [False, True])
def test_a_record_without_a_good_revision_is_left_alone(tmp_path: Path, index: Index, deleted_before: bool) -> None:
    """There is nothing to go back to, or only "deleted": neither the record nor a blob of it is touched."""
    if deleted_before:
        publish(index)
        index.remove_blobs(index.delete("alpha", Selection()).removed)
    publish(index)
    path = damage_record(tmp_path)
    before = path.read_bytes()
    checked = check(tmp_path, repair=True)
    assert checked.has_open_damage
    assert "restore it from a backup" in only(checked).sentence
    assert path.read_bytes() == before
    collected = collect_garbage(index.store, lambda: [index], older_than=0)
    assert (collected.skipped, collected.blobs) == (["alpha"], [])


@pytest.mark.parametrize("of", ["a project", "a deleted project", "a deleted project's whole note"])
def test_a_damaged_list_of_deleted_files(tmp_path: Path, index: Index, of: str) -> None:
    """It is told, and after a repair what can be read of it counts again; the damaged document is kept."""
    publish(index)
    publish(index, version="2.0")
    index.remove_blobs(index.delete("alpha", Selection(version="1.0")).removed)
    if of != "a project":
        index.remove_blobs(index.delete("alpha", Selection()).removed)
    assert (check(tmp_path).findings, check(tmp_path).deleted) == ([], 1 if of == "a project" else 2)
    newest = max((tmp_path / "quire/records/main/projects/alpha").glob("*.json"))
    damaged = newest.read_bytes().replace(b'"log":', b'"deleted_packed": [{"names": "x", "sha256": ""}],\n "log":')
    if of == "a deleted project's whole note":
        damaged = damaged.replace(b'"deleted"', b'"deleted')
    newest.write_bytes(damaged)
    found = [each for each in check(tmp_path).findings if each.severity is Severity.DAMAGE]
    assert [(each.code, each.where) for each in found] == [("damaged-tombstones", "main/projects/alpha")]
    with pytest.raises(StoreError, match="quire check"):
        publish(index, version="3.0")
    repaired = check(tmp_path, repair=True)
    assert repaired.counts[Severity.DAMAGE]
    assert not repaired.has_open_damage
    assert not check(tmp_path).counts[Severity.DAMAGE]
    (kept,) = (tmp_path / "quire/damaged/records/main/projects/alpha").iterdir()
    assert b"deleted_packed" in kept.read_bytes()
    readable = {"a project": 1, "a deleted project": 2}
    assert len(index.deleted("alpha")) == readable.get(of, 0)
    publish(index, version="3.0")


def test_a_newer_format_is_not_repaired(tmp_path: Path, index: Index) -> None:
    """A record that only a newer quire understands is reported, and never replaced by an older revision."""
    publish(index)
    key = index.key("alpha")
    record = index.store.records.read(key)
    newer = (record.data or b"").replace(b'"format": 1', b'"format": 999')
    index.store.records.write(key, newer, record)
    found = only(check(tmp_path, repair=True))
    assert (found.code, found.repair) == ("newer-format", None)
    assert index.store.records.read(key).data == newer


def damage(index: Index, key: str) -> bytes:
    """Overwrite a record with garbage; what it was."""
    record = index.store.records.read(key)
    index.store.records.write(key, b"damaged", record)
    return record.data or b""


def promote_half(index: Index, name: str) -> File:
    """A promotion whose worker died after its commit, before it folded the file of a new project."""
    upload = staged_wheel(index.store, name, "1.0")
    file, journal = entry_of(upload), index.commits.journal
    store_blobs(index.store.blobs, upload, file)

    def transition(found: Project | None) -> Project:
        return prepared(found, add(found, name, [file]), "1")

    index.commits.make(index.key(name), transition, "publish", Origin(), promotion="1")
    entry = Promotion(state=State.COMMITTED, source="pr-1", projects=(name,), begun=timestamp())
    journal.change(lambda found: {**found, "1": entry})
    return file


@pytest.mark.parametrize("is_needed", [True, False])
def test_a_damaged_journal_of_promotions(tmp_path: Path, index: Index, is_needed: bool) -> None:
    """It is told, and taken out of use where no project has files of which only it says whether they are published."""
    publish(index)
    if is_needed:
        promote_half(index, "beta")
    else:
        entry = Promotion(state=State.OPEN, source="pr-1", projects=("beta",), begun=timestamp())
        index.commits.journal.change(lambda found: {**found, "1": entry})
    good = damage(index, f"main/projects/{JOURNAL}")
    found = only(check(tmp_path))
    assert (found.code, found.where, found.repair) == ("damaged-record", f"main/projects/{JOURNAL}", None)
    assert ("published in beta" in found.sentence) == is_needed
    assert check(tmp_path, repair=True).has_open_damage == is_needed
    if is_needed:
        record = index.store.records.read(found.where)
        index.store.records.write(found.where, good, record)
    assert check(tmp_path).findings == []
    assert index.names() == (("alpha", "beta") if is_needed else ("alpha",))


def test_a_journal_of_a_newer_version_is_not_repaired(tmp_path: Path, index: Index) -> None:
    """This version cannot say what it needs."""
    key = f"main/projects/{JOURNAL}"
    newer = b'{"format": 999, "promotions": {}}'
    index.store.records.write(key, newer, index.store.records.read(key))
    found = only(check(tmp_path, repair=True))
    assert (found.code, found.repair) == ("newer-format", None)
    assert index.store.records.read(key).data == newer


def test_garbage_is_collected_beside_a_damaged_journal(tmp_path: Path, index: Index) -> None:
    """Files that its promotion published are not removed, and are there when the journal is."""
    file = promote_half(index, "beta")
    orphan = publish(index)
    index.delete("alpha", Selection())
    good = damage(index, f"main/projects/{JOURNAL}")
    for dry_run in (True, False):
        collected = collect_garbage(index.store, lambda: [index], older_than=0, dry_run=dry_run)
        assert {blob.key for blob in collected.blobs} == set(blob_keys(orphan))
        assert len(collected.damaged) == 1
        assert JOURNAL in collected.damaged[0]
    record = index.store.records.read(f"main/projects/{JOURNAL}")
    index.store.records.write(record.key, good, record)
    assert collect_garbage(index.store, lambda: [index], older_than=0).blobs == []
    project = index.project("beta")
    assert project is not None
    assert [*project.files] == [file.filename]
    assert check(tmp_path).findings == []


def test_a_damaged_session_is_taken_out_of_use(tmp_path: Path, index: Index) -> None:
    """It is told by its key; a repair keeps the document, and its client can begin again."""
    sessions = Sessions(index.store, AccessRecords(index.store), "main")
    token, _ = sessions.create("main", OpenSession(project="alpha", version="1.0"), Origin())
    sessions.create("main", OpenSession(project="beta", version="1.0"), Origin())
    damage(index, f"access/publishing/{token}")
    found = only(check(tmp_path))
    assert (found.code, found.where) == ("damaged-record", f"access/publishing/{token}")
    assert not check(tmp_path, repair=True).has_open_damage
    assert sessions.read(token) is None
    assert check(tmp_path).findings == []
    (kept,) = (tmp_path / "quire" / "damaged").rglob("*.json")
    assert (kept.read_bytes(), kept.stat().st_mode & 0o007) == (b"damaged", 0)


def test_a_store_without_repairs_names_the_remedy() -> None:
    """As one in a bucket: damaged documents are named, with what to do, and stay as they are."""
    index = Index(MemoryStore())
    sessions = Sessions(index.store, AccessRecords(index.store), "main")
    token, _ = sessions.create("main", OpenSession(project="alpha", version="1.0"), Origin())
    keys = [f"main/projects/{JOURNAL}", f"access/publishing/{token}"]
    for key in keys:
        damage(index, key)
    found = Check(index.store, lambda: [index], repair=True).run().findings
    assert [each.where for each in found] == keys
    assert all("Restore it from a backup" in each.sentence for each in found)


def test_a_record_under_another_name(tmp_path: Path, index: Index) -> None:
    """The display name must be a spelling of the key."""
    publish(index)
    key = index.key("alpha")
    record = index.store.records.read(key)
    project = decode_project(record.data or b"")
    index.store.records.write(key, encode_project(msgspec.structs.replace(project, name="beta")), record)
    assert only(check(tmp_path)).code == "wrong-name"
    assert not check(tmp_path, repair=True).has_open_damage
    assert check(tmp_path).findings == []


def test_what_is_not_listed_is_no_damage(tmp_path: Path, index: Index) -> None:
    """Orphans, leftovers and foreign names are told apart, with their age, and foreign ones are never touched."""
    publish(index)
    orphaned = publish(index, "beta")
    index.delete("beta", Selection())
    home = tmp_path / "quire"
    index.store.blobs.stage("alpha/x/file")
    foreign = [
        home / "notes.txt",
        home / "records" / "file",
        home / "records" / "main" / "projects" / "Upper",
        home / "records" / "main" / "projects" / "alpha" / "backup.json~",
        home / "records" / "main" / "projects" / "gone.deleted",
        home / "blobs" / "alpha" / "file",
        home / "blobs" / "file",
    ]
    for path in foreign:
        path.write_bytes(b"somebody's")
    (home / "blobs" / "alpha" / ("a" * 64 + "-00000000")).mkdir()
    (home / "records" / "main" / "projects" / ".nfs0001").write_bytes(b"")
    checked = check(tmp_path)
    assert not checked.counts[Severity.DAMAGE]
    found: dict[Severity, set[str]] = {severity: set() for severity in Severity}
    for finding in checked.findings:
        found[finding.severity].add(finding.where)
        assert finding.young is (finding.severity is not Severity.FOREIGN)
    assert found[Severity.FOREIGN] == {str(path.relative_to(home)) for path in foreign}
    assert found[Severity.ORPHAN] == {f"blobs/{key}" for key in blob_keys(orphaned)}
    assert len(found[Severity.LEFTOVER]) == 2
    old = check(tmp_path, grace=0, repair=True)
    assert {each.where for each in old.findings if each.repair} == found[Severity.LEFTOVER]
    after = check(tmp_path)
    assert {each.severity for each in after.findings} == {Severity.FOREIGN, Severity.ORPHAN}
    assert all(path.exists() for path in foreign)


def test_the_list_of_names_is_put_right(tmp_path: Path, index: Index) -> None:
    """A marker without reason hides a project, a missing one shows a deleted one; an announcement means neither."""
    publish(index)
    publish(index, "beta")
    index.delete("beta", Selection())
    names = tmp_path / "quire" / "records" / "main" / "projects"
    (names / "alpha.deleted").touch()
    (names / "beta.deleted").unlink()
    (names / "empty").mkdir()
    assert index.names() != ("alpha",)
    (names / "alpha.00.changing").touch()
    codes = [(each.code, each.where.rpartition("/")[2]) for each in check(tmp_path).findings if each.code != "orphan"]
    assert codes == [("announcement", "alpha.00.changing"), ("marker", "beta"), ("no-revision", "empty")]
    (names / "alpha.00.changing").unlink()
    assert [each.code for each in check(tmp_path).findings if each.severity is Severity.DAMAGE] == ["marker", "marker"]
    assert not check(tmp_path, repair=True, grace=0).has_open_damage
    assert Index(PosixStore.open(tmp_path)).names() == ("alpha",)
    assert {each.severity for each in check(tmp_path).findings} == {Severity.ORPHAN}


def between(store: Any, action: Callable[[], object], name: str) -> None:
    """Run `action` once, right after the named method of the store's blobs has answered."""
    original = getattr(store.blobs, name)
    done: list[bool] = []

    def listing(*arguments: Any) -> Iterator[StoredBlob]:
        found = list(original(*arguments))
        if not done:
            done.append(True)
            action()
        return iter(found)

    setattr(store.blobs, name, listing)


def test_a_store_in_use_is_not_accused() -> None:
    """Whatever is published, replaced or deleted between the check's looks is no damage and no orphan."""
    state = MemoryState()
    store = MemoryStore(state)
    worker = Index(MemoryStore(state))
    publish(worker)
    publish(worker, "beta")

    def meanwhile() -> None:
        publish(worker, "gamma")
        worker.remove_blobs(worker.delete("beta", Selection()).removed)

    between(store, meanwhile, "list")
    assert Check(store, lambda: [Index(store)]).run().findings == []


def test_a_file_deleted_during_the_check() -> None:
    """The record was read before the deletion, the blob looked for after it: no damage."""
    state = MemoryState()
    store = MemoryStore(state)
    worker = Index(MemoryStore(state))
    publish(worker)
    store.faults.call("open", lambda: worker.remove_blobs(worker.delete("alpha", Selection()).removed))
    assert Check(store, lambda: [Index(store)]).run().findings == []


def test_a_record_damaged_for_a_moment() -> None:
    """A record that another writer has replaced when it is looked at again is judged by what it is then."""
    state = MemoryState()
    store = MemoryStore(state)
    worker = Index(MemoryStore(state))
    publish(worker)
    key = worker.key("alpha")
    good = worker.store.records.read(key).data
    worker.store.records.write(key, b"garbage", worker.store.records.read(key))
    store.faults.call("read", lambda: worker.store.records.write(key, good, worker.store.records.read(key)), skip=1)
    assert Check(store, lambda: [Index(store)]).run().findings == []


def test_garbage_is_unlisted_and_old(tmp_path: Path, index: Index) -> None:
    """Deleted files' blobs go, listed ones stay, in all indexes; a dry run only says so."""
    kept = publish(index)
    other = Index(index.store, "other")
    publish(other)
    orphan = publish(index, "beta")
    index.delete("beta", Selection())
    staging = index.store.blobs.stage("alpha/x/file")
    store = PosixStore.open(tmp_path)

    def indexes() -> list[Index]:
        return all_indexes(store)

    young = collect_garbage(store, indexes)
    assert (young.blobs, young.young, young.swept) == ([], 4, 0)
    dry = collect_garbage(store, indexes, older_than=0, dry_run=True)
    assert {blob.key for blob in dry.blobs} == set(blob_keys(orphan))
    collected = collect_garbage(store, indexes, older_than=0)
    assert {blob.key for blob in collected.blobs} == set(blob_keys(orphan))
    assert (collected.bytes, collected.swept) == (dry.bytes, 1)
    staging.discard()
    assert check(tmp_path).findings == []
    assert blob_path(tmp_path, kept).exists()


def test_garbage_is_judged_by_the_record_right_before_it_goes() -> None:
    """A publication that had stored its blobs before the listing and writes its record after it loses nothing."""
    state = MemoryState()
    store, worker = MemoryStore(state), Index(MemoryStore(state))
    write = worker.store.records.write
    collected = []

    def collecting(*arguments: Any) -> Any:
        worker.store.records.write = write  # type: ignore[method-assign] # back to what it was
        between(store, lambda: write(*arguments), "list")
        collected.append(collect_garbage(store, lambda: [Index(store)], older_than=0))
        raise AssertionError("the record was written by the action above")

    worker.store.records.write = collecting  # type: ignore[method-assign, assignment] # the test's moment
    with pytest.raises(AssertionError):
        publish(worker)
    assert [each.blobs for each in collected] == [[]]
    project = worker.project("alpha")
    assert project is not None
    for key in blob_keys(project.files[WHEEL]):
        store.blobs.open(key).close()


def test_foreign_files_are_no_garbage(tmp_path: Path, index: Index) -> None:
    """Only what a publication could have stored is ever removed."""
    path = tmp_path / "quire" / "blobs" / "alpha" / "not-a-publication" / "file"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"somebody's")
    assert collect_garbage(index.store, lambda: [index], older_than=0).blobs == []
    assert path.exists()


def test_a_store_that_cannot_be_written_is_checked_all_the_same(tmp_path: Path, index: Index) -> None:
    """Looking needs no right to write."""
    blob_path(tmp_path, publish(index)).unlink()
    store = PosixStore.open(tmp_path, read_only=True)
    found = only(Check(store, lambda: [Index(store)], PosixInspector(store)).run())
    assert found.code == "missing-file"


def test_progress_is_reported(tmp_path: Path, index: Index) -> None:
    """The bytes announced are the bytes of all blobs; those advanced are what was read."""
    publish(index)

    @dataclasses.dataclass
    class Meter(Progress):
        total: int = 0
        done: int = 0

        def step(self, title: str, total: int) -> None:
            self.total = total

        def advance(self, amount: int) -> None:
            self.done += amount

    meter = Meter()
    checked = check(tmp_path, progress=meter)
    assert 0 < meter.done == checked.bytes <= meter.total


def test_garbage_is_left_to_downloads_under_way() -> None:
    """However old a file is: what was deleted or replaced a moment ago stays, and goes when that is long ago."""
    clock = Clock()
    state = MemoryState(clock)
    index = Index(MemoryStore(state))
    deleted, replaced = publish(index), publish(index, "beta")
    clock.now += 10 * GRACE
    index.delete("alpha", Selection())
    staging = index.store.blobs.stage(upload_key(wheel_name("beta", "1.0")))
    staging.write(make_wheel("beta", "1.0", files={"other": b"content"}))
    index.publish([examine(staging.finish(), wheel_name("beta", "1.0"))], overwrite=True)
    keys = {*blob_keys(deleted), *blob_keys(replaced)}
    collected = collect_garbage(index.store, lambda: [index])
    assert (collected.blobs, collected.young) == ([], len(keys))
    clock.now += GRACE + 1
    assert {blob.key for blob in collect_garbage(index.store, lambda: [index]).blobs} == keys


def test_a_deletion_while_garbage_is_collected_is_seen() -> None:
    """The blobs were listed, old as they are, before the deletion; the record was read after it."""
    clock = Clock()
    state = MemoryState(clock)
    store, worker = MemoryStore(state), Index(MemoryStore(state))
    publish(worker)
    clock.now += 10 * GRACE
    between(store, lambda: worker.delete("alpha", Selection()), "list")
    collected = collect_garbage(store, lambda: [Index(store)])
    assert (collected.blobs, collected.young) == ([], 4)


def test_the_first_deletion_of_an_index_while_garbage_is_collected_is_seen() -> None:
    """The index gets its trash after the indexes were listed, and the collection takes longer than the age that it asks
    for: what is in that trash can be restored."""
    clock = Clock()
    state = MemoryState(clock)
    store, worker = MemoryStore(state), Index(MemoryStore(state), trash_seconds=86400)
    publish(worker)
    clock.now += 10 * GRACE
    asked: list[bool] = []

    def indexes() -> list[Index]:
        found = all_indexes(store)
        asked.append(True)
        if len(asked) == 2:  # the blobs are listed
            worker.delete("alpha", Selection())
            clock.now += 2 * GRACE
        return found

    assert collect_garbage(store, indexes).blobs == []
    assert len(worker.trash.files("alpha")) == 1
    worker.restore("alpha", lambda _: True)
    assert Check(store, lambda: all_indexes(store)).run().findings == []


def test_a_collection_reads_each_record_once() -> None:
    """However many files a project has: each read is a round trip to a bucket or a file server."""
    reads = []
    for versions in (1, 5):
        store = MemoryStore()
        for name in ("main", "other", "third"):
            publish(Index(store, name))
        for version in range(versions):
            publish(Index(store), version=f"1.{version}")
        collecting = store.shared()
        calls: list[str] = []
        read = collecting.records.read

        def counted(key: str, *more: Any, read: Any = read, calls: list[str] = calls) -> Any:
            calls.append(key)
            return read(key, *more)

        collecting.records.read = counted  # type: ignore[method-assign, assignment] # counts
        collect_garbage(collecting, partial(all_indexes, collecting), dry_run=True)
        reads.append(len(calls))
    assert reads[0] == reads[1]


def test_a_first_deletion_during_the_check_is_no_orphan() -> None:
    """Its file is in a trash that was no index when the check began."""
    state = MemoryState()
    store, worker = MemoryStore(state), Index(MemoryStore(state), trash_seconds=86400)
    publish(worker)
    asked: list[bool] = []

    def indexes() -> list[Index]:
        found = all_indexes(store)
        if not asked:
            asked.append(True)
            worker.delete("alpha", Selection())
        return found

    assert Check(store, indexes).run().findings == []


def test_a_crash_during_a_deletion_leaves_nothing_old() -> None:
    """The age is reset before the commit: a death right after it leaves nothing for the collector to take at once,
    and one right before it leaves the file listed."""
    clock = Clock()
    state = MemoryState(clock)
    store = MemoryStore(state)
    index = Index(store)
    file = publish(index)
    clock.now += 10 * GRACE
    for fault in (Fault.BEFORE, Fault.AFTER):
        store.faults.next("write", fault)
        with pytest.raises(StoreError):
            index.delete("alpha", Selection())
        other = MemoryStore(state)
        assert collect_garbage(other, lambda: [Index(other)]).blobs == []  # noqa: B023 - called at once
    assert index.project("alpha") is None
    clock.now += GRACE + 1
    assert {blob.key for blob in collect_garbage(store, lambda: [index]).blobs} == set(blob_keys(file))


def test_a_deletion_does_not_depend_on_ages() -> None:
    """That an age cannot be set is no reason not to delete."""
    store = MemoryStore()
    index = Index(store)
    publish(index)
    for _ in range(4):
        store.faults.next("renew", Fault.BEFORE)
    index.delete("alpha", Selection())
    assert len(store.faults.happened) == 4
    assert index.project("alpha") is None


def test_ages_are_those_of_the_disk(tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the clock of the file system a day ahead, a file is old, until it is deleted; its times stay."""
    file = publish(index)
    path = blob_path(tmp_path, file)
    os.utime(path, (5, 7))
    store = PosixStore.open(tmp_path)
    monkeypatch.setattr(store.blobs, "now", lambda: path.stat().st_ctime + GRACE)
    assert [blob.age for blob in store.blobs.list() if blob.key.endswith(".whl")] == [GRACE]
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:  # until the clock of the file system has moved on
        index.store.blobs.renew(f"{file.blob}/{file.filename}")
    assert (path.stat().st_atime, path.stat().st_mtime) == (5, 7)
    monkeypatch.setattr(store.blobs, "now", lambda: before / 1e9 + GRACE)
    index.delete("alpha", Selection())
    left = collect_garbage(store, lambda: [Index(store)])
    assert (left.blobs, left.young) == ([], 4)
    monkeypatch.setattr(store.blobs, "now", lambda: before / 1e9 + 2 * GRACE)
    assert len(collect_garbage(store, lambda: [Index(store)]).blobs) == 4
    assert list(path.parent.parent.iterdir()) == []


def test_empty_folders_of_publications_are_removed_when_they_are_old(tmp_path: Path, index: Index) -> None:
    """Empty folders left by a crash go; folders with content, and folders of projects, stay."""
    kept = publish(index)
    folders = [tmp_path / "quire" / "blobs" / name / ("a" * 64 + "-00000000") for name in ("alpha", "gone")]
    for folder in folders:
        folder.mkdir(parents=True)
    assert collect_garbage(index.store, lambda: [index]).swept == 0
    assert collect_garbage(index.store, lambda: [index], older_than=0, dry_run=True).swept == 0
    assert all(folder.exists() for folder in folders)
    collected = collect_garbage(index.store, lambda: [index], older_than=0)
    assert collected.swept == 2
    assert [folder.exists() for folder in folders] == [False, False]
    assert [folder.parent.exists() for folder in folders] == [True, True]
    assert blob_path(tmp_path, kept).exists()


def test_a_folder_that_is_removed_while_it_is_published_into(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time a publisher has made its folder, a collector takes it for an empty one; the publication succeeds."""
    collector = PosixStore.open(tmp_path)
    real = os.open
    met: list[int] = []

    def overtaken(path: str, flags: int, *more: Any, **named: Any) -> int:
        if "/blobs/" in path and flags & os.O_CREAT and len(met) < 3:
            met.append(collector.blobs.remove_empty_folders(0))
        return real(path, flags, *more, **named)

    publish(index, "beta")
    monkeypatch.setattr(os, "open", overtaken)
    file = publish(index)
    assert met == [1, 1, 1]
    assert blob_path(tmp_path, file).exists()
    assert check(tmp_path).findings == []


def test_drop_in_files_are_counted_and_checked(tmp_path: Path, index: Index) -> None:
    """How many lie beside the store; those that are not whole, not readable or no longer what they were are named."""
    publish(index)
    for number in range(3):
        (tmp_path / wheel_name("dropped", f"1.{number}")).write_bytes(make_wheel("dropped", f"1.{number}"))
    old, rotten = tmp_path / "broken-1.0.zip", tmp_path / wheel_name("dropped", "1.2")
    old.write_bytes(b"PK")

    def checked(*, grace: float, quick: bool = False) -> tuple[list[tuple[str, str, str]], Checked]:
        folder = Folder([tmp_path], digests=index.store.records, exclude=[tmp_path / "quire"])
        found = Check(index.store, lambda: [index], folder=folder, grace=grace, quick=quick).run()
        return [(finding.severity, finding.code, finding.where) for finding in found.findings], found

    findings, found = checked(grace=3600)
    assert (found.projects, found.files, found.drop_in_projects, found.drop_in_files) == (1, 1, 2, 4)
    assert findings == [("leftover", "incomplete-drop-in", "broken-1.0.zip")]
    assert not found.counts[Severity.DAMAGE]
    findings, found = checked(grace=-1)
    assert findings == [("damage", "incomplete-drop-in", "broken-1.0.zip")]
    assert found.has_open_damage
    old.unlink()

    unprintable = tmp_path / "caf\udce9" / old.name
    unprintable.parent.mkdir()
    unprintable.write_bytes(b"")
    findings, found = checked(grace=-1)
    assert findings == [("damage", "unprintable-drop-in", f"caf\\xe9/{old.name}")]
    assert found.drop_in_files == 3
    unprintable.unlink()

    moved = [tmp_path / private_name(name) for name in (old.name, f"{rotten.name}.asc", "notes.txt")]
    for path in moved:
        path.write_bytes(b"")
    (tmp_path / f".{old.name}.partial").write_bytes(b"")
    findings, found = checked(grace=-1)
    assert findings == [("leftover", "moved-drop-in", path.name) for path in moved[:2]]
    assert f"rename it to {old.name}," in found.findings[0].sentence
    for path in moved:
        path.unlink()

    folder = Folder([tmp_path], digests=index.store.records, exclude=[tmp_path / "quire"])
    namespaces = with_grant((), "dropped", ["user:ann"], [])
    below = Check(index.store, lambda: [index], folder=folder, namespaces=namespaces).run().findings
    assert {(each.severity, each.code) for each in below} == {("foreign", "drop-in-in-namespace")}
    assert len(below) == 3

    fingerprint = Fingerprint.of(rotten.stat())
    facts = decode_facts(index.store.records.read("main/dropins/dropped").data)
    assert facts is not None
    wrong = {
        key: msgspec.structs.replace(each, past_racy_window=True, hashes=each.hashes | {"sha256": "0" * 64})
        if each.fingerprint == fingerprint
        else each
        for key, each in facts.items()
    }
    record = index.store.records.read("main/dropins/dropped")
    index.store.records.write("main/dropins/dropped", encode_facts(wrong), record)
    assert checked(grace=3600)[0] == [("damage", "damaged-drop-in", rotten.name)]
    assert checked(grace=3600, quick=True)[0] == []
