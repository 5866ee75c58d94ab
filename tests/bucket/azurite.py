"""Azurite: Microsoft's own server of Azure Blob Storage for tests, a program of Node.js, all in memory.

Its packages are those of `azurite_lock/package-lock.json`, installed once in `.cache/bucket/azurite`.
"""

from __future__ import annotations

import base64
import fcntl
import hmac
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.bucket.servers import CACHE, BucketServer, daemon, unused_port, wait_until_it_answers
from tests.rootfs import call, install

_LOCK = Path(__file__).with_name("azurite_lock")
_FOLDER = CACHE / "azurite"
_PROGRAM = Path("node_modules", "azurite", "dist", "src", "blob", "main.js")
_ACCOUNT = "quire"
_KEY = base64.b64encode(b"no secret: for tests alone").decode()
_INSTALL_SECONDS = 300.0
_REQUEST_SECONDS = 60.0


class AzuriteServer(BucketServer):
    """A server that runs, with one account."""

    def __init__(self, port: int) -> None:
        self._endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
            "AZURE_STORAGE_ENDPOINT": self._endpoint,
        }

    def make_bucket(self) -> str:
        """A new container, by a request with a signature of the account's key (Azure's "Shared Key")."""
        name = f"quire-{secrets.token_hex(6)}"
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
        headers = {"x-ms-date": date, "x-ms-version": "2023-11-03"}
        lines = "".join(f"{header}:{value}\n" for header, value in headers.items())
        asked = f"PUT{12 * chr(10)}{lines}/{_ACCOUNT}/{_ACCOUNT}/{name}\nrestype:container"
        signature = base64.b64encode(hmac.digest(base64.b64decode(_KEY), asked.encode(), "sha256")).decode()
        headers["authorization"] = f"SharedKey {_ACCOUNT}:{signature}"
        url = f"{self._endpoint}/{name}?restype=container"
        httpx.put(url, headers=headers, timeout=_REQUEST_SECONDS).raise_for_status()
        return f"az://{name}"


def prepare() -> Path:
    """The folder with its packages, made now if they are not there or other ones. Raises RigError."""
    wanted = (_LOCK / "package-lock.json").read_bytes()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = _FOLDER / "installed"
        if not mark.exists() or mark.read_bytes() != wanted:
            install("node", package="nodejs")
            install("npm")
            shutil.rmtree(_FOLDER, ignore_errors=True)
            shutil.copytree(_LOCK, _FOLDER)
            print(f"Installing Azurite in {_FOLDER} ...", flush=True)
            flags = ("--ignore-scripts", "--no-audit", "--no-fund")
            call("env", f"--chdir={_FOLDER}", "npm", "ci", *flags, seconds=_INSTALL_SECONDS)
            mark.write_bytes(wanted)
    return _FOLDER


@contextmanager
def azurite_server() -> Iterator[AzuriteServer]:
    """A server on a free port. Raises RigError."""
    program = prepare() / _PROGRAM
    port = unused_port()
    flags = (
        "--inMemoryPersistence",
        "--silent",
        "--disableTelemetry",
        "--skipApiVersionCheck",
        "--blobPort",
        str(port),
    )
    environ = os.environ | {"AZURITE_ACCOUNTS": f"{_ACCOUNT}:{_KEY}"}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        with daemon(["node", str(program), *flags], output, environ) as process:
            wait_until_it_answers("Azurite", port, process, output)
            yield AzuriteServer(port)
