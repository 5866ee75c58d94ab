"""The rig is what it claims to be; every other test here relies on that."""

from __future__ import annotations

import pytest

from tests.nfs.conftest import Recorded


def test_two_clients_share_a_server_and_nothing_else(machine: Recorded, file_system: str) -> None:
    """Both mounts are NFSv4.1 of EFS's options, and what one client remembers the other does not."""
    report = machine.run("introspection")
    assert report["server"] == file_system.partition("-")[0]
    assert report["whole_seconds"] == (file_system == "ext4-seconds")
    assert report["types"] == ["nfs4", "nfs4"]
    for options in report["a"], report["b"]:
        assert {"vers=4.1", "hard", "noresvport", "timeo=600", "rsize=1048576"} <= set(options)
    assert report["stale"], "stat through one client knew at once what was done through the other; no NFS client does"


@pytest.mark.parametrize(("file_system", "delay"), [("ext4", "500us")])
def test_the_wire_can_be_slow(machine: Recorded) -> None:
    """A question to the server takes at least the two ways."""
    assert machine.run("introspection")["round_trip"] >= 0.001
