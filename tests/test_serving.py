"""How tests run servers (`tests.serving`): one that does not stop fails its test, and shows why."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.serving import free_port, running, until

DEAF = """
import signal, time
def hear_nothing():
    print("begun")
    while True:
        time.sleep(60)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
hear_nothing()
"""
"""A program that SIGTERM does not end."""


def test_a_server_that_does_not_stop_fails_its_test(tmp_path: Path) -> None:
    """It is killed, and the error has the stacks of its threads."""
    command = [sys.executable, "-c", DEAF]
    with (
        pytest.raises(AssertionError, match=r"did not stop in 0\.2 seconds") as raised,
        running(command, free_port(), cwd=tmp_path, wait=False, patience=0.2) as served,
    ):
        until(lambda: "begun" in served.output())
    assert "in hear_nothing" in str(raised.value)
    with pytest.raises(ProcessLookupError):
        os.killpg(served.process.pid, 0)


def test_what_a_test_itself_found_is_not_hidden(tmp_path: Path) -> None:
    """Its own failure counts, whatever its server does then; the stacks are in the output all the same."""
    command = [sys.executable, "-c", DEAF]
    with (
        pytest.raises(ZeroDivisionError),
        running(command, free_port(), cwd=tmp_path, wait=False, patience=0.2) as served,
    ):
        until(lambda: "begun" in served.output() and bool(1 / 0))
    assert "in hear_nothing" in served.output()
    assert served.process.poll() is not None


def test_a_server_that_stops_fails_nothing(tmp_path: Path) -> None:
    """Whether it is told to, or ended before."""
    for program in ("print('begun')", "print('begun'); import time; time.sleep(60)"):
        command = [sys.executable, "-c", program]
        with running(command, free_port(), cwd=tmp_path, wait=False) as served:
            until(lambda: "begun" in served.output())
        assert served.process.poll() is not None
        assert "hear" not in served.output()
