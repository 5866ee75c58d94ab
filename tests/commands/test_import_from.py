"""`quire import --from`: what it prints, how it ends, and what it refuses."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from quire import cli
from quire.access.records import AccessRecords
from quire.domain.changes import Selection
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations import granting
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, wheel_name


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration but the test's."""
    for name in [*os.environ]:
        if name.startswith("QUIRE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Index:
    """A store in ./old."""
    (tmp_path / "old").mkdir()
    return Index(PosixStore.open(tmp_path / "old"))


def publish_wheel(index: Index, name: str, *, other: bool = False) -> None:
    """`other`: with other bytes."""
    filename = wheel_name(name, "1.0")
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(make_wheel(name, "1.0", files={"other.py": b""} if other else {}))
    index.publish([examine(staging.finish(), filename)])


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert cli.main(["import", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_store_moves_into_a_new_directory(source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With all its indexes and its drop-in files; a summary for each, and again when there is nothing left."""
    publish_wheel(source, "alpha")
    publish_wheel(Index(source.store, "other"), "beta")
    (tmp_path / "old" / wheel_name("gamma", "1.0")).write_bytes(make_wheel("gamma", "1.0"))
    (tmp_path / "new").mkdir()
    out, _ = run(capsys, "--from", "old", "new")
    assert [line.partition(": ")[2].partition(",")[0] for line in out.splitlines()] == ["1 file imported"] * 3
    store = PosixStore.open(tmp_path / "new")
    assert Index(store).names() == ("alpha", "gamma")
    assert Index(store, "other").names() == ("beta",)
    out, _ = run(capsys, "--from", "old", "new")
    assert out.count("0 files imported, 0 B; 1 already published.") == 3


def test_one_index_can_be_named(source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Then the others stay; the target may be named by --into or -d as well."""
    publish_wheel(source, "alpha")
    publish_wheel(Index(source.store, "other"), "beta")
    for number, flags in enumerate((["--into"], ["-d"])):
        (tmp_path / f"new{number}").mkdir()
        run(capsys, "--from", "old", *flags, f"new{number}", "--index", "other")
        store = PosixStore.open(tmp_path / f"new{number}")
        assert (Index(store).names(), Index(store, "other").names()) == ((), ("beta",))


def test_an_index_that_the_source_does_not_have_is_refused(
    source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the names that it has; the target is not touched."""
    publish_wheel(source, "alpha")
    publish_wheel(Index(source.store, "other"), "beta")
    (tmp_path / "new").mkdir()
    _, err = run(capsys, "--from", "old", "new", "--index", "typo", code=1)
    assert "There is no index 'typo' in" in err
    assert "there is main, other." in err
    assert list((tmp_path / "new").iterdir()) == []


def test_a_plain_folder_is_a_source_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As without --from."""
    (tmp_path / "files").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "files" / wheel_name("alpha", "1.0")).write_bytes(make_wheel("alpha", "1.0"))
    out, _ = run(capsys, "--from", "files", "new")
    assert out.startswith("files: 1 file imported")


def test_a_conflict_is_a_line_and_exit_code_1(
    source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the rest is imported."""
    publish_wheel(source, "alpha")
    publish_wheel(source, "beta")
    (tmp_path / "new").mkdir()
    publish_wheel(Index(PosixStore.open(tmp_path / "new")), "alpha", other=True)
    out, err = run(capsys, "--from", "old", "new", code=1)
    assert out.endswith("; 1 conflict.\n")
    (line,) = [line for line in err.splitlines() if "conflict" in line]
    assert line.startswith(f"{wheel_name('alpha', '1.0')}: conflict: Other content is published under this name")


def test_grants_that_stay_behind_are_an_error(
    source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files are copied; but servers of the copy would allow more than those of the source do."""
    publish_wheel(source, "alpha")
    (tmp_path / "new").mkdir()
    granting.begin(AccessRecords(source.store), "ann", ["update"], Origin())
    _, err = run(capsys, "--from", "old", "new", code=1)
    assert "are not copied" in err
    assert "begin with 'quire access init'" in err
    target = PosixStore.open(tmp_path / "new")
    assert Index(target).names() == ("alpha",)
    granting.begin(AccessRecords(target), "ann", ["update"], Origin())
    run(capsys, "--from", "old", "new")


def test_definitions_that_stay_behind_are_an_error(
    source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files are copied; but servers of the copy would ask an upstream for names that the source keeps for itself,
    and would not serve its other index. The two commands of the sentence carry them; what the copy has counts."""
    publish_wheel(source, "alpha")
    (tmp_path / "new").mkdir()
    for command in (["claim", "acme-*"], ["index", "create", "team", "--behind", "main"]):
        assert cli.main([*command, "-d", "old"]) == 0
    publish_wheel(Index(source.store, "team"), "beta")
    _, err = run(capsys, "--from", "old", "new", "--index", "team", code=1)
    assert "the definition of the index team." in err
    _, err = run(capsys, "--from", "old", "new", code=1)
    assert "the definitions of the indexes main and team." in err
    exporting, applying = re.findall(r"'quire (apply .+?)'", err)
    command, _, file = exporting.partition(" > ")
    assert cli.main(command.split()) == 0
    (tmp_path / file).write_text(capsys.readouterr().out)
    assert cli.main(applying.split()) == 0
    assert run(capsys, "--from", "old", "new")[1] == ""
    assert cli.main(["index", "set", "team", "--quota", "1G", "-d", "new"]) == 0
    assert run(capsys, "--from", "old", "new")[1] == ""


def test_an_index_without_settings_has_nothing_to_carry(
    source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default index is there without a definition."""
    publish_wheel(source, "alpha")
    (tmp_path / "new").mkdir()
    for command in (["claim", "acme-*"], ["claim", "acme-*", "--remove"]):
        assert cli.main([*command, "-d", "old"]) == 0
    assert run(capsys, "--from", "old", "new")[1] == ""


def test_what_is_made_for_one_store_is_named(source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tokens, publishers, webhooks, advisories and stages, with the commands that make them again, as long as the
    target has none; it is no error."""
    publish_wheel(source, "alpha")
    (tmp_path / "new").mkdir()
    affected = [{"package": {"ecosystem": "PyPI", "name": "alpha"}, "versions": ["1.0"]}]
    advisory = {"id": "MAL-1", "modified": "2026-01-01T00:00:00Z", "affected": affected}
    (tmp_path / "advisory.json").write_text(json.dumps(advisory))
    made = (
        *(["token", "create", "--right", "read"], ["token", "create", "--right", "read", "--expires", "30d"]),
        ["publisher", "add", "gitlab", "--repository", "acme/tools", "--workflow", "ci.yml", "--project", "acme-*"],
        *(["webhook", "add", "https://hooks.example/"], ["osv", "update", "advisory.json"]),
        *(["stage", "create", name, "--in-front-of", "main"] for name in ("pr-1", "pr-2")),
    )
    for command in made:
        assert cli.main([*command, "-d", "old"]) == 0, command
    _, err = run(capsys, "--from", "old", "new")
    (line,) = err.splitlines()
    assert "2 tokens, 1 trusted publisher, 1 webhook, advisories (osv), stages (pr-1, pr-2). Servers of " in line
    commands = ("quire token create", "quire publisher add", "quire webhook add", "quire osv update")
    assert all(each in line for each in (*commands, "quire stage create"))
    for command in made[1:]:
        assert cli.main([*command, "-d", "new"]) == 0
    assert run(capsys, "--from", "old", "new")[1] == ""


def test_json_has_everything(source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One document; a project whose marks alone changed is counted."""
    publish_wheel(source, "alpha")
    (tmp_path / "new").mkdir()
    document = json.loads(run(capsys, "--from", "old", "new", "--json")[0])
    (entry,) = document["sources"]
    assert (entry["index"], entry["imported"], entry["updated"]) == ("main", 1, 0)
    assert entry["files"][0]["outcome"] == "imported"
    source.yank("alpha", Selection(), "broken")
    document = json.loads(run(capsys, "--from", "old", "new", "--json")[0])
    (entry,) = document["sources"]
    assert (entry["imported"], entry["present"], entry["updated"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Nothing to import is named"),
        (["--from", "old", "old"], "is both source and target"),
        (["--from", "old", "link"], "is both source and target"),
        (["--from", "nowhere", "new"], "The directory nowhere does not exist"),
        (["--from", "old/quire", "new"], "is a store; name its parent"),
        (["--from", "file", "new"], "file is a file; name the folder"),
        (["--from", "old", "new", "more"], "copies into one store, and 2 are named"),
        (["--from", "old", "--move", "new"], "--move and --link are for folders"),
        (["--from", "memory:", "new"], "in the memory of one server process"),
        (["--from", "s3://user:secret@bucket", "new"], "has credentials or parameters in it"),
        (["--from", "https://pypi.org/simple", "new"], "cannot be served"),
        (["s3://bucket/prefix", "--into", "new"], "is copied by quire import --from s3://bucket/prefix"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    arguments: list[str], sentence: str, source: Index, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is made in the target."""
    publish_wheel(source, "alpha")
    (tmp_path / "new").mkdir()
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "file").write_bytes(b"")
    out, err = run(capsys, *arguments, code=2)
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1
    assert "secret" not in err
    assert os.listdir(tmp_path / "new") in ([], ["quire"])
