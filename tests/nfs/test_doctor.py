"""`quire doctor` tells volumes that keep the promise from those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nfs.conftest import Recorded


@pytest.mark.rotates("file_system")
@pytest.mark.parametrize("file_system", ["ext4", "ext4-seconds", "xfs"])
def test_a_volume_keeps_the_promise(machine: Recorded) -> None:
    """With the usual options both machines come to that verdict, exit with 0, and leave nothing behind."""
    report = _doctor(machine, peer=True)
    assert report["codes"] == [0, 0], _findings(report)
    for document in report["documents"]:
        assert document["verdict"] == "keeps"
        assert document["filesystem"]["type"] == "nfs4"
        assert document["filesystem"]["careful"]
        assert {"vers=4.1", "hard"} <= set(document["filesystem"]["options"])
        assert document["peer"] is not None
        asked = [question for question in document["questions"] if question["required"]]
        assert sum(question["asked"] for question in asked) > 100
        assert sum(question["wrong"] for question in asked) == 0


@pytest.mark.parametrize("file_system", ["ext4"])
def test_alone_it_does_not_guess(machine: Recorded) -> None:
    """One machine cannot tell what another one sees: no verdict, exit code 2, and advice."""
    report = _doctor(machine, peer=False)
    assert report["codes"] == [2]
    (document,) = report["documents"]
    assert document["verdict"] == "unknown"
    assert "alone" in _findings(report)
    assert document["filesystem"]["type"] == "nfs4"


@pytest.mark.parametrize("file_system", ["ext4"])
def test_nocto_is_not_supported(machine: Recorded) -> None:
    """It breaks the promise, which one machine alone can tell; what to do about it, and exit code 1."""
    machine.mount("nocto")
    report = _doctor(machine, peer=False)
    assert report["codes"] == [1]
    (document,) = report["documents"]
    assert document["verdict"] == "breaks"
    (finding,) = (finding for finding in document["findings"] if finding["code"] == "nocto")
    assert finding["weight"] == "breaks"
    assert "nocto" in finding["sentence"]
    assert finding["advice"]


def _doctor(machine: Recorded, *, peer: bool) -> dict[str, Any]:
    report = machine.run("doctor", timeout=400, peer=peer)
    assert report["left"] == []
    return report


def _findings(report: dict[str, Any]) -> set[str]:
    return {finding["code"] for document in report["documents"] for finding in document["findings"]}
