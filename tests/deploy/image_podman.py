"""podman for the tests: images and containers in a store of their own, `.cache/podman`, apart from the machine's.

Theory of operation. podman reads its settings from two files that environment variables name; both are written here,
for what the machine allows. runc runs the containers, since crun refuses machines that have both generations of
cgroups. Limits are at most those of this process: a machine whose root may not raise limits can start containers then.
Ports are published on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent.parent
CACHE = PROJECT / ".cache" / "podman"
DEADLINE = 90.0
"""Seconds that a container may take to do what a test waits for; reached only when it is broken."""

_NOISE = ("systemd connection", "failed to connect to syslog")
"""podman's warning on a machine without systemd: there it cannot run health checks by itself, and nothing else."""


def _published_port() -> int:
    """A free port that stays free until a container is up, which takes a second: of those that no system gives to
    clients by itself (ip(7), ip_local_port_range)."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class PodmanError(Exception):
    """A podman command failed; holds what it said."""


class Unusable(Exception):
    """This machine cannot run containers at all; holds why."""


@dataclass(frozen=True)
class Podman:
    """The program, with its settings."""

    folder: Path

    @property
    def environ(self) -> dict[str, str]:
        """Environment that makes a podman use the tests' store; also for programs that call podman."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("QUIRE_", "CONTAINER"))},
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "CONTAINER_ENGINE": "podman",
        }

    def try_(self, *arguments: object, timeout: float = DEADLINE) -> subprocess.CompletedProcess[str]:
        """Run it; what it did, success or not."""
        return subprocess.run(
            ["podman", *map(str, arguments)],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def __call__(self, *arguments: object, timeout: float = DEADLINE) -> str:
        """Run it; what it wrote to its standard output. Raises PodmanError."""
        done = self.try_(*arguments, timeout=timeout)
        if done.returncode != 0:
            raise PodmanError(f"podman {' '.join(map(str, arguments))}: {done.returncode}: {done.stderr[-3000:]}")
        return done.stdout.strip()

    def run(self, *arguments: object) -> tuple[int, str]:
        """`podman run --rm` of a container that ends by itself: its exit code, and both its outputs."""
        done = self.try_("run", "--rm", *arguments)
        errors = [line for line in done.stderr.splitlines(keepends=True) if not any(noise in line for noise in _NOISE)]
        return done.returncode, done.stdout + "".join(errors)

    def has(self, image: str) -> bool:
        return self.try_("image", "exists", image).returncode == 0

    @contextmanager
    def container(self, *arguments: object, port: int = 8080) -> Iterator[Container]:
        """A container that goes on running, removed at the end. `port`: the one inside that is published."""
        outside = _published_port()
        made = self("run", "--detach", "--publish", f"127.0.0.1:{outside}:{port}", *arguments)
        try:
            yield Container(self, made.splitlines()[-1], outside)
        finally:
            self("rm", "--force", "--time", 0, "--volumes", made.splitlines()[-1])


@dataclass(frozen=True)
class Container:
    """One container, by name or id."""

    podman: Podman
    name: str
    port: int = 0
    """Where on 127.0.0.1 it can be asked."""

    @property
    def host(self) -> str:
        """With the port, as it stands in URLs."""
        return f"127.0.0.1:{self.port}"

    def status(self, path: str = "/", login: tuple[str, str] | None = None) -> int:
        """The status code of a GET. Raises OSError or HTTPException while nothing answers."""
        headers = {"Authorization": "Basic " + b64encode(":".join(login).encode()).decode()} if login else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status

    def state(self) -> dict[str, Any]:
        """podman's State: Running, ExitCode, ..."""
        found: dict[str, Any] = json.loads(self.podman("inspect", self.name))[0]["State"]
        return found

    def logs(self) -> str:
        """All that its processes wrote."""
        done = self.podman.try_("logs", self.name)
        return done.stdout + done.stderr

    def exec(self, *command: object) -> str:
        """The output of a program in it. Raises PodmanError when it fails."""
        return self.podman("exec", self.name, *command)

    def healthy(self) -> bool:
        """The state by its HEALTHCHECK now."""
        return self.podman.try_("healthcheck", "run", self.name).returncode == 0

    def wait_until_healthy(self) -> None:
        """Raises AssertionError, with its logs, when it ends or does not become healthy."""
        if self.port:
            self.wait_until_it_answers()  # each look of the health check starts a program in the container
        deadline = time.monotonic() + DEADLINE
        while not self.healthy():
            assert self.state()["Running"], f"{self.name} ended: {self.logs()}"
            assert time.monotonic() < deadline, f"{self.name} does not become healthy: {self.logs()}"
            time.sleep(0.1)

    def wait_until_it_answers(self, path: str = "/") -> int:
        """The first status code it answers with. Raises AssertionError, with its logs, when it ends."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return self.status(path)
            except (OSError, http.client.HTTPException):
                assert self.state()["Running"], f"{self.name} ended: {self.logs()}"
                assert time.monotonic() < deadline, f"{self.name} does not answer: {self.logs()}"
                time.sleep(0.05)

    def stop(self, seconds: int = 40) -> int:
        """Tell it to stop, and kill it after this long; its exit code, 137 when it had to be killed."""
        self.podman("stop", "--time", seconds, self.name, timeout=DEADLINE + seconds)
        return int(self.state()["ExitCode"])


def prepare() -> Podman:
    """podman, ready to use. Raises Unusable, and PodmanError when it is there and does not work."""
    if os.geteuid() != 0:
        raise Unusable("needs root: other users may not start containers with any uid")
    if missing := [program for program in ("podman", "runc", "mmdebstrap") if shutil.which(program) is None]:
        raise Unusable(f"{' and '.join(missing)} is missing; scripts/deploy-tools installs it, as root on Debian")
    CACHE.mkdir(parents=True, exist_ok=True)
    _replace(CACHE / "containers.conf", _settings())
    _replace(
        CACHE / "storage.conf",
        f'[storage]\ndriver = "overlay"\ngraphroot = "{CACHE}/storage"\nrunroot = "/run/quire-tests/podman"\n',
    )
    podman = Podman(CACHE)
    podman("info", "--format", "{{.Host.OCIRuntime.Name}}")
    return podman


@contextmanager
def locked(podman: Podman) -> Iterator[None]:
    """One test process at a time makes images."""
    with (podman.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _settings() -> str:
    limits = []
    for name, number, most in (("nofile", resource.RLIMIT_NOFILE, 65536), ("nproc", resource.RLIMIT_NPROC, 4096)):
        hard = resource.getrlimit(number)[1]
        value = most if hard == resource.RLIM_INFINITY else min(hard, most)
        limits.append(f'"{name}={value}:{value}"')
    return f"""
[containers]
default_ulimits = [{", ".join(limits)}]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "/run/quire-tests/libpod"
[network]
network_backend = "netavark"
network_config_dir = "{CACHE}/networks"
"""


def _replace(path: Path, text: str) -> None:
    """Write a file that another test process may be reading."""
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)


def volume(path: Path, inside: str, *, owner: int | None = 9898, options: Sequence[str] = ()) -> tuple[str, str]:
    """Flags that mount a folder or file of this machine, given to `owner` (None: left as it is)."""
    if owner is not None:
        os.chown(path, owner, owner)
    return "--volume", ":".join([str(path), inside, *options])
