"""quire, quire in other servers than the one it chooses, and the bare handler in quire's server."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.peers.server import WORKERS, Launch, Peer
from quire.config import Settings

_EVERYTHING = frozenset({"list", "page", "file", "json", "gzip", "conditional", "range", "upload", "auth"})


def _quire(launch: Launch, *flags: str, module: tuple[str, ...] = ("quire",), workers: int = WORKERS) -> list[str]:
    access = ["-a", ".", "-P", "."]
    if launch.login is not None:
        access = ["-a", "download,list,update", "-P", str(launch.login.file)]
    command = [sys.executable, "-m", *module, "run", "-i", "127.0.0.1", "-p", str(launch.port)]
    return [*command, "--workers", str(workers), "--disable-fallback", *access, *flags, str(launch.root)]


def _in_server(server: str, launch: Launch) -> list[str]:
    return _quire(launch, "--server", server)


def _in_granian(variant: str, launch: Launch) -> list[str]:
    return _quire(launch, module=("benchmarks.variants", variant))


def _alone(launch: Launch) -> list[str]:
    return _quire(launch, workers=1)


def _store_alone(launch: Launch) -> list[str]:
    return _quire(launch, "--no-drop-in")


def _bare(launch: Launch) -> list[str]:
    settings = Settings(directories=(str(launch.root),), host="127.0.0.1", port=launch.port, workers=WORKERS)
    return [sys.executable, "-m", "benchmarks.bare", settings.dump()]


def _variant(name: str, title: str, command: partial[list[str]]) -> Peer:
    return Peer(f"quire-{name}", title, "store", command, _EVERYTHING)


QUIRE = Peer("quire", "quire", "store", _quire, _EVERYTHING)
QUIRE_STORE_ALONE = Peer("quire-store", "quire --no-drop-in", "store", _store_alone, _EVERYTHING)
BARE = Peer(
    "bare",
    "bare handler, 4 KB, same server",
    "none",
    _bare,
    frozenset({"list", "page", "json"}),
    short="bare Python handler",
)
VARIANTS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        _variant("asgi", "quire, granian over ASGI", partial(_in_granian, "asgi")),
        _variant("asyncio", "quire, granian without uvloop", partial(_in_granian, "asyncio")),
        _variant("gunicorn", "quire, gunicorn's ASGI worker", partial(_in_server, "gunicorn")),
        _variant("uvicorn", "quire, uvicorn", partial(_in_server, "uvicorn")),
        _variant("alone", "quire, one worker", partial(_alone)),
    )
}
"""quire in other servers; what `quire` itself chooses is granian over RSGI, with uvloop, here with two workers."""
