"""A large mirrored file that workers on both clients fetch at once: each writes it once, and reads it meanwhile."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
from typing import Any, Final

from quire.store.posix.store import PosixStore
from tests import serving
from tests.nfs.guest.mounts import A, B, new_folder
from tests.nfs.guest.servers import Server, served
from tests.upstreams import serving_index

_SOON: Final = 1_000_000
"""Bytes that each client has before the upstream sends the second half."""


class Download:
    """A client of one server, which reads in a thread of its own."""

    def __init__(self, server: Server, path: str) -> None:
        self.soon = threading.Event()
        self.status = 0
        self.body = b""
        self._server, self._path = server, path
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=serving.DEADLINE)
        try:
            connection.request("GET", self._path)
            response = connection.getresponse()
            self.status = response.status
            body = response.read(_SOON)
            self.soon.set()
            self.body = body + response.read()
        except (OSError, http.client.HTTPException) as error:
            self.body = repr(error).encode()
        finally:
            connection.close()

    def end(self) -> None:
        self._thread.join(serving.DEADLINE)


def run(rounds: int, size: int, clients: int = 2) -> dict[str, Any]:
    """In each round another file, with `clients` on each machine; how many requests for it the upstream got, at most.

    Half of the bytes are at the clients before the upstream sends the rest.
    """
    folder, problems, most = new_folder(), [], 0
    PosixStore.open(A / folder)
    with serving_index() as upstream, served([A / folder, B / folder], 1, ("--upstream", upstream.url)) as servers:
        for number in range(rounds):
            project, filename = f"large{number}", f"large{number}-1.tar.gz"
            content = random.Random(number).randbytes(size)
            upstream.has(project, {filename: content})
            path = servers[0].files(project)[filename]
            held = upstream.answers[f"/files/{filename}"][0].held = threading.Event()
            downloads = [Download(server, path) for server in servers for _ in range(clients)]
            early = [each.soon.wait(serving.DEADLINE) for each in downloads]
            held.set()
            for each in downloads:
                each.end()
            asked = upstream.paths.count(f"/files/{filename}")
            most = max(most, asked)
            later = [server.ask("GET", path).body for server in servers]
            if not all(early):
                problems.append(f"round {number}: clients wait for the end of the file: {early}")
            wrong = [each for each in (*(each.body for each in downloads), *later) if _sum(each) != _sum(content)]
            problems += [f"round {number}: {len(each)} other bytes: {each[:80]!r}" for each in wrong]
            if upstream.paths.count(f"/files/{filename}") != asked:
                problems.append(f"round {number}: it was asked for again")
    return {"rounds": rounds, "most_asked": most, "problems": problems[:5]}


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
