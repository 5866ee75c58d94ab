"""The clients' own virtual environments, in `.venvs/` of the repository, made when they are first asked for.

uv makes them, with whatever configuration it finds on the machine; nothing here knows where packages come from.
The packages are locked in `requirements/clients/`, written from REQUIREMENTS; an environment is kept as long as
its lock is the same.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

_PROJECT = Path(__file__).parent.parent.parent
FOLDER = _PROJECT / ".venvs"
LOCKS = _PROJECT / "requirements" / "clients"
DEADLINE = 300.0
"""Seconds that installing one client may take."""

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "pip-newest": ("pip>=26",),
    "pip-oldest": ("pip==22.2",),  # the first that names Python 3.11 among the versions it supports
    "pip-html": ("pip==21.3.1",),  # the last that asks for HTML; it still runs on 3.11
    "twine": ("twine>=7,<8",),
    "poetry": ("poetry>=2.1",),
    "pdm": ("pdm[locked]>=2.29",),  # with the dependencies it was tested with: newer ones break it
    "flit": ("flit>=4.2",),
    "pipx": ("pipx>=1.18",),
    "hatch": ("hatch>=1.18",),
    "pip-audit": ("pip-audit>=2.10",),
    # with copies of the distutils of Python 3.10, 3.10 and 3.11, and the last one that can upload
    "setuptools-50": ("setuptools==50.3.2",),
    "setuptools-59": ("setuptools==59.6.0",),
    "setuptools-65": ("setuptools==65.7.0",),
    "setuptools-74": ("setuptools==74.1.3",),
    "podman-compose": ("podman-compose>=1.5",),
}


def uv() -> Path:
    """The uv of this environment, else of the machine."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    assert found is not None, "uv is missing: install the development dependencies"
    return Path(found)


class NotInstalled(Exception):
    """An environment could not be made. Says why."""


def programs(client: str) -> Path:
    """The folder with the client's programs (`python`, `twine`, ...), installed first if need be."""
    return locked(client, LOCKS / f"{client}.txt")


def locked(name: str, lock_file: Path, seconds: float = DEADLINE) -> Path:
    """The folder with the programs of the environment of this name, which holds what a lock file names and nothing
    else; installed first if need be, with its digests checked. Raises NotInstalled.
    """
    environment = FOLDER / name
    wanted = f"{sys.version}\n{lock_file.read_text()}"
    made_for = environment / "made-for.txt"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes run side by side
        if not made_for.exists() or made_for.read_text() != wanted:
            python = str(environment / "bin" / "python")
            _uv(seconds, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment))
            # compiled now: clients may write no bytecode in tests, and without it each start would compile them again
            sync = ("pip", "sync", "--quiet", "--compile-bytecode", "--require-hashes")
            _uv(seconds, *sync, "--python", python, str(lock_file))
            made_for.write_text(wanted)
    return environment / "bin"


def _uv(seconds: float, *arguments: str) -> None:
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = [str(uv()), *arguments]
    try:
        made = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"uv {' '.join(arguments)} took longer than {seconds:.0f} s") from error
    if made.returncode != 0:
        raise NotInstalled(f"uv {' '.join(arguments)} failed: {made.stdout}{made.stderr}")
