"""A named index before another one, by the lines that `quire config-snippet` prints for each client.

Each publishes to the front and installs a package from there that needs one of the index behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.asking import Site, basic, password_file, post, serve, twine_form
from tests.clients import environments
from tests.clients.sandbox import Sandbox, ok
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.serving import run_quire

pytestmark = pytest.mark.clients

LOGIN = {"ann": "s3cret"}


@dataclass
class Team:
    """A server on which `team` is before the index at the root, which has `base`; both need a login."""

    site: Site

    def snippet(self, tool: str, *flags: str) -> str:
        url = self.site.base.replace("//", f"//{'ann'}:{LOGIN['ann']}@", 1)
        done = run_quire("config-snippet", "team", "--for", tool, "--url", url, *flags, cwd=self.site.root)
        assert done.returncode == 0, done.stderr
        assert LOGIN["ann"] not in done.stdout
        return done.stdout

    def filenames(self, project: str) -> list[str]:
        page = self.site.client.get(
            f"/team/simple/{project}/",
            headers={"accept": "application/vnd.pypi.simple.v1+json"},
            auth=("ann", LOGIN["ann"]),
        )
        return [each["filename"] for each in page.json()["files"]]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    flags = ("-a", "list,download,update", "-P", password_file(folder, **LOGIN), "--disable-fallback")
    with serve(folder, *flags, "--workers", 2) as site:
        form = twine_form(wheel_name("base", "1.0"), make_wheel("base", "1.0"), name="base", version="1.0")
        assert post(site, form, authorization=basic("ann", LOGIN["ann"])).status_code == 200
        made = run_quire("index", "create", "team", "--behind", "main", "-d", site.root, cwd=folder)
        assert made.returncode == 0, made.stderr
        yield Team(site)


def project(sandbox: Sandbox, name: str, snippet: str, *dependencies: str) -> Path:
    """A project with the pasted lines, and with what it publishes in dist/."""
    folder = sandbox.home / name
    (folder / "dist").mkdir(parents=True)
    needs = "".join(f"Requires-Dist: {each}\n" for each in dependencies)
    metadata = metadata_text(name, "1.0", extra=needs)
    (folder / "dist" / wheel_name(name, "1.0")).write_bytes(make_wheel(name, "1.0", metadata=metadata))
    (folder / "dist" / sdist_name(name, "1.0")).write_bytes(make_sdist(name, "1.0", metadata=metadata))
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1.0"\nrequires-python = ">=3.11"\n\n{snippet}'
    )
    return folder


def test_uv(team: Team, sandbox: Sandbox) -> None:
    """Publish, add, install."""
    snippet = team.snippet("uv", "--only")
    folder = project(sandbox, "with-uv", snippet, "base")
    login = {"UV_INDEX_TEAM_USERNAME": "ann", "UV_INDEX_TEAM_PASSWORD": LOGIN["ann"], "UV_NO_CONFIG": "0"}
    publish = {"UV_PUBLISH_USERNAME": "ann", "UV_PUBLISH_PASSWORD": LOGIN["ann"]}
    assert all(f"{name}=" in snippet for name in login if name.startswith("UV_INDEX"))
    ok(sandbox.uv("publish", "--index", "team", cwd=folder, **login, **publish))
    assert len(team.filenames("with-uv")) == 2
    user = project(sandbox, "user-of-uv", snippet)
    ok(sandbox.uv("add", "with-uv", cwd=user, **login))
    assert "/team/packages/" in (user / "uv.lock").read_text()
    assert ok(sandbox.run(user / ".venv/bin/python", "-c", "import base; print(base.VERSION)")).strip() == "1.0"


def test_pip_and_twine(team: Team, sandbox: Sandbox) -> None:
    """twine publishes by its file, pip installs by its own."""
    folder = project(sandbox, "with-twine", "", "base")
    (sandbox.home / ".pypirc").write_text(
        team.snippet("twine").replace("__token__", "ann").replace("TOKEN", LOGIN["ann"])
    )
    ok(sandbox.run(environments.programs("twine") / "twine", "upload", "-r", "team", *(folder / "dist").iterdir()))
    snippet = team.snippet("pip")
    (sandbox.home / "pip.conf").write_text(snippet)
    netrc = next(line for line in snippet.splitlines() if line.startswith("# machine"))
    (sandbox.home / ".netrc").write_text(
        netrc.removeprefix("# ").replace("USER", "ann").replace("PASSWORD", LOGIN["ann"]) + "\n"
    )
    target = sandbox.home / "installed"
    python = environments.programs("pip-newest") / "python"
    install = (python, "-m", "pip", "--no-input", "install", "--target", target, "with-twine")
    ok(sandbox.run(*install, PIP_CONFIG_FILE=str(sandbox.home / "pip.conf")))
    assert (target / "base.py").exists()


def test_poetry(team: Team, sandbox: Sandbox) -> None:
    """Publish, add, install."""
    snippet = team.snippet("poetry")
    login = {"POETRY_HTTP_BASIC_TEAM_USERNAME": "ann", "POETRY_HTTP_BASIC_TEAM_PASSWORD": LOGIN["ann"]}
    poetry = environments.programs("poetry") / "poetry"
    folder = project(sandbox, "with-poetry", snippet, "base")
    url = f"{team.site.base}team/"
    assert f"poetry config repositories.team {url}" in snippet
    ok(sandbox.run(poetry, "config", "repositories.team", url, cwd=folder))
    ok(sandbox.run(poetry, "--no-interaction", "publish", "-r", "team", cwd=folder, **login))
    user = project(sandbox, "user-of-poetry", f"{snippet}\n[tool.poetry]\npackage-mode = false\n")
    ok(sandbox.run(poetry, "--no-interaction", "add", "with-poetry", cwd=user, **login))
    assert ok(sandbox.run(user / ".venv/bin/python", "-c", "import base; print(base.VERSION)")).strip() == "1.0"


def test_pdm(team: Team, sandbox: Sandbox) -> None:
    """Publish, add, install."""
    snippet = team.snippet("pdm")
    login = {"INDEX_USER": "ann", "INDEX_PASSWORD": LOGIN["ann"]}
    pdm = environments.programs("pdm") / "pdm"
    folder = project(sandbox, "with-pdm", snippet, "base")
    publish = ("publish", "--no-build", "--username", "ann", "--password", LOGIN["ann"], "--repository")
    ok(sandbox.run(pdm, *publish, f"{team.site.base}team/", cwd=folder, **login))
    user = project(sandbox, "user-of-pdm", f"{snippet}\n[tool.pdm]\ndistribution = false\n")
    ok(sandbox.run(pdm, "add", "with-pdm", cwd=user, **login))
    assert ok(sandbox.run(user / ".venv/bin/python", "-c", "import base; print(base.VERSION)")).strip() == "1.0"


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """A server on which clients without a login may read `free`, and `team` but for the index behind it."""
    folder = tmp_path_factory.mktemp("private")
    flags = ("-a", "list,download,update", "-P", password_file(folder, **LOGIN), "--disable-fallback")
    with serve(folder, *flags) as site:
        for words in (
            ("index", "create", "team", "--behind", "main"),
            ("index", "create", "free"),
            ("access", "init", "--admin", "user:ann", "-a", "list,download,update"),
            ("grant", "anonymous", "read", "--index", "team"),
            ("grant", "anonymous", "read", "--index", "free"),
        ):
            done = run_quire(*words, "-d", site.root, cwd=folder)
            assert done.returncode == 0, done.stderr
        yield Team(site)


@pytest.mark.parametrize("tool", ["github", "gitlab"])
def test_ci(team: Team, tool: str) -> None:
    """The jobs are YAML, with the addresses of the index and the login from secrets."""
    snippet = team.snippet(tool)
    job = yaml.safe_load(snippet)
    variables = job["env" if tool == "github" else "variables"]  # of all steps: to build takes packages, too
    assert variables["UV_INDEX"] == f"team={team.site.base}team/simple/"
    assert {"UV_INDEX_TEAM_USERNAME", "UV_INDEX_TEAM_PASSWORD"} < variables.keys()
    assert f"--publish-url {team.site.base}team/" in snippet


@pytest.mark.parametrize("tool", ["uv", "pip", "poetry", "pdm", "github", "gitlab"])
def test_an_open_index_before_a_private_one_needs_a_login(private: Team, tool: str) -> None:
    """To read it takes the right on both; of an index with nothing private behind it the lines have no login."""
    words = {"uv": "_PASSWORD=", "pip": "netrc", "poetry": "_PASSWORD=", "pdm": "INDEX_PASSWORD"}.get(
        tool, "UV_INDEX_TEAM_PASSWORD: $"
    )
    assert words in private.snippet(tool)
    done = run_quire("config-snippet", "free", "--for", tool, "--url", private.site.base, cwd=private.site.root)
    assert done.returncode == 0, done.stderr
    assert words.replace("TEAM", "FREE") not in done.stdout


@pytest.mark.parametrize("protected", ["download", "list", "update"])
def test_an_index_of_which_only_downloads_need_a_login(protected: str, tmp_path: Path) -> None:
    """Its pages are open, and yet no client can install without one; to publish alone needs no lines of it."""
    with serve(
        tmp_path, "-a", f"update,{protected}", "-P", password_file(tmp_path, **LOGIN), "--disable-fallback"
    ) as site:
        for tool, words in (("uv", "_PASSWORD="), ("pip", "netrc"), ("gitlab", "_PASSWORD: $")):
            address = site.base.replace("//", f"//ann:{LOGIN['ann']}@", 1)
            done = run_quire("config-snippet", "main", "--for", tool, "--url", address, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert (f"UV_INDEX_MAIN{words}" in done.stdout or (tool == "pip" and words in done.stdout)) == (
                protected != "update"
            )


def test_lists_without_a_login(team: Team, private: Team) -> None:
    """A list of indexes that is empty, and an index that is not in it, say that one is needed, and how to give it."""
    words = (("index", "list"), ("index", "show", "main"), ("config-snippet", "main", "--for", "uv"))
    for site, said, tried in (
        (team, "shows no index without a login", words),
        (private, "There is no index", words[1:]),
    ):
        for each in tried:
            done = run_quire(*each, "--url", site.site.base, cwd=site.site.root)
            assert (done.returncode, done.stdout) == (1, "")
            assert said in done.stderr
            assert "without a login. Set QUIRE_TOKEN" in done.stderr


def test_refusals(team: Team) -> None:
    """An unknown index, an unknown tool, no address: one sentence each."""
    login = team.site.base.replace("//", f"//{'ann'}:{LOGIN['ann']}@", 1)
    for words, sentence in (
        (("nothing", "--for", "uv", "--url", login), "There is no index 'nothing'."),
        (("team", "--for", "cargo", "--url", team.site.base), "invalid choice"),
        (("team", "--for", "uv", "--as-of", "soon", "--url", team.site.base), "'soon' is no moment"),
        (("team", "--for", "uv"), "Name the address that developers use with --url"),
    ):
        done = run_quire("config-snippet", *words, cwd=team.site.root)
        assert done.returncode in {1, 2}
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
