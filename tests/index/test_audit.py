"""The audit log: every change has exactly one entry, with its user, action, time and origin.

Replaced here: `os.fsync`, by one that counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from quire.domain.changes import Selection
from quire.domain.errors import NotFound, OutcomeUnknown, QuireError, StoreError
from quire.domain.project import File, Project, Status
from quire.index.audit.archive import MOST_CARRIED, archive_key
from quire.index.audit.entries import MOST_FILES, Origin, entries_of, make_entry
from quire.index.audit.reading import LogFilter, Logged, LogReader
from quire.index.index import Index
from quire.index.upload import Upload, examine, upload_key
from quire.store.contracts import Store
from quire.store.posix.store import PosixStore
from quire.testing import Fault, Faults, MemoryStore
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, environment, quire_command, run_quire

ALICE = Origin(user="alice", address="192.0.2.7", agent="twine/7.0.0", request="req-1")


def uploaded(store: Store, name: str, version: str = "1.0", *, variant: bytes = b"") -> Upload:
    """A wheel, staged."""
    staging = store.blobs.stage(upload_key(wheel_name(name, version)))
    staging.write(make_wheel(name, version, files={"variant.txt": variant}))
    return examine(staging.finish(), wheel_name(name, version))


def log_of(index: Index, project: str, filter_: LogFilter | None = None) -> list[Logged]:
    return LogReader(index.store.records, index.name, index.prefix).project(project, filter_)


def actions(index: Index, project: str) -> list[str]:
    return [logged.entry["action"] for logged in log_of(index, project)]


def test_every_kind_of_change_has_its_entry() -> None:
    """Publish, replace, yank, unyank, status, amend, delete: each entry has action, user and origin, in order."""
    index = Index(MemoryStore())
    store = index.store
    first = index.publish([uploaded(store, "acme")], origin=ALICE).after
    second = index.publish([uploaded(store, "acme", variant=b"2")], overwrite=True, origin=ALICE).after
    index.yank("acme", Selection(version="1.0"), "broken", origin=ALICE)
    index.unyank("acme", Selection(version="1.0"), origin=ALICE)
    index.set_status("acme", Status.DEPRECATED, "use acme-kit", origin=ALICE)
    index.delete("acme", Selection(), origin=ALICE)

    log = [logged.entry for logged in log_of(index, "acme")]
    assert [entry["action"] for entry in log] == ["publish", "publish", "yank", "unyank", "status", "delete"]
    assert [entry["revision"] for entry in log] == [1, 2, 3, 4, 5, 6]
    assert len({entry["id"] for entry in log}) == 6
    for entry in log:
        assert (entry["user"], entry["address"], entry["agent"]) == ("alice", "192.0.2.7", "twine/7.0.0")
        assert entry["request"] == "req-1"
        assert len(entry["at"]) == len("2026-11-23T12:28:54.497707Z")
        assert entry["at"].endswith("Z")
    assert first is not None
    assert second is not None
    filename = wheel_name("acme", "1.0")
    old, new = first.files[filename].sha256, second.files[filename].sha256
    assert log[0]["files"] == [{"filename": filename, "version": "1.0", "sha256": old}]
    assert log[1]["files"] == [{"filename": filename, "version": "1.0", "sha256": new, "replaced": old}]
    assert log[2]["reason"] == "broken"
    assert (log[4]["status"], log[4]["reason"]) == ("deprecated", "use acme-kit")
    assert "files" not in log[4]
    assert log[5]["files"] == [{"filename": filename, "version": "1.0", "sha256": new}]


def test_a_new_reason_of_the_same_status_is_logged() -> None:
    """The entry says what the status and its reason are now."""
    index = Index(MemoryStore())
    index.publish([uploaded(index.store, "demo")])
    for reason in ("one", "two"):
        index.set_status("demo", Status.DEPRECATED, reason)
    entries = [logged.entry for logged in log_of(index, "demo")]
    assert [(entry.get("status"), entry.get("reason")) for entry in entries[1:]] == [
        ("deprecated", "one"),
        ("deprecated", "two"),
    ]


def test_what_changes_nothing_leaves_no_entry() -> None:
    """The same upload again, a yank of what is yanked, a refused change: no entry."""
    index = Index(MemoryStore())
    index.publish([uploaded(index.store, "acme")])
    index.publish([uploaded(index.store, "acme")])
    index.yank("acme", Selection())
    index.yank("acme", Selection())
    with pytest.raises(NotFound):
        index.delete("acme", Selection(version="9"))
    assert actions(index, "acme") == ["publish", "yank"]


def test_a_deleted_project_keeps_its_log_and_goes_on_with_it() -> None:
    """After a deletion the log is read all the same, and a project of that name continues it, numbers and all."""
    index = Index(MemoryStore())
    index.publish([uploaded(index.store, "acme")])
    index.delete("acme", Selection(), origin=ALICE)
    assert index.project("acme") is None
    assert actions(index, "acme") == ["publish", "delete"]
    index.publish([uploaded(index.store, "acme")])
    assert [logged.revision for logged in log_of(index, "acme")] == [1, 2, 3]


def test_old_entries_move_to_the_archive_and_none_is_lost() -> None:
    """A record carries a bounded number of entries; the log has all, in order, each once."""
    index = Index(MemoryStore())
    index.publish([uploaded(index.store, "acme")])
    for number in range(1, 100):
        (index.yank if number % 2 else index.unyank)("acme", Selection())
        assert len(entries_of(index.store.records.read(index.key("acme")))) <= MOST_CARRIED
    assert index.store.records.read(archive_key("main", "acme")).data is not None
    assert [logged.revision for logged in log_of(index, "acme")] == list(range(1, 101))


def test_the_file_numbers_are_the_revisions(tmp_path: Path) -> None:
    """In a folder store the revision of an entry is the number of the record's file."""
    index = Index(PosixStore.open(tmp_path))
    index.publish([uploaded(index.store, "acme")])
    for number in range(1, 40):
        (index.yank if number % 2 else index.unyank)("acme", Selection())
    names = sorted(path.name for path in (tmp_path / "quire/records/main/projects/acme").iterdir())
    assert log_of(index, "acme")[-1].revision == int(names[-1].removesuffix(".json")) == 40


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.FULL, Fault.CONFLICT, Fault.UNKNOWN_BEFORE, Fault.AFTER])
def test_an_archive_that_cannot_be_written_stops_no_change(fault: Fault) -> None:
    """The record carries its entries on until the archive takes them; then each is there once."""
    store = MemoryStore()
    index = Index(store)
    index.publish([uploaded(store, "acme")])
    for number in range(1, MOST_CARRIED):
        (index.yank if number % 2 else index.unyank)("acme", Selection())
    store.faults.next("write", fault)
    for number in range(MOST_CARRIED, MOST_CARRIED + 6):
        assert (index.yank if number % 2 else index.unyank)("acme", Selection()).changed
    assert store.faults.happened == [("write", fault)]
    assert [logged.revision for logged in log_of(index, "acme")] == list(range(1, MOST_CARRIED + 7))


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.FULL, Fault.CONFLICT, Fault.UNKNOWN_BEFORE])
def test_a_death_between_archive_and_record_doubles_nothing(fault: Fault) -> None:
    """Entries that were archived and yet stayed in the record are archived and told once."""
    store = MemoryStore()
    index = Index(store)
    index.publish([uploaded(store, "acme")])
    for number in range(1, MOST_CARRIED):
        (index.yank if number % 2 else index.unyank)("acme", Selection())
    store.faults.next("write", fault, skip=1)
    with suppress(StoreError):
        index.set_status("acme", Status.ARCHIVED)
    index.set_status("acme", Status.DEPRECATED)
    archived = (store.records.read(archive_key("main", "acme")).data or b"").splitlines()
    ids = [json.loads(line)["id"] for line in archived]
    assert len(ids) == len(set(ids))
    revisions = [logged.revision for logged in log_of(index, "acme")]
    assert revisions == list(range(1, len(revisions) + 1))


@pytest.mark.parametrize("seed", range(6))
def test_the_log_is_right_after_any_failure(seed: int) -> None:
    """Four workers change one project, and every operation of theirs may fail in any way: the log is the history.

    Played back, its entries make exactly the project that is there, and their revisions have no gap.
    """
    truth = MemoryStore()
    Index(truth).publish([uploaded(truth, "acme", "0")])

    def work(number: int) -> None:
        faulty = truth.shared(Faults.random(100 * seed + number, 0.1, ("read", "write")))
        index = Index(faulty, origin=Origin(user=f"user{number}"))
        for step in range(30):
            try:
                if step % 3 == 0:
                    index.publish([uploaded(faulty, "acme", f"{number}.{step}")])
                elif step % 3 == 1:
                    index.yank("acme", Selection(version=f"{number}.{step - 1}"))
                else:
                    index.delete("acme", Selection(version=f"{number}.{step - 2}"))
            except QuireError:
                continue

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    index = Index(truth)
    log = log_of(index, "acme")
    assert [logged.revision for logged in log] == list(range(1, len(log) + 1))
    assert len(log) == truth.state.revisions[index.key("acme")][0]
    assert played_back(log) == {
        name: bool(file.yanked) for name, file in (index.project("acme") or Project(name="acme")).files.items()
    }


def played_back(log: list[Logged]) -> dict[str, bool]:
    """The files that the entries leave, and which of them are yanked."""
    files: dict[str, bool] = {}
    for logged in log:
        for file in logged.entry["files"]:
            if logged.entry["action"] == "delete":
                del files[file["filename"]]
            else:
                files[file["filename"]] = logged.entry["action"] == "yank"
    return files


def test_a_change_in_doubt_is_logged_if_it_was_made() -> None:
    """A write whose outcome is unknown has its entry exactly if it went through."""
    for fault, expected in ((Fault.UNKNOWN_AFTER, ["publish", "yank"]), (Fault.UNKNOWN_BEFORE, ["publish"])):
        store = MemoryStore()
        index = Index(store)
        index.publish([uploaded(store, "acme")])
        store.faults.next("write", fault)
        with suppress(OutcomeUnknown):
            index.yank("acme", Selection())
        assert actions(index, "acme") == expected


@contextmanager
def counted_fsyncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    calls: list[int] = []
    real = os.fsync

    def counting(fd: int) -> None:
        calls.append(fd)
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counting)
        yield calls


def test_logging_costs_no_write_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change syncs its document and its folder, twice in all; only one in sixteen syncs more, for the archive."""
    index = Index(PosixStore.open(tmp_path))
    index.publish([uploaded(index.store, "acme")])
    index.yank("acme", Selection())
    counts = []
    for number in range(3 * MOST_CARRIED):
        with counted_fsyncs(monkeypatch) as calls:
            (index.yank if number % 2 else index.unyank)("acme", Selection())
        counts.append(len(calls))
    usual = min(counts)
    assert usual == 2
    assert sum(count > usual for count in counts) <= len(counts) // 16 + 1
    assert max(counts) <= usual + 6


def test_an_entry_is_bounded() -> None:
    """However many files a change touches and however long a client's name is, an entry has a largest size."""
    files = {
        f"acme-{number}.tar.gz": File(
            filename=f"acme-{number}.tar.gz", version=str(number), size=1, hashes={"sha256": "0" * 64}
        )
        for number in range(MOST_FILES + 7)
    }
    origin = Origin(user="u" * 10_000, agent="\ud800\n" * 10_000, request="r" * 10_000)
    entry = make_entry("publish", None, Project(name="acme", files=files), origin, ())
    assert len(entry["files"]) == MOST_FILES
    assert entry["more_files"] == 7
    assert len(entry["user"]) == 100
    assert len(entry["agent"]) == len(entry["request"]) == 200
    json.dumps(entry).encode()


@pytest.mark.parametrize("log", [b'"text"', b"[1, 2]", b'{"a": 1}', b"null"])
def test_a_log_edited_by_hand_stops_no_change(log: bytes) -> None:
    """With garbage in place of the entries the project can still be read and changed."""
    store = MemoryStore()
    index = Index(store)
    index.publish([uploaded(store, "acme")])
    record = store.records.read(index.key("acme"))
    document = json.loads(record.data or b"")
    document["log"] = json.loads(log)
    store.records.write(record.key, json.dumps(document).encode(), record)
    assert index.yank("acme", Selection()).changed
    assert actions(index, "acme") == ["yank"]


def test_fields_of_other_versions_are_kept() -> None:
    """An entry's unknown fields survive later changes and the archive."""
    store = MemoryStore()
    index = Index(store)
    index.publish([uploaded(store, "acme")])
    record = store.records.read(index.key("acme"))
    document = json.loads(record.data or b"")
    document["log"][0]["ticket"] = {"number": 7}
    store.records.write(record.key, json.dumps(document).encode(), record)
    for number in range(1, 2 * MOST_CARRIED):
        (index.yank if number % 2 else index.unyank)("acme", Selection())
    assert log_of(index, "acme")[0].entry["ticket"] == {"number": 7}


# -- quire log --------------------------------------------------------------------------------------------------------


def shown(root: Path, *arguments: str) -> list[dict[str, Any]]:
    done = run_quire("log", "-d", root, "--json", *arguments, cwd=root.parent)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_command_shows_what_the_commands_did(tmp_path: Path) -> None:
    """Yank and delete by the command line, one of them of a project that is gone then: all is shown, and filtered."""
    root = tmp_path / "packages"
    root.mkdir()
    index = Index(PosixStore.open(root))
    for name in ("acme", "zeta"):
        index.publish([uploaded(index.store, name)], origin=ALICE)
    for command in (
        ("yank", "acme", "1.0", "--reason", "breaks", "--user", "bob"),
        ("delete", "zeta", "--all", "--yes", "--user", "carol"),
    ):
        done = run_quire(*command, "-d", root, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    found = shown(root)
    assert [(entry["project"], entry["action"], entry["user"]) for entry in found] == [
        ("acme", "publish", "alice"),
        ("zeta", "publish", "alice"),
        ("acme", "yank", "bob"),
        ("zeta", "delete", "carol"),
    ]
    assert found[2]["command"] == "quire yank"
    assert found[2]["host"]
    assert found[2]["reason"] == "breaks"
    assert [entry["user"] for entry in shown(root, "zeta")] == ["alice", "carol"]
    assert [entry["user"] for entry in shown(root, "--user", "bob")] == ["bob"]
    assert [entry["user"] for entry in shown(root, "--action", "delete")] == ["carol"]
    assert [entry["user"] for entry in shown(root, "--since", found[2]["at"])] == ["bob", "carol"]
    assert shown(root, "--since", "1h") == found
    assert shown(root, "--since", "2999-01-01") == []
    unknown = run_quire("log", "never-was", "-d", root, cwd=tmp_path)
    assert (unknown.returncode, "never-was does not exist" in unknown.stderr) == (1, True)
    lines = run_quire("log", "-d", root, cwd=tmp_path).stdout.splitlines()
    assert [line.split("\t")[3] for line in lines] == ["publish", "publish", "yank", "delete"]
    assert "acme-1.0-py3-none-any.whl" in lines[0]


def test_following_prints_changes_as_they_are_made(tmp_path: Path) -> None:
    """`--follow` prints what is there, then what another process does, without being asked again."""
    root = tmp_path / "packages"
    root.mkdir()
    index = Index(PosixStore.open(root))
    index.publish([uploaded(index.store, "acme")], origin=ALICE)
    command = quire_command("log", "-d", root, "--follow", "--json")
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(DEADLINE, process.kill)
        watchdog.start()
        try:
            assert json.loads(process.stdout.readline())["action"] == "publish"
            index.yank("acme", Selection(), origin=ALICE)
            assert json.loads(process.stdout.readline())["action"] == "yank"
            index.publish([uploaded(index.store, "zeta")], origin=ALICE)
            assert json.loads(process.stdout.readline())["project"] == "zeta"
        finally:
            watchdog.cancel()
            process.terminate()


def test_a_checked_store_with_archives_has_no_anomalies(tmp_path: Path) -> None:
    """`quire check` finds nothing to say about a store whose log was archived."""
    root = tmp_path / "packages"
    root.mkdir()
    index = Index(PosixStore.open(root))
    index.publish([uploaded(index.store, "acme")])
    for number in range(2 * MOST_CARRIED):
        (index.yank if number % 2 else index.unyank)("acme", Selection())
    done = run_quire("check", "-d", root, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["findings"] == []


@pytest.mark.parametrize("text", ["yesterday", "12", "2026-13-01", "9" * 30 + "d"])
def test_a_time_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    """`--since` takes a time or an age; anything else is refused in one line."""
    done = run_quire("log", "-d", tmp_path, "--since", text, cwd=tmp_path)
    assert done.returncode == 2
    assert "neither a time" in done.stderr
