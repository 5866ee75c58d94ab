"""Facts of a volume: its file system, its mount options, its free space, the rights to write."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from quire.doctor.findings import Finding, Weight
from quire.store.posix.filesystem import filesystem_type
from quire.store.posix.mounts import Mount, mount_of, mounts_below, read_mounts
from quire.store.posix.store import HOME

_DELEGATIONS = "/sys/module/nfsv4/parameters/directory_delegations"
_LITTLE_SPACE = 1024**3
_FEW_INODES = 10_000
_MAX_FOLDERS = 2_000
"""Limit of the folders of the store whose owner is checked."""
_SLOW = {"noac", "sync", "lookupcache=none", "acdirmin=0", "acdirmax=0", "actimeo=0"}
_VOLATILE = {"tmpfs", "ramfs"}
_CACHING = {
    "cifs": "A CIFS client",
    "smb2": "A CIFS client",
    "smb3": "A CIFS client",
    "fuse": "A FUSE file system",
    "fuseblk": "A FUSE file system",
    "9p": "A 9p client",
    "virtiofs": "A virtiofs guest",
}


@dataclass(frozen=True, slots=True)
class Volume:
    """The facts. None: not known."""

    root: str
    filesystem: str
    local: bool
    """Whether the store treats it as a file system of this machine alone."""
    mount: Mount | None
    nested: list[str]
    """Mount points within the store's folder."""
    kernel: str
    delegations: bool | None
    """Whether this kernel's NFS client asks for directory delegations; None when it does not know them."""
    free_bytes: int
    free_inodes: int | None
    user: int
    umask: int
    has_store: bool
    unwritable: list[str] = field(default_factory=list)
    """Folders of the store, or the directory itself, that this user cannot write in; not more than a few."""
    foreign_owners: list[int] = field(default_factory=list)
    """Other users who own folders of the store."""

    @property
    def options(self) -> tuple[str, ...]:
        return self.mount.options if self.mount is not None else ()


def describe(root: str) -> Volume:
    """The facts about the directory `root` (absolute, without symbolic links). Raises OSError."""
    home = f"{root}/{HOME}"
    mounts = read_mounts()
    mount = mount_of(root, mounts)
    name, local = filesystem_type(root)
    space = os.statvfs(root)
    unwritable, owners = _permissions(root, home)
    return Volume(
        root=root,
        filesystem=mount.type if mount is not None else name,
        local=local,
        mount=mount,
        nested=mounts_below(home, mounts),
        kernel=f"{platform.system()} {platform.release()}",
        delegations=_delegations(),
        free_bytes=space.f_bavail * space.f_frsize,
        free_inodes=space.f_favail if space.f_files else None,
        user=os.geteuid(),
        umask=_umask(),
        has_store=os.path.isdir(home),
        unwritable=unwritable,
        foreign_owners=owners,
    )


def judge(volume: Volume) -> list[Finding]:
    """The findings that follow from the facts alone."""
    return [*_judge_type(volume), *_judge_nfs(volume), *_judge_options(volume), *_judge_room(volume)]


def _judge_type(volume: Volume) -> Iterator[Finding]:
    kind = volume.filesystem.partition(".")[0]
    if kind in _VOLATILE:
        yield Finding(
            "volatile",
            Weight.BREAKS,
            f"{volume.filesystem} is memory: what is published here is lost when the machine stops.",
            "Serve from a disk or a network volume.",
        )
    elif kind in _CACHING:
        yield Finding(
            "caching-client",
            Weight.UNSURE,
            f"{_CACHING[kind]} ({volume.filesystem}) may answer from memory for a while, also when a directory is "
            f"opened. quire makes no promise for it when several machines use it; one that no other machine "
            f"writes to is fine.",
            "Use NFS 4.1 for a volume that several machines share, or mount this one without attribute, entry and "
            "directory caches and see what this command finds with --peer.",
        )
    elif not volume.local and not kind.startswith("nfs"):
        yield Finding(
            "unknown-filesystem",
            Weight.UNSURE,
            f"quire was never measured on {volume.filesystem}; it takes the care that NFS needs.",
            "Believe what this command finds with --peer, or use a local disk or NFS 4.1.",
        )
    elif kind == "overlay":
        yield Finding(
            "container-layer",
            Weight.ADVICE,
            "This is an overlay, most often a container's own layer, which is lost with the container.",
            "Mount a volume for the packages.",
        )
    if volume.nested:
        yield Finding(
            "nested-mount",
            Weight.BREAKS,
            f"Something else is mounted inside the store, at {volume.nested[0]}; nothing can be linked across it.",
            "Put the whole directory on one volume.",
        )


def _judge_nfs(volume: Volume) -> Iterator[Finding]:
    options = volume.options
    if "nocto" in options and not volume.local:
        yield Finding(
            "nocto",
            Weight.BREAKS,
            "It is mounted with nocto: opening a directory does not ask the server, so workers on different machines "
            "see different files. quire refuses to serve from it.",
            "Mount it without nocto.",
        )
    if not volume.filesystem.startswith("nfs"):
        return
    version = next((option.partition("=")[2] for option in options if option.startswith("vers=")), "")
    if version and not version.startswith("4"):
        yield Finding(
            "nfs-version",
            Weight.ADVICE,
            f"It is mounted with NFS {version}; quire was measured with 4.1 and 4.2 only.",
            "Mount it with nfsvers=4.1.",
        )
    if "soft" in options or "softerr" in options:
        yield Finding(
            "soft",
            Weight.ADVICE,
            "It is mounted soft: when the server is slow, uploads fail with an unknown outcome.",
            "Mount it with hard.",
        )
    slow = sorted(_SLOW.intersection(options))
    if slow:
        yield Finding(
            "slow-options",
            Weight.ADVICE,
            f"Mounted with {', '.join(slow)}, one question can cost the server many requests instead of one, and quire "
            f"does not need it.",
            f"Mount it without {', '.join(slow)}.",
        )
    source = volume.mount.source if volume.mount is not None else ""
    if volume.delegations and not version.startswith(("3", "4.0")) and ".efs." not in source:
        yield Finding(
            "directory-delegations",
            Weight.UNSURE,
            "This kernel's NFS client asks for directory delegations. From a server that grants them (newer Linux "
            "ones; Amazon EFS grants none), clients have been seen to answer late.",
            "Switch them off: options nfsv4 directory_delegations=0 in /etc/modprobe.d, or "
            f"echo N > {_DELEGATIONS} and mount again.",
        )


def _judge_options(volume: Volume) -> Iterator[Finding]:
    if "ro" in volume.options:
        yield Finding(
            "read-only",
            Weight.BREAKS,
            "It is mounted read-only: it can be served from here, but nothing can be published.",
            "Mount it read-write, or run this where it is.",
        )
    unsafe = {"nobarrier", "barrier=0", "volatile", "fsync=nobarrier"} & set(volume.options)
    if unsafe:
        yield Finding(
            "unsafe-writes",
            Weight.BREAKS,
            f"It is mounted with {min(unsafe)}: a power failure can lose what was acknowledged.",
            f"Mount it without {min(unsafe)}.",
        )


def _judge_room(volume: Volume) -> Iterator[Finding]:
    if volume.free_bytes < _LITTLE_SPACE:
        yield Finding("space", Weight.ADVICE, f"Only {volume.free_bytes // 1_000_000} MB are free.", "Make room.")
    if volume.free_inodes is not None and volume.free_inodes < _FEW_INODES:
        yield Finding(
            "inodes", Weight.ADVICE, f"Only {volume.free_inodes} inodes are free; a file takes about two.", "Make room."
        )
    if volume.unwritable and "ro" not in volume.options:
        yield Finding(
            "permission",
            Weight.UNSURE,
            f"The user {volume.user} of this process cannot write in {volume.unwritable[0]}.",
            "Run this as the user of the server; if that is this one, give it the folders (chown).",
        )
    if volume.foreign_owners:
        owners = ", ".join(map(str, volume.foreign_owners))
        common = "" if volume.umask & 0o020 else ", as the present umask has it"
        yield Finding(
            "owners",
            Weight.ADVICE,
            f"Folders of the store belong to other users than {volume.user}: {owners}.",
            f"Run all servers as one user, or with one group, a group-writable store and umask 002{common}.",
        )
    if volume.user == 0:
        yield Finding(
            "root",
            Weight.ADVICE,
            "Root may write everywhere, so this says nothing about what the server's user may do.",
            "Run this as the user of the server.",
        )


def _permissions(root: str, home: str) -> tuple[list[str], list[int]]:
    """Folders this user cannot write in (a few), and foreign owners, of as many folders as may be asked."""
    unwritable: list[str] = []
    owners: set[int] = set()
    if not os.path.isdir(home):
        return ([] if os.access(root, os.W_OK | os.X_OK, effective_ids=True) else [root]), []
    for directory, folders, _ in islice(os.walk(home), _MAX_FOLDERS):
        if directory.startswith(f"{home}/incoming"):
            folders.clear()
        with suppress(OSError):
            owners.add(os.stat(directory).st_uid)
            if len(unwritable) < 3 and not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
                unwritable.append(directory)
    return unwritable, sorted(owners - {os.geteuid()})


def _umask() -> int:
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


def _delegations() -> bool | None:
    try:
        return Path(_DELEGATIONS).read_text(encoding="ascii").strip() in {"Y", "1"}
    except OSError:
        return None
