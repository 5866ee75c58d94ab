"""Downloads from a server on one client of files that are deleted through the other meanwhile."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quire.domain.changes import Selection
from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests import serving
from tests.nfs.guest.hammer import publish
from tests.nfs.guest.mounts import A, B, new_folder, restart_server
from tests.nfs.guest.servers import Server, served

PROJECT = "removed"
_FILENAME = "removed-1.0-py3-none-any.whl"
_BEGINNING = 100_000


def run(rounds: int, size: int, midway: bool, restart: bool = False) -> dict[str, Any]:
    """`midway`: the file is deleted when its first bytes have come; else at a random moment around the request.

    `restart`: the NFS server is restarted right after, and so loses the state of open files.
    Returns how often there was which outcome; "complete" and "404" are the right ones.
    """
    folder = new_folder()
    index = Index(PosixStore.open(A / folder))
    outcomes: Counter[str] = Counter()
    choose = random.Random(0)
    with served([B / folder], workers=1) as (server,):
        for number in range(rounds):
            content = os.urandom(size)
            publish(index, _FILENAME, content)
            path = server.files(PROJECT)[_FILENAME]
            headers = {"Range": f"bytes=0-{size - 1}"} if number % 2 else {}
            if midway:
                outcome = _download(server, path, headers, content, lambda: _delete(index, restart=restart))
            else:
                delete = threading.Timer(choose.random() * 0.05, _delete, [index])
                delete.start()
                outcome = _download(server, path, headers, content)
                delete.join()
            outcomes[outcome] += 1
            after = server.ask("GET", path)
            if after.status != 404:
                outcomes[f"{after.status} after the deletion"] += 1
    return dict(outcomes)


def _delete(index: Index, *, restart: bool = False) -> None:
    """Delete record and blobs, and make this machine forget what it has read, so that it must ask the server."""
    change = index.delete(PROJECT, Selection())
    index.remove_blobs(change.removed)
    if restart:
        restart_server()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def _download(
    server: Server, path: str, headers: Mapping[str, str], content: bytes, midway: Callable[[], None] = lambda: None
) -> str:
    """Download, and do `midway` when the first bytes have come; what became of it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=serving.DEADLINE)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        if response.status not in {200, 206}:
            return str(response.status)
        body = response.read(_BEGINNING)
        midway()
        body += response.read()
    except http.client.IncompleteRead as error:
        return f"broken off after {_BEGINNING + len(error.partial)} bytes"
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error!r}"
    finally:
        connection.close()
    return "complete" if hashlib.sha256(body).digest() == hashlib.sha256(content).digest() else "WRONG"
