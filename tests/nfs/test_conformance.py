"""The POSIX store keeps its contracts between two NFS clients."""

from __future__ import annotations

import pytest

from quire.testing import EXCLUSIVE_RULES, RULES
from tests.nfs.conftest import Recorded


def test_the_store_keeps_every_rule_across_two_clients(machine: Recorded) -> None:
    """check_store passes when every other handle is on the other client, whatever the server's file system."""
    _check(machine)


@pytest.mark.rotates("file_system", "options")
@pytest.mark.parametrize("options", ["actimeo=0", "noac", "lookupcache=none"])
@pytest.mark.parametrize("file_system", ["ext4", "ext4-seconds"])
def test_the_store_keeps_every_rule_with_mount_options(machine: Recorded, options: str) -> None:
    """So it does with every mount option of consequence that is supported."""
    machine.mount(options)
    _check(machine)


def _check(machine: Recorded) -> None:
    report = machine.run("conformance")
    assert report["rules"] == len(RULES + EXCLUSIVE_RULES)
    assert report["filesystem"] == "nfs"
    assert not report["inline"]
