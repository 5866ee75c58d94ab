"""Carrying mirrors between stores of all kinds, also where writes fail: it takes no more than the contracts."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import obstore.store
import pytest

from quire.catalog.mirroring import mirror_name
from quire.domain.errors import Conflict, QuireError
from quire.operations.mirroring.carriers import ArchiveReader, FolderReader, FolderWriter, writing_archive
from quire.operations.mirroring.exporting import Exported, export
from quire.operations.mirroring.importing import Imported, import_mirror
from quire.operations.mirroring.manifest import Manifest, decode, encode
from quire.process.progress import Progress
from quire.store.bucket.client import ObjectBucket
from quire.store.bucket.store import BucketStore
from quire.store.contracts import Store
from quire.store.faults import Faults
from quire.store.memory import MemoryStore
from quire.store.posix.store import PosixStore
from quire.upstream.page_store import PageStore
from quire.upstream.pages import UpstreamFile, UpstreamPage
from tests.distributions import wheel_name

URL = "https://index.example/simple/"
UPSTREAM = mirror_name(URL)
CONFIRMED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MANY = 400
"""Files of a page that is too large for its record."""


def file_of(project: str, number: int) -> tuple[UpstreamFile, bytes]:
    filename = wheel_name(project, f"{number}.0")
    content = filename.encode()
    digest = hashlib.sha256(content).hexdigest()
    url = f"https://files.example/packages/{digest}/{filename}"
    return UpstreamFile(filename=filename, url=url, version=f"{number}.0", hashes={"sha256": digest}), content


def fill(store: Store) -> None:
    """A small project, a large one, and one that is gone."""
    mirror = PageStore(store, UPSTREAM)
    for project, number in (("small", 2), ("large", MANY)):
        files = [file_of(project, each) for each in range(number)]
        mirror.take(project, UpstreamPage(files=tuple(file for file, _ in files), serial=7), CONFIRMED)
        for file, content in files[:2]:
            staging = store.blobs.stage(f"mirror/{UPSTREAM}/{project}/{file.hashes['sha256']}/{file.filename}")
            staging.write(content)
            store.blobs.publish(staging.finish())
    mirror.take("gone", UpstreamPage(files=()), CONFIRMED)
    mirror.take("gone", None, CONFIRMED + timedelta(seconds=1))


def content(store: Store) -> tuple[dict[str, bytes], dict[str, tuple[UpstreamPage | None, datetime, int | None]]]:
    """The files of a store's mirror, and its pages."""
    mirror = PageStore(store, UPSTREAM)
    files = {}
    for blob in store.blobs.list("mirror"):
        if blob.key.count("/") == 4:
            with store.blobs.open(blob.key) as opened:
                files[blob.key] = opened.read()
    pages = dict[str, tuple[UpstreamPage | None, datetime, int | None]]()
    for name in store.records.names(f"mirror/{UPSTREAM}").names:
        found = mirror.get(name)
        assert found.page is not None
        pages[name] = (found.content, found.page.confirmed, found.page.serial)
    return files, pages


def carry(source: Store, target: Store, folder: Path) -> tuple[Exported, Imported]:
    with writing_archive(folder / "kept.tar") as writer:
        exported = export(source, {UPSTREAM: URL}, writer, Progress())
    with (folder / "kept.tar").open("rb") as file:
        return exported, import_mirror(target, ArchiveReader(file), Progress(), exported.digest)


@pytest.mark.parametrize("kind", ["memory", "posix", "bucket"])
def test_stores_of_all_kinds(kind: str, tmp_path: Path) -> None:
    """Into each of them and back, with large pages and projects that are gone; nothing is lost or added."""
    first = MemoryStore()
    fill(first)
    second: Store = MemoryStore()
    if kind == "posix":
        (tmp_path / "root").mkdir()
        second = PosixStore.open(tmp_path / "root")
    elif kind == "bucket":
        objects = ObjectBucket(obstore.store.MemoryStore(), "memory:///", {})
        second = BucketStore(objects, objects.url)
    exported, imported = carry(first, second, tmp_path)
    assert (exported.pages, exported.files) == (imported.pages, imported.files) == (3, 4)
    third = MemoryStore()
    carry(second, third, tmp_path)
    assert content(first) == content(second) == content(third)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    source = MemoryStore()
    fill(source)
    export(source, {UPSTREAM: URL}, FolderWriter(tmp_path / "kept"), Progress())
    return tmp_path / "kept"


@pytest.mark.parametrize("seed", range(6))
def test_an_import_on_a_store_that_fails(exported: Path, seed: int) -> None:
    """Repeated until it ends: no page before all files, and in the end all that was exported."""
    faults = Faults.random(seed, 0.2, ("write", "stage", "stage.write", "finish", "publish", "open"))
    sound = MemoryStore()
    failing = sound.shared(faults)
    for _ in range(200):
        try:
            import_mirror(failing, FolderReader(exported), Progress())
        except QuireError:
            files, pages = content(sound)
            assert not pages or len(files) == 4
        else:
            break
    expected = MemoryStore()
    fill(expected)
    assert content(sound) == content(expected)
    assert faults.happened


def test_a_server_that_is_faster(exported: Path) -> None:
    """A page that a server has confirmed meanwhile stays: the swap of the import fails, and it compares again."""
    sound, faults = MemoryStore(), Faults()
    newer = UpstreamPage(files=(file_of("small", 9)[0],), serial=8)
    faults.call("write", lambda: PageStore(sound, UPSTREAM).take("small", newer, CONFIRMED), skip=2)
    imported = import_mirror(sound.shared(faults), FolderReader(exported), Progress())
    assert imported.kept_pages == 1
    found = PageStore(sound, UPSTREAM).get("small").content
    assert found == msgspec.structs.replace(newer, serial=None)


def test_other_writers_that_are_always_faster() -> None:
    """The caller gets the conflict, after some attempts."""
    faults = Faults.random(1, 1.0, ("write",))
    mirror = PageStore(MemoryStore().shared(faults), UPSTREAM)
    with pytest.raises((Conflict, QuireError)):
        mirror.take("small", UpstreamPage(files=()), CONFIRMED)


def test_a_time_ahead_counts_as_now(exported: Path) -> None:
    """The clock of the other side may be wrong: its pages must not win over all later ones."""
    path = exported / "manifest.jsonl"
    manifest = decode(path.read_bytes())
    far = datetime(2999, 1, 1, tzinfo=UTC)
    pages = tuple(msgspec.structs.replace(page, confirmed=far) for page in manifest.pages)
    path.write_bytes(encode(Manifest(manifest.head, pages, manifest.files)))
    store = MemoryStore()
    import_mirror(store, FolderReader(exported), Progress())
    assert all(confirmed <= datetime.now(UTC) for _, confirmed, _ in content(store)[1].values())
