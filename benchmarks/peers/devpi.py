"""devpi-server with one index that has no bases. It keeps what it serves in a database, so it is filled by uploads."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.serving import environment, free_port

from benchmarks.corpora import BIG, BIG_BYTES, Corpus
from benchmarks.environments import programs
from benchmarks.peers.server import Launch, Peer
from benchmarks.processes import Unavailable, started, wait_for
from benchmarks.progress import lasting
from benchmarks.uploading import Release, Uploader

FILL_SECONDS = 240.0
"""A corpus whose upload would take longer is left out."""
_TRIAL_SECONDS = 5.0
_CLIENTS = 4
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
    if launch.corpus is None:
        folder = launch.work / "devpi"
        _make(folder, launch.work, None)
        return _server(folder, launch.port)
    folder = launch.corpus.home / "devpi"
    if not folder.exists():
        building = launch.corpus.home / "devpi.new"
        shutil.rmtree(building, ignore_errors=True)
        building.parent.mkdir(parents=True, exist_ok=True)
        _make(building, launch.work, launch.corpus)
        building.rename(folder)
    return _server(folder, launch.port)


def _make(folder: Path, work: Path, corpus: Corpus | None) -> None:
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
            _fill(port, corpus)


def _fill(port: int, corpus: Corpus) -> None:
    began = time.monotonic()
    files = ((number, file) for number in range(corpus.projects) for file in range(corpus.files_each))
    lock = threading.Lock()
    login = _login(port)
    sent = 0

    def client(_: int) -> None:
        nonlocal sent
        uploader = Uploader(port, _INDEX, login)
        for number, file in _locked(files, lock):
            uploader.send(Release(corpus.project(number), f"1.{file}", BIG_BYTES if corpus.name == BIG.name else 0))
            with lock:
                sent += 1
                took = time.monotonic() - began
                estimate = took / sent * corpus.files
            if took > _TRIAL_SECONDS and estimate > FILL_SECONDS:
                raise Unavailable(
                    f"uploading {corpus.files:,} files to it, at {sent / took:.0f} a second, would take "
                    f"{estimate / 60:.0f} minutes"
                )
        uploader.close()

    with lasting(f"uploading corpus {corpus.name} to devpi-server"), ThreadPoolExecutor(_CLIENTS) as pool:
        list(pool.map(client, range(_CLIENTS)))


def _locked(items: Iterator[tuple[int, int]], lock: threading.Lock) -> Iterator[tuple[int, int]]:
    while True:
        with lock:
            item = next(items, None)
        if item is None:
            return
        yield item


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
    "devpi",
    _command,
    frozenset({"list", "page", "file", "json", "range", "upload"}),
    simple={"html": f"{_INDEX}+simple/"},
    upload_path=_INDEX,
    login=_login,
)
