"""Servers on two machines that share a volume."""

from __future__ import annotations

import pytest

from tests.nfs.rig import Machine


@pytest.mark.parametrize("machine", ["ext4", "xfs"], indirect=True)
def test_what_one_server_acknowledges_the_other_serves(machine: Machine) -> None:
    """Two servers with two workers each: uploads and deletions through either are in all next answers of the other."""
    report = machine.run("servers", seconds=300, rounds=24)
    print(report)
    assert report["stale"] == []
