"""flit and hatch: publish to an open index and to one with a login; pip installs what they published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import environments
from tests.clients.sandbox import Result, Sandbox, imported, ok
from tests.clients.servers import PASSWORD, USER, Server, Servers
from tests.distributions import sdist_name, wheel_name
from tests.documents import DOCS, blocks

pytestmark = [pytest.mark.clients, pytest.mark.proofs]

TOOLS = ["flit", "hatch"]


def _project(sandbox: Sandbox, tool: str, name: str) -> Path:
    """A project of one module, which each of them builds by itself."""
    folder = sandbox.home / name
    folder.mkdir()
    backend = {"flit": "flit_core.buildapi", "hatch": "hatchling.build"}[tool]
    requirement = {"flit": "flit_core", "hatch": "hatchling"}[tool]
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = ["{requirement}"]\nbuild-backend = "{backend}"\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\ndescription = "A stone"\nrequires-python = ">=3.8"\n'
    )
    (folder / f"{name}.py").write_text('"""A stone"""\n\nVERSION = "1.0"\n')
    return folder


def _hatchling(sandbox: Sandbox, project: Path) -> None:
    """Build unless built. `hatch build` would install hatchling from the public index first; hatch comes with it."""
    if not (project / "dist").exists():
        ok(sandbox.run(environments.programs("hatch") / "python", "-m", "hatchling", "build", cwd=project))


def _publish(
    sandbox: Sandbox, tool: str, project: Path, server: Server, user: str = "any", password: str = "any"
) -> Result:
    """Build and publish, with the commands of the how-to pages."""
    folder = environments.programs(tool)
    if tool == "flit":
        login = {"FLIT_USERNAME": user, "FLIT_PASSWORD": password}
        return sandbox.run(folder / "flit", "publish", cwd=project, FLIT_INDEX_URL=server.url, **login)
    _hatchling(sandbox, project)
    return sandbox.run(folder / "hatch", "publish", "-r", server.url, "-u", user, "-a", password, cwd=project)


@pytest.mark.parametrize("tool", TOOLS)
def test_publishes_to_an_open_index(servers: Servers, sandbox: Sandbox, tool: str) -> None:
    """Any login will do; the same again through the other port is a success that changes nothing."""
    name = f"open{tool}"
    project = _project(sandbox, tool, name)
    ok(_publish(sandbox, tool, project, servers.uvicorn))
    before = servers.index.project(name)
    assert before is not None
    assert sorted(before.files) == sorted([wheel_name(name, "1.0"), sdist_name(name, "1.0")])
    ok(_publish(sandbox, tool, project, servers.gunicorn))
    assert servers.index.project(name) == before
    target = sandbox.target()
    ok(sandbox.pip("pip-newest", "install", "--index-url", servers.gunicorn.simple, "--target", target, name))
    assert imported(target, name) == "1.0"


@pytest.mark.parametrize("tool", TOOLS)
def test_publishes_with_a_login(locked: Servers, sandbox: Sandbox, tool: str) -> None:
    """A wrong password ends in an error that says so and publishes nothing; the right one publishes."""
    name = f"locked{tool}"
    project = _project(sandbox, tool, name)
    wrong = _publish(sandbox, tool, project, locked.uvicorn, USER, "mistaken")
    assert wrong.code > 0
    assert "The user name or the password is wrong" in wrong.text
    assert locked.index.project(name) is None
    ok(_publish(sandbox, tool, project, locked.uvicorn, USER, PASSWORD))
    target = sandbox.target()
    index = locked.gunicorn.simple_as(USER, PASSWORD)
    ok(sandbox.pip("pip-newest", "install", "--index-url", index, "--target", target, name))
    assert imported(target, name) == "1.0"


@pytest.mark.parametrize("tool", TOOLS)
def test_changed_content_is_refused(servers: Servers, sandbox: Sandbox, tool: str) -> None:
    """Other content under a published name fails, with the server's sentence, and changes nothing."""
    name = f"changed{tool}"
    project = _project(sandbox, tool, name)
    ok(_publish(sandbox, tool, project, servers.uvicorn))
    before = servers.index.project(name)
    (project / f"{name}.py").write_text('"""Another stone"""\n\nVERSION = "1.0"\n')
    for built in (project / "dist").iterdir():
        built.unlink()
    (project / "dist").rmdir()
    refused = _publish(sandbox, tool, project, servers.gunicorn)
    assert refused.code > 0
    assert "already exists with other content" in refused.text
    assert servers.index.project(name) == before


def test_flit_with_a_pypirc(locked: Servers, sandbox: Sandbox) -> None:
    """An index, user and password that `~/.pypirc` names."""
    (sandbox.home / ".pypirc").write_text(
        "[distutils]\nindex-servers = company\n[company]\n"
        f"repository = {locked.gunicorn.url}\nusername = {USER}\npassword = {PASSWORD}\n"
    )
    project = _project(sandbox, "flit", "pypirc")
    ok(sandbox.run(environments.programs("flit") / "flit", "publish", "--repository", "company", cwd=project))
    assert locked.index.project("pypirc") is not None


def test_hatch_with_its_configuration(locked: Servers, sandbox: Sandbox) -> None:
    """The configuration of the how-to page, with the password in the variable of CI jobs."""
    (settings,) = blocks(DOCS / "how-to" / "hatch.md", "toml")
    config = sandbox.home / "config.toml"
    config.write_text(settings.replace("http://localhost:8080/", locked.gunicorn.url))
    project = _project(sandbox, "hatch", "configured")
    _hatchling(sandbox, project)
    hatch = environments.programs("hatch") / "hatch"
    ok(sandbox.run(hatch, "publish", cwd=project, HATCH_CONFIG=str(config), HATCH_INDEX_AUTH=PASSWORD))
    assert locked.index.project("configured") is not None


def test_hatch_with_variables(locked: Servers, sandbox: Sandbox) -> None:
    """Index, user and password in variables, as CI jobs have them."""
    project = _project(sandbox, "hatch", "variables")
    _hatchling(sandbox, project)
    login = {"HATCH_INDEX_USER": USER, "HATCH_INDEX_AUTH": PASSWORD}
    hatch = environments.programs("hatch") / "hatch"
    ok(sandbox.run(hatch, "publish", cwd=project, HATCH_INDEX_REPO=locked.uvicorn.url, **login))
    assert locked.index.project("variables") is not None
