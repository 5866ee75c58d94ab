"""The start of a server on a bucket."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.serving import DEADLINE, environment

_SCRIPT = """
import sys
from quire.commands.run import prepare
from quire.config.settings import Settings
from tests.store.bucket.counted import PLACE, counted_bucket

forks = []
sys.addaudithook(lambda event, _: forks.append(event) if event == "os.fork" else None)
with counted_bucket():
    prepare(Settings(directories=(PLACE,), authenticate=()))
print(len(forks))
"""


def test_one_process_asks_the_bucket_everything(tmp_path: Path) -> None:
    """It is forked, since the library of buckets starts threads, and it has connections of its own to make."""
    command = [sys.executable, "-c", _SCRIPT]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["1"]), done.stderr
