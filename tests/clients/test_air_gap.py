"""The page about air gaps, followed command by command by real clients: outside an upstream, inside none, and a lock
that was made outside installs inside."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.asking import OPEN, Site, serve
from tests.clients import environments
from tests.clients.sandbox import Sandbox, installed, ok, refused
from tests.distributions import make_wheel, metadata_text, wheel_name
from tests.documents import DOCS, block
from tests.serving import environment
from tests.upstreams import FakeIndex, serving_index

pytestmark = [pytest.mark.clients, pytest.mark.proofs]

PAGE = DOCS / "how-to" / "air-gap.md"
PYPROJECT = """[project]
name = "throwaway"
version = "0"
requires-python = ">=3.11"
dependencies = ["far-app"]
"""
EVERYTHING = {"far_app": "1.0", "far_lib": "1.0"}


@dataclass(frozen=True)
class Sides:
    """A lock from outside, the server inside, and the upstream, which no client reaches inside."""

    outside: Path
    """With pyproject.toml and uv.lock."""
    inside: Site
    upstream: FakeIndex


def upstream_of(index: FakeIndex) -> None:
    """Two projects, whose files have paths as those of the public index."""
    contents = {
        "far-app": make_wheel(
            "far-app", "1.0", metadata=metadata_text("far-app", "1.0", extra="Requires-Dist: far-lib\n")
        ),
        "far-lib": make_wheel("far-lib", "1.0"),
    }
    for project, content in contents.items():
        filename, digest = wheel_name(project, "1.0"), hashlib.sha256(content).hexdigest()
        place = f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}"
        entry = {"url": f"../..{place}", "upload-time": "2024-01-02T03:04:05.678901Z"}
        index.has(project, {filename: content}, **{filename.replace(".", "_").replace("-", "_"): entry})
        index.at(place, index.answers[f"/files/{filename}"][0])


def script(mark: str, upstream: FakeIndex, inside: str = "") -> str:
    """A block of the page, with the names of the test's servers."""
    text = block(PAGE, "sh", mark).replace("https://index.example/simple/", upstream.url)
    text = text.replace("https://index.example/simple", upstream.url.rstrip("/"))
    text = text.replace("https://files.example", upstream.base)
    return text.replace("https://packages.inside.example", inside.rstrip("/"))


def run_page(text: str, cwd: Path) -> str:
    """The output of a block of `quire` commands."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", text],
        cwd=cwd,
        env=environment(NO_PROXY="*", PATH=path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    outside, inside = tmp_path_factory.mktemp("outside"), tmp_path_factory.mktemp("inside")
    client = Sandbox(tmp_path_factory.mktemp("client"))
    with serving_index() as upstream:
        upstream_of(upstream)
        (outside / "pyproject.toml").write_text(PYPROJECT)
        ok(client.uv("lock", "--default-index", upstream.url.rstrip("/"), cwd=outside))
        run_page(script("outside", upstream), outside)
        shutil.move(outside / "kept.tar", inside / "kept.tar")
        run_page(script("inside", upstream), inside)
        words = script("serve", upstream).split()
        assert words[:2] == ["quire", "serve"]
        assert words[-1] == "packages"
        upstream.answers.clear()  # nothing of it is reached from inside
        with serve(inside, *OPEN, *words[2:-1], NO_PROXY="*") as site:
            yield Sides(outside, site, upstream)


@pytest.fixture
def project(sides: Sides, tmp_path: Path) -> Path:
    """A copy of the project, with the lock from outside."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(sides.outside / name, folder / name)
    return folder


def environment_of(project: Path) -> dict[str, str]:
    return installed(next((project / ".venv").glob("lib/python*/site-packages")))


def uv_script(sandbox: Sandbox, text: str, cwd: Path) -> None:
    """Paste a block of uv's commands, which find the environment of their folder: none is named (`UV_PYTHON`)."""
    path = f"{environments.uv().parent}:{os.defpath}"
    ok(sandbox.run("env", "-u", "UV_PYTHON", "sh", "-euc", text, cwd=cwd, PATH=path))


def test_uv_and_pip_by_an_export_of_the_lock(sides: Sides, project: Path, sandbox: Sandbox) -> None:
    """The lock stays as it is."""
    before = (project / "uv.lock").read_text()
    uv_script(sandbox, script("export-lock", sides.upstream, sides.inside.base), project)
    assert environment_of(project) == EVERYTHING
    assert (project / "uv.lock").read_text() == before
    target = sandbox.target()
    where = ("--require-hashes", "--target", target, "-r", project / "requirements.txt")
    ok(sandbox.pip("pip-newest", "install", "--index-url", f"{sides.inside.base}simple/", *where))
    assert installed(target) == EVERYTHING


def test_uv_by_the_lock_with_other_prefixes(sides: Sides, project: Path, sandbox: Sandbox) -> None:
    """It is the very lock that uv makes inside."""
    uv_script(sandbox, script("rewrite", sides.upstream, sides.inside.base), project)
    assert environment_of(project) == EVERYTHING
    rewritten = (project / "uv.lock").read_text()
    (project / "uv.lock").unlink()
    ok(sandbox.uv("lock", "--default-index", f"{sides.inside.base}simple", cwd=project))
    assert (project / "uv.lock").read_text() == rewritten


def test_uv_with_the_lock_as_it_is(sides: Sides, project: Path, sandbox: Sandbox) -> None:
    """Each command ends as the page says, which is to be changed when uv can do more."""
    inside, before = f"{sides.inside.base}simple", (project / "uv.lock").read_text()
    assert "Failed to fetch" in refused(sandbox.uv("sync", "--frozen", "--default-index", inside, cwd=project))
    assert "needs to be updated" in refused(sandbox.uv("sync", "--locked", "--default-index", inside, cwd=project))
    assert (project / "uv.lock").read_text() == before
    ok(sandbox.uv("sync", "--default-index", inside, cwd=project))
    assert environment_of(project) == EVERYTHING
    assert sides.inside.base in (project / "uv.lock").read_text()


def test_pdm_locks_the_same_inside(sides: Sides, project: Path, sandbox: Sandbox) -> None:
    """Its lock has no URLs."""
    pdm, inside = environments.programs("pdm") / "pdm", f"{sides.inside.base}simple/"
    (project / "pyproject.toml").write_text(PYPROJECT + "[tool.pdm]\ndistribution = false\n")
    ok(sandbox.run(pdm, "lock", cwd=project, PDM_PYPI_URL=inside))
    lock = (project / "pdm.lock").read_text()
    assert "http" not in lock
    ok(sandbox.run(pdm, "install", "--frozen-lockfile", cwd=project, PDM_PYPI_URL=inside))
    assert {name: version for name, version in environment_of(project).items() if name in EVERYTHING} == EVERYTHING
