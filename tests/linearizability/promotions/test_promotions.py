"""Some seconds of promotions of several projects while workers and promoting processes are killed: all or nothing."""

from __future__ import annotations

from pathlib import Path

from tests.linearizability.promotions.run import torture_promotions

SECONDS = 6.0


def test_no_reader_sees_a_part_of_a_promotion(tmp_path: Path) -> None:
    """Stages are promoted over HTTP and on the store; pages, lists and files are read through all workers."""
    report = torture_promotions([tmp_path / "packages"], tmp_path, seed=1, seconds=SECONDS, kill_every=1.5)
    assert report.is_clean, report.table()
    # that it was a test at all
    assert report.promoted >= 1, report.table()
    assert report.reads >= 10, report.table()
    assert report.workers_killed >= 1, report.table()
