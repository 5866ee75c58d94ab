"""The judge at work on servers without a safeguard of the access rules: each of them is convicted.

With the safeguards, `test_local` finds nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.linearizability import sabotage
from tests.linearizability.guarded import guard
from tests.linearizability.plan import Plan
from tests.linearizability.runs import command
from tests.linearizability.sabotage import Safeguard
from tests.linearizability.servers import quire_servers
from tests.linearizability.torture import Report, torture

pytestmark = pytest.mark.proofs

SECONDS = 5.0
ROUNDS = 10
"""A machine that is busy lets few rights change in so short a time; then the next round begins afresh. Each without a
violation says nothing, and all of them without one that the judge does not see it."""


@pytest.mark.parametrize("safeguard", Safeguard)
def test_servers_that_decide_by_old_rights_are_convicted(tmp_path: Path, safeguard: Safeguard) -> None:
    """Decisions that are remembered for 0.3 s; a fast path that validates no rights; a barrier that is late."""
    for seed in range(1, ROUNDS + 1):
        report = judged(tmp_path / str(seed), safeguard, seed)
        if report.violations:
            break
    assert report.violations > 0, report.table()
    assert any("rights of" in example for example in report.examples)


def judged(folder: Path, safeguard: Safeguard, seed: int) -> Report:
    """The judgement on servers without a safeguard, over a store of their own."""
    root = folder / "packages"
    root.mkdir(parents=True)
    guarded = guard(root, folder, holders=("ash",))
    program = partial(command, sabotage.__name__, safeguard)
    with quire_servers(("gunicorn",), [root], folder, workers=2, flags=guarded.flags, program=program) as servers:
        plan = Plan(
            seed=seed,
            seconds=SECONDS,
            servers=tuple((served.host, served.port) for served, _ in servers),
            stores=(str(root),),
            reader_processes=0,
            uploaders=0,
            hands=0,
            # of a late barrier the next request is the wrong one, by whichever client
            askers=0 if safeguard is Safeguard.BARRIER else 2,
            pause=0.01,
            kill_hands=False,
            holders=guarded.holders,
            token=guarded.token,
            admin=guarded.admin,
        )
        return torture(plan, folder)
