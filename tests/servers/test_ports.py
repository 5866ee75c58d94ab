"""The ports that tests give to their servers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.serving import environment, free_port

_SCRIPT = "import json; from tests.serving import free_port; print(json.dumps([free_port() for _ in range(300)]))"


def test_no_two_processes_of_tests_have_a_port_in_common(tmp_path: Path) -> None:
    """Neither while a server has yet to listen, nor after one has ended."""
    own = {free_port()}
    command = [sys.executable, "-c", _SCRIPT]
    shown = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True).stdout
    own |= {free_port() for _ in range(300)}
    others = set(json.loads(shown))
    assert len(others) > 100
    assert len(own) > 100
    assert not own & others
