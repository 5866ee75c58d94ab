"""Programs and scripts of npm, installed once in `.cache` by the lock files of tests."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

from tests.bucket.servers import CACHE
from tests.rootfs import call, install

_INSTALL_SECONDS = 300.0


def installed(name: str, locks: Path = Path(__file__).parent, cache: Path = CACHE) -> Path:
    """The folder with the packages of `NAME_lock/package-lock.json`, made now if they are not there or other ones.

    `locks`: the folder with the lock; `cache`: where they are kept. Raises RigError.
    """
    lock_folder, folder = locks / f"{name}_lock", cache / name
    wanted = (lock_folder / "package-lock.json").read_bytes()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = folder / "installed"
        if not mark.exists() or mark.read_bytes() != wanted:
            install("node", package="nodejs")
            install("npm")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(lock_folder, folder)
            print(f"Installing {name} in {folder} ...", flush=True)
            flags = ("--ignore-scripts", "--no-audit", "--no-fund")
            call("env", f"--chdir={folder}", "npm", "ci", *flags, seconds=_INSTALL_SECONDS)
            mark.write_bytes(wanted)
    return folder
