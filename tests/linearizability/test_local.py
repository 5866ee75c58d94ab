"""Twenty seconds of everything at once on a local directory: some order explains every answer."""

from __future__ import annotations

from pathlib import Path

from tests.linearizability.guarded import guard
from tests.linearizability.plan import Plan
from tests.linearizability.servers import quire_servers
from tests.linearizability.torture import torture

SECONDS = 20.0


def test_every_answer_is_explained(tmp_path: Path) -> None:
    """Two servers of different kinds, several workers each, all of them killed in turn; hands and droppers."""
    root = tmp_path / "packages"
    root.mkdir()
    guarded = guard(root, tmp_path)
    with quire_servers(
        ("uvicorn", "gunicorn"), [root], tmp_path, workers=4, kill_every=1.0, flags=guarded.flags
    ) as servers:
        plan = Plan(
            seed=1,
            seconds=SECONDS,
            servers=tuple((served.host, served.port) for served, _ in servers),
            stores=(str(root),),
            dropped=("oak", "pine"),
            reader_processes=1,
            holders=guarded.holders,
            token=guarded.token,
            admin=guarded.admin,
        )
        report = torture(plan, tmp_path, [victim for _, victim in servers])
    assert report.is_clean, report.table()
    # that it was a test at all
    assert report.workers_killed >= 2, report.table()
    assert report.changes >= 20, report.table()
    assert report.drop_in_changes >= 20, report.table()
    assert report.reads_judged >= 1000, report.table()
    assert report.decisions_judged >= 1000, report.table()
    assert report.forbidden >= 100, report.table()
    assert report.changes_of_rights >= 20, report.table()
