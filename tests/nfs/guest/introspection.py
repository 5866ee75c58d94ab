"""The facts of this machine: file systems, mount options, timestamps, and whether its two clients are really two."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

from tests.nfs.guest.mounts import SERVER, A, B, new_folder


def run() -> dict[str, object]:
    """`stale`: whether one client still answers from memory what was changed through the other.

    `round_trip`: seconds that opening a directory takes, which asks the server.
    """
    mounts = {
        Path(fields[1]): (fields[2], fields[3].split(","))
        for fields in map(str.split, Path("/proc/mounts").read_text().splitlines())
    }
    file = f"{new_folder()}/file"
    known = (B / file).exists()
    (A / file).touch()
    return {
        "server": mounts[SERVER][0],
        "types": [mounts[A][0], mounts[B][0]],
        "a": mounts[A][1],
        "b": mounts[B][1],
        "stale": known is (B / file).exists() is False,
        "round_trip": median(_opening(A) for _ in range(20)),
        "whole_seconds": (SERVER / file).stat().st_mtime_ns % 10**9 == 0,
    }


def _opening(folder: Path) -> float:
    began = time.perf_counter()
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
    return time.perf_counter() - began
