"""The servers end with the process that started them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bucket.servers import CACHE
from tests.serving import DEADLINE, environment, until

pytestmark = pytest.mark.bucket


def test_nothing_of_a_server_is_left(tmp_path: Path) -> None:
    """No process, of Ceph's programs and of the command, when the rig is ended or killed; the files of one that was
    killed are removed by the next one."""
    killed = _folder_of_a_server_that_ended_by(signal.SIGKILL, tmp_path)
    assert killed.is_dir()
    ended = _folder_of_a_server_that_ended_by(signal.SIGTERM, tmp_path)
    assert not killed.exists()
    assert not ended.exists()


def _folder_of_a_server_that_ended_by(number: signal.Signals, cwd: Path) -> Path:
    script = "import os; print('ready', flush=True); os.read(0, 1)"
    command = [sys.executable, "-m", "tests.bucket.rig", sys.executable, "-c", script]
    with subprocess.Popen(
        command, env=environment(), cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as rig:
        assert rig.stdout is not None
        assert rig.stdout.readline() == "ready\n"
        children = Path(f"/proc/{rig.pid}/task/{rig.pid}/children").read_text().split()
        programs = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
        assert {"ceph-mon", "ceph-osd", "radosgw"} <= programs, programs
        folder = _home_of(children)
        rig.send_signal(number)
        assert rig.wait(DEADLINE) == (-number if number == signal.SIGKILL else 128 + number)
    until(lambda: not any(_runs(pid) for pid in children))
    return folder


def _home_of(children: list[str]) -> Path:
    """Where the server of these processes has its files."""
    for pid in children:
        for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if word.startswith(b"CEPH_CONF="):
                return CACHE / "rootfs" / Path(word.decode().partition("=")[2]).parent.relative_to("/")
    raise AssertionError("none of them is of Ceph")


def _runs(pid: str) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
