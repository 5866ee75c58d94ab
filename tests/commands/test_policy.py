"""`quire policy` on a store: shown, changed, explained and tried, as scripts and people read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quire import cli
from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests.distributions import wheel_name
from tests.index.test_index import staged_wheel

WHEEL = wheel_name("acme", "1.0")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "packages").mkdir()
    store = PosixStore.open(tmp_path / "packages")
    for name, version in (("acme", "1.0"), ("other", "2.0")):
        Index(store).publish([staged_wheel(store, name, version)])
    return tmp_path / "packages"


def quire(capsys: pytest.CaptureFixture[str], root: Path, *words: str, code: int = 0) -> str:
    assert cli.main(["policy", *words, "-d", str(root)]) == code
    done = capsys.readouterr()
    return done.out + done.err


def quire_index(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> None:
    assert cli.main(["index", *words, "-d", str(root)]) == 0
    capsys.readouterr()


def test_a_rule_is_set_explained_and_ended(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = quire(capsys, root, "set", "--min-age", "7d", "--min-age-except", "acme-*", "--block-severity", "high")
    assert "counts for the next request" in shown
    assert "says so already" in quire(capsys, root, "set", "--min-age", "7d")
    quire(capsys, root, "deny", "ac*", "--reason", "no longer", "--user", "ann")
    quire(capsys, root, "exempt", "acme==1.0", "--until", "2099-12-24")
    shown = quire(capsys, root, "show")
    assert "7 days, except acme-*" in shown
    assert "by ann, no longer" in shown
    assert "acme==1.0, since" in shown
    assert "offered. It was exempted from the rules" in quire(capsys, root, "explain", "acme==1.0.0")
    quire(capsys, root, "exempt", "acme==1.0.0", "--remove")
    assert "quire policy deny 'ac*' --remove" in quire(capsys, root, "explain", "Acme", code=1)
    document = json.loads(quire(capsys, root, "explain", "acme", "--json", code=1))
    assert document["files"][0]["decision"]["rule"] == "denied"
    quire(capsys, root, "deny", "ac*", "--remove")
    assert "No rule concerns it" in quire(capsys, root, "explain", "acme")
    quire(capsys, root, "set", "--min-age", "0s", "--block-severity", "off", "--no-min-age-except", "acme-*")
    assert json.loads(quire(capsys, root, "show", "--json"))["min_age"] == 0


def test_a_change_is_tried_on_locks_and_logs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, lock, log = root.parent / "change.toml", root.parent / "requirements.txt", root.parent / "quire.log"
    change.write_text('deny = ["acme"]\nreason = "try"\n')
    lock.write_text("acme==1.0\nother==2.0\nmissing==1.0\n")
    lines = [
        {"event": "request", "time": at, "method": "GET", "path": f"/packages/a/b/{name}", "status": 200}
        for at, name in (("2099-01-01T00:00:00Z", WHEEL), ("2001-01-01T00:00:00Z", wheel_name("other", "2.0")))
    ]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines) + "no line\n")
    tried = quire(capsys, root, "try", str(change), "--lock", str(lock), code=1)
    assert f"{WHEEL}: would be held back. The policy of the index main denies acme" in tried
    assert "missing==1.0: not on main" in tried
    assert "2 files of 3 releases looked at, 1 would be held back" in tried
    document = json.loads(quire(capsys, root, "try", str(change), "--from", str(log), "--json", code=1))
    assert (document["checked"], document["files"][0]["filename"]) == (1, WHEEL)
    assert "0 held back" in quire(capsys, root, "try", "--lock", str(lock))
    assert "keeps no list of downloads" in quire(capsys, root, "try", str(change), code=2)
    quire_index(capsys, root, "create", "front", "--behind", "main")
    quire_index(capsys, root, "create", "apart")
    lines = [
        {"event": "request", "time": "2099-01-01T00:00:00Z", "method": "GET", "status": 200, **fields}
        for fields in (
            {"path": f"/front/packages/a/b/{WHEEL}", "index": "main"},  # as lines of named indexes were
            {"path": f"/base/apart/@2099-01-01/packages/a/b/{wheel_name('other', '2.0')}"},
            {"path": f"/packages/a/b/{wheel_name('other', '2.0')}", "index": "apart"},
        )
    ]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    document = json.loads(quire(capsys, root, "try", str(change), "--from", str(log), "--json", code=1))
    assert (document["checked"], document["files"][0]["filename"], document["unknown"]) == (1, WHEEL, [])
    found = quire(capsys, root, "try", str(change), "--from", str(log), "--index", "apart")
    assert "0 files of 1 release looked at" in found
    change.write_text("colour = 1\n")
    assert "is no change of a policy" in quire(capsys, root, "try", str(change), "--lock", str(lock), code=2)
