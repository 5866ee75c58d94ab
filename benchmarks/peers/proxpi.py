"""proxpi, which mirrors another index and hosts nothing: it is measured as a mirror alone."""

from __future__ import annotations

from typing import NoReturn

from benchmarks.peers.server import Launch, Peer
from benchmarks.processes import Unavailable


def _command(launch: Launch) -> NoReturn:
    raise Unavailable("proxpi hosts no files")


PROXPI = Peer("proxpi", "proxpi", "none", _command, frozenset())
