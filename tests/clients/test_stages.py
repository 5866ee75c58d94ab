"""Stages with today's clients: published to, and installed from together with the index behind them."""

from __future__ import annotations

import pytest

from tests.clients.releases import FULL, wheel
from tests.clients.sandbox import Sandbox, ok
from tests.clients.servers import Server, Servers
from tests.serving import run_quire

pytestmark = pytest.mark.clients


def test_publish_install_promote(servers: Servers, sandbox: Sandbox) -> None:
    """A stage resolves with what is behind it; after the promotion the index does the same, on each server."""
    servers.uvicorn.publish(wheel("behind-stage", "1.0"), wheel("in-stage", "1.0"))
    made = run_quire("stage", "create", "pr-9", "--in-front-of", "main", "-d", servers.root, cwd=sandbox.home)
    assert made.returncode == 0, made.stderr
    login = ("--username", "anybody", "--password", "anything")
    paths = []
    for filename, content in (
        wheel("in-stage", "2.0", FULL.format("behind-stage")),
        wheel("new-in-stage", "1.0", FULL.format("in-stage[full]>=2")),
    ):
        paths.append(sandbox.home / filename)
        paths[-1].write_bytes(content)

    def address(server: Server) -> str:
        return f"{server.url}pr-9/"

    quiet = ("--non-interactive", "--disable-progress-bar")
    ok(sandbox.twine("upload", "--repository-url", address(servers.uvicorn), *login, *quiet, paths[0]))
    ok(
        sandbox.uv(
            "publish", "--publish-url", address(servers.gunicorn), *login, "--trusted-publishing", "never", paths[1]
        )
    )
    whole = {"in_stage": "2.0", "behind_stage": "1.0", "new_in_stage": "1.0"}
    for server in (servers.uvicorn, servers.gunicorn):
        assert sandbox.installs(f"{address(server)}simple/", "new-in-stage[full]") == [whole, whole]
    assert sandbox.installs(servers.gunicorn.simple, "in-stage") == [{"in_stage": "1.0"}] * 2
    promoted = run_quire("promote", "pr-9", "--url", servers.uvicorn.url, cwd=sandbox.home)
    assert promoted.stdout.endswith("Promoted 2 files of 2 projects from pr-9 into main.\n"), promoted
    for server in (servers.uvicorn, servers.gunicorn):
        assert sandbox.installs(server.simple, "new-in-stage[full]") == [whole, whole]
