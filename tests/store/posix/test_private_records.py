"""The rights on the files of records with secrets, and on those of all others.

Replaced here: os.chmod, in one test, since root may change every file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore

PRIVATE = ("access/rules/store", "access/log/store", "access/deliveries/7f3kq0m2xd")
OTHERS = 0o007


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """A umask that leaves every right, so that the modes are those that quire asks for."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """Of a folder, and of all that is below it."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}


def test_others_have_no_right_on_records_with_secrets(tmp_path: Path) -> None:
    """First revisions, later ones, drafted ones and deletions; the group has the rights that the umask leaves it."""
    records = PosixStore.open(tmp_path).records
    for key in PRIVATE:
        record = records.write(key, b'{"secret": 1}', records.read(key))
        record = records.write(key, records.draft(key, b'{"secret": 2}'), record)
        record = records.write(key, b'{"secret": 3}', record)
        records.write(key, None, record, b'{"note": 4}')
    found = modes(tmp_path / "quire/records/access")
    assert len([path for path in found if path.endswith(".json")]) == 4 * len(PRIVATE)
    assert {path: mode for path, mode in found.items() if path == "." or path.endswith(".json")} == {
        path: 0o770 if path == "." else 0o660 for path in found if path == "." or path.endswith(".json")
    }
    assert {found[key.removeprefix("access/")] for key in PRIVATE} == {0o770}


def test_other_records_are_as_the_umask_says(tmp_path: Path) -> None:
    records = PosixStore.open(tmp_path).records
    for key in ("main/projects/access", "accessories/projects/foo"):
        record = records.write(key, b'{"number": 1}', records.read(key))
        records.write(key, records.draft(key, b'{"number": 2}'), record)
    assert all(mode & OTHERS for mode in modes(tmp_path / "quire/records").values())


@pytest.mark.parametrize("key", PRIVATE)
def test_the_next_change_takes_the_rights_that_others_have(tmp_path: Path, key: str) -> None:
    """As of a store that an older version wrote. The group keeps its rights, and the group of new files."""
    records = PosixStore.open(tmp_path).records
    records.write("access/rules/store", b'{"secret": 1}', records.read("access/rules/store"))
    folder = tmp_path / "quire/records/access"
    folder.chmod(0o2775)
    reopened = PosixStore.open(tmp_path).records
    reopened.write(key, b'{"secret": 2}', reopened.read(key))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770


def test_a_folder_whose_rights_cannot_be_changed_hinders_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it belongs to another user of the same group: what is new is private."""
    records = PosixStore.open(tmp_path).records
    (tmp_path / "quire/records/access").mkdir()

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refused)
    records.write(PRIVATE[0], b'{"secret": 1}', records.read(PRIVATE[0]))
    found = modes(tmp_path / "quire/records/access/rules")
    assert found["store"] == 0o770
    assert found["store/00000001.json"] == 0o660


def test_a_damaged_revision_is_kept_without_rights_for_others(tmp_path: Path) -> None:
    store = PosixStore.open(tmp_path)
    kept = PosixInspector(store).keep_revision(PRIVATE[0], 1, b'{"secret": 1')
    assert stat.S_IMODE((tmp_path / "quire" / kept).stat().st_mode) == 0o660
