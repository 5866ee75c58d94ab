"""pypiserver as it is deployed: gunicorn with two gevent workers, with either of its back ends."""

from __future__ import annotations

from functools import partial

from benchmarks.environments import programs
from benchmarks.peers.server import WORKERS, Launch, Peer


def _command(backend: str, launch: Launch) -> list[str]:
    access = {"password_file": ".", "authenticate": []}
    if launch.login is not None:
        access = {"password_file": str(launch.login.file), "authenticate": ["download", "list", "update"]}
    arguments = {"root": str(launch.root), "backend_arg": backend, "disable_fallback": True} | access
    call = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return [
        str(programs("pypiserver") / "gunicorn"),
        *("--worker-class", "gevent", "--workers", str(WORKERS), "--timeout", "300"),
        *("--bind", f"127.0.0.1:{launch.port}"),
        f"pypiserver:app({call})",
    ]


_OFFERS = frozenset({"list", "page", "file", "range", "upload", "auth"})
SIMPLE_DIR = Peer("simple-dir", "pypiserver, simple-dir", "flat", partial(_command, "simple-dir"), _OFFERS)
CACHED_DIR = Peer("cached-dir", "pypiserver, cached-dir", "flat", partial(_command, "cached-dir"), _OFFERS)
