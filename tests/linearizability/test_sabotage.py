"""The judge at work on servers without a safeguard of the access rules: each of them is convicted.

With the safeguards, `test_local` finds nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.linearizability.guarded import guard
from tests.linearizability.plan import Plan
from tests.linearizability.sabotage import Safeguard, command
from tests.linearizability.servers import quire_servers
from tests.linearizability.torture import torture

SECONDS = 5.0


@pytest.mark.parametrize("safeguard", Safeguard)
def test_servers_that_decide_by_old_rights_are_convicted(tmp_path: Path, safeguard: Safeguard) -> None:
    """Decisions that are remembered for 0.3 s; a fast path that validates no rights; a barrier that is late."""
    root = tmp_path / "packages"
    root.mkdir()
    guarded = guard(root, tmp_path, holders=("ash",))
    program = partial(command, safeguard)
    with quire_servers(("gunicorn",), [root], tmp_path, workers=2, flags=guarded.flags, program=program) as servers:
        plan = Plan(
            seed=1,
            seconds=SECONDS,
            servers=tuple((served.host, served.port) for served, _ in servers),
            stores=(str(root),),
            reader_processes=0,
            uploaders=0,
            hands=0,
            askers=0
            if safeguard is Safeguard.BARRIER
            else 2,  # the next request, by whichever client, is the wrong one
            pause=0.01,
            kill_hands=False,
            holders=guarded.holders,
            token=guarded.token,
        )
        report = torture(plan, tmp_path)
    assert report.violations > 0, report.table()
    assert any("rights of" in example for example in report.examples)
