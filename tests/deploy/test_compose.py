"""deploy/compose as it stands: two containers of quire behind nginx on one volume; both are replaced under load."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import yaml

from quire.cli import make_parser
from quire.servers import ENDING_SECONDS, GRACE_SECONDS
from tests.deploy.compose_rig import COMPOSE, QUIRES, Project, listed, services
from tests.deploy.image_clients import clients
from tests.deploy.image_podman import Podman

pytestmark = pytest.mark.deploy

ROUNDS = 2
"""How often both are replaced."""


@pytest.fixture(scope="module")
def project(podman: Podman, image: str, nginx_image: str) -> Iterator[Project]:
    """The services, up and healthy; removed at the end with their volume."""
    with services(podman, image, nginx_image, "compose.yaml") as started:
        yield started


def test_a_retry_at_the_other_container_is_served() -> None:
    """A request waits for a container that has just gone until nginx's patience ends. By then that one may be back, and
    the other one told to stop: it has to go on serving for longer than nginx waits."""
    service = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["quire-1"]
    serves_on = float(service["environment"]["QUIRE_DRAIN_SECONDS"])
    waited = re.search(r"proxy_connect_timeout (\d+)s;", (COMPOSE / "nginx.conf").read_text())
    assert waited is not None
    assert serves_on > float(waited[1])
    assert float(service["stop_grace_period"].removesuffix("s")) > serves_on + GRACE_SECONDS + ENDING_SECONDS


@pytest.mark.parametrize(
    ("file", "store"), [("compose.yaml", "/data/packages"), ("compose.bucket.yaml", "s3://acme-packages/python")]
)
def test_the_backup_is_a_command_of_quire(file: str, store: str) -> None:
    """Both places are where the service has them; it is started by name only, ends, and is as locked up as the
    servers."""
    text = re.sub(r"\$\{QUIRE_BUCKET:[^}]*\}", "s3://acme-packages/python", (COMPOSE / file).read_text())
    found = yaml.safe_load(text)["services"]
    backup = found["backup"]
    parsed = make_parser()[0].parse_args(backup["command"])
    assert (parsed.command, parsed.target, parsed.directory) == ("backup", "/backups", [store])
    assert any(volume.endswith(":/backups") for volume in backup["volumes"])
    assert store.startswith("s3:") or f"packages:{store}" in backup["volumes"]
    assert (backup["profiles"], backup["restart"]) == (["backup"], "no")
    for name in ("image", "read_only", "cap_drop", "security_opt"):
        assert backup[name] == found["quire-1"][name]


def test_what_nginx_takes_both_containers_have(project: Project, tmp_path: Path) -> None:
    """Published through nginx, installed from each container alone, and through nginx; logins count everywhere."""
    programs = clients(tmp_path)
    programs.twine(project.host, "shared")
    for host in (*QUIRES.values(), project.host):
        assert listed(host, "shared") == {"1.0"}
        programs.uv_install(project.host, "shared")
    programs.pip_install(project.host, "shared")
    answer = httpx.get(f"http://{project.host}/simple/shared/", trust_env=False)
    assert answer.status_code == 401


def _refusals(project: Project) -> str:
    """The wrong answers of nginx, and the last output of all containers."""
    lines = project.container("nginx").logs().splitlines()
    usual = {"200", "206", "301", "303", "304", "401"}
    wrong = [line for line in lines if line.startswith("20") and line.split('"')[2].split()[0] not in usual]
    rest = [line for service in (*QUIRES, "nginx") for line in project.container(service).logs().splitlines()[-15:]]
    return "\n".join([*wrong, *rest])


@dataclass
class Load:
    """Clients that work without a pause until they are told to end; each counts what it did."""

    project: Project
    folder: Path
    over: threading.Event = field(default_factory=threading.Event)
    done: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, set[str]] = field(default_factory=dict)
    """Versions by project whose publication a client reported as done."""

    def publisher(self, kind: str) -> None:
        """Publish one version after the other, and install each at once, by turns with pip and with uv."""
        programs = clients(self.folder / kind)
        publish: Callable[[str, str, str], None] = programs.twine if kind == "twine" else programs.uv_publish
        name, versions = f"by{kind}", self.acknowledged.setdefault(f"by{kind}", set())
        while not self.over.is_set():
            version = f"1.{len(versions)}"
            publish(self.project.host, name, version)
            versions.add(version)
            install = programs.pip_install if len(versions) % 2 else programs.uv_install
            install(self.project.host, name, version)
            self._count(kind)
            self._count("install of what was just published")

    def installer(self, kind: str) -> None:
        """Install the same release again and again."""
        programs = clients(self.folder / f"{kind}-installer")
        install = programs.pip_install if kind == "pip" else programs.uv_install
        while not self.over.is_set():
            install(self.project.host, "shared")
            self._count(f"{kind} install")

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    @contextmanager
    def running(self) -> Iterator[list[Future[None]]]:
        """All four at work; at the end, or at the first failure of one of them, all are ended. Raises its error."""
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(self.publisher, kind) for kind in ("twine", "uv")]
            futures += [pool.submit(self.installer, kind) for kind in ("pip", "uv")]
            try:
                yield futures
            finally:
                self.over.set()
        for future in futures:
            future.result()


def test_both_containers_can_be_replaced_under_load(
    project: Project, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """One after the other, while twine and uv publish and pip and uv install: no command fails, no upload is lost.

    The clients are told not to retry anything.
    """
    programs = clients(tmp_path)
    programs.twine(project.host, "shared")  # the same file again is a success, in any order
    names = [f"{project.name}_{service}_1" for service in (*QUIRES, "nginx")]
    before = [project.podman("inspect", "--format", "{{.Id}}", name) for name in names]
    load = Load(project, tmp_path / "load")
    with load.running() as futures:
        for service in list(QUIRES) * ROUNDS:
            project.replace(service)
            for failed in filter(Future.done, futures):
                assert failed.exception() is None, f"{failed.exception()}\n{_refusals(project)}"
    after = [project.podman("inspect", "--format", "{{.Id}}", name) for name in names]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False, True]
    assert all(load.acknowledged.values())
    for name, versions in load.acknowledged.items():
        for host in (*QUIRES.values(), project.host):
            assert listed(host, name) == versions
    record_property(
        "deploy",
        f"rolling replacement of both containers, {ROUNDS} times: no failure in "
        + ", ".join(f"{count} {what}" for what, count in sorted(load.done.items())),
    )
