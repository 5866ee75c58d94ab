"""The picture of a terminal in the README is of a session that goes so: the same program, run again."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.documents import DOCS, ROOT

pytestmark = pytest.mark.clients


def test_the_picture_is_what_the_session_shows() -> None:
    """If not: scripts/demo.py."""
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_picture_asks_no_other_host() -> None:
    picture = (DOCS / "demo.svg").read_text()
    assert re.findall(r"""url\((?!#)|@import|href=""", picture) == []
    assert "Successfully" in picture
