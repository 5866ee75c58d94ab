"""The same directory as two NFS clients see it, and as the server does."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from quire.store.posix.store import PosixStore

A, B, SERVER = Path("/run/a"), Path("/run/b"), Path("/run/exp")


def new_folder() -> str:
    """The name of a new directory on the export, which both clients see."""
    name = uuid.uuid4().hex
    (A / name).mkdir()
    os.listdir(B)
    return name


def stores(folder: str, coarse_changes: float = 0.0) -> Callable[[], PosixStore]:
    """A factory of handles on the store in `folder`: the first through one client, the next through the other."""
    clients = cycle((A, B))
    return lambda: PosixStore.open(next(clients) / folder, coarse_changes=coarse_changes)


def restart_server() -> None:
    """Stop the NFS server and start it again: it has lost its state of open files, and clients reclaim it."""
    for arguments in ("0",), ("--no-nfs-version=3", "--nfs-version=4.1", "--no-udp", "8"):
        # programs run in the real machine's files, the server's are those of the first process
        subprocess.run(
            ["/usr/sbin/chroot", "/proc/1/root", "rpc.nfsd", *arguments], check=True, env={"PATH": "/usr/sbin"}
        )
