"""The plan of a run over mirrored pages."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from tests.linearizability.mirrors.offered import Offered, Place

PREFIXES: Final = ("", "/team")
"""Of the index at the root, and of one that stands before it."""
RESERVED: Final = ("acme-tools", "acme-secret")
"""Names that the settings keep (`--local 'acme-*'`); the projects are not there."""
SPELLINGS: Final = {"ours-hosted": "Ours_Hosted", "ours-deleted": "ours.deleted"}
"""Other spellings of private names."""


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """The seed decides what each client asks for, how the upstream changes and lies; the timing is the machine's."""

    seed: int
    seconds: float
    servers: tuple[tuple[str, int], ...]
    """(host, port)"""
    projects: tuple[str, ...]
    private: tuple[str, ...]
    """Names that must not be asked upstream, which has them all."""
    processes: int = 1
    readers: int = 4
    """Threads in each process, with a connection each."""

    def random(self, client: str) -> random.Random:
        """The choices of one client."""
        return random.Random(f"{self.seed} {client}")


def offered(large: int = 120) -> list[Offered]:
    """The projects of the upstream, of every kind. `large`: the files of a large page."""
    return [
        Offered("alder", Place.DIGEST),
        Offered("birch", Place.PLAIN),
        Offered("cedar", Place.QUERY, has_sizes=False),
        Offered("elder", Place.DIGEST, is_html=True),
        Offered("hazel", Place.PLAIN, is_html=True),
        Offered("larch", Place.DIGEST, ballast=large),
        Offered("maple", Place.PLAIN, has_serial=False, ballast=large, has_sizes=False),
        Offered("rowan", Place.DIGEST, is_html=True, ballast=large),
    ]
