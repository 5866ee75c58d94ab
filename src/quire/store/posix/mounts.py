"""The mount that a directory lies on, and how often an NFS client has asked its server there."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_ESCAPE = re.compile(r"\\([0-7]{3})")
_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo (proc(5))."""

    point: str
    type: str
    """As the kernel names it, with a subtype after a dot: `nfs4`, `fuse.sshfs`."""
    source: str
    options: tuple[str, ...]
    """Those of the mount and those of the file system, sorted."""


def read_mounts(path: str = "/proc/self/mountinfo") -> list[Mount]:
    """All mounts, in the kernel's order. Empty where there is no such file."""
    mounts = []
    for line in _text(path).splitlines():
        before, _, after = line.partition(" - ")
        fields, more = before.split(" "), after.split(" ")
        if len(fields) < 6 or len(more) < 3:
            continue
        options = sorted({*fields[5].split(","), *more[2].split(",")})
        mounts.append(Mount(_unescape(fields[4]), more[0], _unescape(more[1]), tuple(options)))
    return mounts


def mount_of(path: str, mounts: list[Mount]) -> Mount | None:
    """The mount that `path` (absolute, without symbolic links) lies on; the last one when several cover each other."""
    found: Mount | None = None
    for mount in mounts:
        if _is_below(path, mount.point) and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def mounts_below(path: str, mounts: list[Mount]) -> list[str]:
    """Mount points inside a directory."""
    return sorted(mount.point for mount in mounts if mount.point != path and _is_below(mount.point, path))


def operations(point: str, path: str = "/proc/self/mountstats") -> dict[str, int] | None:
    """How often the NFS client has asked each operation of its server, at this mount; None when it is no NFS."""
    counts: dict[str, int] = {}
    is_wanted = in_operations = False
    for line in _text(path).splitlines():
        if line.startswith("device "):
            is_wanted, in_operations = f" mounted on {point} with " in line, False
        elif is_wanted and "per-op statistics" in line:
            in_operations = True
        elif is_wanted and in_operations and ":" in line:
            name, _, rest = line.partition(":")
            numbers = rest.split()
            if numbers and numbers[0].isdigit():
                counts[name.strip()] = int(numbers[0])
    return counts or None


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point if point.endswith("/") else f"{point}/")


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _text(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(fd, encoding="utf-8", errors="replace") as file:
        return file.read(_MAX_BYTES)
