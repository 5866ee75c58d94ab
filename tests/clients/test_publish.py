"""twine and `uv publish`."""

from __future__ import annotations

from pathlib import Path

import pytest

from quire.index.index import Index
from tests.clients import environments
from tests.clients.matrix import KINDS
from tests.clients.sandbox import Result, Sandbox, imported, ok, refused
from tests.clients.servers import Server, Servers
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.serving import run_quire

pytestmark = pytest.mark.clients


def _dist(sandbox: Sandbox, name: str, folder: str, **files: bytes) -> list[Path]:
    """A wheel and an sdist on disk. `files`: modules that make the wheel another one."""
    (sandbox.home / folder).mkdir()
    wheel, sdist = sandbox.home / folder / wheel_name(name, "1.0"), sandbox.home / folder / sdist_name(name, "1.0")
    wheel.write_bytes(make_wheel(name, "1.0", files={f"{module}.py": text for module, text in files.items()}))
    sdist.write_bytes(make_sdist(name, "1.0"))
    return [wheel, sdist]


def _twine(sandbox: Sandbox, server: Server, *arguments: object) -> Result:
    login = ("--non-interactive", "--username", "anybody", "--password", "anything", "--disable-progress-bar")
    return sandbox.twine("upload", "--repository-url", server.url, *login, *arguments)


def _uv_publish(sandbox: Sandbox, server: Server, *arguments: object) -> Result:
    login = ("--username", "anybody", "--password", "anything", "--trusted-publishing", "never")
    return sandbox.uv("publish", "--publish-url", server.url, *login, *arguments)


def _installs(sandbox: Sandbox, server: Server, name: str) -> None:
    target = sandbox.target()
    ok(sandbox.pip("pip-newest", "install", "--index-url", server.simple, "--target", target, name))
    assert imported(target, name) == "1.0"


def test_twine_uploads_and_uploads_again(servers: Servers, sandbox: Sandbox) -> None:
    """Two files go through one port; the same again through the other is a success that changes nothing."""
    files = _dist(sandbox, "twined", "dist")
    ok(_twine(sandbox, servers.uvicorn, *files))
    before = servers.index.project("twined")
    ok(_twine(sandbox, servers.gunicorn, *files))
    assert servers.index.project("twined") == before
    _installs(sandbox, servers.gunicorn, "twined")


@pytest.mark.parametrize("kind", KINDS)
def test_twine_shows_why_changed_content_is_refused(servers: Servers, sandbox: Sandbox, kind: str) -> None:
    """Other content under a published name fails with the sentence, also without --verbose."""
    server: Server = getattr(servers, kind)
    name = f"twinechanged{kind}"
    ok(_twine(sandbox, server, *_dist(sandbox, name, "dist")))
    before = servers.index.project(name)
    said = refused(_twine(sandbox, server, *_dist(sandbox, name, "other", more=b"")))
    assert f"The file {wheel_name(name, '1.0')} already exists with other content" in said
    assert servers.index.project(name) == before


_ASK_TWINE = """
import sys
from twine import package, repository
from twine.commands.upload import skip_upload
answer = repository.Repository(sys.argv[1], None, None, disable_progress_bar=True).upload(
    package.PackageFile.from_filename(sys.argv[2], None)
)
print(answer.status_code, "skipped:", skip_upload(answer, True, None))
"""


def test_twine_can_skip_what_exists(servers: Servers, sandbox: Sandbox) -> None:
    """The answer to changed content is one that twine's --skip-existing recognizes.

    The command line of twine 7 refuses --skip-existing for every index but the public one, before it asks, so its
    functions are asked instead; programs that use twine as a library, and releases patched to allow it, come here.
    """
    ok(_twine(sandbox, servers.uvicorn, *_dist(sandbox, "skipped", "dist")))
    other = _dist(sandbox, "skipped", "other", more=b"")
    assert "--skip-existing" in refused(_twine(sandbox, servers.uvicorn, "--skip-existing", *other))
    python = environments.programs("twine") / "python"
    for server in (servers.uvicorn, servers.gunicorn):
        assert "skipped: True" in ok(sandbox.run(python, "-c", _ASK_TWINE, server.url, other[0]))


@pytest.mark.parametrize("path", ["", "legacy/", "simple/"])
def test_twine_to_every_upload_address(servers: Servers, sandbox: Sandbox, path: str) -> None:
    """All three addresses that people configure take uploads."""
    name = f"address{path.strip('/')}"
    login = ("--non-interactive", "--username", "anybody", "--password", "anything")
    files = _dist(sandbox, name, "dist")
    ok(sandbox.twine("upload", "--repository-url", f"{servers.uvicorn.url}{path}", *login, *files))
    assert servers.index.project(name) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_twine_and_uv_show_which_quota_is_used_up(servers: Servers, sandbox: Sandbox, kind: str) -> None:
    """An upload that does not fit fails with the sentence that says what to do, also without --verbose."""
    server: Server = getattr(servers, kind)
    made = run_quire("index", "create", kind, "--project-quota", "10", "-d", servers.root, cwd=sandbox.home)
    assert made.returncode == 0, made.stderr
    limited = _dist(sandbox, "limited", "dist")[0]
    login = ("--username", "anybody", "--password", "anything")
    url = f"{server.url}{kind}/"
    for done in (
        sandbox.twine("upload", "--repository-url", url, "--non-interactive", *login, limited),
        sandbox.uv("publish", "--publish-url", url, "--trusted-publishing", "never", *login, limited),
    ):
        said = " ".join(refused(done).split())
        assert "The project limited has used 0 % of its quota of 10 bytes, and " in said
        assert "let an administrator raise the quota ('quire index set --project-quota')" in said
    assert Index(servers.index.store, kind).project("limited") is None


def test_uv_publish_and_again(servers: Servers, sandbox: Sandbox) -> None:
    """Two files go through one port; again through the other succeeds, with and without --check-url."""
    files = _dist(sandbox, "uvpublished", "dist")
    ok(_uv_publish(sandbox, servers.uvicorn, *files))
    before = servers.index.project("uvpublished")
    ok(_uv_publish(sandbox, servers.gunicorn, *files))
    checked = ok(_uv_publish(sandbox, servers.gunicorn, "--check-url", servers.gunicorn.simple, *files))
    assert f"{files[0].name} already exists, skipping" in checked
    assert servers.index.project("uvpublished") == before
    _installs(sandbox, servers.gunicorn, "uvpublished")


@pytest.mark.parametrize("kind", KINDS)
def test_uv_publish_shows_why_changed_content_is_refused(servers: Servers, sandbox: Sandbox, kind: str) -> None:
    """Other content under a published name fails with the sentence; --check-url finds it before sending."""
    server: Server = getattr(servers, kind)
    name = f"uvchanged{kind}"
    ok(_uv_publish(sandbox, server, *_dist(sandbox, name, "dist")))
    other = _dist(sandbox, name, "other", more=b"")
    said = refused(_uv_publish(sandbox, server, *other))
    assert f"The file {other[0].name} already exists with other content" in said
    said = refused(_uv_publish(sandbox, server, "--check-url", server.simple, *other))
    assert f"Local file and index file do not match for `{other[0].name}`" in said


@pytest.mark.parametrize("kind", KINDS)
def test_uv_publish_shows_why_a_pretending_file_is_refused(servers: Servers, sandbox: Sandbox, kind: str) -> None:
    """A wheel whose metadata is of another release is refused in a sentence, and not listed."""
    server: Server = getattr(servers, kind)
    wheel = sandbox.home / wheel_name("pretender", "1.0")
    wheel.write_bytes(make_wheel("pretender", "1.0", metadata=metadata_text("pretender", "2.0")))
    assert f"version 2.0, but the file is named {wheel.name}" in refused(_uv_publish(sandbox, server, wheel))
    assert servers.index.project("pretender") is None
