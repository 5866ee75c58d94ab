"""The commands that work straight on a store: what they print for people and for scripts, and how they end.

Replaced here: terminals, since the test has none, and the user and owner that the system reports, since only root can
change those.
"""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import urllib.request
from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from quire import cli
from quire.access.document import with_fields
from quire.access.records import AccessRecords
from quire.commands import common
from quire.commands.progress import Meter
from quire.domain.changes import Selection
from quire.domain.indexes import IndexDefinition
from quire.domain.sizes import in_words
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations import defining
from quire.store.posix.store import PosixStore
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name
from tests.operations.devpi.make import EXPORT
from tests.serving import DEADLINE, environment, free_port, quire_command, run_quire, running

WHEEL = wheel_name("alpha", "1.0")


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No configuration but the test's, and logging as it was afterwards."""
    for name in [*os.environ]:
        if name.startswith("QUIRE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """A store in ./root."""
    (tmp_path / "root").mkdir()
    return Index(PosixStore.open(tmp_path / "root"))


def publish(index: Index, name: str = "alpha", version: str = "1.0", *, sdist: bool = False) -> None:
    filename = sdist_name(name, version) if sdist else wheel_name(name, version)
    staging = index.store.blobs.stage(upload_key(filename))
    staging.write(make_sdist(name, version) if sdist else make_wheel(name, version))
    index.publish([examine(staging.finish(), filename, uploader="somebody")])


def put(folder: Path, name: str = "alpha", version: str = "1.0") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / wheel_name(name, version)
    path.write_bytes(make_wheel(name, version))
    return path


class Quire:
    """Runs commands on ./root in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0, directory: str | None = "root") -> tuple[str, str]:
        """The output on stdout and stderr."""
        flags = ["-d", directory] if directory is not None else []
        assert cli.main([arguments[0], *flags, *arguments[1:]]) == code
        captured = self._capsys.readouterr()
        return captured.out, captured.err

    def projects(self, *arguments: str, directory: str | None = "root") -> list[tuple[str, str]]:
        """Name and note of every project that `ls` lists."""
        lines = [line.split("\t") for line in self("ls", *arguments, directory=directory)[0].splitlines()]
        return [(line[0], line[-1]) for line in lines]

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The document on stdout, all of it."""
        return json.loads(self(*arguments, "--json", code=code)[0])

    def error(self, *arguments: str, code: int = 1, directory: str | None = "root") -> str:
        """The one line on stderr; nothing may be on stdout."""
        out, err = self(*arguments, code=code, directory=directory)
        assert out == ""
        assert err.startswith("quire: error: ")
        assert err.count("\n") == 1
        return err


@pytest.fixture
def quire(capsys: pytest.CaptureFixture[str]) -> Quire:
    return Quire(capsys)


def test_yank_and_unyank(quire: Quire, index: Index) -> None:
    """A release or a file, with a reason; repeating it changes nothing."""
    publish(index)
    publish(index, sdist=True)
    publish(index, version="2.0")
    out, _ = quire("yank", "Alpha", "1.0.0", "--reason", "it burns")
    assert out == "Yanked the release 1.0.0 of alpha (2 files): installers take it only when it is pinned.\n"
    assert quire("yank", "alpha", "1.0", "--reason", "it burns")[0] == (
        "Nothing to do: the release 1.0 of alpha (2 files) was yanked before.\n"
    )
    project = index.project("alpha")
    assert project is not None
    assert [file.yanked for file in project.files.values()] == ["it burns", "it burns", False]
    assert quire.json("unyank", "alpha", WHEEL) == {
        "project": "alpha",
        "selection": f"the file {WHEEL}",
        "changed": True,
        "files": [{"filename": WHEEL, "version": "1.0", "yanked": False}],
    }
    assert quire("unyank", "alpha", WHEEL)[0] == f"Nothing to do: the file {WHEEL} of alpha (1 file) was not yanked.\n"
    assert quire("unyank", "alpha", "1.0")[0] == (
        "Unyanked the release 1.0 of alpha (2 files): installers take it again.\n"
    )
    assert "does not have the release 3" in quire.error("yank", "alpha", "3")
    assert "The project beta does not exist" in quire.error("yank", "beta", "1")
    assert "not a valid project name" in quire.error("yank", "../x", "1")
    assert "longer than 500" in quire.error("yank", "alpha", "1.0", "--reason", "x" * 501)


def test_delete(quire: Quire, index: Index, tmp_path: Path) -> None:
    """A file, a release, a project; the bytes go too (on a local file system)."""
    for version in ("1.0", "2.0", "3.0"):
        publish(index, version=version)
    assert quire.json("delete", "alpha", WHEEL, "--yes")["deleted"] == [WHEEL]
    assert quire("delete", "--yes", "alpha", "2.0")[0].startswith("Deleted the release 2.0 of alpha: 1 file, ")
    assert "--all" in quire.error("delete", "alpha")
    assert "--all" in quire.error("delete", "alpha", "3.0", "--all")
    assert "add --yes" in quire.error("delete", "alpha", "--all")
    assert "add --yes" in quire.error("delete", "alpha", "3.0")
    assert index.project("alpha") is not None
    deleted = quire.json("delete", "alpha", "--all", "--yes")
    assert (deleted["in_trash"], deleted["freed"]) == (True, False)
    assert index.project("alpha") is None
    quire("trash", "empty", "--all", "--yes", "-d", "root", directory=None)
    assert [path for path in (tmp_path / "root" / "quire" / "blobs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("", 1)])
def test_delete_asks_on_a_terminal(
    quire: Quire, index: Index, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    """Only yes is yes."""
    publish(index)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    _, err = quire("delete", "alpha", "1.0", code=code)
    assert "Delete the release 1.0 of alpha (1 file, " in err
    assert (index.project("alpha") is None) is (code == 0)


def test_status(quire: Quire, index: Index) -> None:
    """Shown and set, with a reason."""
    publish(index)
    assert quire("status", "alpha")[0] == "alpha: active\n"
    assert quire("status", "alpha", "deprecated", "--reason", "use beta")[0] == "alpha: deprecated (use beta)\n"
    assert quire.json("status", "alpha") == {
        "project": "alpha",
        "status": "deprecated",
        "reason": "use beta",
        "changed": False,
    }
    assert quire.json("status", "alpha", "active")["changed"]
    assert "name the status" in quire.error("status", "alpha", "--reason", "x")
    assert "does not exist" in quire.error("status", "beta", "archived")


def test_drop_in_files_are_shown_but_not_changed(quire: Quire, index: Index, tmp_path: Path) -> None:
    """They are listed with what they are, and every change says what to do instead."""
    path = put(tmp_path / "root")
    publish(index, version="2.0")
    publish(index, "beta")
    sizes = [path.stat().st_size + len(make_wheel("alpha", "2.0")), len(make_wheel("beta", "1.0"))]
    assert quire("ls")[0] == (
        f"alpha\t2.0\t2\t2\t{in_words(sizes[0])}\tdrop-in and stored\nbeta\t1.0\t1\t1\t{in_words(sizes[1])}\t\n"
    )
    assert quire.json("ls") == {
        "index": "main",
        "projects": [
            {
                "name": "alpha",
                "stored": True,
                "drop_in": True,
                "mirrored": False,
                "latest": "2.0",
                "versions": ["1.0", "2.0"],
                "files": 2,
                "size": sizes[0],
                "error": None,
            },
            {
                "name": "beta",
                "stored": True,
                "drop_in": False,
                "mirrored": False,
                "latest": "1.0",
                "versions": ["1.0"],
                "files": 1,
                "size": sizes[1],
                "error": None,
            },
        ],
    }
    for command in (["yank", "alpha", "1.0"], ["delete", "alpha", "1.0"], ["delete", "alpha", "--all", "--yes"]):
        assert "is a drop-in file" in quire.error(*command)
    assert path.exists()
    files = quire.json("ls", "alpha")["files"]
    assert [(file["filename"], file["drop_in"], file["path"]) for file in files] == [
        (WHEEL, True, str(path)),
        (wheel_name("alpha", "2.0"), False, None),
    ]
    put(tmp_path / "root", "gamma")
    assert quire("status", "gamma")[0] == "gamma: active\n"
    assert "import them first" in quire.error("status", "gamma", "archived")


def test_deleting_does_not_uncover_a_drop_in_file(quire: Quire, index: Index, tmp_path: Path) -> None:
    """Behind a stored file may lie one of the same name, which would be served instead: that is refused."""
    path = put(tmp_path / "root")
    publish(index)
    assert "is a drop-in file" in quire.error("delete", "alpha", "1.0")
    quire("yank", "alpha", "1.0")
    path.unlink()
    quire("delete", "alpha", "1.0", "--yes")


@pytest.mark.parametrize(
    "line",
    [
        "delete alpha --user me 1.0 --yes",
        "delete --yes alpha --user=me 1.0",
        "status alpha --reason why deprecated",
        "show alpha --json 1.0",
        "show alpha -- 1.0",
    ],
)
def test_flags_may_stand_anywhere(quire: Quire, index: Index, line: str) -> None:
    """Also between the project and what of it is meant, which argparse before Python 3.13 does not understand."""
    publish(index)
    quire(*line.split())


def test_ls_and_show(quire: Quire, index: Index) -> None:
    """The files of a project, and the metadata of a release."""
    publish(index)
    publish(index, version="2.0")
    quire("yank", "alpha", "1.0", "--reason", "old")
    assert quire("ls", "alpha")[0].splitlines()[0].split("\t")[::4] == [WHEEL, "yanked: old"]
    out, _ = quire("show", "alpha")
    assert "Shown\t2.0\n" in out
    assert "Summary\talpha for tests\n" in out
    assert ", uploaded by somebody, yanked: old\n" in quire("show", "alpha", "1.0")[0]
    shown = quire.json("show", "alpha", "1.0.0")
    assert (shown["version"], shown["versions"]) == ("1.0", ["1.0", "2.0"])
    assert shown["metadata"]["summary"] == "alpha for tests"
    assert [(file["filename"], file["uploader"]) for file in shown["files"]] == [(WHEEL, "somebody")]
    assert "has no release 3" in quire.error("show", "alpha", "3")
    assert "does not exist" in quire.error("show", "beta")


def test_what_is_behind_an_index_is_told(quire: Quire, index: Index) -> None:
    """That its projects are not listed, and where a project is that it does not have itself; JSON is for scripts."""
    publish(index)
    publish(Index(index.store, "team"), name="beta")
    for words in (("create", "team", "--behind", "main"), ("create", "alone")):
        assert quire("index", *words, "-d", "root", directory=None)[1] == ""
    assert quire("ls")[1] == quire("show", "alpha")[1] == quire("ls", "--index", "alone")[1] == ""
    out, said = quire("ls", "--index", "team")
    assert "alpha" not in out
    assert said == "Not listed: what team offers of main, behind it.\n"
    for command in ("ls", "show"):
        assert "team itself has no project alpha; main has" in quire.error(command, "alpha", "--index", "team")
        assert "more of main, behind it" in quire(command, "beta", "--index", "team")[1]
    assert quire("ls", "--index", "team", "--json")[1] == ""


def test_what_is_unknown_is_not_shown(quire: Quire, index: Index) -> None:
    """The UNKNOWN of distutils says nothing to people, nor to scripts."""
    metadata = "Metadata-Version: 1.1\nName: alpha\nVersion: 1.0\nSummary: UNKNOWN\nLicense: UNKNOWN\nAuthor: UNKNOWN\n"
    staging = index.store.blobs.stage(upload_key(WHEEL))
    staging.write(make_wheel("alpha", "1.0", metadata=metadata))
    index.publish([examine(staging.finish(), WHEEL)])
    assert "UNKNOWN" not in quire("show", "alpha")[0]
    assert "UNKNOWN" not in json.dumps(quire.json("show", "alpha"))


def test_deleted_files_are_shown(quire: Quire, index: Index) -> None:
    """Their names and digests, beside the listed files and after the last one; `check` counts them."""
    publish(index)
    publish(index, version="2.0")
    assert quire.json("show", "alpha")["deleted"] == {}
    quire("delete", "alpha", "1.0", "--yes")
    assert list(quire.json("show", "alpha")["deleted"]) == [WHEEL]
    assert "1 file; their names never get other content" in quire("show", "alpha")[0]
    quire("delete", "alpha", "--all", "--yes")
    shown = quire.json("show", "alpha")
    assert (shown["files"], list(shown["deleted"])) == ([], [WHEEL, wheel_name("alpha", "2.0")])
    assert "all of its files were deleted" in quire("show", "alpha")[0]
    assert "does not exist" in quire.error("ls", "alpha")
    assert "does not exist" in quire.error("show", "beta")
    assert quire.json("check")["deleted"] == 2
    assert "0 files, 2 files in the trash, 2 deleted files" in quire("check")[0]


def test_what_strangers_wrote_cannot_move_the_cursor(quire: Quire, index: Index) -> None:
    """Control characters of metadata are not printed."""
    staging = index.store.blobs.stage(upload_key(WHEEL))
    metadata = "Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\nSummary: \x1b[31mred\x1b[0m\n\n"
    staging.write(make_wheel("alpha", "1.0", metadata=metadata))
    index.publish([examine(staging.finish(), WHEEL)])
    out, _ = quire("show", "alpha")
    assert "\x1b" not in out
    assert "[31mred" in out


def test_tables_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A head, and names in brackets as they are."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    common.print_table(("File", "Size"), [("[bold]x[/bold]", "1 B")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["File", "Size"]
    assert lines[1].split() == ["[bold]x[/bold]", "1", "B"]


def test_import(quire: Quire, tmp_path: Path) -> None:
    """Makes the store, publishes, tells what could not be taken, and can be repeated."""
    (tmp_path / "root").mkdir()
    put(tmp_path / "in")
    (tmp_path / "in" / "half-1.0.zip").write_bytes(b"PK")
    out, err = quire("import", "in", code=1)
    assert out == f"in: 1 file imported, {in_words(len(make_wheel('alpha', '1.0')))}; 1 refused.\n"
    assert "half-1.0.zip: refused: It is not a complete archive" in err
    (tmp_path / "in" / "half-1.0.zip").unlink()
    document = quire.json("import", "in", "--move")
    assert [(each["present"], each["imported"], each["removed"]) for each in document["sources"]] == [(1, 0, 1)]
    assert document["sources"][0]["files"][0]["outcome"] == "already published"
    assert "does not exist" in quire.error("import", "missing", code=2)
    assert Index(PosixStore.open(tmp_path / "root")).names() == ("alpha",)


def test_import_a_served_folder_into_itself(quire: Quire, tmp_path: Path) -> None:
    """`quire import --move DIR --into DIR` leaves the store alone in the directory."""
    put(tmp_path / "root")
    put(tmp_path / "root", "beta")
    quire("import", "--move", "--link", "root", "--into", "root", directory=None)
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["quire"]
    assert quire.projects() == [("alpha", ""), ("beta", "")]


def test_check_and_gc(quire: Quire, index: Index, tmp_path: Path) -> None:
    """Damage is exit code 1 until it is repaired; what is unlisted is collected."""
    publish(index)
    publish(index, "beta")
    assert quire("check")[0].endswith("Everything is in order.\n")
    index.delete("beta", Selection())
    (wheel,) = (tmp_path / "root" / "quire" / "blobs" / "alpha").rglob(WHEEL)
    wheel.write_bytes(b"damaged")
    out, _ = quire("check", "--quick", code=1)
    assert f"damage: main/projects/alpha/{WHEEL}: The stored file has 7 bytes instead of" in out
    document = quire.json("check", code=1)
    assert document["damage"] == 1
    assert {finding["severity"] for finding in document["findings"]} == {"damage", "orphan"}
    assert "Repaired: It was taken out of the listing" in quire("check", "--repair")[0]
    assert quire("check")[0].startswith("0 projects, 0 files, 2 deleted files.\n2 things not listed")
    assert quire("gc")[0] == "0 blobs removed, 0 B; 2 unlisted blobs left for being young.\n"
    assert len(quire.json("gc", "--older-than", "0", "--dry-run")["removed"]) == 2
    assert len(quire.json("gc", "--older-than", "0s", "--offline")["removed"]) == 2
    assert quire.json("check")["findings"] == []


NO_INDEX = "quire: error: There is no index 'typo' in {}; there is main, other. 'quire index create typo' makes one."


@pytest.mark.parametrize(
    "words",
    [
        "ls",
        "show alpha",
        "log",
        "yank alpha 1.0",
        "delete alpha --all --yes",
        "status alpha",
        "trash list",
        "owner list alpha",
        "check",
        "gc --dry-run",
        "import files",
        "webhook list",
    ],
)
def test_an_index_that_there_is_not_is_not_an_empty_one(quire: Quire, index: Index, tmp_path: Path, words: str) -> None:
    """It is refused with the names that there are; one with files counts, also without a definition."""
    publish(index)
    publish(Index(index.store, "other"), "gamma")
    put(tmp_path / "files", "beta")
    code = 2 if words == "check" else 1
    said = quire.error(*words.split(), "-d", "root", "--index", "typo", directory=None, code=code)
    assert said.startswith(NO_INDEX.format(index.store.place))
    assert index.store.records.prefixes() == ("main/projects", "other/projects")


def test_files_are_imported_into_a_named_index(quire: Quire, index: Index, tmp_path: Path) -> None:
    """Once it is made; the others do not have them."""
    put(tmp_path / "files", "beta")
    quire("index", "create", "team", "-d", "root", directory=None)
    quire("import", "files", "--index", "team")
    assert quire.projects("--index", "team") == [("beta", "")]
    assert quire.projects() == quire.projects("--index", "main") == []
    assert index.names() == ()


@pytest.mark.parametrize(
    "words",
    [
        "show alpha",
        "yank alpha 1.0",
        "unyank alpha 1.0",
        "delete alpha 1.0 --yes",
        "status alpha archived",
        "owner add alpha user:ann",
        "log alpha",
        "trash restore alpha 1.0",
    ],
)
def test_drop_ins_are_files_of_the_index_at_the_root_alone(
    words: str, quire: Quire, index: Index, tmp_path: Path
) -> None:
    """Another index has no such project, as its servers say."""
    put(tmp_path / "root")
    assert quire.projects() == [("alpha", "drop-in")]
    quire("index", "create", "team", "-d", "root", directory=None)
    said = quire.error(*words.split(), "--index", "team", "-d", "root", directory=None)
    assert said == "quire: error: The project alpha does not exist.\n"
    assert quire.projects("--index", "team") == []


def test_a_file_of_another_index_that_is_named_as_a_drop_in(quire: Quire, index: Index, tmp_path: Path) -> None:
    """It is imported, changed, deleted and restored as if there was no drop-in; nothing is kept of drop-ins there. In
    front of the index at the root, which has the drop-in, it is said so."""
    put(tmp_path / "root")
    put(tmp_path / "second", "beta")
    put(tmp_path / "files").write_bytes(make_wheel("alpha", "1.0", files={"variant.txt": b"another"}))
    quire("index", "create", "team", "-d", "root", directory=None)
    quire("index", "create", "front", "--behind", "main", "-d", "root", directory=None)
    of_team = ("-d", "second", "--index", "team")
    assert quire("import", "files", *of_team)[0].startswith("files: 1 file imported")
    assert quire.projects(*of_team) == [("alpha", "")]
    assert [each["path"] for each in quire.json("show", "alpha", *of_team)["files"]] == [None]
    assert quire("yank", "alpha", WHEEL, *of_team)[0].startswith("Yanked the file")
    assert quire("delete", "alpha", WHEEL, "--yes", *of_team)[0].startswith("Deleted the file")
    restored = quire("trash", "restore", "alpha", WHEEL, "-d", "root", *of_team, directory=None)
    assert restored[0].startswith("Restored")
    assert quire("check", *of_team)[0].endswith("Everything is in order.\n")
    assert "team/dropins" not in index.store.records.prefixes()
    assert "front itself has no project alpha; main has" in quire.error("show", "alpha", "--index", "front")


def test_where_the_store_is(quire: Quire, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag, QUIRE_DIRECTORIES, quire.toml, ~/packages; further directories are drop-in folders."""
    publish(index)
    publish(Index(index.store, "other"), "gamma")
    put(tmp_path / "second", "beta")
    assert quire.projects("--index", "other") == [("gamma", "")]
    assert quire.projects("-d", "second") == [("alpha", ""), ("beta", "drop-in")]
    (tmp_path / "quire.toml").write_text('directories = ["root", "second"]\n')
    assert quire.projects(directory=None) == [("alpha", ""), ("beta", "drop-in")]
    monkeypatch.setenv("QUIRE_DIRECTORIES", "root")
    assert quire.projects(directory=None) == [("alpha", "")]
    monkeypatch.delenv("QUIRE_DIRECTORIES")
    (tmp_path / "quire.toml").unlink()
    (tmp_path / "home").mkdir()
    (tmp_path / "root").rename(tmp_path / "home" / "packages")
    assert quire.projects(directory=None) == [("alpha", "")]


def test_ls_goes_on_past_a_damaged_record(quire: Quire, index: Index) -> None:
    """It says which project cannot be read, in its row; the others have theirs."""
    publish(index)
    index.store.records.write(index.key("bad"), b"garbage", index.store.records.read(index.key("bad")))
    (good, (name, note)) = quire.projects()
    assert good == ("alpha", "")
    assert name == "bad"
    assert "bad" in note
    assert [each["error"] is None for each in quire.json("ls")["projects"]] == [True, False]


@pytest.mark.parametrize(
    "line", ["ls", "show", "status", "yank 1.0", "unyank 1.0", "delete 1.0 --yes", "delete --all --yes"]
)
def test_the_project_that_was_meant_is_named(line: str, quire: Quire, index: Index, tmp_path: Path) -> None:
    """Every command that takes a project, for one that is stored and for one that is dropped in."""
    publish(index, "alphabet")
    put(tmp_path / "root", "dropped-in")
    command, *words = line.split()
    assert "The project alphabeth does not exist (did you mean alphabet?)." in quire.error(command, "alphabeth", *words)
    assert "(did you mean dropped-in?)" in quire.error(command, "droped-in", *words)
    assert "does not exist." in quire.error(command, "zzz", *words)


def test_the_nearest_store_is_found(
    quire: Quire, tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no directory is named: the nearest packages/ with a store, seen from anywhere beside it, above it, or in
    it; else a sentence that tells how to name one."""
    sentence = quire.error("ls", code=2, directory=None)
    assert "No store was found" in sentence
    assert "with -d" in sentence
    publish(index)
    (tmp_path / "root").rename(tmp_path / "packages")
    (tmp_path / "deep" / "in" / "packages").mkdir(parents=True)  # that has no store
    for place in (".", "deep", "deep/in", "deep/in/packages", "packages", "packages/quire", "packages/quire/blobs"):
        monkeypatch.chdir(tmp_path / place)
        for command in ("ls", "check", "log", "gc"):
            assert "alpha" in quire(command, directory=None)[0] or command in {"check", "gc"}
        assert quire("show", "alpha", directory=None)[0].startswith("Name\talpha")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUIRE_DIRECTORIES", "deep")
    assert quire("ls", directory=None)[0] == ""


COMMAND_LINES = (
    *("ls", "show alpha", "yank alpha 1.0", "unyank alpha 1.0", "delete alpha 1.0 --yes", "status alpha", "log"),
    f"import-devpi {EXPORT}",
    *("import elsewhere", "check", "gc", "doctor", "update", "trash list"),
    *("token list", "grants", "grant user:a read", "revoke g", "group g a", "access init --admin a -a update"),
    *("session end --all", "publisher list", "index list", "owner list alpha", "webhook list"),
    *("stage list", "promote pr-1", "claim", "namespace list", "retention", "apply --export"),
    *("merge alpha --yes", "unmerge alpha", "osv show"),
    *("mirror status", "backup elsewhere", "restore elsewhere"),
    *("policy show", "policy deny alpha", "policy explain alpha"),
)


@pytest.mark.parametrize("line", COMMAND_LINES)
@pytest.mark.parametrize("place", ["root/quire", "root/quire/blobs", "root/quire/incoming/", "link"])
def test_a_path_in_a_store_is_recognised(line: str, place: str, quire: Quire, tmp_path: Path, index: Index) -> None:
    """Exit code 2, the parent by its name, and nothing is made there."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("root/quire")
    before = sorted(tmp_path.rglob("*"))
    command, *words = line.split()
    flags = [place] if command in {"doctor", "update"} else ["-d", place]
    sentence = quire.error(command, *words, *flags, code=2, directory=None)
    assert "; name its parent" in sentence
    assert f"name its parent, {tmp_path / 'root'}." in sentence
    assert sorted(tmp_path.rglob("*")) == before


def test_every_command_is_tried_with_a_path_in_a_store() -> None:
    """No command is left out above; `run` and `serve` are tried in test_cli_run, and four work on no store."""
    no_store = {"run", "serve", "completion", "passwd", "config-snippet", "server"}
    assert {line.split()[0] for line in COMMAND_LINES} == set(cli.COMMANDS) - no_store


def test_directories_that_cannot_be_used(quire: Quire, tmp_path: Path) -> None:
    """Missing, without a store, not a store, a newer layout: one sentence and exit code 2; nothing is made."""
    assert "No such file or directory" in quire.error("ls", code=2)
    (tmp_path / "root").mkdir()
    assert "There is no store" in (said := quire.error("check", code=2))
    assert "A server makes one when it is started there" in said
    assert "There is no store" in quire.error("gc", code=2)
    assert "does not exist" in quire.error("yank", "alpha", "1.0")
    assert list((tmp_path / "root").iterdir()) == []
    (tmp_path / "root" / "quire").mkdir()
    (tmp_path / "root" / "quire" / "format").write_text("quire 999\n")
    assert "layout 'quire 999'" in quire.error("ls", code=2)


def test_a_damaged_record_is_one_sentence(quire: Quire, index: Index) -> None:
    """Commands that need it say so, and name the remedy."""
    publish(index)
    index.store.records.write(index.key("alpha"), b"garbage", index.store.records.read(index.key("alpha")))
    for command in (["yank", "alpha", "1.0"], ["ls", "alpha"], ["show", "alpha"], ["status", "alpha"]):
        assert "quire check" in quire.error(*command)
    assert quire("gc", code=1)[1].startswith("alpha: its record is damaged")


@pytest.mark.parametrize("named", ["main", "pr-1"])
def test_gc_deletes_an_ended_stage(quire: Quire, index: Index, named: str) -> None:
    """Whichever index it names."""
    ended = IndexDefinition(in_front_of="main", expires="2026-01-01T00:00:00Z")
    access = AccessRecords(index.store)
    access.change(lambda document: with_fields(document, indexes={"pr-1": ended}), "index-create", {}, Origin())
    quire("gc", "--index", named)
    assert access.read().state.document.indexes == {}


def test_names_that_are_no_utf_8_are_escaped_in_json(quire: Quire, index: Index, tmp_path: Path) -> None:
    """JSON is UTF-8, and a name in a directory any bytes."""
    publish(index)
    (wheel,) = (tmp_path / "root" / "quire" / "blobs").rglob("*.whl")
    wheel.with_name("caf\udce9 \u00fc.zip").write_bytes(b"")
    found = quire.json("check")["findings"]
    assert [each["where"].endswith("/caf\\xe9 \u00fc.zip") for each in found] == [True]
    removed = quire.json("gc", "--older-than", "0s", "--dry-run")["removed"]
    assert [each["key"].endswith("/caf\\xe9 \u00fc.zip") for each in removed] == [True]


@pytest.mark.parametrize("key", ["main/projects/promotions_", "access/rules/store"])
def test_a_damaged_document_stops_no_other_work_of_gc_and_check(quire: Quire, index: Index, key: str) -> None:
    """Each does what does not need it, says what is damaged, and ends with 1."""
    publish(index)
    publish(index, "beta")
    index.delete("beta", Selection())
    defining.set_index(AccessRecords(index.store), "main", {"keep": ("pre:1",)}, default="main", origin=Origin())
    quire("check")
    record = index.store.records.read(key)
    index.store.records.write(key, b"damaged", record)
    for more in (["--dry-run"], ["--offline"]):
        document = quire.json("gc", "--older-than", "0", *more, code=1)
        assert len(document["removed"]) == 2
        assert key in document["damaged"][0]
        assert len(document["damaged"]) == 1
    assert quire("gc", code=1)[1].count("run 'quire check'") == 1
    assert [each["where"] for each in quire.json("check", code=1)["findings"]] == [key]
    assert index.project("alpha") is not None


def test_root_does_not_write_into_the_store_of_another_user(
    quire: Quire, index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server could not change what root makes; reading is fine."""
    publish(index)
    real = os.stat

    def others(path: Any, *arguments: Any, **options: Any) -> Any:
        status = real(path, *arguments, **options)
        if path != str(tmp_path / "root" / "quire"):
            return status
        fields = list(status)
        fields[4] = 1234
        return os.stat_result(fields)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "stat", others)
    assert "sudo -u '#1234'" in quire.error("yank", "alpha", "1.0", code=2)
    quire("ls", "alpha")
    quire("check")


def test_changes_are_logged_with_the_user(quire: Quire, index: Index, tmp_path: Path) -> None:
    """Where the operator keeps a log, a change of the command line is in it."""
    publish(index)
    (tmp_path / "quire.toml").write_text(
        'log-file = "log"\nverbose = 1\nlog-stream = "none"\nlog-frmt = "%(message)s"\n'
    )
    quire("yank", "alpha", "1.0", "--user", "jane")
    assert (tmp_path / "log").read_text() == "yanked project=alpha what='the release 1.0' version=1.0 user=jane\n"


def test_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A line every few seconds, on stderr."""
    now = [0.0]
    with Meter("import", clock=lambda: now[0]) as meter:
        meter.step("x", 3_000_000)
        meter.advance(1_000_000)
        now[0] = 6.0
        meter.advance(500_000)
        meter.advance(500_000)
    assert capsys.readouterr().err == "quire: import: x: 1.5 MB of 3.0 MB\n"


def test_progress_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar, that is gone afterwards; stdout stays clean."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Meter("check") as meter:
        meter.step("reading", 2)
        meter.advance(2)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("1h", 3600), ("2D", 172800)])
def test_durations(text: str, seconds: float) -> None:
    """As people write them."""
    assert common.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1", "1w", "1 h 2"])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(ArgumentTypeError, match="write it like"):
        common.duration(text)


def test_sizes_in_words() -> None:
    """At most four digits."""
    sizes = (0, 999, 1000, 999_499, 999_950, 10**9, 10**13)
    assert [in_words(size) for size in sizes] == [
        *("0 B", "999 B", "1.0 kB", "999.5 kB", "1.0 MB", "1.0 GB", "10.0 TB")
    ]


def test_servers_go_on_meanwhile(tmp_path: Path) -> None:
    """A real server, and commands in processes of their own: each change is in the server's very next answer."""
    path = put(tmp_path / "root")
    port = free_port()
    command = quire_command("serve", "-p", port, "--workers", "2", "-a", ".", "-P", ".", "root")
    with running(command, port, cwd=tmp_path) as served:
        page = "/simple/alpha/"
        assert WHEEL in served.get(page)[2]
        assert run_quire("import", "--move", "root", "--into", "root", cwd=tmp_path).returncode == 0
        assert not path.exists()
        assert WHEEL in served.get(page)[2]
        assert "data-yanked" not in served.get(page)[2]
        assert run_quire("yank", "alpha", "1.0", "-d", "root", cwd=tmp_path).returncode == 0
        assert "data-yanked" in served.get(page)[2]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/packages/{WHEEL}", timeout=10) as response:
            assert response.read() == make_wheel("alpha", "1.0")
        assert run_quire("check", "-d", "root", cwd=tmp_path).returncode == 0
        assert run_quire("delete", "alpha", "--all", "--yes", "-d", "root", cwd=tmp_path).returncode == 0
        assert WHEEL not in served.get(page)[2]


def test_a_process_prints_nothing_else(tmp_path: Path, index: Index) -> None:
    """In a process of its own: JSON alone on stdout, nothing on stderr; an error the other way round."""
    publish(index)
    done = run_quire("show", "alpha", "-d", "root", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["project"] == "alpha"
    failed = run_quire("show", "beta", "-d", "root", "--json", cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "quire: error: The project beta does not exist.\n"


def test_upstreams_of_an_index(quire: Quire, index: Index) -> None:
    """Shown as they were set; one sentence for what none can be, and nothing changed."""
    publish(index)

    def error(*arguments: str) -> str:
        return quire.error("index", *arguments, "-d", "root", directory=None)

    def show(name: str) -> str:
        return quire("index", "show", name, "-d", "root", directory=None)[0]

    assert "--upstream URL" in error("set", "main", "--upstream-only", "a*")
    for url in ("https://u:s3cret@a.test/", "ftp://a.test/", "https://a.test/?a=s3cret", "https://s3cret:x/"):
        told = error("set", "main", "--upstream", url)
        assert "--upstream-netrc" in told or "plain http or https URL" in told
        assert "s3cret" not in told
    assert "no upstream" in error("set", "main", "--no-upstream", "https://a.test/simple")
    assert "max-age" in error("set", "main", "--upstream", "https://a.test/", "--upstream-max-age", "-1")
    assert "Upstream" not in show("main")
    warned = [
        "a server's settings" in quire("index", *changes, "-d", "root", directory=None)[0]
        for changes in (
            ("set", "main", "--upstream", "https://a.test/simple", "--upstream-only", "Torch_*,triton"),
            *[("set", "main", "--upstream", "https://b.test/simple", "--upstream-hosts", "files.b.test")] * 2,
            ("set", "main", "--upstream", "https://b.test/simple", "--upstream-first"),
            ("create", "team", "--upstream", "https://b.test/simple/"),
        )
    ]
    assert warned == [True, False, False, False, False], "the first one ends what the settings of a server say"
    lines = show("main").splitlines()
    assert "https://b.test/simple/, files on files.b.test; pages for 600 s" in lines[-2]
    assert "https://a.test/simple/, for torch-*, triton;" in lines[-1]
    assert "no terminal" in quire.error("merge", "alpha")
    assert "upstream (https://b.test/simple/" in quire.error("merge", "alpha")
    assert quire.json("merge", "Alpha", "--yes") == {
        "index": "main",
        "project": "alpha",
        "merged": True,
        "changed": True,
    }
    assert "merged before" in quire("merge", "alpha")[0]
    assert "alpha" in show("main").splitlines()[-1]
    quire("merge", "alpha", "--index", "team", "--yes")
    quire("unmerge", "alpha", "--index", "team")
    assert "b.test" in show("team"), "it is still defined"
    assert "no index 'tema' (did you mean team?)" in quire.error("unmerge", "alpha", "--index", "tema")
    assert quire("unmerge", "alpha")[0].startswith("Unmerged alpha")
    quire("index", "set", "main", "--no-upstream", "https://b.test/simple", "-d", "root", directory=None)
    assert "b.test" not in show("main")
    assert "b.test" in show("team")
    last = quire("index", "set", "main", "--no-upstream", "https://a.test/simple", "-d", "root", directory=None)[0]
    assert "the --upstream of a server's settings counts again" in last
    logged = quire("log", "--access")[0]
    assert "index main: upstream url https://a.test/simple, only torch-* triton" in logged
    assert "index main: merge alpha" in logged


@pytest.mark.parametrize(
    "line",
    [
        "token create --right upload --expires",
        "token rotate abc --grace",
        "webhook rotate abc --grace",
        "stage create pr-1 --in-front-of main --expires",
        "policy exempt acme 1.0 --reason x --until",
    ],
)
def test_a_time_past_the_calendar_is_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a sentence, and no traceback."""
    with pytest.raises(SystemExit) as ended:
        cli.main([*line.split(), "999999999999d"])
    assert ended.value.code == 2
    assert "is too long; give at most 36500d" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "unbuffered", "code"), [("check", "1", 2), ("check", "", 1), ("ls", "1", 141), ("ls", "", 141)]
)
def test_a_reader_that_ends_early(tmp_path: Path, command: str, unbuffered: str, code: int) -> None:
    """No command takes that for success, and a check of a damaged store least of all."""
    index = Index(PosixStore.open(tmp_path))
    publish(index)
    for path in (tmp_path / "quire" / "blobs").rglob("*.whl"):
        path.unlink()
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            quire_command(command, "-d", tmp_path),
            cwd=tmp_path,
            env=environment(PYTHONUNBUFFERED=unbuffered),
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, b"Traceback" in done.stderr, b"BrokenPipe" in done.stderr) == (code, False, False)
