"""Azurite: Microsoft's own server of Azure Blob Storage for tests, a program of Node.js, all in memory.

Its packages are those of `azurite_lock/package-lock.json`.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.bucket.npm_packages import installed
from tests.bucket.servers import BucketServer, daemon, unused_port, wait_until_it_answers

_PROGRAM = Path("node_modules", "azurite", "dist", "src", "blob", "main.js")
_ACCOUNT = "quire"
_KEY = base64.b64encode(b"no secret: for tests alone").decode()
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
    """The folder with its packages. Raises RigError."""
    return installed("azurite")


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
