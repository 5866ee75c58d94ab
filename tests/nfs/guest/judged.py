"""Judged runs of servers on both mounts, under kills."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests import serving
from tests.nfs.guest.mounts import A, B, new_folder

serving.DEADLINE = 150.0  # as in `torture`


def on_both_mounts(torture: Callable[..., Any], **arguments: object) -> dict[str, Any]:
    """One server with two workers on each mount; the judge's report. `arguments`: of the run."""
    folder = new_folder()
    stores, made = [A / folder, B / folder], Path(tempfile.mkdtemp())
    return asdict(torture(stores, made, kinds=("gunicorn", "gunicorn"), workers=2, **arguments))
