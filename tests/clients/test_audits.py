"""Scanners that are told to ask the index for advisories, in place of the public service."""

from __future__ import annotations

import json

import pytest

from tests.clients import environments
from tests.clients.releases import wheel
from tests.clients.sandbox import Sandbox, refused
from tests.clients.servers import Servers
from tests.serving import run_quire

pytestmark = pytest.mark.clients

PROJECT = """
[project]
name = "audited"
version = "1"
requires-python = ">=3.11"
dependencies = ["acme-audited", "acme-clean"]
"""


def test_advisories_of_ones_own_are_found(servers: Servers, sandbox: Sandbox) -> None:
    """Of a private package: by uv from its lock, and by pip-audit from a list of requirements."""
    servers.uvicorn.publish(wheel("acme-audited", "1.0"), wheel("acme-clean", "1.0"))
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}]}]
    affected = [{"package": {"ecosystem": "PyPI", "name": "acme-audited"}, "ranges": ranges}]
    own = {"id": "ACME-7", "modified": "2026-11-20T10:00:00Z", "summary": "Leaks.", "affected": affected}
    (sandbox.home / "own.json").write_text(json.dumps(own))
    taken = run_quire("osv", "update", "own.json", "--as", "acme", "-d", servers.root, cwd=sandbox.home)
    assert taken.returncode == 0, taken.stderr
    (sandbox.home / "pyproject.toml").write_text(PROJECT)
    address = f"{servers.gunicorn.url}-/osv/"
    found = refused(sandbox.uv("audit", "--default-index", servers.uvicorn.simple, "--service-url", address))
    assert "acme-audited 1.0 has 1 known vulnerability" in found
    assert "ACME-7: Leaks." in found
    assert "Fixed in: 1.2" in found
    (sandbox.home / "pinned.txt").write_text("acme-audited==1.0\nacme-clean==1.0\n")
    flags = ("--no-deps", "--disable-pip", "-s", "osv", "--osv-url", f"{address}v1/query", "-r", "pinned.txt")
    found = refused(sandbox.run(environments.programs("pip-audit") / "pip-audit", *flags))
    assert "Found 1 known vulnerability in 1 package" in found
    assert "acme-audited 1.0 ACME-7 1.2" in found
