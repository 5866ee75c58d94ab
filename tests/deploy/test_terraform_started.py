"""The container definition that the Terraform module renders, started for real: what ECS would be told, podman is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import htpasswd
from tests.deploy.image_clients import LOGIN, clients
from tests.deploy.image_podman import Podman, volume
from tests.deploy.terraform_module import rendered_container_definition

pytestmark = pytest.mark.deploy

TAKEN = {
    *("name", "image", "essential", "command", "user", "environment", "secrets", "portMappings", "mountPoints"),
    *("readonlyRootFilesystem", "linuxParameters", "healthCheck", "stopTimeout"),
}
"""What is translated here, or means nothing to one container on its own."""
_EMPTY = {"volumesFrom", "systemControls"}
_NOT_HERE = {"logConfiguration"}
"""The lines go to podman instead of CloudWatch."""


def flags(definition: dict[str, Any], packages: Path, secret: str) -> Iterator[str]:
    """podman's flags for a container definition of ECS."""
    assert definition.keys() == TAKEN | _EMPTY | _NOT_HERE
    assert not any(definition[name] for name in _EMPTY)
    yield from ("--user", definition["user"])
    for each in definition["environment"]:
        yield from ("--env", f"{each['name']}={each['value']}")
    for each in definition["secrets"]:
        yield from ("--env", f"{each['name']}={secret}")
    if definition["readonlyRootFilesystem"]:
        yield from ("--read-only", "--read-only-tmpfs=false")  # as on Fargate: what is not mounted cannot be written
    for each in definition["linuxParameters"]["tmpfs"]:
        options = ",".join([f"size={each['size']}m", *each["mountOptions"]])
        yield from ("--tmpfs", f"{each['containerPath']}:{options}")
    for capability in definition["linuxParameters"]["capabilities"]["drop"]:
        yield from ("--cap-drop", capability.lower())
    (mount,) = definition["mountPoints"]
    yield from volume(packages, mount["containerPath"])


@pytest.mark.parametrize("server", ["auto", "gunicorn"])
def test_the_rendered_container_serves(podman: Podman, image: str, tmp_path: Path, server: str) -> None:
    """Same command, environment, secret, user, mounts and rights: twine and uv publish, pip and uv install, it is ready
    by the load balancer's check and alive by ECS's, a request without the login is refused, and it ends at a signal."""
    definition = rendered_container_definition(server=server)
    packages = tmp_path / "packages"
    packages.mkdir()
    stored = htpasswd.bcrypt_hash(LOGIN[1], "2a")  # of the kind that Terraform's bcrypt() makes
    given = list(flags(definition, packages, f"{LOGIN[0]}:{stored}\n"))
    port = definition["portMappings"][0]["containerPort"]
    with podman.container(*given, image, *definition["command"], port=port) as served:
        served.wait_until_it_answers()
        assert served.status("/ready") == 200
        kind, *check = definition["healthCheck"]["command"]
        assert kind == "CMD"
        served.exec(*check)
        assert served.status("/simple/") == 401
        programs = clients(tmp_path)
        programs.twine(served.host, "rendered")
        programs.uv_publish(served.host, "rendered", "1.1")
        programs.pip_install(served.host, "rendered")
        programs.uv_install(served.host, "rendered", "1.1")
        assert served.stop(definition["stopTimeout"]) == 0
        log = served.logs()
    assert '"event":"request"' in log
    assert stored not in log
    assert {path.lstat().st_uid for path in packages.rglob("*")} == {9898}
