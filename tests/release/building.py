"""The distributions, built from a copy of the tracked files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.documents import ROOT


def tracked() -> list[str]:
    """The paths that belong to the project, as git has them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split("\0") if path and (ROOT / path).exists()]


def build(folder: Path, *, mtime: float, umask: int) -> dict[str, Path]:
    """The sdist and the wheel by kind, built in `folder` from files of this age, which this mask made."""
    source = folder / "source"
    for path in tracked():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target)
        target.chmod(((ROOT / path).stat().st_mode | 0o066) & ~umask)
        os.utime(target, (mtime, mtime))
    return from_source(source, folder / "dist", umask=umask)


def from_source(source: Path, target: Path, *, umask: int = 0o022) -> dict[str, Path]:
    """The sdist and the wheel by kind, built in `target` from these sources."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(target)]
    done = subprocess.run(command, cwd=source, umask=umask, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {"wheel" if each.suffix == ".whl" else "sdist": each for each in target.iterdir()}
