"""Reading OSV data that an operator gives: bounded, and each bad document by its name.

Replaced here: the limits, whose own values would take gigabytes.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from quire.advisories import reading
from quire.advisories.reading import Document, read_documents
from quire.archives import limits
from quire.domain.errors import InvalidRequest
from quire.process.progress import Progress


class Counted(Progress):
    """The total, and how far it came."""

    total = done = 0

    def step(self, title: str, total: int) -> None:
        self.total = total

    def advance(self, amount: int) -> None:
        self.done += amount


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name.replace("__", "/") + ".json", data)
        made.writestr("README.md", b"not one of them")
    return path


def read(path: Path) -> list[Document]:
    progress = Counted()
    found = list(read_documents(str(path), progress))
    assert progress.done == progress.total
    return found


def test_an_archive_a_folder_and_a_file(tmp_path: Path) -> None:
    """The same documents from each."""
    expected = [Document("a.json", b"one"), Document("b/c.json", b"two")]
    assert read(archive(tmp_path / "all.zip", a=b"one", b__c=b"two")) == expected
    (tmp_path / "folder" / "b").mkdir(parents=True)
    (tmp_path / "folder" / "a.json").write_bytes(b"one")
    (tmp_path / "folder" / "b" / "c.json").write_bytes(b"two")
    (tmp_path / "folder" / "notes.txt").write_bytes(b"no")
    assert read(tmp_path / "folder") == expected
    assert read(tmp_path / "folder" / "a.json") == expected[:1]


def test_large_documents_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the size that the archive states, before anything is expanded; and by that of a file."""
    monkeypatch.setattr(reading, "MAX_DOCUMENT_BYTES", 1024)
    found = read(archive(tmp_path / "all.zip", bomb=b"\0" * 10_000_000, small=b"{}"))
    assert [(each.name, bool(each.problem)) for each in found] == [("bomb.json", True), ("small.json", False)]
    (tmp_path / "large.json").write_bytes(b" " * 2000)
    assert read(tmp_path / "large.json")[0].problem.startswith("it is larger than")


@pytest.mark.parametrize(("limit", "words"), [("MAX_DOCUMENTS", "documents"), ("MAX_TOTAL_BYTES", "GiB")])
def test_too_much_is_refused(limit: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole."""
    monkeypatch.setattr(reading, limit, 1)
    with pytest.raises(InvalidRequest, match=words):
        read(archive(tmp_path / "all.zip", a=b"one", b=b"two"))


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    """The others are read."""
    path = archive(tmp_path / "all.zip", a=b"abcabcabc" * 100, b=b"two")
    data = bytearray(path.read_bytes())
    data[45] ^= 0xFF  # in the data of the first one
    path.write_bytes(data)
    first, second = read(path)
    assert first.problem.startswith("it cannot be unpacked")
    assert second.data == b"two"


def test_archives_that_are_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off, empty, or with a list of members that is too large to be read."""
    path = archive(tmp_path / "all.zip", a=b"one")
    data = path.read_bytes()
    for cut in (data[:-10], data[:-1], data[:20], data[-22:]):
        path.write_bytes(cut)
        with pytest.raises(InvalidRequest, match="archive"):
            read(path)
    path.write_bytes(data)
    monkeypatch.setattr(limits, "MAX_MEMBERS", 1)
    with pytest.raises(InvalidRequest, match="has 2 members"):
        read(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    """One sentence."""
    with pytest.raises(InvalidRequest, match=r"nothing\.zip cannot be read: No such file or directory\."):
        read(tmp_path / "nothing.zip")
