"""Promotions of several projects through servers on both clients and by processes on both mounts, under kills."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests import serving
from tests.linearizability.promotions.run import torture_promotions
from tests.nfs.guest.mounts import A, B, new_folder

serving.DEADLINE = 150.0  # as in `torture`
_GIVEN_UP = "20"
"""Seconds for a promotion: each of its steps takes some round trips."""


def run(seconds: float, seed: int = 1, kill_every: float = 8.0) -> dict[str, Any]:
    """One server with two workers on each mount; the judge's report."""
    os.environ["JUDGE_GIVEN_UP"] = _GIVEN_UP
    folder = new_folder()
    report = torture_promotions(
        [A / folder, B / folder],
        Path(tempfile.mkdtemp()),
        seed=seed,
        seconds=seconds,
        kinds=("gunicorn", "gunicorn"),
        workers=2,
        kill_every=kill_every,
        readers=6,
        pause=0.3,
        doubt=20.0,
    )
    return asdict(report)
