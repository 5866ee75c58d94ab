"""A filename never comes back with other bytes: what is kept of deleted files, and at which price.

Replaced here: the size of a pack, so that short sequences of changes make several.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain import tombstones
from quire.domain.changes import Selection
from quire.domain.errors import DamagedRecord, FileExists, FilenameUsed, NotFound, StoreFull
from quire.domain.project import File, Project, Status, decode_project, encode_project
from quire.domain.tombstones import NONE, Pack, Tombstones
from quire.index.audit.entries import entries_of
from quire.index.index import Index
from quire.operations.checking import collect_garbage
from quire.operations.checking.repair import Repairs
from quire.store.memory import MemoryState, MemoryStore
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, wheel_name
from tests.index.test_index import blobs, referenced, staged_wheel
from tests.index.test_large_projects import Calls
from tests.serving import until

FILENAME = wheel_name("a", "1.0")


@pytest.fixture
def index() -> Index:
    return Index(MemoryStore(MemoryState()))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def publish(index: Index, version: str = "1.0", *, variant: str = "", overwrite: bool = False) -> None:
    index.publish([staged_wheel(index.store, "a", version, variant=variant)], overwrite=overwrite)


# -- the rule ---------------------------------------------------------------------------------------------------------

WAYS: dict[str, Callable[[Index], object]] = {
    "the file": lambda index: index.delete("a", Selection(filename=FILENAME)),
    "the release": lambda index: index.delete("a", Selection(version="1")),
    "the project": lambda index: index.delete("a", Selection()),
    "by its own entry": lambda index: index.amend("a", lambda project: Project(name="a", status=Status.DEPRECATED)),
}


@pytest.mark.parametrize("others", [0, 1, 300])
@pytest.mark.parametrize("way", WAYS)
def test_a_deleted_filename_gets_no_other_content(index: Index, way: str, others: int) -> None:
    """However it was deleted, with other files or as the last one, long ago or just now: refused, and nothing stays."""
    publish(index)
    WAYS[way](index)
    if others:
        uploads = [staged_wheel(index.store, "a", f"2.{number}") for number in range(others)]
        index.publish(uploads)
        index.delete("a", Selection())
    change_nothing = index.store.records.read(index.key("a"))
    collect_garbage(index.store, lambda: [index], older_than=0)
    with pytest.raises(FilenameUsed, match="has been used before, for other content that was deleted") as told:
        publish(index, variant="other")
    assert "already exist" not in str(told.value)
    assert index.store.records.read(index.key("a"), change_nothing) is change_nothing
    assert blobs(index.store) == referenced(index)
    publish(index)
    project = index.project("a")
    assert project is not None
    assert FILENAME in project.files
    assert FILENAME not in index.deleted("a")


def test_a_file_out_of_several_is_enough(index: Index) -> None:
    """A release of which one filename was used before is refused as a whole."""
    publish(index)
    index.delete("a", Selection())
    collect_garbage(index.store, lambda: [index], older_than=0)
    with pytest.raises(FilenameUsed):
        index.publish([staged_wheel(index.store, "a", "2.0"), staged_wheel(index.store, "a", "1.0", variant="x")])
    assert index.project("a") is None
    assert blobs(index.store) == set()


def test_overwriting_lifts_the_rule(index: Index) -> None:
    """With overwrite the name gets other content, and from then on that is what it stands for."""
    publish(index)
    index.delete("a", Selection())
    publish(index, variant="new", overwrite=True)
    index.delete("a", Selection())
    with pytest.raises(FilenameUsed):
        publish(index)
    publish(index, variant="new")


def test_a_deleted_project_is_not_listed(index: Index) -> None:
    """Its record is absent as ever; only the note in its place has grown. Its history goes on."""
    publish(index)
    index.delete("a", Selection())
    assert index.names() == ()
    assert index.project("a") is None
    record = index.store.records.read(index.key("a"))
    assert record.data is None
    assert [entry["action"] for entry in entries_of(record)] == ["publish", "delete"]
    assert list(index.deleted("a")) == [FILENAME]
    publish(index, "2.0")
    assert list(index.deleted("a")) == [FILENAME]
    assert index.names() == ("a",)


def test_a_project_comes_back_under_the_name_of_its_new_file(index: Index) -> None:
    """As a new project would; what was deleted has no say in its spelling."""
    index.publish([staged_wheel(index.store, "My.Project", "1.0")])
    index.delete("my-project", Selection())
    index.publish([staged_wheel(index.store, "my_project", "2.0")])
    project = index.project("my-project")
    assert project is not None
    assert project.name == "my_project"


def test_a_drop_in_file_with_the_same_content_writes_nothing(index: Index) -> None:
    """An upload that a drop-in file answers changes nothing, also where a project was deleted."""
    publish(index)
    index.delete("a", Selection())
    record = index.store.records.read(index.key("a"))
    upload = staged_wheel(index.store, "a", "2.0")
    name = upload.parsed.filename
    existing = {name: File(filename=name, version="2.0", size=1, hashes={"sha256": upload.staged.digests.sha256})}
    for _ in range(2):
        assert not index.publish([staged_wheel(index.store, "a", "2.0")], existing=existing).changed
    assert index.store.records.read(index.key("a"), record) is record


@pytest.mark.parametrize("left", [b"", b'{"log": []}\n', b'{\n "log": []\n}\n'])
def test_a_deletion_by_an_earlier_version_promises_nothing(tmp_path: Path, left: bytes) -> None:
    """It kept no digests; its project can be published again, and from then on is remembered."""
    index = Index(PosixStore.open(tmp_path))
    publish(index)
    index.delete("a", Selection())
    newest = max((tmp_path / "quire/records/main/projects/a").iterdir())
    newest.write_bytes(b"null\n" + left)
    index = Index(PosixStore.open(tmp_path))
    publish(index, variant="other")
    index.delete("a", Selection())
    with pytest.raises(FilenameUsed):
        publish(index)


def test_a_file_that_check_takes_out_is_remembered(tmp_path: Path) -> None:
    """A repair is no way to other content either."""
    store = PosixStore.open(tmp_path)
    index = Index(store)
    publish(index)
    project = index.project("a")
    assert project is not None
    assert Repairs(store, PosixInspector(store)).withdraw(index, "a", project.files[FILENAME]) is not None
    with pytest.raises(FilenameUsed):
        publish(index, variant="other")
    publish(index)


def test_one_filename_means_one_content_in_a_race(tmp_path: Path) -> None:
    """Workers that publish content of their own under one name, and delete it, as fast as they can: whatever they
    acknowledged is of one content, also when the project is deleted and made again in between."""
    acknowledged: list[str] = []
    begin = threading.Barrier(4)

    def work(variant: str) -> None:
        index = Index(PosixStore.open(tmp_path))
        begin.wait()
        for _ in range(15):
            with contextlib.suppress(FileExists, NotFound):
                publish(index, variant=variant)
                acknowledged.append(variant)
                index.delete("a", Selection())

    PosixStore.open(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, "1234"))
    assert len(acknowledged) >= 15
    assert len(set(acknowledged)) == 1


def test_a_first_publication_and_its_deletion_in_one_batch_are_remembered() -> None:
    """Two threads of a worker wait for a write that fails: their changes come together, to a record that never was."""
    store, gate = MemoryStore(), threading.Event()
    index = Index(store)

    def refused() -> None:
        gate.wait(30)
        raise StoreFull("no space")

    store.faults.call("write", refused)
    changes: list[Callable[[], object]] = [
        lambda: publish(index, "0"),
        lambda: publish(index),
        lambda: index.delete("a", Selection()),
    ]
    with ThreadPoolExecutor(3) as pool:
        futures = []
        for number, change in enumerate(changes):
            futures.append(pool.submit(change))
            until(lambda number=number: index.commits.waiting(index.key("a")) == number + 1)  # type: ignore[misc]
        gate.set()
        assert [type(future.exception(30)) for future in futures] == [StoreFull, type(None), type(None)]
    assert list(index.deleted("a")) == [FILENAME]
    assert [entry["action"] for entry in entries_of(store.records.read(index.key("a")))] == ["publish", "delete"]
    assert index.names() == ()


# -- their form -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tombstones, "PACK_FILES", 3)


NAMES = st.sampled_from("abcdefghij")
STEPS = st.lists(st.tuples(st.sampled_from(("delete", "list")), st.dictionaries(NAMES, st.sampled_from("xyz"))))


@pytest.mark.usefixtures("small_packs")
@given(steps=STEPS)
def test_the_latest_content_of_a_name_counts(steps: list[tuple[str, dict[str, str]]]) -> None:
    """Packed or legible, deleted twice or listed meanwhile: as a plain dictionary has it."""
    kept, model = NONE, dict[str, str]()
    for step, files in steps:
        if step == "delete":
            digests = {name: digest(content) for name, content in files.items()}
            kept = kept.with_deleted(digests)
            model |= digests
        else:
            # A listed file hides its tombstone until it is deleted with the content it has then.
            kept = kept.with_listed(files).with_deleted({name: model[name] for name in files if name in model})
    assert kept.entries() == model
    assert {name: kept.get(name) for name in "abcdefghij"} == {name: model.get(name) for name in "abcdefghij"}
    document = msgspec.json.decode(msgspec.json.encode(kept.document()))
    assert Tombstones.of(document) == kept


def files_of(count: int) -> dict[str, str]:
    names = (f"acme_tools-1.{n // 50}.dev{20240000 + n}-cp31{n % 4}-cp31{n % 4}-linux_x86_64.whl" for n in range(count))
    return {name: digest(name) for name in names}


def test_many_deleted_files_stay_few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 of them: less than a megabyte in the record, and no look-up works on more than a pack at a time."""
    files = files_of(20_000)
    deleted = NONE.with_deleted(files)
    assert deleted.entries() == files
    listed = {name: File(filename=name, version="1", size=1, hashes={"sha256": "0" * 64}) for name in ("x", "y")}
    project = Project(name="acme-tools", files=listed, deleted=deleted)
    decode = Calls(monkeypatch, "decode")
    document = encode_project(project)
    assert len(document) < 50 * len(files)
    assert decode_project(document) == project
    decode.largest = 0
    assert deleted.get("never-published.whl") is None
    assert deleted.get("acme_tools-1.0.dev20240007-cp313-cp313-linux_x86_64.whl") is not None
    assert decode.largest < tombstones.MOST_NAME_BYTES
    note = msgspec.json.encode({"log": [], **deleted.document()})
    assert Tombstones.of_note(note, "key") == deleted


def test_deleting_again_and_again_does_not_grow(index: Index) -> None:
    """The same content, published and deleted as often as one likes, is kept once; also when it is packed."""
    files = files_of(400)
    deleted = NONE.with_deleted(files)
    size = len(msgspec.json.encode(deleted.document()))
    for _ in range(20):
        deleted = deleted.with_listed(files).with_deleted(files)
    assert len(msgspec.json.encode(deleted.document())) <= size * 1.2
    assert deleted.entries() == files


def test_the_latest_are_legible() -> None:
    """A person reads the last hundred and more of them in the record itself."""
    files = files_of(1000)
    deleted = NONE.with_deleted(files)
    assert 128 <= len(deleted.recent) < 256
    assert list(deleted.recent) == list(files)[-len(deleted.recent) :]


# -- damage -----------------------------------------------------------------------------------------------------------


def damaged(pack: Pack) -> Iterator[Pack]:
    """A pack that was edited by hand, or damaged by a disk."""
    for names in ("", "no base64!", pack.names[:-8], pack.names[4:], pack.names + "AAAA"):
        yield Pack(names, pack.sha256)
    for digests in ("", "no base64!", pack.sha256[:-4]):
        yield Pack(pack.names, digests)


def test_a_damaged_pack_is_an_error() -> None:
    """An unreadable pack is never taken for the absence of a name."""
    good = Pack.of(files_of(20))
    name = next(iter(good.entries()))
    told = 0
    for pack in damaged(good):
        try:
            assert Tombstones(packs=(pack,)).get(name) == digest(name)  # some damage does not matter
        except DamagedRecord:
            told += 1
    assert told >= 7


def test_a_pack_cannot_inflate_without_bound() -> None:
    """A megabyte of zeros in a kilobyte was not made by quire, and is not read."""
    bomb = Pack.of({"0" * 1_000_000: digest("x")})
    assert len(bomb.names) < 2000
    with pytest.raises(DamagedRecord, match="too long"):
        bomb.get("a")


@pytest.mark.parametrize("of", ["a project", "a deleted project"])
def test_nothing_is_published_while_they_cannot_be_read(index: Index, of: str) -> None:
    """A damaged list refuses a new filename with a sentence, and other projects go on."""
    fields: dict[str, Any] = {"deleted_packed": [{"names": "AAAA", "sha256": ""}]}
    data = encode_project(Project(name="a", status=Status.DEPRECATED, unknown=fields)) if of == "a project" else None
    records = index.store.records
    records.write(index.key("a"), data, records.read(index.key("a")), msgspec.json.encode(fields))
    with pytest.raises(DamagedRecord, match="quire check"):
        publish(index)
    assert blobs(index.store) == set()
    index.publish([staged_wheel(index.store, "b", "1.0")])


def test_the_bytes_of_a_published_name_are_the_same(index: Index) -> None:
    """The bytes of the digest in the tombstone: the very file."""
    publish(index)
    index.delete("a", Selection())
    content = make_wheel("a", "1.0", files={"variant.txt": b""})
    assert index.deleted("a") == {FILENAME: hashlib.sha256(content).hexdigest()}


def test_a_digest_that_is_none_makes_a_damaged_record() -> None:
    """It is found when the record is read; later it would end each deletion with a defect."""
    document = {"format": 1, "name": "a", "status": "active", "files": {}, "deleted": {"a-1.0.tar.gz": "x"}}
    with pytest.raises(DamagedRecord, match="sha256"):
        decode_project(msgspec.json.encode(document), "main/projects/a")
