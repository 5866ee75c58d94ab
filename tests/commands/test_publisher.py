"""`quire publisher`: what it prints for people and scripts, and what it refuses."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from quire import cli
from quire.publishing.platforms import PLATFORMS
from quire.publishing.publishers import make_publisher
from quire.publishing.words import SETTINGS
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire

GITHUB = ("add", "github", "--repository", "acme/tools", "--workflow", "release.yml")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with the project acme-lib."""
    folder, root = tmp_path / "wheels", tmp_path / "packages"
    folder.mkdir()
    root.mkdir()
    (folder / wheel_name("acme_lib", "1.0")).write_bytes(make_wheel("acme-lib", "1.0"))
    done = run_quire("import", folder, "--into", root, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return root


def publisher(store: Path, *words: str, code: int = 0) -> str:
    done = run_quire("publisher", *words, "-d", store, cwd=store)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def as_json(store: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(publisher(store, *words, "--json"))
    return found


def test_a_publisher_is_added_listed_and_removed(store: Path) -> None:
    """One for a project that does not exist yet says so; the same one is added once."""
    words = (*GITHUB, "--environment", "pypi", "--index", "main", "--project", "acme-tools", "--project", "acme-lib")
    added = as_json(store, *words)
    assert added["changed"]
    assert added["pending"] == ["acme-tools"]
    again = as_json(store, *words)
    assert again == {**added, "changed": False}
    listed = as_json(store, "list")
    assert listed["audience"] == added["audience"]
    (found,) = listed["publishers"]
    assert found["id"] == added["id"]
    assert found["settings"] == {"repository": "acme/tools", "workflow": "release.yml", "environment": "pypi"}
    assert (found["index"], found["projects"], found["pending"]) == ("main", ["acme-tools", "acme-lib"], ["acme-tools"])
    text = publisher(store, "list")
    assert "GitHub acme/tools release.yml pypi" in text
    assert "pending" in text
    assert publisher(store, "remove", added["id"]).startswith("Removed 1 publisher")
    assert publisher(store, "list") == "There are no publishers.\n"
    assert "no publisher" in publisher(store, "remove", added["id"], code=1)
    log = run_quire("log", "--access", "-d", store, cwd=store).stdout
    assert f"publisher {added['id']}: github acme/tools release.yml pypi, acme-tools acme-lib on main" in log
    assert log.rstrip().endswith(f"publisher {added['id']}")


def test_a_lifetime_of_a_token_has_a_unit(store: Path) -> None:
    """A bare number would be seconds, and is meant as days."""
    done = run_quire("token", "create", "--right", "upload", "--expires", "90", "-d", store, cwd=store)
    assert (done.returncode, done.stdout) == (2, "")
    assert "for days write 90d" in done.stderr


def test_the_audience_is_shown_and_set(store: Path) -> None:
    """The first publisher brings one."""
    assert "no audience yet" in publisher(store, "audience")
    added = as_json(store, *GITHUB, "--project", "acme-tools")
    assert publisher(store, "audience") == f"{added['audience']}\n"
    assert publisher(store, "audience", "packages.acme.example") == "packages.acme.example\n"
    assert as_json(store, "list")["audience"] == "packages.acme.example"
    assert "An audience has" in publisher(store, "audience", "a b", code=1)


REFUSED: list[tuple[tuple[str, ...], int, str]] = [
    (("add", "github", "--repository", "acme/tools", "--project", "x"), 1, "needs --workflow"),
    (("add", "gitbub", "--project", "x"), 2, "did you mean github"),
    ((*GITHUB, "--claim", "x", "--project", "x"), 1, "write it as NAME=VALUE"),
]


def test_bad_publishers_are_refused(store: Path) -> None:
    """With one sentence, and nothing is stored. (The rules themselves: tests/publishing.)"""
    for words, code, reason in REFUSED:
        assert reason in publisher(store, *words, code=code)
    assert publisher(store, "list") == "There are no publishers.\n"


def test_the_commands_of_the_how_to_page_are_right() -> None:
    """Each `quire publisher add` of it makes a publisher, and its jobs ask for the audience that the page sets."""
    page = (Path(__file__).parent.parent.parent / "docs" / "how-to" / "trusted-publishing.md").read_text()
    lines = re.findall(r"^quire (publisher add .*)$", page, re.MULTILINE)
    assert {line.split()[2] for line in lines} == set(PLATFORMS)
    for line in lines:
        parsed = cli.make_parser(["publisher"])[0].parse_args(shlex.split(line))
        words = {word: getattr(parsed, word) for word in SETTINGS if getattr(parsed, word)}
        claims = dict(claim.split("=", 1) for claim in parsed.claim)
        made = make_publisher(
            parsed.platform, words, claims, issuer=parsed.issuer, index="main", projects=("x",), created="", by=None
        )
        assert made.kind is not None
    (audience,) = re.findall(r"^ *quire publisher audience (.*)$", page, re.MULTILINE)
    assert f"{re.sub('[^A-Z0-9]', '_', audience.upper())}_ID_TOKEN:\n      aud: {audience}" in page
    for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        assert yaml.safe_load(block)
