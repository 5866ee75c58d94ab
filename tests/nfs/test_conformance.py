"""The POSIX store keeps its contracts between two NFS clients."""

from __future__ import annotations

import pytest

from quire.testing import EXCLUSIVE_RULES, RULES
from tests.nfs.rig import Machine


@pytest.mark.parametrize("options", ["", "actimeo=0", "noac", "lookupcache=none"])
def test_the_store_keeps_every_rule_across_two_clients(machine: Machine, options: str) -> None:
    """check_store passes when every other handle is on the other client, with every supported mount option."""
    machine.mount(options)
    report = machine.run("conformance")
    print(report)
    assert report["rules"] == len(RULES + EXCLUSIVE_RULES)
    assert report["filesystem"] == "nfs"
    assert not report["inline"]
