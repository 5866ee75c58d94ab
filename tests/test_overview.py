"""What looks at every project at once: the number of files, and the list of all of them."""

from __future__ import annotations

from pathlib import Path

from quire.changes import Selection
from quire.errors import StoreError
from quire.folder import Folder
from quire.index import Index
from quire.model import Status
from quire.store.memory import MemoryStore
from quire.upload import examine
from quire.web.overview import FileCount, file_links
from tests.distributions import make_wheel, wheel_name


def _publish(index: Index, name: str, version: str = "1.0") -> None:
    staging = index.store.blobs.stage()
    staging.write(make_wheel(name, version))
    index.publish([examine(staging.finish(), wheel_name(name, version))])


def test_counts_what_is_offered(tmp_path: Path) -> None:
    """Hosted and dropped-in files, without those of a quarantined project; every count is of the moment."""
    index, folder = Index(MemoryStore()), Folder([tmp_path])
    count = FileCount(index, folder)
    assert count.count() == 0
    for name, version in (("one", "1.0"), ("one", "2.0"), ("two", "1.0")):
        _publish(index, name, version)
    assert count.count() == count.count() == 3
    index.set_status("one", Status.QUARANTINED)
    assert count.count() == 1
    index.set_status("one", Status.ACTIVE)
    index.delete("one", Selection(version="1.0"))
    (tmp_path / wheel_name("dropped", "1.0")).write_bytes(make_wheel("dropped", "1.0"))
    assert count.count() == 3


def test_an_unchanged_project_is_not_read_again() -> None:
    """A count over many projects costs a validation each, and decodes only what changed."""
    index = Index(MemoryStore())
    for number in range(5):
        _publish(index, f"project-{number}")
    decoded = []

    class Noting(Index):
        @staticmethod
        def decode(record: object) -> object:  # type: ignore[override]  # passes on what it gets
            decoded.append(record)
            return Index.decode(record)  # type: ignore[arg-type]

    count = FileCount(Noting(index.store), Folder([]))
    assert (count.count(), len(decoded)) == (5, 5)
    _publish(index, "project-3", "2.0")
    assert (count.count(), len(decoded)) == (6, 6)


def test_a_damaged_project_is_left_out() -> None:
    """The others are counted and listed."""
    index = Index(MemoryStore())
    _publish(index, "good")
    index.store.records.write(index.key("bad"), b"garbage", index.store.records.read(index.key("bad")))
    assert FileCount(index, Folder([])).count() == 1
    assert [text for _, text in file_links(index, Folder([]))] == [wheel_name("good", "1.0")]


def test_a_lost_directory_is_an_error_and_no_empty_list(tmp_path: Path) -> None:
    """StoreError, which the pages turn into 503 or an older number."""
    index, folder = Index(MemoryStore()), Folder([tmp_path / "missing"])
    for look in (FileCount(index, folder).count, lambda: list(file_links(index, folder))):
        try:
            look()
        except StoreError:
            continue
        raise AssertionError("it was answered")
