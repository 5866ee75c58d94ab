"""What this machine is: file systems, mount options, timestamps, and whether its two clients are really two."""

from __future__ import annotations

from pathlib import Path

from tests.nfs.guest.mounts import SERVER, A, B, new_folder


def run() -> dict[str, object]:
    """`stale`: whether one client still answers from memory what was changed through the other."""
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
        "whole_seconds": (SERVER / file).stat().st_mtime_ns % 10**9 == 0,
    }
