"""compose.bucket.yaml as it stands: two containers of quire behind nginx on a bucket of a real server."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from quire.config.values import size
from quire.search.schema import MOST_BYTES
from quire.store.contracts import DEFAULT_BLOB_OPTIONS
from tests.bucket.ceph import s3_server
from tests.deploy.compose_rig import COMPOSE, QUIRES, Project, listed, services
from tests.deploy.image_clients import clients
from tests.deploy.image_podman import Podman
from tests.rootfs import RigError

pytestmark = pytest.mark.deploy

GATEWAY = "10.98.98.1"
"""The address of this machine in the containers' network."""


@contextmanager
def passed_on(to: int) -> Iterator[int]:
    """A port of `GATEWAY` whose connections go to a port of the loopback, which containers cannot reach."""

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", to)) as server:
                back = threading.Thread(target=_copy, args=(server, self.request), daemon=True)
                back.start()
                _copy(self.request, server)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def server_bind(self) -> None:
            self.socket.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND: the network is not there yet
            super().server_bind()

    with Server((GATEWAY, 0), Relay) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Until the one side has sent all; then the other one learns that."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # the other side went away
        source.close()
        target.close()


@pytest.fixture(scope="module")
def project(podman: Podman, image: str, nginx_image: str) -> Iterator[Project]:
    """The services, up and healthy, on a new bucket."""
    try:
        with s3_server() as server, passed_on(server.port) as port:
            variables = server.environment | {
                "AWS_ENDPOINT_URL": f"http://{GATEWAY}:{port}",
                "QUIRE_BUCKET": f"{server.make_bucket()}/python",
            }
            with services(podman, image, nginx_image, "compose.bucket.yaml", **variables) as started:
                yield started
    except RigError as why:
        pytest.skip(str(why))


def quires(file: str) -> list[dict[str, Any]]:
    """The services of quire in a file."""
    found = yaml.safe_load((COMPOSE / file).read_text())["services"]
    return [found[name] for name in QUIRES]


def _without(service: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in service.items() if name not in names}


def test_a_bucket_is_all_that_differs() -> None:
    """Addresses, rights, login, patience and flags are those of the file with a volume. There is no volume."""
    differing = {"command", "environment", "tmpfs", "volumes"}
    for here, there in zip(quires("compose.bucket.yaml"), quires("compose.yaml"), strict=True):
        assert here["command"][:-1] == there["command"]
        assert here["command"][-1].startswith("${QUIRE_BUCKET:?")
        assert {name: value for name, value in here["environment"].items() if value is not None} == there["environment"]
        assert "volumes" not in here
        assert _without(here, differing) == _without(there, differing)
    here, there = (yaml.safe_load((COMPOSE / file).read_text()) for file in ("compose.bucket.yaml", "compose.yaml"))
    assert here["networks"] == there["networks"]
    assert here["services"]["nginx"] == there["services"]["nginx"]


def test_the_temporary_folder_has_room_for_the_uploads_of_all_workers() -> None:
    """Each worker keeps up to `--spool-size` of uploads under way, beside the catalog of the search, and the folder has
    more beside them."""
    for service in quires("compose.bucket.yaml"):
        workers = re.fullmatch(r"\$\{GUNICORN_WORKERS:-(\d+)\}", service["environment"]["GUNICORN_WORKERS"])
        room = re.fullmatch(r"/tmp:size=\$\{QUIRE_TMP_SIZE:-(\w+)\}", service["tmpfs"][0])
        assert workers is not None
        assert room is not None
        assert size(room[1]) >= int(workers[1]) * DEFAULT_BLOB_OPTIONS.spool_size + MOST_BYTES + size("64m")


def test_both_containers_serve_what_one_took(project: Project, tmp_path: Path) -> None:
    """Published through nginx, installed from each container alone; still there when both were replaced."""
    programs = clients(tmp_path)
    programs.twine(project.host, "shared")
    for host in (*QUIRES.values(), project.host):
        assert listed(host, "shared") == {"1.0"}
        programs.uv_install(project.host, "shared")
    for service in QUIRES:
        project.replace(service)
    programs.uv_publish(project.host, "shared", "1.1")
    for host in QUIRES.values():
        assert listed(host, "shared") == {"1.0", "1.1"}
    programs.pip_install(project.host, "shared", "1.1")
    said = project.container("quire-1").exec("quire", "doctor", "--quick", project.environ["QUIRE_BUCKET"])
    assert "keeps" in said
    mounts = project.podman("inspect", "--format", "{{len .Mounts}}", f"{project.name}_quire-1_1")
    assert mounts.strip() == "0"
