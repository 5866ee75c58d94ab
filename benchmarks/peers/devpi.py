"""devpi-server with one index that has no bases. It keeps what it serves in a database, so it is filled by uploads."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.serving import environment, free_port

from benchmarks.corpora import Corpus
from benchmarks.environments import programs
from benchmarks.peers.filling import fill, filled
from benchmarks.peers.server import Launch, Peer
from benchmarks.processes import Unavailable, started, wait_for

_PASSWORD = "bench-password"
_INDEX = "/bench/dev/"


def _login(port: int) -> dict[str, str]:
    """With a token in place of the password, as its own client has it: a password costs it half a second."""
    token = api(port, "POST", "/+login", {"user": "bench", "password": _PASSWORD})["result"]["password"]
    return {"Authorization": f"Basic {base64.b64encode(f'bench:{token}'.encode()).decode()}"}


def _server(folder: Path, port: int) -> list[str]:
    program = str(programs("devpi-server") / "devpi-server")
    return [program, "--serverdir", str(folder), "--host", "127.0.0.1", "--port", str(port), "--offline-mode"]


def _command(launch: Launch) -> list[str]:
    return _server(filled(launch, "devpi", partial(_make, launch.work)), launch.port)


def _make(work: Path, folder: Path, corpus: Corpus | None) -> None:
    """A server's directory with the index, and the corpus in it."""
    init = [str(programs("devpi-server") / "devpi-init"), "--serverdir", str(folder), "--no-root-pypi"]
    done = subprocess.run(init, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"devpi-init failed: {done.stderr.strip()[-300:]}")
    port = free_port()
    with started(_server(folder, port), work / "filling.log", environ=environment(), cwd=work) as running:
        wait_for(running, lambda: bool(api(port, "GET", "/+api")), 60)
        api(port, "PUT", "/bench", {"password": _PASSWORD})
        api(port, "PUT", _INDEX.rstrip("/"), {"bases": [], "volatile": True}, login=_login(port))
        if corpus is not None:
            fill("devpi-server", port, _INDEX, _login(port), corpus)


def api(port: int, method: str, path: str, document: object = None, login: Mapping[str, str] | None = None) -> Any:
    """The answer of its JSON API. Raises Unavailable."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Accept": "application/json", "Content-Type": "application/json"} | dict(login or {})
    try:
        connection.request(method, path, None if document is None else json.dumps(document), headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status >= 400:
        raise Unavailable(f"devpi-server answered {method} {path} with {response.status}: {body[:200]!r}")
    return json.loads(body)


DEVPI = Peer(
    "devpi",
    "devpi-server",
    "own",
    _command,
    frozenset({"list", "page", "file", "json", "range", "upload"}),
    simple={"html": f"{_INDEX}+simple/"},
    upload_path=_INDEX,
    login=_login,
)
