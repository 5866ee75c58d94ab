"""Root file systems of Debian packages, for the servers and kernels that long suites run on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_BUILD_SECONDS = 900.0


class RigError(Exception):
    """The root file system of a suite cannot be had on this machine, or does not work; the sentence says why."""


def root_file_system(
    rootfs: Path,
    release: str,
    packages: Sequence[str],
    *,
    options: Sequence[str] = (),
    complete: Callable[[Path], object] = lambda _: None,
) -> Path:
    """The folder, with these packages of a Debian release in it; made now if it is not there. Raises RigError.

    Of several processes that ask at the same time one makes it. `options`: of mmdebstrap. `complete`: adds what no
    package has.
    """
    rootfs.parent.mkdir(parents=True, exist_ok=True)
    with (rootfs.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not rootfs.is_dir():
            install("mmdebstrap")
            building = rootfs.with_name(f"{rootfs.name}.new")
            shutil.rmtree(building, ignore_errors=True)
            print(f"Making a root file system of Debian packages in {rootfs} (about a minute) ...", flush=True)
            included = f"--include={','.join(packages)}"
            call(
                *("mmdebstrap", "--quiet", "--variant=minbase", included, *options, release, building),
                seconds=_BUILD_SECONDS,
            )
            complete(building)
            building.rename(rootfs)
    return rootfs


def install(program: str, package: str = "") -> None:
    """Install the Debian package of a program, named like it or otherwise, if it is missing. Raises RigError."""
    if shutil.which(program) is not None:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise RigError(f"The program {program} is missing; install it (only root can do it here, with apt-get).")
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    call("apt-get", "update", "--quiet", env=environ, seconds=_BUILD_SECONDS)
    options = ("--quiet", "--yes", "--no-install-recommends")
    call("apt-get", "install", *options, package or program, env=environ, seconds=_BUILD_SECONDS)


def call(*command: object, env: Mapping[str, str] | None = None, seconds: float) -> None:
    """Run a command that ends by itself within this time. Raises RigError when it fails or does not end.

    It has a process group of its own, which does not outlive this call.
    """
    arguments = [str(word) for word in command]
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise RigError(f"{shlex.join(arguments)} cannot be run: {error.strerror}.") from error
    with process:
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise RigError(f"{shlex.join(arguments)} did not end within {seconds:.0f} seconds.") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise RigError(f"{shlex.join(arguments)} failed with {process.returncode}: {_shortened(errors)}")


def _shortened(text: str) -> str:
    """The beginning and the end: programs differ in where they say what is wrong."""
    return text if len(text) <= 2000 else f"{text[:1000]} ... {text[-1000:]}"
