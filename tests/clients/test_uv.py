"""uv as installer, resolver and project manager."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quire.domain.changes import Selection
from tests.clients.releases import FULL, sdist, wheel
from tests.clients.sandbox import Sandbox, imported, installed, ok, refused
from tests.clients.servers import Servers
from tests.distributions import make_wheel, wheel_name
from tests.serving import until

pytestmark = pytest.mark.clients

LONG_AGO = datetime(2021, 5, 5, tzinfo=UTC)


def _days_from_now(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d")


def _project(sandbox: Sandbox) -> Path:
    """A throwaway project that uses the index."""
    folder = sandbox.home / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[project]\nname = "throwaway"\nversion = "0"\nrequires-python = ">=3.11"\n')
    return folder


def _install(servers: Servers, sandbox: Sandbox, *arguments: str) -> Path:
    target = sandbox.target()
    ok(sandbox.uv("pip", "install", "--default-index", servers.gunicorn.simple, "--target", target, *arguments))
    return target


def _compile(servers: Servers, sandbox: Sandbox, requirement: str, *arguments: str) -> list[str]:
    """The resolution as requirement lines."""
    asked, answered = sandbox.home / "requirements.in", sandbox.home / "requirements.txt"
    asked.write_text(f"{requirement}\n")
    answered.unlink(missing_ok=True)
    style = ("--quiet", "--no-header", "--no-annotate", "--strip-extras", "-o", answered)
    ok(sandbox.uv("pip", "compile", "--default-index", servers.gunicorn.simple, *style, *arguments, asked))
    return answered.read_text().split("\n")[:-1]


def test_wheel_and_sdist(servers: Servers, sandbox: Sandbox) -> None:
    """uv installs the wheel, and builds the sdist when told to, of what went through the other port."""
    servers.uvicorn.publish(wheel("both", "1.0"), sdist("both", "1.0"))
    assert imported(_install(servers, sandbox, "both"), "both") == "1.0"
    assert imported(_install(servers, sandbox, "both", "--no-binary", "both", "--no-cache"), "both") == "1.0"


def test_extras_and_the_metadata_alone(servers: Servers, sandbox: Sandbox) -> None:
    """Projects that need each other resolve from their `.metadata`, without a wheel."""
    servers.uvicorn.publish(
        wheel("pair-one", "1.0", FULL.format("pair-two[full]>=2")),
        wheel("pair-two", "1.0"),
        wheel("pair-two", "2.0", FULL.format("pair-one<2")),
    )
    assert _compile(servers, sandbox, "pair-one[full]") == ["pair-one==1.0", "pair-two==2.0"]
    filename = wheel_name("pair-one", "1.0")
    until(lambda: any(path.endswith(f"/{filename}.metadata") for _, path, _ in servers.gunicorn.requests()))
    assert not any(path.endswith(f"/{filename}") for _, path, _ in servers.gunicorn.requests())
    assert installed(_install(servers, sandbox, "pair-one[full]")) == {"pair_one": "1.0", "pair_two": "2.0"}


def test_required_hashes(servers: Servers, sandbox: Sandbox) -> None:
    """--require-hashes installs with the right hash, and refuses with another one."""
    published = wheel("hashed", "1.0")
    servers.uvicorn.publish(published)
    requirements = sandbox.home / "requirements.txt"
    command = ("pip", "install", "--default-index", servers.gunicorn.simple, "--require-hashes", "-r", requirements)
    requirements.write_text(f"hashed==1.0 --hash=sha256:{'0' * 64}\n")
    assert "Hash mismatch" in refused(sandbox.uv(*command, "--target", sandbox.target()))
    requirements.write_text(f"hashed==1.0 --hash=sha256:{hashlib.sha256(published[1]).hexdigest()}\n")
    ok(sandbox.uv(*command, "--target", sandbox.target()))


def test_exclude_newer_reads_the_upload_time(servers: Servers, sandbox: Sandbox) -> None:
    """A file that was uploaded now does not exist for a resolution as of yesterday; a drop-in file has its own time."""
    servers.uvicorn.publish(wheel("dated", "2.0"))
    older = servers.root / wheel_name("dated", "1.0")
    older.write_bytes(make_wheel("dated", "1.0"))
    os.utime(older, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    assert _compile(servers, sandbox, "dated") == ["dated==2.0"]
    assert _compile(servers, sandbox, "dated", "--exclude-newer", _days_from_now(2)) == ["dated==2.0"]
    assert _compile(servers, sandbox, "dated", "--exclude-newer", _days_from_now(-1)) == ["dated==1.0"]
    servers.uvicorn.publish(wheel("only-now", "1.0"))
    command = ("pip", "install", "--default-index", servers.gunicorn.simple, "--target", sandbox.target(), "only-now")
    assert "only-now" in refused(sandbox.uv(*command, "--exclude-newer", _days_from_now(-1)))
    ok(sandbox.uv(*command))


def test_add_lock_and_sync_a_project(servers: Servers, sandbox: Sandbox) -> None:
    """`uv add` locks hashes, sizes and upload times; `uv sync --index` installs from the other port."""
    published = wheel("locked", "1.0")
    servers.uvicorn.publish(published)
    project = _project(sandbox)
    ok(sandbox.uv("add", "--default-index", servers.gunicorn.simple, "locked", cwd=project))
    lock = (project / "uv.lock").read_text()
    assert f'hash = "sha256:{hashlib.sha256(published[1]).hexdigest()}"' in lock
    assert f"size = {len(published[1])}" in lock
    assert 'upload-time = "' in lock
    servers.gunicorn.publish(wheel("locked", "1.1"))
    both = {"UV_DEFAULT_INDEX": servers.gunicorn.simple}
    ok(sandbox.uv("sync", "--index", servers.uvicorn.simple, cwd=project, **both))
    python = project / ".venv" / "bin" / "python"
    show = ("-c", "import locked; print(locked.VERSION)")
    assert ok(sandbox.run(python, *show)).strip() == "1.0"
    ok(sandbox.uv("lock", "--upgrade", "--default-index", servers.uvicorn.simple, cwd=project))
    ok(sandbox.uv("sync", "--default-index", servers.uvicorn.simple, cwd=project))
    assert ok(sandbox.run(python, *show)).strip() == "1.1"


def test_lock_as_of_yesterday(servers: Servers, sandbox: Sandbox) -> None:
    """`uv lock --exclude-newer` finds nothing of what was uploaded today, and finds it without."""
    servers.uvicorn.publish(wheel("fresh", "1.0"))
    project = _project(sandbox)
    command = ("add", "--no-sync", "--default-index", servers.gunicorn.simple, "fresh")
    refused(sandbox.uv(*command, "--exclude-newer", _days_from_now(-1), cwd=project))
    ok(sandbox.uv(*command, cwd=project))


def test_yanked_releases_are_installed_only_when_pinned(servers: Servers, sandbox: Sandbox) -> None:
    """A release yanked while the servers run is skipped at once, and installed with its reason shown when pinned."""
    servers.uvicorn.publish(wheel("yanked", "1.0"), wheel("yanked", "2.0"))
    assert _compile(servers, sandbox, "yanked") == ["yanked==2.0"]
    servers.index.yank("yanked", Selection(version="2.0"), "eats data")
    assert _compile(servers, sandbox, "yanked") == ["yanked==1.0"]
    command = ("pip", "install", "--default-index", servers.gunicorn.simple, "--target", sandbox.target())
    assert "eats data" in ok(sandbox.uv(*command, "yanked==2.0"))


def test_requires_python_is_respected(servers: Servers, sandbox: Sandbox) -> None:
    """A release for another Python is passed over."""
    servers.uvicorn.publish(wheel("pythons", "1.0"), wheel("pythons", "2.0", requires_python=">=4"))
    assert _compile(servers, sandbox, "pythons") == ["pythons==1.0"]


def test_pre_releases_only_when_asked_for(servers: Servers, sandbox: Sandbox) -> None:
    """The newest final release is resolved, with --prerelease=allow the release candidate."""
    servers.uvicorn.publish(wheel("candidate", "1.0"), wheel("candidate", "2.0rc1"))
    assert _compile(servers, sandbox, "candidate") == ["candidate==1.0"]
    assert _compile(servers, sandbox, "candidate", "--prerelease=allow") == ["candidate==2.0rc1"]


def test_an_unknown_project_is_a_clear_failure(servers: Servers, sandbox: Sandbox) -> None:
    """An unpublished name is uv's own sentence about it."""
    command = ("pip", "install", "--default-index", servers.gunicorn.simple, "--target", sandbox.target(), "nobody")
    assert "nobody was not found in the package registry" in refused(sandbox.uv(*command))


def test_ten_releases_each_seen_at_once(servers: Servers, sandbox: Sandbox) -> None:
    """Publish to one server, resolve from the other, ten times, with uv's cache on and no retry."""
    for number in range(10):
        servers.uvicorn.publish(wheel("tenfold", f"1.{number}"))
        assert _compile(servers, sandbox, "tenfold") == [f"tenfold==1.{number}"]
