"""A mirror over both mounts, whose upstream changes, fails and lies, under kills."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests import serving
from tests.linearizability.mirrors.run import torture_mirror
from tests.nfs.guest.mounts import A, B, new_folder

serving.DEADLINE = 150.0  # as in `torture`


def run(seconds: float, seed: int = 1, kill_every: float = 8.0) -> dict[str, Any]:
    """One server with two workers on each mount, and the upstream beside them; the judge's report."""
    folder = new_folder()
    report = torture_mirror(
        [A / folder, B / folder],
        Path(tempfile.mkdtemp()),
        seed=seed,
        seconds=seconds,
        kinds=("gunicorn", "gunicorn"),
        workers=2,
        kill_every=kill_every,
        readers=4,
        large=60,
        patience=240.0,
    )
    return asdict(report)
