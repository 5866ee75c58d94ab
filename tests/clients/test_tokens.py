"""Tokens as users of the public index send them: in a URL, netrc, variables, `--token`, twine's password, poetry's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.operations import granting
from quire.operations.defining import set_index
from tests.clients.matrix import INSTALLERS
from tests.clients.sandbox import Result, Sandbox, imported, ok, refused
from tests.clients.servers import Servers, two_servers
from tests.distributions import make_wheel, wheel_name
from tests.tokens import make_token

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers on one directory, for tokens alone: the password file has no user."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "htpasswd").touch()
    with two_servers(folder, "-a", "download,list,update", "-P", folder / "htpasswd") as both:
        both.uvicorn.publish(
            (wheel_name("guarded", "1.0"), make_wheel("guarded", "1.0")), login=("__token__", token(both, "upload"))
        )
        yield both


def token(servers: Servers, *rights: str, projects: tuple[str, ...] = (), user: str | None = None) -> str:
    """A new token."""
    access = AccessRecords(servers.index.store)
    return make_token(access, rights, projects, user=user, lifetime=timedelta(days=1), origin=Origin()).text


def revoke(servers: Servers, text: str) -> None:
    granting.revoke_tokens(AccessRecords(servers.index.store), [text.split("_")[1]], Origin())


def _wheel(sandbox: Sandbox, name: str) -> Path:
    path = sandbox.home / wheel_name(name, "1.0")
    path.write_bytes(make_wheel(name, "1.0"))
    return path


@pytest.mark.parametrize("installer", INSTALLERS[:3])
@pytest.mark.parametrize("where", ["url", "netrc"])
def test_a_token_installs(locked: Servers, sandbox: Sandbox, installer: str, where: str) -> None:
    """As the password of `__token__`; once it is revoked, the other server refuses it as well."""
    secret = token(locked, "read")
    index = locked.gunicorn.simple
    if where == "url":
        index = locked.gunicorn.simple_as("__token__", secret)
    else:
        netrc = sandbox.home / ".netrc"
        netrc.write_text(f"machine {locked.gunicorn.served.host} login __token__ password {secret}\n")
        netrc.chmod(0o600)

    def install(target: Path) -> Result:
        if installer == "uv":
            command = ("pip", "install", "--no-cache", "--default-index", index, "--target", target, "guarded")
            return sandbox.uv(*command)
        options = ("--no-cache-dir", "-vv", "--index-url", index, "--target", target)
        return sandbox.pip(installer, "install", *options, "guarded")

    target = sandbox.target()
    ok(install(target))
    assert imported(target, "guarded") == "1.0"
    revoke(locked, secret)
    late = install(sandbox.target())
    assert late.code > 0
    assert ("401 Unauthorized" if installer == "uv" else "401 Client Error") in late.text


def _keyring(sandbox: Sandbox, service: str, secret: str) -> str:
    """The PATH with which a program `keyring` is found that has one entry, of `__token__`."""
    folder = sandbox.home / "bin"
    folder.mkdir()
    program = folder / "keyring"
    as_json = json.dumps({"username": "__token__", "password": secret})
    program.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f"'get {service} __token__') echo '{secret}';;\n"
        f"'--mode=creds --output=json get {service} __token__') echo '{as_json}';;\n"
        "*) exit 1;;\nesac\n"
    )
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.defpath}"


@pytest.mark.parametrize("installer", INSTALLERS[:2])
def test_a_token_in_a_keyring_installs(locked: Servers, sandbox: Sandbox, installer: str) -> None:
    """The index URL has the user `__token__` alone; the entry is of the host."""
    server, target = locked.gunicorn, sandbox.target()
    index = server.simple.replace("//", "//__token__@")
    asking = ("--keyring-provider", "subprocess")

    def install(path: str) -> Result:
        if installer == "uv":
            command = ("pip", "install", "--no-cache", *asking, "--default-index", index, "--target", target, "guarded")
            return sandbox.uv(*command, PATH=path)
        options = ("--no-cache-dir", *asking, "--index-url", index, "--target", target)
        return sandbox.pip(installer, "install", *options, "guarded", PATH=path)

    refused(install(os.defpath))
    ok(install(_keyring(sandbox, server.host, token(locked, "read"))))
    assert imported(target, "guarded") == "1.0"


def test_uv_publishes_with_a_token_in_a_keyring(locked: Servers, sandbox: Sandbox) -> None:
    """With the user `__token__` alone."""
    server = locked.gunicorn
    path = _keyring(sandbox, server.host, token(locked, "upload"))
    publish = ("publish", "--trusted-publishing", "never", "--keyring-provider", "subprocess")
    named = ("--username", "__token__", "--publish-url", server.url)
    ok(sandbox.uv(*publish, *named, _wheel(sandbox, "ringed"), PATH=path))
    assert locked.index.project("ringed") is not None


def test_twine_with_a_token(locked: Servers, sandbox: Sandbox) -> None:
    """In TWINE_PASSWORD or `-p`; the sentence about a project that it is not for is in twine's output."""
    secret = token(locked, "upload", projects=("tw-*",), user="ci")
    upload = ("upload", "--disable-progress-bar", "--non-interactive", "--repository-url", locked.uvicorn.url)
    ok(sandbox.twine(*upload, "-u", "__token__", "-p", secret, _wheel(sandbox, "tw-ok")))
    project = locked.index.project("tw-ok")
    assert project is not None
    assert [file.uploader for file in project.files.values()] == ["ci"]
    said = refused(sandbox.twine(*upload, "-u", "__token__", "-p", secret, _wheel(sandbox, "other")))
    assert "may not upload here; it needs the right upload on other on the index main" in said
    assert secret not in said
    revoke(locked, secret)
    said = refused(sandbox.twine(*upload, "-u", "__token__", "-p", secret, _wheel(sandbox, "tw-late")))
    assert "The token was revoked; ask for a new one." in said


def test_the_creator_of_a_project_owns_it(locked: Servers, sandbox: Sandbox) -> None:
    """Of an index of owned projects: another user's uv reads why it is refused, on either server, until the owner's
    user is joined by it."""
    access, mine, theirs = AccessRecords(locked.index.store), *(token(locked, "upload", user=each) for each in "ab")
    set_index(access, "main", {"new_projects": "owned"}, default="main", origin=Origin())
    try:
        wheel = _wheel(sandbox, "owned")
        upload = ("upload", "--disable-progress-bar", "--non-interactive", "--repository-url", locked.uvicorn.url)
        ok(sandbox.twine(*upload, "-u", "__token__", "-p", mine, wheel))
        publish = ("publish", "--trusted-publishing", "never", "--publish-url", locked.gunicorn.url, "--token", theirs)
        said = " ".join(refused(sandbox.uv(*publish, wheel)).split())
        assert "is no owner of owned on the index main; ask an owner or an administrator" in said
        locked.index.add_owner("owned", "user:b")
        ok(sandbox.uv(*publish, wheel))
    finally:
        set_index(access, "main", {"new_projects": "shared"}, default="main", origin=Origin())


def test_uv_publish_with_a_token(locked: Servers, sandbox: Sandbox) -> None:
    """`--token` and UV_PUBLISH_TOKEN; what was sent in part is told apart from what is not known."""
    secret = token(locked, "upload", "read")
    publish = ("publish", "--trusted-publishing", "never", "--publish-url", locked.gunicorn.url)
    wheel = _wheel(sandbox, "uvtoken")
    assert "The token is no token of this server, or was cut" in refused(
        sandbox.uv(*publish, "--token", secret[:-1], wheel)
    )
    checked = ("--check-url", locked.gunicorn.simple_as("__token__", secret))
    ok(sandbox.uv(*publish, *checked, "--token", secret, wheel))
    assert "already exists, skipping" in ok(sandbox.uv(*publish, *checked, wheel, UV_PUBLISH_TOKEN=secret))


def test_a_uv_project_with_a_token_in_variables(locked: Servers, sandbox: Sandbox) -> None:
    """UV_INDEX_<NAME>_USERNAME and _PASSWORD; the token is written into no file of the project."""
    secret = token(locked, "read")
    folder = sandbox.home / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "throwaway"\nversion = "0"\nrequires-python = ">=3.11"\n'
        f'[[tool.uv.index]]\nname = "quire"\nurl = "{locked.gunicorn.simple}"\ndefault = true\n'
    )
    login = {"UV_NO_CONFIG": "false", "UV_INDEX_QUIRE_USERNAME": "__token__", "UV_INDEX_QUIRE_PASSWORD": secret}
    ok(sandbox.uv("add", "guarded", cwd=folder, **login))
    assert secret not in (folder / "uv.lock").read_text() + (folder / "pyproject.toml").read_text()
