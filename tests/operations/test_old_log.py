"""`quire gc --log-older-than`: old entries of the audit log are removed; the latest ones of each project stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from quire.access.records import AccessRecords
from quire.index.audit.archive import MOST_CARRIED, archive_key, carry, read_archive
from quire.index.audit.entries import Entry, Origin
from quire.index.index import Index
from quire.operations.checking import collect_garbage
from quire.operations.granting import set_group
from quire.store.bucket.store import BucketStore
from quire.store.contracts import Store
from quire.store.opening import open_store
from tests.serving import run_quire
from tests.store.bucket.memory import MemoryBucket

OLD: list[Entry] = [{"id": f"{number:x}", "at": f"2020-01-{number:02}T00:00:00.000000Z"} for number in range(1, 31)]


def directory(folder: Path) -> Store:
    return open_store(str(folder), create=True)


def bucket(_: Path) -> Store:
    return BucketStore(MemoryBucket(), "memory")


@pytest.mark.parametrize("make", [directory, bucket])
def test_old_entries_are_removed(make: Callable[[Path], Store], tmp_path: Path) -> None:
    """Of the archives of projects and of grants; without the flag none are, and a dry run counts them."""
    store = make(tmp_path)
    keys = archive_key("main", "acme"), archive_key("access", "store")
    young: Entry = {"id": "young", "at": "2999-01-01T00:00:00.000000Z"}
    carry(store.records, keys[0], [*OLD, young])
    carry(store.records, keys[1], OLD)
    store.records.write("main/projects/acme", b"{}", store.records.read("main/projects/acme"))

    def indexes() -> list[Index]:
        return [Index(store)]

    assert collect_garbage(store, indexes).entries == 0
    assert collect_garbage(store, indexes, log_older_than=999_999 * 86400.0).entries == 0
    assert collect_garbage(store, indexes, log_older_than=86400.0, dry_run=True).entries == 60
    assert [len(read_archive(store.records, key)) for key in keys] == [31, 30]
    assert collect_garbage(store, indexes, log_older_than=86400.0).entries == 60
    assert [read_archive(store.records, key) for key in keys] == [[young], []]
    assert collect_garbage(store, indexes, log_older_than=86400.0).entries == 0
    carry(store.records, keys[1], [young])
    assert read_archive(store.records, keys[1]) == [young]


def test_the_command_keeps_the_latest_entries(tmp_path: Path) -> None:
    """Those that the record itself carries; the numbers of the changes go on."""
    access = AccessRecords(directory(tmp_path))
    for number in range(MOST_CARRIED + 2):
        set_group(access, "testers", [f"user{number}"], Origin())
    before = access.log()
    found = run_quire("gc", "--log-older-than", "0s", "--json", "-d", tmp_path, cwd=tmp_path)
    removed = json.loads(found.stdout)["log_entries"]
    assert removed > 0
    assert access.log() == before[removed:]
    set_group(access, "testers", [], Origin())
    assert access.log()[-1]["revision"] == before[-1]["revision"] + 1
