"""quire, quire in other servers than the one it chooses, and bare handlers in quire's server."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.peers.server import WORKERS, Launch, Peer
from quire.config.settings import Settings

_EVERYTHING = frozenset({"list", "page", "file", "json", "gzip", "conditional", "range", "upload", "auth"})


def _quire(
    launch: Launch, *flags: str, module: tuple[str, ...] = ("quire",), workers: int = WORKERS, named: str = "run"
) -> list[str]:
    access = ["-a", ".", "-P", "."]
    if launch.login is not None:
        access = ["-a", "download,list,update", "-P", str(launch.login.file)]
    command = [sys.executable, "-m", *module, named, "-i", "127.0.0.1", "-p", str(launch.port)]
    return [*command, "--workers", str(workers), "--disable-fallback", *access, *flags, str(launch.root)]


def _in_server(server: str, launch: Launch) -> list[str]:
    return _quire(launch, "--server", server)


def _otherwise(variant: str, launch: Launch) -> list[str]:
    return _quire(launch, module=("benchmarks.variants", variant))


def _logging(named: str, flags: tuple[str, ...], launch: Launch) -> list[str]:
    return _quire(launch, *flags, named=named)


def _alone(launch: Launch) -> list[str]:
    return _quire(launch, workers=1)


def _store_alone(launch: Launch) -> list[str]:
    return _quire(launch, "--no-drop-in")


def _bare(kind: str, launch: Launch) -> list[str]:
    settings = Settings(directories=(str(launch.root),), host="127.0.0.1", port=launch.port, workers=WORKERS)
    return [sys.executable, "-m", "benchmarks.bare", kind, settings.dump()]


def _variant(name: str, title: str, command: partial[list[str]]) -> Peer:
    return Peer(f"quire-{name}", title, "store", command, _EVERYTHING)


QUIRE = Peer("quire", "quire", "store", _quire, _EVERYTHING)
QUIRE_STORE_ALONE = Peer("quire-store", "quire --no-drop-in", "store", _store_alone, _EVERYTHING)
BARE = Peer(
    "bare",
    "bare handler, 4 KB, same server, before the parser",
    "none",
    partial(_bare, "plain"),
    frozenset({"list", "page", "json"}),
    short="bare Python handler",
)
BARE_ASGI = Peer("bare-asgi", "ASGI application, 4 KB, same server", "none", partial(_bare, "asgi"), BARE.offers)
GUNICORN = _variant("gunicorn", "quire, gunicorn", partial(_in_server, "gunicorn"))
VARIANTS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        _variant("asyncio", "quire, uvicorn without uvloop", partial(_otherwise, "asyncio")),
        GUNICORN,
        _variant("alone", "quire, one worker", partial(_alone)),
    )
}
"""quire in other servers; what `quire` itself chooses is uvicorn, with uvloop, here with two workers."""
GUNICORN_LOGGING = _variant(
    "gunicorn-v", "quire run -v --server gunicorn", partial(_logging, "run", ("-v", "--server", "gunicorn"))
)
SERVE = _variant("serve", "quire serve", partial(_logging, "serve", ()))
"""The command of the README, which logs requests."""
LOGGING: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        SERVE,
        _variant("serve-json", "quire serve --log-format json", partial(_logging, "serve", ("--log-format", "json"))),
        _variant("run-v", "quire run -v", partial(_logging, "run", ("-v",))),
        GUNICORN_LOGGING,
    )
}
"""quire with its access log; `quire` itself, as `quire run`, has none."""
