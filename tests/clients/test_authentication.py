"""Clients with credentials in the URL, in netrc, wrong and missing, where everything needs a login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.clients import environments
from tests.clients.matrix import INSTALLERS, KINDS
from tests.clients.sandbox import Result, Sandbox, imported, ok, refused
from tests.clients.servers import Server, Servers, two_servers
from tests.distributions import make_wheel, wheel_name

pytestmark = pytest.mark.clients

USER, PASSWORD = "alice", "wonder land/@:%é"
PLAIN_USER, PLAIN_PASSWORD = "bob", "builder"  # netrc has no way to write every character
FORGETFUL = "carol"  # fails often, so that the throttle never meets the others
UNAUTHORIZED = ("401 Client Error:", "lack of valid authentication credentials (401 Unauthorized)")
"""The messages of pip and of uv. pip goes on with the reason phrase."""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers on one directory where downloads, lists and uploads need a login, with one project."""
    folder = tmp_path_factory.mktemp("locked")
    passwords = folder / "htpasswd"
    users = {USER: PASSWORD, PLAIN_USER: PLAIN_PASSWORD, FORGETFUL: "forgotten"}
    with passwords.open("w") as file:
        for user, password in users.items():
            file.write(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n")
    with two_servers(folder, "-a", "download,list,update", "-P", passwords) as both:
        both.uvicorn.publish((wheel_name("guarded", "1.0"), make_wheel("guarded", "1.0")), login=(USER, PASSWORD))
        yield both


def _install(sandbox: Sandbox, installer: str, index: str, target: Path) -> Result:
    if installer == "uv":
        return sandbox.uv("pip", "install", "--default-index", index, "--target", target, "guarded")
    # pip names the status only with -vv
    return sandbox.pip(installer, "install", "-vv", "--index-url", index, "--target", target, "guarded")


def _wheel(sandbox: Sandbox, name: str) -> Path:
    path = sandbox.home / wheel_name(name, "1.0")
    path.write_bytes(make_wheel(name, "1.0"))
    return path


@pytest.mark.parametrize("installer", INSTALLERS)
def test_credentials_in_the_url(locked: Servers, sandbox: Sandbox, installer: str) -> None:
    """A password with every awkward character, percent-encoded in the URL, works for page, metadata and file."""
    target = sandbox.target()
    ok(_install(sandbox, installer, locked.gunicorn.simple_as(USER, PASSWORD), target))
    assert imported(target, "guarded") == "1.0"


@pytest.mark.parametrize("installer", INSTALLERS)
def test_credentials_in_netrc(locked: Servers, sandbox: Sandbox, installer: str) -> None:
    """The login of the home's .netrc is used."""
    netrc = sandbox.home / ".netrc"
    netrc.write_text(f"machine {locked.uvicorn.served.host} login {PLAIN_USER} password {PLAIN_PASSWORD}\n")
    netrc.chmod(0o600)
    target = sandbox.target()
    ok(_install(sandbox, installer, locked.uvicorn.simple, target))
    assert imported(target, "guarded") == "1.0"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("installer", INSTALLERS)
def test_no_credentials(locked: Servers, sandbox: Sandbox, installer: str, kind: str) -> None:
    """Without a login there is nothing to install, and the client ends by itself and says 401."""
    server: Server = getattr(locked, kind)
    result = _install(sandbox, installer, server.simple, sandbox.target())
    assert result.code > 0
    assert UNAUTHORIZED[installer == "uv"] in result.text


@pytest.mark.parametrize("installer", INSTALLERS)
def test_a_wrong_password(locked: Servers, sandbox: Sandbox, installer: str) -> None:
    """With a wrong password there is nothing to install, and the client ends by itself and says 401."""
    result = _install(sandbox, installer, locked.uvicorn.simple_as(FORGETFUL, "wrong"), sandbox.target())
    assert result.code > 0
    assert UNAUTHORIZED[installer == "uv"] in result.text


def test_pip_without_a_terminal_fails(locked: Servers, sandbox: Sandbox) -> None:
    """The 401 makes pip ask for a user name (a 403 would not); with standard input closed that is an error, no hang."""
    python = environments.programs("pip-newest") / "python"
    result = sandbox.run(
        python, "-m", "pip", "download", "--index-url", locked.uvicorn.simple, "-d", sandbox.home, "guarded"
    )
    assert result.code > 0
    assert f"User for {locked.uvicorn.host}:" in result.output


def test_twine(locked: Servers, sandbox: Sandbox) -> None:
    """The right login publishes; a wrong one is 401 with the sentence in --verbose; none ends before asking."""
    upload = ("upload", "--disable-progress-bar", "--verbose", "--repository-url", locked.uvicorn.url)
    wheel = _wheel(sandbox, "twined")
    wrong = sandbox.twine(*upload, "--non-interactive", "-u", FORGETFUL, "-p", "wrong", wheel)
    assert "401 Unauthorized" in refused(wrong)
    assert "The user name or the password is wrong." in refused(wrong)
    assert "Credential not found for username" in refused(sandbox.twine(*upload, "--non-interactive", wheel))
    assert locked.index.project("twined") is None
    ok(sandbox.twine(*upload, "--non-interactive", "-u", USER, "-p", PASSWORD, wheel))
    project = locked.index.project("twined")
    assert project is not None
    assert [file.uploader for file in project.files.values()] == [USER]


def test_uv_publish(locked: Servers, sandbox: Sandbox) -> None:
    """The right login publishes; a wrong one is 401 with the sentence; none is uv's own sentence."""
    publish = ("publish", "--trusted-publishing", "never", "--publish-url", locked.gunicorn.url)
    wheel = _wheel(sandbox, "uvpublished")
    said = refused(sandbox.uv(*publish, "-u", FORGETFUL, "-p", "wrong", wheel))
    assert "401 Unauthorized" in said
    assert "The user name or the password is wrong." in said
    assert "Missing credentials" in refused(sandbox.uv(*publish, wheel))
    assert locked.index.project("uvpublished") is None
    checked = ("--check-url", locked.gunicorn.simple_as(USER, PASSWORD))
    ok(sandbox.uv(*publish, *checked, "-u", USER, "-p", PASSWORD, wheel))
    assert "already exists, skipping" in ok(sandbox.uv(*publish, *checked, "-u", USER, "-p", PASSWORD, wheel))


def test_uv_project_with_credentials_in_variables(locked: Servers, sandbox: Sandbox) -> None:
    """`uv add` with a named index and UV_INDEX_<NAME>_* installs, and writes no password into the project."""
    folder = sandbox.home / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "throwaway"\nversion = "0"\nrequires-python = ">=3.11"\n'
        f'[[tool.uv.index]]\nname = "quire"\nurl = "{locked.gunicorn.simple}"\ndefault = true\n'
    )
    configured = {"UV_NO_CONFIG": "false"}  # the project's own table is configuration too
    assert UNAUTHORIZED[1] in refused(sandbox.uv("add", "guarded", cwd=folder, **configured))
    login = configured | {"UV_INDEX_QUIRE_USERNAME": USER, "UV_INDEX_QUIRE_PASSWORD": PASSWORD}
    ok(sandbox.uv("add", "guarded", cwd=folder, **login))
    assert PASSWORD not in (folder / "uv.lock").read_text()


def test_poetry(locked: Servers, sandbox: Sandbox) -> None:
    """poetry installs with the source's login in its variables, and fails by itself with a wrong one."""
    folder = sandbox.home / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "throwaway"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["guarded"]\n'
        "[tool.poetry]\npackage-mode = false\n"
        f'[[tool.poetry.source]]\nname = "quire"\nurl = "{locked.uvicorn.simple}"\npriority = "primary"\n'
    )

    def install(user: str, password: str) -> Result:
        login = {"POETRY_HTTP_BASIC_QUIRE_USERNAME": user, "POETRY_HTTP_BASIC_QUIRE_PASSWORD": password}
        command = environments.programs("poetry") / "poetry"
        return sandbox.run(command, "--no-interaction", "install", cwd=folder, **login)

    assert "guarded" in refused(install(FORGETFUL, "wrong"))
    ok(install(USER, PASSWORD))
    python = folder / ".venv" / "bin" / "python"
    assert ok(sandbox.run(python, "-c", "import guarded; print(guarded.VERSION)")).strip() == "1.0"


def test_pdm(locked: Servers, sandbox: Sandbox) -> None:
    """pdm installs with the login in the source's URL, and fails by itself with a wrong one."""
    folder = sandbox.home / "project"
    folder.mkdir()

    def add(url: str) -> Result:
        (folder / "pyproject.toml").write_text(
            '[project]\nname = "throwaway"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = []\n'
            f'[tool.pdm]\ndistribution = false\n[[tool.pdm.source]]\nname = "pypi"\nurl = "{url}"\nverify_ssl = true\n'
        )
        return sandbox.run(environments.programs("pdm") / "pdm", "add", "guarded", cwd=folder)

    assert "guarded" in refused(add(locked.gunicorn.simple_as(FORGETFUL, "wrong")))
    ok(add(locked.gunicorn.simple_as(PLAIN_USER, PLAIN_PASSWORD)))
    python = folder / ".venv" / "bin" / "python"
    assert ok(sandbox.run(python, "-c", "import guarded; print(guarded.VERSION)")).strip() == "1.0"
