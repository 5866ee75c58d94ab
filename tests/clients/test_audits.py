"""Advisories with today's clients: scanners ask the index for them, and installers get no release that they block."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.clients import environments
from tests.clients.releases import wheel
from tests.clients.sandbox import Sandbox, installed, ok, refused
from tests.clients.servers import Servers
from tests.serving import run_quire

pytestmark = [pytest.mark.clients, pytest.mark.proofs]

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


def test_no_installer_gets_a_malicious_release(servers: Servers, sandbox: Sandbox) -> None:
    """From the next request on pip and uv choose another one, and the file itself is refused, until it is lifted."""
    servers.uvicorn.publish(wheel("acme-stolen", "1.0"), wheel("acme-stolen", "1.1"))
    simple = servers.gunicorn.simple

    def install(*requirements: str) -> list[dict[str, str]]:
        with_pip, with_uv = sandbox.target(), sandbox.target()
        pip = ("install", "--no-cache-dir", "--index-url", simple, "--target", with_pip)
        ok(sandbox.pip("pip-newest", *pip, *requirements))
        ok(sandbox.uv("pip", "install", "--no-cache", "--default-index", simple, "--target", with_uv, *requirements))
        return [installed(with_pip), installed(with_uv)]

    def quire(*words: str) -> None:
        done = run_quire(*words, "-d", servers.root, cwd=sandbox.home)
        assert done.returncode == 0, done.stderr

    assert install("acme-stolen") == [{"acme_stolen": "1.1"}] * 2
    affected = [{"package": {"ecosystem": "PyPI", "name": "acme-stolen"}, "versions": ["1.1"]}]
    report = {"id": "MAL-2026-7", "modified": "2026-11-20T10:00:00Z", "affected": affected}
    (sandbox.home / "report.json").write_text(json.dumps(report))
    quire("policy", "set", "--malicious", "block")
    quire("osv", "update", "report.json", "--as", "reports")
    assert install("acme-stolen") == [{"acme_stolen": "1.0"}] * 2
    filename, content = wheel("acme-stolen", "1.1")
    url = f"{servers.gunicorn.url}packages/acme-stolen/{hashlib.sha256(content).hexdigest()}/{filename}"
    said = refused(sandbox.uv("pip", "install", "--no-cache", "--target", sandbox.target(), f"acme-stolen @ {url}"))
    assert "403" in said
    refused(sandbox.pip("pip-newest", "install", "--target", sandbox.target(), f"acme-stolen @ {url}"))
    quire("osv", "remove", "reports")
    assert install("acme-stolen") == [{"acme_stolen": "1.1"}] * 2
