"""The workflows of continuous integration name what is there: targets, Pythons, the base image, the checks."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.documents import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def _read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_the_suite_runs_on_each_supported_python() -> None:
    matrix = _read(".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = [each.rpartition(" ")[2] for each in project["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert matrix == supported
    assert project["requires-python"] == f">={supported[0]}"


def test_each_night_runs_targets_that_exist_and_all_long_ones() -> None:
    job = _read(".github/workflows/nightly.yml")["jobs"]["long"]
    named = {each.split()[0] for each in job["strategy"]["matrix"]["target"]}
    assert named <= _targets()
    long = {each for each in _targets() if each.startswith(("test-", "torture", "fuzz"))}
    assert long - named == {"test-fast", "test-names"}  # a part of `make test`; an hour that is run by hand
    assert job["container"]["image"] in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_action_is_named_by_its_digest_and_version(path: Any) -> None:
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert uses
    for each in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


def test_an_action_has_one_version_in_all_workflows() -> None:
    uses = {each for path in WORKFLOWS for each in re.findall(r"uses: (.*)", path.read_text())}
    assert len({each.partition("@")[0] for each in uses}) == len(uses)


@pytest.mark.parametrize(
    ("version", "final"),
    [
        ("1.0.0", True),
        ("1.2.10", True),
        ("1.0.0.post1", True),
        ("1.1.0rc1", False),
        ("1.1.0a2", False),
        ("1.1.0b1", False),
        ("1.1.0.dev3", False),
        ("1.1.0rc1.post1", False),
    ],
)
def test_latest_is_a_final_version(tmp_path: Path, version: str, final: bool) -> None:
    """The image of a pre-release has the tag of its version, and the tag `latest` stays where it is."""
    steps = _read(".github/workflows/release.yml")["jobs"]["image"]["steps"]
    (script,) = (step["run"] for step in steps if step.get("id") == "name")
    output = tmp_path / "output"
    environ = {"PATH": os.defpath, "GITHUB_REPOSITORY_OWNER": "Acme", "GITHUB_OUTPUT": str(output)}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    subprocess.run(command, env=environ | {"GITHUB_REF_NAME": f"v{version}"}, check=True, timeout=60)
    tags = re.findall(r"^ghcr\.io/acme/quire-index:(.*)$", output.read_text(), re.M)
    assert tags == [version, *(["latest"] if final else [])]
    (push,) = (step["with"] for step in steps if step.get("id") == "push")
    assert push["tags"] == "${{ steps.name.outputs.tags }}"


def test_a_commit_is_checked_as_by_make_lint() -> None:
    """Always, of the whole tree, in the environment of the project: not the files of a commit, nor other versions."""
    (repository,) = _read(".pre-commit-config.yaml")["repos"]
    (hook,) = repository["hooks"]
    assert (repository["repo"], hook["language"], hook["entry"]) == ("local", "system", "make -s lint")
    assert hook["always_run"]
    assert not hook["pass_filenames"]
