"""Every acknowledged change is in the very next answer, whichever client it was made through."""

from __future__ import annotations

import pytest

from tests.nfs.rig import Machine

A, B = "/run/a", "/run/b"


@pytest.mark.parametrize(
    ("writers", "readers"),
    [([A], [B, B]), ([B, B], [A]), ([A], [A, A, A]), ([A, B], [A, B])],
    ids=["from-a-to-b", "from-b-to-a", "on-one-client", "everywhere"],
)
def test_no_read_misses_an_acknowledged_change(machine: Machine, writers: list[str], readers: list[str]) -> None:
    """Writers change projects and readers read them, both as fast as they can: no answer is older than allowed."""
    report = machine.run("hammer", writers=writers, readers=readers)
    print(report)
    assert report["violations"] == []
    assert report["changes"] > 20
    assert report["reads"] > 200
    assert report["remembered"] > 0
