"""The services of a file of deploy/compose, started as it stands.

podman-compose reads the same files that Docker does; only the names of the images and the published port differ.
"""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from tests.clients import environments
from tests.deploy.image_clients import LOGIN
from tests.deploy.image_podman import PROJECT, Container, Podman
from tests.serving import free_port

COMPOSE = PROJECT / "deploy" / "compose"
QUIRES = {"quire-1": "10.98.98.11:8080", "quire-2": "10.98.98.12:8080"}
"""The containers of quire, and where each of them can be asked without nginx."""


@dataclass(frozen=True)
class Project:
    """The services of one file."""

    podman: Podman
    file: str
    name: str
    environ: dict[str, str]
    port: int

    @property
    def host(self) -> str:
        """nginx, with the port, as it stands in URLs."""
        return f"127.0.0.1:{self.port}"

    def compose(self, *arguments: str) -> str:
        """Run podman-compose; what it said. Raises AssertionError when it fails."""
        program = environments.programs("podman-compose") / "podman-compose"
        done = subprocess.run(
            [program, "--project-name", self.name, "--file", COMPOSE.relative_to(PROJECT) / self.file, *arguments],
            cwd=PROJECT,  # as the pages say
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said

    def container(self, service: str) -> Container:
        return Container(self.podman, f"{self.name}_{service}_1")

    def replace(self, service: str) -> None:
        """Stop the container and put a new one in its place, as for a new image; until it is healthy."""
        self.compose("up", "--detach", "--no-deps", "--force-recreate", service)
        self.container(service).wait_until_healthy()


@contextmanager
def services(podman: Podman, image: str, nginx_image: str, file: str, **variables: str) -> Iterator[Project]:
    """The services, up and healthy, with these further variables; removed at the end with their volumes.

    One set of them at a time on this machine: their names and addresses are the same.
    """
    with (PROJECT / ".cache" / "compose.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _services(podman, image, nginx_image, file, **variables) as started:
            yield started


@contextmanager
def _services(podman: Podman, image: str, nginx_image: str, file: str, **variables: str) -> Iterator[Project]:
    port = free_port()
    environ = podman.environ | {
        "QUIRE_IMAGE": image,
        "NGINX_IMAGE": nginx_image,
        "QUIRE_LISTEN": f"127.0.0.1:{port}",
        "QUIRE_USER": LOGIN[0],
        "QUIRE_PASSWORD": LOGIN[1],
    }
    made = Project(podman, file, "quire-tests", environ | variables, port)
    made.compose("down", "--volumes")  # what an interrupted run left
    try:
        made.compose("up", "--detach")
        for service in QUIRES:
            made.container(service).wait_until_healthy()
        yield made
    finally:
        made.compose("down", "--volumes")


def listed(host: str, name: str) -> set[str]:
    """The versions of a project that this address lists."""
    answer = httpx.get(
        f"http://{host}/simple/{name}/",
        headers={"Accept": "application/vnd.pypi.simple.v1+json"},
        auth=LOGIN,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return set(answer.json()["versions"])
