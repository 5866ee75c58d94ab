"""The judge at work on promotions without one of their safeguards: each of them is convicted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linearizability.promotions.program import Safeguard
from tests.linearizability.promotions.run import torture_promotions

pytestmark = pytest.mark.proofs

SECONDS = 6.0
ROUNDS = 8
"""A machine that is busy may not read at the moment that shows it; then the next round begins with another seed."""


@pytest.mark.parametrize("safeguard", [each for each in Safeguard if each is not Safeguard.NONE])
def test_promotions_without_a_safeguard_are_convicted(tmp_path: Path, safeguard: Safeguard) -> None:
    """Projects one after the other; readers that show what is pending; readers that do not."""
    said = ""
    for seed in range(1, ROUNDS + 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        report = torture_promotions(
            [folder / "packages"], folder, seed=seed, seconds=SECONDS, kill_every=0.0, safeguard=safeguard
        )
        if report.violations:
            return
        said = report.table()
    raise AssertionError(f"they were not convicted:\n{said}")
