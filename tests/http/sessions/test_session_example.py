"""The script of docs/how-to/publishing-sessions.md, against a real server that asks for a login."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.asking import password_file, serve
from tests.distributions import make_wheel, wheel_name
from tests.documents import DOCS, block

PAGE = DOCS / "how-to" / "publishing-sessions.md"


def test_a_failed_run_is_canceled_and_repeated(tmp_path: Path) -> None:
    """The script logs in, and says of a refusal why, and where the open session is."""
    folder, script = tmp_path / "dist", tmp_path / "publish.py"
    folder.mkdir()
    script.write_text(block(PAGE, "python", "publish"))
    (folder / wheel_name("alpha", "1.0")).write_bytes(make_wheel("alpha", "1.0"))
    (folder / "notes.txt").write_text("no distribution")
    flags = ("-P", password_file(tmp_path, ann="secret"), "-a", "update", "--experimental", "--disable-fallback")

    def run(login: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), f"{site.client.base_url}/-/upload/2.0/", "alpha", "1.0", str(folder)]
        variables = {**os.environ, "UPLOAD_LOGIN": login}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    with serve(tmp_path, *flags) as site:
        refused = run("")
        assert (refused.returncode, "401:" in refused.stderr) == (1, True), refused.stderr
        failed = run("ann:secret")
        assert (failed.returncode, "400:" in failed.stderr) == (1, True), failed.stderr
        (folder / "notes.txt").unlink()
        again = run("ann:secret")
        assert (again.returncode, "409:" in again.stderr) == (1, True), again.stderr
        session = again.stderr.split()[-1]
        cancel = block(PAGE, "sh", "cancel").replace("curl ", "curl -u ann:secret ")
        subprocess.run(["sh", "-euc", cancel], env={**os.environ, "SESSION": session}, check=True)
        done = run("ann:secret")
        assert "status: published" in done.stdout, done.stderr
