"""The example of docs/how-to/publishing-sessions.md, and installers that use its preview."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.asking import OPEN
from tests.clients.releases import FULL, wheel
from tests.clients.sandbox import Sandbox, ok
from tests.clients.servers import Servers, two_servers
from tests.documents import DOCS, block

pytestmark = pytest.mark.clients

PAGE = DOCS / "how-to" / "publishing-sessions.md"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers on one directory that have publishing sessions."""
    with two_servers(tmp_path_factory.mktemp("sessions"), *OPEN, "--experimental") as both:
        yield both


def test_a_release_is_tested_before_it_is_published(servers: Servers, sandbox: Sandbox) -> None:
    """The preview resolves with what is behind it, on each server; the index does so after the publication alone."""
    servers.uvicorn.publish(wheel("behind-session", "1.0"), wheel("in-session", "1.0"))
    script, folder = sandbox.home / "publish.py", sandbox.home / "dist"
    script.write_text(block(PAGE, "python", "publish"))
    folder.mkdir()
    name, content = wheel("in-session", "2.0", FULL.format("behind-session"))
    (folder / name).write_bytes(content)
    root = f"{servers.uvicorn.url}-/upload/2.0/"
    said = sandbox.run(sys.executable, script, root, "in-session", "2.0", folder, "--stage")
    ok(said)
    lines = dict(line.split(": ", 1) for line in said.output.splitlines())
    other = lines["preview"].replace(servers.uvicorn.url, servers.gunicorn.url)
    for preview in (lines["preview"], other):
        assert sandbox.installs(preview, "in-session[full]") == [{"in_session": "2.0", "behind_session": "1.0"}] * 2
    assert sandbox.installs(servers.gunicorn.simple, "in-session") == [{"in_session": "1.0"}] * 2
    address = lines["session"].replace(servers.uvicorn.url, servers.gunicorn.url)
    done = sandbox.run("sh", "-euc", block(PAGE, "sh", "finish"), SESSION=address)
    assert '"status":"published"' in done.output
    for server in (servers.uvicorn, servers.gunicorn):
        assert sandbox.installs(server.simple, "in-session") == [{"in_session": "2.0"}] * 2
