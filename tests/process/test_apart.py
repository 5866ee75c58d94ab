"""Work in a process of its own: what it raises is raised here, and what it leaves behind is not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from quire.domain.errors import ConfigurationError
from quire.process.apart import run_apart


def test_what_the_work_does_stays_in_its_process(tmp_path: Path) -> None:
    """Memory, that is; and its process is no longer a child of this one."""
    done: list[int] = []
    told = tmp_path / "process"

    def work() -> None:
        done.append(1)
        told.write_text(str(os.getpid()))

    run_apart(work)
    assert done == []
    with pytest.raises(ChildProcessError):
        os.waitpid(int(told.read_text()), os.WNOHANG)


def test_what_the_work_raises_is_raised() -> None:
    """With its class and its sentence."""

    def work() -> None:
        raise ConfigurationError("The bucket does not exist.")

    with pytest.raises(ConfigurationError, match=r"^The bucket does not exist\.$"):
        run_apart(work)


def test_work_that_dies_is_an_error() -> None:
    """A library may end its process."""
    with pytest.raises(RuntimeError, match="died"):
        run_apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
