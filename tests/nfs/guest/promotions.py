"""Promotions of several projects through servers on both clients and by processes on both mounts, under kills."""

from __future__ import annotations

import os
from typing import Any

from tests.linearizability.promotions.run import torture_promotions
from tests.nfs.guest.judged import on_both_mounts

_GIVEN_UP = "20"
"""Seconds for a promotion: each of its steps takes some round trips."""


def run(seconds: float, seed: int = 1, kill_every: float = 8.0) -> dict[str, Any]:
    """The judge's report."""
    os.environ["JUDGE_GIVEN_UP"] = _GIVEN_UP
    return on_both_mounts(
        torture_promotions, seed=seed, seconds=seconds, kill_every=kill_every, readers=6, pause=0.3, doubt=20.0
    )
