"""Whether a worker takes a file that was just read for one that is in memory, which its event loop may send."""

from __future__ import annotations

import socket
from pathlib import Path

from quire.servers.uvicorn_files import Ends
from tests.nfs.guest.mounts import SERVER, A, new_folder


def run() -> dict[str, bool]:
    """Of one file, through a client, and on the server's own disk."""
    name = f"{new_folder()}/file"
    (A / name).write_bytes(bytes(1_000_000))
    return {"client": _is_in_memory(A / name), "server": _is_in_memory(SERVER / name)}


def _is_in_memory(path: Path) -> bool:
    size = len(path.read_bytes())
    ours, theirs = socket.socketpair()
    with path.open("rb") as file, ours, theirs:
        ends = Ends(ours.fileno(), file.fileno())
        try:
            return ends.is_in_memory(0, size)
        finally:
            ends.close()
