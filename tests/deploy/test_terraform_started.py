"""The container definition that the Terraform module renders, started for real: what ECS would be told, podman is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import htpasswd
from tests.bucket import ceph
from tests.deploy.image_clients import LOGIN, clients
from tests.deploy.image_podman import Container, Podman, volume
from tests.deploy.terraform_module import rendered_container_definition
from tests.serving import free_port

pytestmark = pytest.mark.deploy

TAKEN = {
    *("name", "image", "essential", "command", "user", "environment", "secrets", "portMappings", "mountPoints"),
    *("readonlyRootFilesystem", "linuxParameters", "healthCheck", "stopTimeout"),
}
"""Keys that are translated here, or mean nothing to a single container."""
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


def test_the_rendered_container_serves_a_bucket(podman: Podman, image: str, tmp_path: Path) -> None:
    """With `storage = "s3"`, in front of a real S3 server: one container publishes, another one with the same bucket
    serves, and what is left in the folder that stands for the task's disk is no package."""
    with ceph.s3_server() as server:
        inputs = {
            "storage": "s3",
            "s3_endpoint_route_table_ids": [],
            "existing_bucket": server.make_bucket().removeprefix("s3://"),
        }
        stored = htpasswd.bcrypt_hash(LOGIN[1], "2a")
        programs = clients(tmp_path)
        hosts = []
        with ExitStack() as stack:
            for name in ("one", "two"):
                port = free_port()  # on the machine's network: there the server listens
                definition = rendered_container_definition(
                    **inputs,
                    environment_variables=server.environment,
                    extra_arguments=["-p", str(port), "-i", "127.0.0.1"],
                )
                scratch = tmp_path / name
                scratch.mkdir()
                given = list(flags(definition, scratch, f"{LOGIN[0]}:{stored}\n"))
                made = podman("run", "--detach", "--network", "host", *given, image, *definition["command"]).split()[-1]
                stack.callback(podman, "rm", "--force", "--time", 0, "--volumes", made)
                served = Container(podman, made, port)
                served.wait_until_it_answers()
                assert served.status("/ready") == 200
                hosts.append(served)
            one, two = hosts
            programs.twine(one.host, "rendered")
            programs.uv_publish(two.host, "rendered", "1.1")
            programs.pip_install(two.host, "rendered")
            programs.uv_install(one.host, "rendered", "1.1")
            kind, *check = definition["healthCheck"]["command"]
            assert kind == "CMD"
            one.exec(*check)
            assert one.status("/simple/") == 401
            for served in hosts:
                assert served.stop(definition["stopTimeout"]) == 0
                assert not re.search("Traceback|testsecret", served.logs())
        assert not list(tmp_path.glob("one/**/*.whl"))
