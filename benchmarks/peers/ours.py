"""quire, and the bare handler in quire's server."""

from __future__ import annotations

import sys

from benchmarks.peers.server import WORKERS, Launch, Peer
from quire.config import Settings

_EVERYTHING = frozenset({"list", "page", "file", "json", "gzip", "conditional", "range", "upload", "auth"})


def _quire(launch: Launch, *flags: str) -> list[str]:
    access = ["-a", ".", "-P", "."]
    if launch.login is not None:
        access = ["-a", "download,list,update", "-P", str(launch.login.file)]
    command = [sys.executable, "-m", "quire", "run", "-i", "127.0.0.1", "-p", str(launch.port)]
    return [*command, "--workers", str(WORKERS), "--disable-fallback", *access, *flags, str(launch.root)]


def _gunicorn(launch: Launch) -> list[str]:
    return _quire(launch, "--server", "gunicorn")


def _store_alone(launch: Launch) -> list[str]:
    return _quire(launch, "--no-drop-in")


def _bare(launch: Launch) -> list[str]:
    settings = Settings(directories=(str(launch.root),), host="127.0.0.1", port=launch.port, workers=WORKERS)
    return [sys.executable, "-m", "benchmarks.bare", settings.dump()]


QUIRE = Peer("quire", "quire", "store", _quire, _EVERYTHING)
QUIRE_GUNICORN = Peer("quire-gunicorn", "quire in gunicorn", "store", _gunicorn, _EVERYTHING)
QUIRE_STORE_ALONE = Peer("quire-store", "quire --no-drop-in", "store", _store_alone, _EVERYTHING)
BARE = Peer(
    "bare",
    "bare handler, 4 KB, same server",
    "none",
    _bare,
    frozenset({"list", "page", "json"}),
    short="bare Python handler",
)
