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


def test_an_exemption_from_a_blocked_digest_has_no_effect_and_says_so(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files are named; so is the command that lists digests where a release is named in place of one."""
    assert "'quire show PROJECT VERSION --json' has those" in quire(capsys, root, "block", "acme==1.0", code=1)
    (file,) = json.loads(quire(capsys, root, "explain", "acme==1.0", "--json"))["files"]
    quire(capsys, root, "block", file["sha256"])
    said = quire(capsys, root, "exempt", "acme==1.0")
    assert f"warning: {WHEEL} is held back all the same" in said
    assert f"'quire policy block {file['sha256']} --remove' does." in said
    for release in ("other==2.0", "nothing==1.0"):
        assert "warning" not in quire(capsys, root, "exempt", release)


def test_a_claim_that_ends_names_what_stays_without_it(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Projects that the index has; the name of a project is its own with a claim or without."""

    def claim(*words: str) -> str:
        assert cli.main(["claim", *words, "-d", str(root)]) == 0
        return capsys.readouterr().out

    assert "stay" not in claim("six", "ac*", "rich*")
    assert claim("--remove", "six", "Ac*").endswith("These stay with the index main, since it has them: acme.\n")
    assert "stay" not in claim("--remove", "rich*")


def test_the_first_refusal_of_a_deletion_is_the_one_that_no_flag_lifts(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The index at the root cannot be deleted; one behind another is named before its files are."""

    def delete(name: str, *flags: str) -> str:
        assert cli.main(["index", "delete", name, *flags, "-d", str(root)]) == 1
        return capsys.readouterr().err

    quire_index(capsys, root, "create", "back")
    quire_index(capsys, root, "create", "front", "--behind", "main,back")
    assert "which cannot be deleted" in delete("main")
    assert "which cannot be deleted" in delete("main", "--yes")
    Index(PosixStore.open(root), "back").publish([staged_wheel(PosixStore.open(root), "mine", "1.0")])
    assert "is behind front" in delete("back")
    quire_index(capsys, root, "set", "front", "--behind", "none")
    assert "has files of 1 project" in delete("back")


@pytest.mark.parametrize("flags", [(), ("--url", "http://127.0.0.1:9/")])
def test_a_snippet_is_of_a_server(root: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]) -> None:
    """With a store, the sentence says to leave that out, with --url or without."""
    assert cli.main(["config-snippet", "main", "--for", "uv", "-d", str(root), *flags]) != 0
    assert "leave -d out, and name with --url" in capsys.readouterr().err


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
