"""Credentials from the files of the AWS command line, on a real server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.asking import OPEN, publish_wheel, serve
from tests.distributions import wheel_name
from tests.serving import environment, run_quire

pytestmark = pytest.mark.bucket


def test_workers_use_a_profile(tmp_path: Path, url: str) -> None:
    """Each forked worker has credentials of its own from a `credential_process`, and a command has them."""
    program = (
        "import json, os\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': os.environ['KEY'], 'SecretAccessKey': os.environ['SECRET']}))\n"
    )
    (tmp_path / "process.py").write_text(program)
    (tmp_path / "config").write_text(f"[profile acme]\ncredential_process = {sys.executable} {tmp_path}/process.py\n")
    variables: dict[str, Any] = {
        "KEY": os.environ["AWS_ACCESS_KEY_ID"],
        "SECRET": os.environ["AWS_SECRET_ACCESS_KEY"],
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PROFILE": "acme",
    }
    with serve(tmp_path, *OPEN, "--workers", 2, place=url, **variables) as site:
        publish_wheel(site, "acme", "1.0")
        for _ in range(6):  # whichever worker answers
            address = str(site.client.base_url.join("/simple/acme/"))
            assert wheel_name("acme", "1.0") in httpx.get(address).text
    done = run_quire("ls", "-d", url, cwd=tmp_path, environ=environment(**variables))
    assert done.stdout.startswith("acme"), done.stderr
