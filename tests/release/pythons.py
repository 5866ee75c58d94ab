"""Newer Pythons than this machine's: `python -m tests.release.pythons` makes them ready in `.cache/pythons`.

Debian testing has them; a root file system of it lies beside folders with the locked dependencies, one for each Python
and lock. uv fills these from here, with whatever configuration it finds, so nothing in there reaches a network but by
the addresses of this machine's own servers. Python 3.12 is in no release of Debian.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.documents import ROOT
from tests.rootfs import RigError, root_file_system

CACHE: Final = ROOT / ".cache" / "pythons"
VERSIONS: Final = ("3.13", "3.14")
RELEASE: Final = "testing"
LOCKS: Final = {"run": ("run.txt", "build.txt"), "dev": ("dev.txt",)}
"""By the name of their folder: what quire needs to be built and served, and what its tests need."""
_SECONDS: Final = 600.0

_ENTER: Final = """
mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"
mount -t tmpfs none "$0/tmp"; mount -t tmpfs none "$0/mnt"
mkdir "$0/mnt/source" "$0/mnt/packages" "$0/mnt/shared"
mount --bind "$1" "$0/mnt/source"; mount -o remount,bind,ro "$0/mnt/source"
mount --bind "$2" "$0/mnt/packages"
mount --bind "$3" "$0/mnt/shared"
root=$0; shift 3
exec chroot "$root" /usr/bin/env --ignore-environment --chdir=/mnt/shared "$@"
"""
SOURCE, PACKAGES, SHARED = Path("/mnt/source"), Path("/mnt/packages"), Path("/mnt/shared")
"""Where a command in there has this checkout (read-only), the locked dependencies, and a folder of its test."""


def inside(version: str, lock: str, shared: Path, *command: object) -> list[str]:
    """The command in the root file system, with mounts of its own. Signals to the process reach the command itself."""
    environ = ["PATH=/usr/bin:/usr/sbin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"]
    environ += [f"TMPDIR={SHARED}"]  # not a tmpfs, whose files the event loop does not read
    mounted = (CACHE / "rootfs", ROOT, CACHE / f"{lock}-{version}", shared)
    unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _ENTER]
    return [*unshare, *map(str, mounted), *environ, *map(str, command)]


def prepare() -> None:
    """Make the root file system if it is not there, and bring the dependencies to their locks. Raises RigError."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise RigError("The newer Pythons of the tests need Linux and root, for a root file system of their own.")
    packages = [name for version in VERSIONS for name in (f"python{version}", f"python{version}-venv")]
    root_file_system(CACHE / "rootfs", RELEASE, packages)
    for version in VERSIONS:
        for folder, locks in LOCKS.items():
            _install(version, CACHE / f"{folder}-{version}", locks)


def _install(version: str, target: Path, locks: Sequence[str]) -> None:
    command = [
        *(sys.executable, "-m", "uv", "pip", "sync", "--quiet", "--require-hashes", "--only-binary", ":all:"),
        *("--python", sys.executable, "--python-version", version),
        *("--python-platform", f"{platform.machine()}-unknown-linux-gnu", "--target", str(target)),
        *(str(ROOT / "requirements" / lock) for lock in locks),
    ]
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise RigError(f"The dependencies for Python {version} cannot be installed: {done.stderr[-2000:]}")


def main() -> int:
    """See above."""
    try:
        prepare()
    except RigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
