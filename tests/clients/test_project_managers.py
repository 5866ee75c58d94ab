"""poetry and pdm: publish, and install in a throwaway project that names the index as its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import environments
from tests.clients.sandbox import Result, Sandbox, ok, refused
from tests.clients.servers import Server, Servers
from tests.distributions import make_sdist, make_wheel, sdist_name, wheel_name

pytestmark = pytest.mark.clients


def _project(sandbox: Sandbox, name: str, more: str = "", dependencies: str = "") -> Path:
    folder = sandbox.home / name
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.11"\n'
        f"dependencies = [{dependencies}]\n{more}"
    )
    return folder


def _build(project: Path, **files: bytes) -> None:
    """Put a built wheel and sdist of the project where its manager looks for them."""
    (project / "dist").mkdir(exist_ok=True)
    modules = {f"{module}.py": text for module, text in files.items()}
    (project / "dist" / wheel_name(project.name, "1.0")).write_bytes(make_wheel(project.name, "1.0", files=modules))
    (project / "dist" / sdist_name(project.name, "1.0")).write_bytes(make_sdist(project.name, "1.0"))


def _poetry(sandbox: Sandbox, server: Server, project: Path, *arguments: str) -> Result:
    return sandbox.run(
        environments.programs("poetry") / "poetry",
        "--no-interaction",
        *arguments,
        cwd=project,
        POETRY_REPOSITORIES_QUIRE_URL=server.url,
        POETRY_HTTP_BASIC_QUIRE_USERNAME="anybody",
        POETRY_HTTP_BASIC_QUIRE_PASSWORD="anything",
    )


def _pdm(sandbox: Sandbox, project: Path, *arguments: str) -> Result:
    return sandbox.run(environments.programs("pdm") / "pdm", *arguments, cwd=project)


def _version(sandbox: Sandbox, project: Path, module: str) -> str:
    python = project / ".venv" / "bin" / "python"
    return ok(sandbox.run(python, "-c", f"import {module}; print({module}.VERSION)")).strip()


def test_poetry_publishes(servers: Servers, sandbox: Sandbox) -> None:
    """Published through one port, again through the other; changed content fails with the sentence, or is skipped."""
    project = _project(sandbox, "poem")
    _build(project)
    ok(_poetry(sandbox, servers.uvicorn, project, "publish", "--repository", "quire"))
    ok(_poetry(sandbox, servers.gunicorn, project, "publish", "--repository", "quire"))
    before = servers.index.project("poem")
    _build(project, more=b"")
    said = refused(_poetry(sandbox, servers.uvicorn, project, "publish", "--repository", "quire"))
    assert "already exists with other content" in said
    ok(_poetry(sandbox, servers.uvicorn, project, "publish", "--repository", "quire", "--skip-existing"))
    assert servers.index.project("poem") == before


def test_poetry_installs_from_its_source(servers: Servers, sandbox: Sandbox) -> None:
    """With the index as the primary source, the wheel is locked and installed; a new release is seen at once."""
    name, wheel = wheel_name("stanza", "1.0"), make_wheel("stanza", "1.0")
    servers.uvicorn.publish((name, wheel), (sdist_name("stanza", "1.0"), make_sdist("stanza", "1.0")))
    source = (
        "[tool.poetry]\npackage-mode = false\n"
        f'[[tool.poetry.source]]\nname = "quire"\nurl = "{servers.gunicorn.simple}"\npriority = "primary"\n'
    )
    project = _project(sandbox, "reader", source, '"stanza"')
    ok(_poetry(sandbox, servers.gunicorn, project, "install"))
    assert _version(sandbox, project, "stanza") == "1.0"
    assert name in (project / "poetry.lock").read_text()
    servers.uvicorn.publish((wheel_name("stanza", "1.1"), make_wheel("stanza", "1.1")))
    ok(_poetry(sandbox, servers.gunicorn, project, "update"))
    assert _version(sandbox, project, "stanza") == "1.1"


def test_pdm_publishes(servers: Servers, sandbox: Sandbox) -> None:
    """Published through one port, again through the other; changed content fails, or is skipped."""
    project = _project(sandbox, "pebble")
    _build(project)
    publish = ("publish", "--no-build", "--username", "anybody", "--password", "anything", "--repository")
    ok(_pdm(sandbox, project, *publish, servers.uvicorn.url))
    ok(_pdm(sandbox, project, *publish, servers.gunicorn.url))
    before = servers.index.project("pebble")
    _build(project, more=b"")
    said = refused(_pdm(sandbox, project, *publish, servers.uvicorn.url))
    assert "409 Conflict" in said  # pdm shows nothing more of an answer
    ok(_pdm(sandbox, project, *publish, servers.uvicorn.url, "--skip-existing"))
    assert servers.index.project("pebble") == before


def test_pdm_adds_from_its_source(servers: Servers, sandbox: Sandbox) -> None:
    """With the index as the only source, `pdm add` locks hashes and installs; a new release is seen at once."""
    servers.uvicorn.publish((wheel_name("boulder", "1.0"), make_wheel("boulder", "1.0")))
    source = (
        "[tool.pdm]\ndistribution = false\n"
        f'[[tool.pdm.source]]\nname = "pypi"\nurl = "{servers.gunicorn.simple}"\nverify_ssl = true\n'
    )
    project = _project(sandbox, "climber", source)
    ok(_pdm(sandbox, project, "add", "boulder"))
    assert _version(sandbox, project, "boulder") == "1.0"
    assert "sha256:" in (project / "pdm.lock").read_text()
    servers.uvicorn.publish((wheel_name("boulder", "1.1"), make_wheel("boulder", "1.1")))
    ok(_pdm(sandbox, project, "update", "--update-all"))
    assert _version(sandbox, project, "boulder") == "1.1"
