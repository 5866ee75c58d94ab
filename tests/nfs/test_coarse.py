"""A server whose change attribute is as coarse as its clock: what is missed there, and not with --coarse-changes."""

from __future__ import annotations

from typing import Any

import pytest

from quire.testing import EXCLUSIVE_RULES, RULES
from tests.nfs.conftest import Recorded

TICK = 0.02
"""Seconds; twice the tick of the machine's clock."""


_SETTING = {"QUIRE_COARSE_CHANGES": str(TICK)}


def _wrong(report: dict[str, Any]) -> dict[str, int]:
    wrong = {name: found["wrong"] for name, found in report.items() if isinstance(found, dict) and "wrong" in found}
    return wrong | {"hammer": report.get("hammer", {}).get("violated", 0)}


@pytest.mark.parametrize("file_system", ["xfs-coarse"])
def test_published_changes_are_never_missed(machine: Recorded, hammering: float) -> None:
    """Without the setting acknowledged changes are missed, with it none is."""
    unguarded = machine.run("coarse", tick=0.0, seconds=hammering)
    guarded = machine.run("coarse", tick=TICK, seconds=hammering)
    assert 0 < guarded["clock_ms"] < 1000 * TICK
    missed = _wrong(guarded)
    left_alone = missed.pop("plain folder")  # changes that are not quire's: the server is what it is said to be
    assert set(missed.values()) == {0}, missed
    assert guarded["hammer"]["reads"] > 100
    assert guarded["hammer"]["changes"] > 10
    if not (left_alone and sum(_wrong(unguarded).values()) > _wrong(unguarded)["plain folder"]):
        pytest.skip(f"nothing was missed without it, so it is not shown that it is needed: {_wrong(unguarded)}")


@pytest.mark.parametrize("file_system", ["xfs-coarse"])
def test_the_store_keeps_every_rule_with_coarse_changes(machine: Recorded) -> None:
    """The conformance suite, with every other handle on the other client."""
    report = machine.run("conformance", timeout=400, tick=TICK)
    assert report["rules"] == len(RULES + EXCLUSIVE_RULES)


@pytest.mark.parametrize("file_system", ["xfs-coarse"])
def test_the_doctor_names_the_setting_and_then_is_content(machine: Recorded) -> None:
    """Run by both clients: no, with the very setting to make; with the setting: yes."""
    without = machine.run("doctor", timeout=400, peer=True)
    advice = {
        finding["advice"]
        for document in without["documents"]
        for finding in document["findings"]
        if finding["code"] == "listing"
    }
    if not advice:
        pytest.skip("the doctor met no stale listing this time")
    assert without["codes"] == [1, 1]
    assert any("QUIRE_COARSE_CHANGES=0.02" in each for each in advice), advice
    told = machine.run("doctor", timeout=400, peer=True, settings=_SETTING)
    assert told["codes"] == [0, 0], [document["findings"] for document in told["documents"]]
