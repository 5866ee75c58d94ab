"""Some seconds of a mirror whose upstream changes, fails and lies, while workers are killed: every answer is right."""

from __future__ import annotations

from pathlib import Path

from tests.linearizability.mirrors.run import torture_mirror

SECONDS = 6.0


def test_every_answer_about_mirrored_pages_is_right(tmp_path: Path) -> None:
    """Two indexes with one upstream; pages in both forms, files, metadata; private names that must not be asked for."""
    report = torture_mirror([tmp_path / "packages"], tmp_path, seed=1, seconds=SECONDS, workers=3, kill_every=1.5)
    assert report.is_clean, report.table()
    # that it was a test at all
    assert report.kills >= 1, report.table()
    assert report.pages >= 10, report.table()
    assert report.files >= 1, report.table()
    assert report.changes >= 1, report.table()
    assert report.private >= 1, report.table()
    assert report.lies >= 1, report.table()
