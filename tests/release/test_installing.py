"""quire's release is published to a quire with an attestation, and installed from it by the tools for programs.

The index has everything: quire's dependencies lie in it as files (they come from wherever pip gets packages here).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import quire
from tests.attestations.instance import Instance, minted
from tests.clients import environments
from tests.clients.sandbox import Sandbox, ok
from tests.clients.servers import Servers, two_servers
from tests.documents import DOCS, ROOT, block
from tests.serving import free_port, running

pytestmark = pytest.mark.proofs

ANSWER = f"{quire.VERSION_LINE}\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, built: dict[str, Path]) -> Iterator[Servers]:
    """Two servers on a folder with the dependencies, to which this release was published."""
    folder, instance = tmp_path_factory.mktemp("index"), Instance()
    (folder / "htpasswd").touch()
    (folder / "root.json").write_bytes(instance.trust_root())
    login = ("-a", "update", "-P", folder / "htpasswd", "--attestations-trust-root", folder / "root.json")
    with two_servers(folder, *login) as both:
        environ = {name: value for name, value in os.environ.items() if name != "PIP_REQUIRE_VIRTUALENV"}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--no-deps"),
                *("--dest", str(both.root), "-r", str(ROOT / "requirements" / "run.txt")),
            ],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        home = tmp_path_factory.mktemp("publisher")
        for each in built.values():
            attestation = instance.attestation(each.name, hashlib.sha256(each.read_bytes()).hexdigest())
            (home / each.name).write_bytes(each.read_bytes())
            (home / f"{each.name}.publish.attestation").write_text(json.dumps(attestation))
        token = minted(both.index.store)
        ok(Sandbox(home).uv("publish", "--publish-url", both.uvicorn.url, "--token", token, f"{home}/quire_index-*"))
        yield both


def test_twine_finds_nothing_to_say(built: dict[str, Path], sandbox: Sandbox) -> None:
    assert "PASSED" in ok(sandbox.twine("check", "--strict", *built.values()))


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_each_file_has_its_provenance(index: Servers, built: dict[str, Path], kind: str) -> None:
    address = f"{index.gunicorn.url}integrity/quire-index/{quire.__version__}/{built[kind].name}/provenance"
    served = httpx.get(address)
    assert served.status_code == 200
    assert served.json()["attestation_bundles"][0]["attestations"]


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_each_distribution_installs_into_an_empty_environment(
    index: Servers, built: dict[str, Path], sandbox: Sandbox, kind: str
) -> None:
    """The command tells its version and starts a server."""
    simple = f"{index.uvicorn.url}simple/"
    ok(sandbox.uv("venv", "--no-project", sandbox.home / "env"))
    python = sandbox.home / "env" / "bin" / "python"
    chosen = ("--no-binary", "quire-index") if kind == "sdist" else ("--only-binary", ":all:")
    builder = ("--no-build-isolation",) if kind == "sdist" else ()
    if builder:
        requirements = ROOT / "requirements" / "build.txt"
        done = subprocess.run(
            [str(environments.uv()), "pip", "install", "--quiet", "--python", str(python), "-r", str(requirements)],
            env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    ok(sandbox.uv("pip", "install", "--python", python, "--default-index", simple, *chosen, *builder, "quire-index"))
    command = sandbox.home / "env" / "bin" / "quire"
    assert ok(sandbox.run(command, "--version")) == ANSWER
    port = free_port()
    (sandbox.home / "packages").mkdir()
    with running([str(command), "serve", "--port", str(port), str(sandbox.home / "packages")], port, cwd=sandbox.home):
        assert httpx.get(f"http://127.0.0.1:{port}/simple/").status_code == 200


def test_the_commands_of_the_page_install_it(index: Servers, built: dict[str, Path], sandbox: Sandbox) -> None:
    """uv publish finds the files there already; uvx and uv tool install them."""
    for each in built.values():
        sandbox.home.joinpath("dist").mkdir(exist_ok=True)
        sandbox.home.joinpath("dist", each.name).write_bytes(each.read_bytes())
    script = block(DOCS / "how-to" / "install.md", "sh", "from-an-index")
    script = script.replace("http://localhost:8080/", index.uvicorn.url)
    script = script.replace(" -u any -p any", "")  # of an open index; this one wants the token
    path = f"{environments.uv().parent}:{os.defpath}"
    token = minted(index.index.store)
    said = ok(sandbox.run("sh", "-euxc", script, PATH=path, UV_PUBLISH_TOKEN=token))
    assert ANSWER in said
    assert ok(sandbox.run(sandbox.home / ".local" / "bin" / "quire", "--version")) == ANSWER


def test_pipx_runs_it(index: Servers, sandbox: Sandbox) -> None:
    simple = f"{index.uvicorn.url}simple/"
    pipx = environments.programs("pipx") / "pipx"
    path = f"{environments.uv().parent}:{os.defpath}"
    ok(sandbox.run(pipx, "install", "--backend", "uv", "quire-index", PATH=path, UV_DEFAULT_INDEX=simple))
    assert ok(sandbox.run(sandbox.home / ".local" / "bin" / "quire", "--version")) == ANSWER
