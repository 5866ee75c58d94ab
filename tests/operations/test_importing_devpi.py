"""`quire import-devpi`: a real export of devpi-server (`tests/operations/devpi`), as it is, damaged or hostile."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quire import cli
from quire.access.document import AccessDocument
from quire.access.records import AccessRecords
from quire.index.index import Index
from quire.operations.importing.devpi_export import parse_export
from quire.operations.importing.devpi_plan import declared_tables, names_of
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, sdist_name, wheel_name
from tests.documents import DOCS, commands
from tests.operations.devpi.make import EXPORT, export

PROD_WHEEL, PROD_SDIST = wheel_name("acme-tools", "1.0"), sdist_name("acme-tools", "1.0")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the export, beside a directory for a store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    return Path(shutil.copytree(EXPORT, tmp_path / "export"))


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert cli.main(["import-devpi", "export", "-d", "root", *words]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def stored(name: str) -> Index:
    return Index(PosixStore.open(Path("root")), name)


def access() -> AccessDocument:
    return AccessRecords(stored("main").store).read().state.document


def rewritten(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The list of the export after a change of it."""
    path = folder / "dataindex.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_indexes_are_made_and_filled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With their bases behind them, the mirror's URL, and the upload times; and nothing is copied twice."""
    out, _ = run(capsys, "--as", "acme/prod=main")
    assert "acme/prod as main: 2 files imported" in out
    assert "acme/dev as acme-dev: 2 files imported" in out
    indexes = access().indexes
    assert sorted(indexes) == ["acme-dev", "alice-play", "main", "root-public"]
    assert (indexes["main"].behind, indexes["main"].overwrite) == (("root-public",), False)
    assert (indexes["acme-dev"].behind, indexes["acme-dev"].overwrite) == (("main",), True)
    assert indexes["acme-dev"].merged == ("acme-core",)
    assert indexes["alice-play"].behind == ("acme-dev", "root-public")
    assert [each.url for each in indexes["root-public"].upstreams] == ["https://index.example/simple/"]
    assert indexes["root-public"].uploads is False
    project = stored("main").project("acme-tools")
    assert project is not None
    assert sorted(project.files) == [PROD_WHEEL, PROD_SDIST]
    listed = json.loads((folder / "dataindex.json").read_text())["indexes"]["acme/prod"]["files"]
    said = next(each["log"][0]["when"] for each in listed if each["relpath"].endswith(PROD_WHEEL))
    year, month, day, hour, minute, second = said
    uploaded = f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000000Z"
    assert project.files[PROD_WHEEL].uploaded == uploaded
    assert stored("acme-dev").names() == ("acme-core", "acme-tools")
    out, _ = run(capsys, "--as", "acme/prod=main")
    assert "acme/prod as main: 0 files imported, 0 B; 2 already published" in out


def test_a_repetition_leaves_settings_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that an operator has changed since the first import stays."""
    run(capsys)
    assert cli.main(["index", "set", "acme-dev", "--no-overwrite", "-d", "root"]) == 0
    shutil.rmtree(folder / "acme" / "dev" / "acme-core")
    out, err = run(capsys, code=0)
    assert "The index acme-dev is here already and keeps its settings." in out
    assert access().indexes["acme-dev"].overwrite is False
    assert "refused" not in err


def test_rights_are_given_where_it_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of acl_upload, with deletions where the index is volatile; all senders read, root administers."""
    run(capsys)
    assert access().grants == {}
    run(capsys, "--grants")
    given = {(each.subject, each.index): each.permissions for each in access().grants.values()}
    assert given == {
        ("user:root", "*"): ("admin",),
        **{("anonymous", name): ("read",) for name in ("acme-dev", "acme-prod", "alice-play", "root-public")},
        ("user:acme", "acme-prod"): ("upload",),
        ("user:alice", "acme-prod"): ("upload",),
        ("authenticated", "acme-dev"): ("upload", "manage"),
        ("group:developers", "acme-dev"): ("upload", "manage"),
        ("user:alice", "alice-play"): ("upload", "manage"),
    }
    assert "argon2" not in json.dumps([str(access())])


def test_what_is_left_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Documentation, test results, passwords, whitelists of all names, and releases that a base hides."""
    _, err = run(capsys)
    for said in (
        "acme/prod/acme-tools-1.0.doc.zip: documentation",
        ".toxresult-",
        "the password of alice: its hash is of Argon2",
        "the mirror whitelist '*' of alice/play",
        "the files of acme-tools of acme/prod in acme/dev: devpi lists them together",
    ):
        assert said in err
    document = json.loads(run(capsys, "--json")[0])
    assert len(document["left"]) == err.count("Not taken over:")
    assert document["users"] == ["acme", "alice", "root"]


def test_a_dry_run_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the plan."""
    out, _ = run(capsys, "--dry-run", "--grants")
    assert "Would set acme-dev: to be made" in out
    assert "Would set grants: {subject" in out
    assert "acme/prod as acme-prod: 0 files imported, 0 B; 2 to be imported." in out
    assert list((folder.parent / "root").iterdir()) == []


def test_no_private_name_is_asked_for_upstream() -> None:
    """Each index claims its projects before they are here, and those without files; but not one that is merged, nor one
    that has its files in an index behind."""
    config = {"type": "stage", "bases": ["a/base", "a/mirror"], "mirror_whitelist": ["shared"]}
    projects: dict[str, object] = {"shared": {}, "Private.Name": {}, "below": {}}
    exported = {
        "dumpversion": "2",
        "users": {},
        "indexes": {
            "a/front": {"indexconfig": config, "projects": projects, "files": []},
            "a/base": {"indexconfig": {"type": "stage"}, "projects": {"below": {}}, "files": []},
            "a/mirror": {"indexconfig": {"type": "mirror", "mirror_url": "https://index.example/simple/"}},
        },
    }
    found = parse_export(json.dumps(exported).encode(), "export")
    tables = declared_tables(found, names_of(found, {}), with_grants=False)["indexes"]
    assert (tables["a-front"]["claims"], tables["a-front"]["merged"]) == (["private-name"], ["shared"])
    assert tables["a-base"]["claims"] == ["below"]


def test_files_that_cannot_be_taken_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Paths out of the folder, links, pipes, other bytes, missing files, names of others; all others are imported."""
    outside = folder.parent / "outside-1.0-py3-none-any.whl"
    outside.write_bytes(make_wheel("outside", "1.0"))
    names = ["out-1.0.tar.gz", "link-1.0.tar.gz", "pipe-1.0.tar.gz", "bytes-1.0.tar.gz", "gone-1.0.tar.gz"]
    paths = {name: f"acme/dev/{name}" for name in names} | {outside.name: f"../{outside.name}"}
    (folder / "acme" / "dev" / "link-1.0.tar.gz").symlink_to(outside)
    os.mkfifo(folder / "acme" / "dev" / "pipe-1.0.tar.gz")
    (folder / "acme" / "dev" / "bytes-1.0.tar.gz").write_bytes(b"other")
    paths["out-1.0.tar.gz"] = "/etc/out-1.0.tar.gz"

    def add(document: dict[str, Any]) -> None:
        files = document["indexes"]["acme/dev"]["files"]
        for name, path in paths.items():
            said = {"hashes": {"sha256": "0" * 64}}
            project = name.partition("-")[0]
            files.append({"relpath": path, "type": "releasefile", "projectname": project, "entrymapping": said})
        files.append({"relpath": "other-1.0.zip", "type": "releasefile", "projectname": "mine", "entrymapping": {}})
        files.append({"relpath": "bare-1.0.zip", "type": "releasefile", "projectname": "bare", "entrymapping": {}})
        files.append({"relpath": "x", "type": "releasefile", "projectname": "../..", "entrymapping": {}})

    rewritten(folder, add)
    out, err = run(capsys, code=1)
    assert "acme/dev as acme-dev: 2 files imported" in out
    assert err.count("refused: Its path leads out of the export.") == 3
    assert "pipe-1.0.tar.gz: refused: It is no plain file." in err
    assert "bytes-1.0.tar.gz: refused: It has not the sha256 digest that the export says" in err
    assert "gone-1.0.tar.gz: refused: It cannot be read (No such file or directory)." in err
    assert "other-1.0.zip: refused: Its name or its link is none of a distribution" in err
    assert "bare-1.0.zip: refused: The index announces no digest" in err
    assert "Not taken over: x: '../..' is no name of a project." in err
    assert stored("acme-dev").names() == ("acme-core", "acme-tools")


def test_a_file_that_is_too_large_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is read no further than the limit."""
    _, err = run(capsys, "--max-upload-size", "100", code=1)
    assert err.count("refused: It has more than 100 bytes") == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda document: document.update(dumpversion="3"), "dump version '3'"),
        (lambda document: document.update(indexes=[]), "is not the list of an export of devpi"),
        (lambda document: document["indexes"].update({"acme-dev/x": None}), "is not the list of an export"),
        (lambda document: document["indexes"].update({"acme.prod": {"indexconfig": {}}}), "would both become"),
        (lambda document: document["indexes"].update({"a/simple": {"indexconfig": {}}}), ""),
    ],
)
def test_lists_that_are_none_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """With a sentence, before anything is written; a strange index is none."""
    rewritten(folder, change)
    _, err = run(capsys, code=2 if said else 0)
    assert said in err
    assert bool(list(Path("root").iterdir())) is not bool(said)


def test_wrong_words_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A URL, a folder without a list, names of indexes that there are not or that none can have."""
    assert "no index 'acme/x'; it has acme/dev" in run(capsys, "--as", "acme/x=main", code=2)[1]
    assert "use USER/INDEX=NAME" in run(capsys, "--as", "acme/prod", code=2)[1]
    assert "would both become the index acme-dev" in run(capsys, "--as", "acme/prod=acme-dev", code=2)[1]
    assert "no index has this name" in run(capsys, "--as", "acme/prod=simple", code=1)[1]
    assert "--as USER/INDEX=NAME" in run(capsys, "--index", "main", code=2)[1]
    for word, said in (("https://devpi.example/", "quire import --from-index"), ("root", "dataindex.json cannot be")):
        assert cli.main(["import-devpi", word, "-d", "root"]) == 2
        assert said in capsys.readouterr().err
    assert folder.is_dir()


def test_the_guide_does_what_it_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its commands, in their order."""
    (folder.parent / "packages").mkdir()
    for words in commands(DOCS / "how-to" / "move-from-devpi.md"):
        assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "Would set main: behind" in said
    assert "acme/prod as main: 2 files imported" in said
    assert "acme/prod as main: 0 files imported, 0 B; 2 already published" in said


@pytest.mark.proofs
def test_an_export_made_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A devpi-server that is started here is exported as the fixture was."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root").mkdir()
    export(tmp_path / "export", tmp_path)
    out, _ = run(capsys)
    assert "acme/prod as acme-prod: 2 files imported" in out
    assert "acme/dev as acme-dev: 2 files imported" in out
