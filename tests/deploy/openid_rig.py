"""A certified OpenID provider, oidc-provider of npm, on a loopback port: installed once by `openid_lock/`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.bucket.npm_packages import installed
from tests.serving import DEADLINE, environment, until

_PROGRAM = Path(__file__).with_name("openid_provider.js")
CLIENT, SECRET = "quire", "secret-of-the-client"


def prepare() -> Path:
    """The program, with its packages in place."""
    if shutil.which("npm") is None:
        pytest.skip("nodejs and npm are missing; scripts/deploy-tools installs them, as root on Debian")
    return Path(shutil.copy(_PROGRAM, installed("openid", _PROGRAM.parent)))


@contextmanager
def openid_provider(redirect_uri: str, folder: Path, port: int) -> Iterator[str]:
    """The issuer, which runs. `redirect_uri`: of its one client."""
    program, log = prepare(), folder / "provider.log"
    issuer = f"http://127.0.0.1:{port}"
    command = ["node", str(program), str(port), CLIENT, SECRET, redirect_uri]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=DEADLINE).is_success
            except httpx.TransportError:
                return False

        until(answers)
        yield issuer
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
