"""Every acknowledged change is in the very next answer, whichever client it was made through."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nfs.conftest import Recorded

A, B = "/run/a", "/run/b"


def _hammer(machine: Recorded, seconds: float, writers: list[str], readers: list[str], **more: float) -> dict[str, Any]:
    return machine.run("hammer", timeout=int(seconds) + 100, writers=writers, readers=readers, seconds=seconds, **more)


def test_no_read_misses_an_acknowledged_change(machine: Recorded, hammering: float) -> None:
    """Both clients change projects and read them, as fast as they can: no answer is older than allowed."""
    _misses_nothing(machine, hammering, [A, B], [A, B])


@pytest.mark.rotates("file_system", "writers", "readers")
@pytest.mark.parametrize(
    ("writers", "readers"),
    [([A], [B, B]), ([B, B], [A]), ([A], [A, A, A])],
    ids=["from-a-to-b", "from-b-to-a", "on-one-client"],
)
def test_no_read_misses_a_change_of_one_side(
    machine: Recorded, hammering: float, writers: list[str], readers: list[str]
) -> None:
    """Nor is one where a client does nothing but read, or both are the same."""
    _misses_nothing(machine, hammering, writers, readers)


def _misses_nothing(machine: Recorded, seconds: float, writers: list[str], readers: list[str]) -> None:
    report = _hammer(machine, seconds, writers, readers)
    assert report["violations"] == []
    assert report["changes"] > 10
    assert report["reads"] > 100
    assert report["remembered"] > 0


@pytest.mark.rotates("file_system", "delay")
@pytest.mark.parametrize(
    ("file_system", "delay"),
    [("ext4", ""), ("ext4-seconds", ""), ("xfs", ""), ("ext4", "500us")],
    ids=["ext4", "ext4-seconds", "xfs", "ext4-slow-wire"],
)
def test_no_page_misses_what_a_person_copied(machine: Recorded, hammering: float) -> None:
    """Files are renamed, copied over, removed and copied again on both machines: no page is older than allowed."""
    report = machine.run("dropped", timeout=int(hammering) + 100, seconds=hammering)
    if report["violations"] == [] and report["reads"] <= 100:  # a machine with other work: it takes longer for as many
        report = machine.run("dropped", timeout=int(hammering) * 6 + 100, seconds=hammering * 6)
    assert report["violations"] == []
    assert report["unreadable"] == 0
    assert report["changes"] > 10
    assert report["reads"] > 100
    assert report["refused"] < report["reads"]
    assert report["remembered"] > 0


@pytest.mark.rotates("options")
@pytest.mark.parametrize("options", ["actimeo=0", "noac", "lookupcache=none"])
@pytest.mark.parametrize("file_system", ["ext4"])
def test_no_read_misses_a_change_with_mount_options(machine: Recorded, hammering: float, options: str) -> None:
    """Nor does one with any other mount option of consequence that is supported."""
    machine.mount(options)
    report = _hammer(machine, hammering, [A, B], [A, B])
    assert report["violations"] == []
    assert report["changes"] > 10
    assert report["reads"] > 100


@pytest.mark.rotates("file_system")
@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
def test_no_read_misses_a_change_when_the_server_restarts(machine: Recorded, hammering: float) -> None:
    """Clients wait for a server that restarts, and go on with what it has; nothing acknowledged is lost meanwhile."""
    report = _hammer(machine, max(hammering, 40), [A, B], [A, B], restart_every=12)
    assert report["restarts"] > 0
    assert report["violations"] == []
    assert report["changes"] > 20


@pytest.mark.parametrize("file_system", ["ext4"])
def test_the_mount_option_nocto_is_refused_with_reason(machine: Recorded) -> None:
    """Without close-to-open consistency, changes are missed; so no store is opened on such a mount."""
    machine.mount("nocto")
    report = machine.run("unsupported")
    assert "nocto" in report["refusal"]
    assert report["violated"] > 0
