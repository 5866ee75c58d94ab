"""What the suite needs besides quire's own environment: peers in environments of their own, and Debian's programs.

A peer's environment is `.venvs/bench-<name>`, made from `requirements/bench/<name>.txt` with the digests checked, and
kept as long as that file is the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.clients.environments import uv

from benchmarks.processes import Unavailable
from benchmarks.progress import lasting

PROJECT = Path(__file__).parent.parent
CACHE = PROJECT / ".cache" / "bench"
FOLDER = PROJECT / ".venvs"
LOCKS = PROJECT / "requirements" / "bench"
INSTALL_SECONDS = 300.0

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    # passlib, which reads its htpasswd files, fails with bcrypt 5
    "pypiserver": ("pypiserver[passlib,cache]==2.4.2", "gunicorn>=27", "gevent>=25", "bcrypt<5"),
    "devpi-server": ("devpi-server>=6.20",),
    "simple-repository-server": ("simple-repository-server>=0.10",),
}


def programs(peer: str) -> Path:
    """The folder with the peer's programs, installed first if need be. Raises Unavailable."""
    lock = LOCKS / f"{peer}.txt"
    environment = FOLDER / f"bench-{peer}"
    made_for = environment / "made-for.txt"
    wanted = f"{sys.version}\n{lock.read_text()}"
    if not made_for.exists() or made_for.read_text() != wanted:
        with lasting(f"installing {lock.relative_to(PROJECT)}"):
            _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(environment))
            python = str(environment / "bin" / "python")
            _uv("pip", "sync", "--quiet", "--require-hashes", "--python", python, str(lock))
            made_for.write_text(wanted)
    return environment / "bin"


def installed_version(peer: str, distribution: str) -> str:
    """The version of a distribution in a peer's environment; "" when the environment is not there."""
    script = f"from importlib.metadata import version; print(version({distribution!r}))"
    python = FOLDER / f"bench-{peer}" / "bin" / "python"
    if not python.exists():
        return ""
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _uv(*arguments: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    try:
        done = subprocess.run(
            [str(uv()), *arguments], env=environ, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"it could not be installed within {INSTALL_SECONDS:.0f} s") from error
    if done.returncode != 0:
        raise Unavailable(f"it could not be installed: {done.stderr.strip()[-300:]}")


def program(name: str) -> str:
    """The path of a program that Debian packages under its own name; installed first when root. Raises Unavailable."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        _install(name)
        found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        raise Unavailable(f"the program {name} is not there after the installation of its package")
    return found


def _install(package: str) -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Unavailable(f"the program {package} is missing, and only root on Debian can install it from here")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with lasting(f"installing the Debian package {package}"):
        for arguments in (("update",), ("install", "--yes", "--no-install-recommends", package)):
            command = ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=300", *arguments]
            done = subprocess.run(
                command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise Unavailable(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")
