"""A mirror over both mounts, whose upstream changes, fails and lies, under kills."""

from __future__ import annotations

from typing import Any

from tests.linearizability.mirrors.run import torture_mirror
from tests.nfs.guest.judged import on_both_mounts


def run(seconds: float, seed: int = 1, kill_every: float = 8.0) -> dict[str, Any]:
    """With the upstream beside the servers; the judge's report."""
    return on_both_mounts(
        torture_mirror, seed=seed, seconds=seconds, kill_every=kill_every, readers=4, large=60, patience=240.0
    )
