"""Some order explains every answer of servers on both clients, whatever is killed, restarted or slow meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.linearizability.torture import MOST_UNSETTLED
from tests.nfs.conftest import Recorded, RecordedPair

_TIMES = 6
"""The judged runs take so many times as long as a hammer test."""
_MORE = 400
"""Seconds for what is not load: starting, waiting for a server that restarts, judging."""


@pytest.mark.rotates("file_system", "delay", "restarts")
@pytest.mark.parametrize(
    ("file_system", "delay", "restarts"),
    [("ext4", "", True), ("ext4-seconds", "", False), ("xfs", "", False), ("ext4", "500us", False)],
    ids=["ext4-restarts", "ext4-seconds", "xfs", "ext4-slow-wire"],
)
def test_every_answer_is_explained(machine: Recorded, hammering: float, restarts: bool) -> None:
    """Two servers with two workers each, killed in turn; uploads, yanks and deletions on both clients; many readers."""
    seconds = hammering * _TIMES
    report = machine.run(
        "torture", timeout=int(seconds) + _MORE, seconds=seconds, restart_every=seconds / 2.5 if restarts else 0
    )
    _explained(report)
    assert report["workers_killed"] > 0
    assert not restarts or report["restarts"] > 0


@pytest.mark.rotates("file_system")
@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_every_answer_is_explained_across_power_cuts(pair: RecordedPair, hammering: float) -> None:
    """The machine of the NFS server loses its memory twice in mid-load and boots from its disk.

    The clients wait and go on. All acknowledged changes are there, nothing else shows, and nothing had to be repaired.
    """
    seconds = max(hammering * _TIMES, 90)
    with pair.power_cuts(after=(seconds * 0.15, seconds * 0.6)) as (begun, lost):
        report = pair.run("torture", timeout=int(seconds) + _MORE, seconds=seconds, mark=begun)
    assert lost == [True, True], "what was never synchronised is still there: that was no power cut"
    _explained(report)


@pytest.mark.parametrize("file_system", ["ext4"])
def test_servers_on_a_mount_with_nocto_are_convicted(machine: Recorded) -> None:
    """The judge finds stale answers where there are some: servers that were made not to refuse this option."""
    machine.mount("nocto")
    report = machine.run(
        "torture", timeout=_MORE, seconds=15, kinds=("gunicorn", "gunicorn"), guarded=False, kills=False
    )
    assert report["violations"] > 0


def _explained(report: dict[str, Any]) -> None:
    assert report["violations"] == 0, report["examples"]
    assert report["undecided"] == 0
    assert report["odd"] == {}
    assert report["unsettled"] <= MOST_UNSETTLED * report["reads_judged"]
    # that it was a test at all
    assert report["changes"] > report["drop_in_changes"] > 0
    assert report["reads_judged"] > 100
    assert report["decisions_judged"] > 100
    assert report["changes_of_rights"] > 0


@pytest.mark.parametrize("file_system", ["ext4"])
def test_no_reader_sees_a_part_of_a_promotion(machine: Recorded, hammering: float) -> None:
    """Stages are promoted through a server on each client and by processes on both mounts, all of which are killed."""
    seconds = hammering * _TIMES
    report = machine.run("promotions", timeout=int(seconds) + _MORE, seconds=seconds)
    assert report["violations"] == 0, report["examples"]
    assert report["undecided"] == 0
    assert report["odd"] == {}
    # that it was a test at all
    assert report["promoted"] > 0
    assert report["reads"] > 100


@pytest.mark.parametrize("file_system", ["ext4"])
def test_every_answer_about_mirrored_pages_is_right(machine: Recorded, hammering: float) -> None:
    """Servers on both clients mirror an upstream that changes, fails and lies, while their workers are killed."""
    seconds = hammering * _TIMES
    report = machine.run("mirrors", timeout=int(seconds) + 2 * _MORE, seconds=seconds)
    assert report["violations"] == {}, report["examples"]
    assert report["odd"] == {}
    # that it was a test at all
    assert report["pages"] > 100
    assert report["files"] > 0
    assert report["private"] > 0
    assert report["kills"] > 0
    assert report["lies"] > 0
