"""The servers that are compared."""

from __future__ import annotations

from benchmarks.peers.devpi import DEVPI
from benchmarks.peers.mirror import MIRROR
from benchmarks.peers.nginx import NGINX, NGINX_LOGGING
from benchmarks.peers.ours import (
    BARE,
    BARE_ASGI,
    GUNICORN,
    GUNICORN_LOGGING,
    LOGGING,
    QUIRE,
    QUIRE_STORE_ALONE,
    SERVE,
    VARIANTS,
)
from benchmarks.peers.peryx import PERYX
from benchmarks.peers.proxpi import PROXPI
from benchmarks.peers.pypiserver import CACHED_DIR, SIMPLE_DIR
from benchmarks.peers.server import Login, Peer, Server, served

__all__ = [
    "BARE",
    "BARE_ASGI",
    "CACHED_DIR",
    "DEVPI",
    "GUNICORN",
    "GUNICORN_LOGGING",
    "LOGGING",
    "NGINX",
    "NGINX_LOGGING",
    "PEERS",
    "PERYX",
    "PROXPI",
    "QUIRE",
    "QUIRE_STORE_ALONE",
    "SERVE",
    "SIMPLE_DIR",
    "VARIANTS",
    "Login",
    "Peer",
    "Server",
    "served",
]

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (QUIRE, NGINX, BARE, SIMPLE_DIR, CACHED_DIR, MIRROR, DEVPI, PROXPI, PERYX)
}
"""By name; quire first: every other one is measured between two measurements of it."""
