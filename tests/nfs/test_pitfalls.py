"""Each safeguard of the store is needed: without it, the scene that it is for goes wrong; with it, never."""

from __future__ import annotations

import pytest

from tests.nfs.conftest import Recorded


@pytest.mark.parametrize(
    ("file_system", "scene"),
    [
        ("ext4", "stat"),
        ("ext4", "absence"),
        ("ext4", "names"),
        ("ext4", "blob"),
        ("ext4", "vanished blob"),
        ("ext4", "link"),
        ("ext4", "pruning"),
        ("ext4", "copy"),
        ("ext4", "passwords"),
        ("ext4-seconds", "tick"),
    ],
)
def test_a_safeguard_is_needed_and_enough(machine: Recorded, scene: str) -> None:
    """The same scene, first as the store is, then without the one safeguard."""
    guarded = machine.run("pitfalls", scene=scene, guarded=True)
    unguarded = machine.run("pitfalls", scene=scene, guarded=False)
    assert guarded["plays"] > 0
    assert guarded["wrong"] == 0
    if not unguarded["wrong"]:
        pytest.skip(
            f"nothing went wrong in {unguarded['plays']} plays, so it is not shown that the safeguard is needed"
        )


@pytest.mark.parametrize("file_system", ["ext4"])
def test_late_replies_are_noticed(machine: Recorded) -> None:
    """Answers that were overtaken by a change made on the same machine are never believed.

    They are rare, 1 in 20,000 answers, so it is not certain that one comes without the safeguard.
    """
    guarded = machine.run("pitfalls", scene="late", guarded=True, seconds=30)
    unguarded = machine.run("pitfalls", scene="late", guarded=False, seconds=60, until_wrong=True)
    assert guarded["wrong"] == 0
    if not unguarded["wrong"]:
        pytest.skip(
            f"no late reply came in {unguarded['plays']} plays, so it is not shown that the safeguard is needed"
        )
