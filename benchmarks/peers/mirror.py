"""simple-repository-server over a directory of files; it has one process."""

from __future__ import annotations

from benchmarks.environments import programs
from benchmarks.peers.server import Launch, Peer


def _command(launch: Launch) -> list[str]:
    program = programs("simple-repository-server") / "simple-repository-server"
    return [str(program), "--host", "127.0.0.1", "--port", str(launch.port), str(launch.root)]


MIRROR = Peer(
    "mirror", "simple-repository-server", "tree", _command, frozenset({"list", "page", "file", "json", "range"})
)
