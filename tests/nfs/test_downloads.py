"""Files that are deleted on one machine while another one sends them."""

from __future__ import annotations

import pytest

from tests.nfs.conftest import Recorded


@pytest.mark.rotates("file_system")
@pytest.mark.parametrize("midway", [True, False], ids=["midway", "about-to-begin"])
@pytest.mark.parametrize("file_system", ["ext4", "tmpfs"])
def test_a_download_of_a_deleted_file_completes_or_is_a_404(machine: Recorded, midway: bool) -> None:
    """Never an error of the server, never fewer bytes than it said, never other bytes; and a 404 ever after."""
    rounds, size = (8, 20_000_000) if midway else (30, 300_000)
    report = machine.run("downloads", rounds=rounds, size=size, midway=midway)
    assert set(report) <= {"complete", "404"}
    assert report["complete"] > 0


@pytest.mark.parametrize("file_system", ["ext4"])
def test_a_download_that_cannot_be_completed_is_broken_off(machine: Recorded) -> None:
    """A server that was restarted has lost what it kept of a deleted file: the client must notice that bytes lack."""
    report = machine.run("downloads", rounds=4, size=20_000_000, midway=True, restart=True)
    assert all(outcome in {"complete", "404"} or outcome.startswith("broken off") for outcome in report)


@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_the_event_loop_sends_no_file_of_a_network(machine: Recorded) -> None:
    """Whatever the client remembers of it: the sender may have to ask a server that does not answer."""
    assert machine.run("in_memory") == {"client": False, "server": True}


@pytest.mark.parametrize("file_system", ["ext4"])
def test_a_large_mirrored_file_is_fetched_by_workers_on_both_clients_at_once(machine: Recorded) -> None:
    """Each client of theirs has the first bytes before the upstream sends the last, and in the end the whole file."""
    report = machine.run("cold_files", timeout=600, rounds=2, size=10_000_000, clients=1)
    assert report["problems"] == []
    assert report["most_asked"] == 2
