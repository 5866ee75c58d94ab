"""Real publishing tools send attestations: verified against the publisher of their token, then served."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.attestations.instance import Instance, minted
from tests.clients.sandbox import Result, Sandbox, ok, refused
from tests.clients.servers import Servers, two_servers
from tests.distributions import make_wheel, wheel_name

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def instance() -> Instance:
    return Instance()


@pytest.fixture(scope="module")
def verifying(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two servers on one directory that trust the instance."""
    folder = tmp_path_factory.mktemp("verifying")
    (folder / "htpasswd").touch()
    (folder / "root.json").write_bytes(instance.trust_root())
    with two_servers(folder, "-P", folder / "htpasswd", "--attestations-trust-root", folder / "root.json") as both:
        yield both


def _publish(sandbox: Sandbox, tool: str, servers: Servers, token: str, wheel: Path) -> Result:
    url = servers.uvicorn.url
    if tool == "uv":
        return sandbox.uv("publish", "--publish-url", url, "--token", token, f"{wheel}*")
    login = ("--non-interactive", "-u", "__token__", "-p", token)
    return sandbox.twine("upload", "--attestations", "--repository-url", url, *login, f"{wheel}*")


@pytest.mark.parametrize("tool", ["uv", "twine"])
def test_attestations_are_sent_and_served(verifying: Servers, sandbox: Sandbox, instance: Instance, tool: str) -> None:
    """The other server has the provenance at once. A token that people made is refused with a sentence."""
    wheel = sandbox.home / wheel_name(f"by-{tool}", "1.0")
    wheel.write_bytes(make_wheel(f"by-{tool}", "1.0"))
    attestation = instance.attestation(wheel.name, hashlib.sha256(wheel.read_bytes()).hexdigest())
    Path(f"{wheel}.publish.attestation").write_text(json.dumps(attestation))
    store = verifying.index.store
    assert "trusted publishing" in refused(_publish(sandbox, tool, verifying, minted(store, None), wheel))
    ok(_publish(sandbox, tool, verifying, minted(store), wheel))
    served = httpx.get(f"{verifying.gunicorn.url}integrity/by-{tool}/1.0/{wheel.name}/provenance")
    assert served.status_code == 200
    assert served.json()["attestation_bundles"][0]["attestations"][0]["envelope"] == attestation["envelope"]
