"""Servers on two machines that share a volume."""

from __future__ import annotations

import pytest

from tests.nfs.conftest import Recorded


@pytest.mark.parametrize("file_system", ["ext4"])
def test_what_one_server_acknowledges_the_other_serves(machine: Recorded) -> None:
    """Two servers with two workers each: uploads and deletions through either are in all next answers of the other."""
    report = machine.run("servers", timeout=300, rounds=24)
    assert report["stale"] == []
