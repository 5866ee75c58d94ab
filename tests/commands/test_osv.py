"""`quire osv`: what it prints for people and for scripts. The examples of the how-to are run here."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests.documents import DOCS, block, blocks
from tests.serving import run_quire

PAGE = DOCS / "how-to" / "vulnerabilities.md"


def document(identity: str, name: str, *versions: str, **fields: Any) -> dict[str, Any]:
    affected = [{"package": {"ecosystem": "PyPI", "name": name}, "versions": versions}]
    return {"id": identity, "modified": "2024-05-01T00:00:00Z", "affected": affected, **fields}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a store in packages/, OSV's archive and the advisory of the how-to."""
    (tmp_path / "packages").mkdir()
    Index(PosixStore.open(tmp_path / "packages"))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        vulnerable = document("GHSA-1", "requests", "2.19.0", summary="Leaks\x1b[31m", severity=[])
        vulnerable["affected"][0]["ranges"] = [
            {"type": "ECOSYSTEM", "events": [{"introduced": "2.0"}, {"fixed": "2.20.0"}]}
        ]
        archive.writestr("GHSA-1.json", json.dumps(vulnerable))
        archive.writestr("MAL-1.json", json.dumps(document("MAL-1", "request", "1.0")))
        archive.writestr("broken.json", "{")
    (tmp_path / "advisories").mkdir()
    (own,) = blocks(PAGE, "json")
    (tmp_path / "advisories" / "1.json").write_text(own)
    return tmp_path


def quire(folder: Path, *words: str, code: int = 0) -> tuple[str, str]:
    done = run_quire(*words, "-d", "packages", cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def example(mark: str) -> list[list[str]]:
    """The commands of an example, without `quire` and `-d packages`."""
    return [line.replace(" -d packages", "").split()[1:] for line in block(PAGE, "sh", mark).splitlines()]


def test_the_examples_of_the_how_to(folder: Path) -> None:
    """As they stand there."""
    update, show = example("update")
    out, error = quire(folder, *update)
    assert out.startswith("The source osv has 2 advisories, 1 malicious, about 2 projects. Every server")
    assert "broken.json was left out: it is no OSV document" in error
    row = quire(folder, *show)[0].split("\t")
    assert row[:5] == ["osv", "2", "1", "2", "2024-05-01T00:00:00Z"]
    of_project, of_release = example("show")
    assert quire(folder, *of_project)[0] == "GHSA-1\t-\t>=2.0,<2.20.0\t2.20.0\tLeaks\N{REPLACEMENT CHARACTER}[31m\n"
    found = json.loads(quire(folder, *of_release)[0])
    assert (found["project"], found["version"]) == ("requests", "2.19.0")
    assert [(each["id"], each["fixed"]) for each in found["advisories"]] == [("GHSA-1", ["2.20.0"])]
    own, remove = example("own")
    assert quire(folder, *own)[0].startswith("The source acme has 1 advisory, 0 malicious, about 1 project.")
    assert "high" in quire(folder, "osv", "show", "acme.tools==1.1")[0]
    assert quire(folder, "osv", "show", "acme.tools==1.2.0") == ("", "No advisory is about acme.tools==1.2.0.\n")
    assert quire(folder, *remove)[0].startswith("Removed the advisories of acme")


def test_output_for_scripts(folder: Path) -> None:
    """Of each action."""
    done = json.loads(quire(folder, "osv", "update", "all.zip", "--json", "--user", "ann")[0])
    assert (done["advisories"], done["malicious"], done["bad"], done["changed"]) == (2, 1, 1, True)
    assert [each["document"] for each in done["problems"]] == ["broken.json"]
    (source,) = json.loads(quire(folder, "osv", "show", "--json")[0])["sources"]
    assert (source["source"], source["by"], source["origin"]) == ("osv", "ann", "all.zip")
    assert json.loads(quire(folder, "osv", "remove", "osv", "--json")[0]) == {"source": "osv", "removed": True}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["update", "nothing.zip"], "nothing.zip cannot be read: No such file or directory."),
        (["update", "all.zip", "--as", "A B"], "'A B' is no name of a source of advisories"),
        (["remove", "acme"], "There is no source of advisories 'acme'; there is none."),
    ],
)
def test_errors_are_one_sentence(words: list[str], sentence: str, folder: Path) -> None:
    """With exit code 1."""
    out, error = quire(folder, "osv", *words, code=1)
    assert (out, error.count("\n")) == ("", 1)
    assert sentence in error


def test_a_store_without_advisories(folder: Path) -> None:
    """Says how to get some."""
    assert "'quire osv update' takes some in" in quire(folder, "osv", "show", "requests", code=1)[1]
