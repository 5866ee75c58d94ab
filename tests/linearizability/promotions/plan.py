"""The plan of a run over promotions."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

STAGES: Final = ("pr-1", "pr-2")
"""Promoted over HTTP, each by one client."""
HAND_STAGES: Final = ("pr-3",)
"""Promoted by processes on the store."""


@dataclass(frozen=True, slots=True)
class PromotionPlan:
    """The seed decides what each client asks for; the timing is the machine's."""

    seed: int
    seconds: float
    servers: tuple[tuple[str, int], ...]
    """(host, port)"""
    stores: tuple[str, ...]
    """The store as the processes that work on it open it."""
    projects: tuple[str, ...] = ("alder", "birch", "cedar", "elder", "hazel")
    readers: int = 4
    """Threads, with a connection each."""
    pause: float = 0.05
    """Seconds that a client rests between two promotions, on the average."""
    kill_hands: bool = True
    doubt: float = 3.0
    """Seconds after which a change of unknown outcome can take effect no more: its process is dead, or has answered."""

    def random(self, client: str) -> random.Random:
        """The choices of one client."""
        return random.Random(f"{self.seed} {client}")
