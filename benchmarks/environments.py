"""The needs of the suite besides quire's own environment: peers in environments of their own, and Debian's programs.

A peer's environment is `.venvs/bench-<name>`, made from `requirements/bench/<name>.txt` with the digests checked, and
kept as long as that file is the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.clients.environments import FOLDER, NotInstalled, locked

from benchmarks.processes import Unavailable
from benchmarks.progress import lasting

PROJECT = Path(__file__).parent.parent
CACHE = PROJECT / ".cache" / "bench"
LOCKS = PROJECT / "requirements" / "bench"

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    # passlib, which reads its htpasswd files, fails with bcrypt 5
    "pypiserver": ("pypiserver[passlib,cache]==2.4.2", "gunicorn>=27", "gevent>=25", "bcrypt<5"),
    "devpi-server": ("devpi-server>=6.20",),
    "proxpi": ("proxpi==1.3",),
    "peryx": ("peryx==2026.1010",),
    "simple-repository-server": ("simple-repository-server>=0.10",),
}


def programs(peer: str) -> Path:
    """The folder with the peer's programs, installed first if need be. Raises Unavailable."""
    try:
        return locked(f"bench-{peer}", LOCKS / f"{peer}.txt")
    except NotInstalled as error:
        raise Unavailable(f"it could not be installed: {str(error).strip()[-300:]}") from error


def installed_version(peer: str, distribution: str) -> str:
    """The version of a distribution in a peer's environment; "" when the environment is not there."""
    script = f"from importlib.metadata import version; print(version({distribution!r}))"
    python = FOLDER / f"bench-{peer}" / "bin" / "python"
    if not python.exists():
        return ""
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    return done.stdout.strip()


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
