"""Two servers of different kinds, two workers each, on one directory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from quire.domain.names import parse_filename
from quire.index.index import Index
from quire.store.posix.store import PosixStore
from tests.serving import Served, free_port, quire_command, running

USER, PASSWORD = "alice", "wonder land/@:%"
"""Of the servers that need a login."""
_REQUEST = re.compile(r"method=(\S+) path=(\S+) status=(\d+)")


@dataclass(frozen=True)
class Server:
    """One port."""

    served: Served

    @property
    def host(self) -> str:
        """With the port, as it stands in URLs."""
        return f"{self.served.host}:{self.served.port}"

    @property
    def url(self) -> str:
        """Where uploads go."""
        return f"http://{self.host}/"

    @property
    def simple(self) -> str:
        """The index URL."""
        return f"{self.url}simple/"

    def publish(self, *files: tuple[str, bytes], login: tuple[str, str] | None = None) -> None:
        """Publish distributions as the upload form has them. `login`: user and password."""
        for filename, content in files:
            parsed = parse_filename(filename)
            form = {
                ":action": "file_upload",
                "protocol_version": "1",
                "name": parsed.project,
                "version": parsed.version,
                "filetype": str(parsed.kind),
            }
            content_field = {"content": (filename, content)}
            answer = httpx.post(self.url, data=form, files=content_field, auth=login, trust_env=False)
            assert answer.status_code == 200, answer.text

    def simple_as(self, user: str, password: str) -> str:
        """The index URL with credentials in it."""
        return f"http://{quote(user, safe='')}:{quote(password, safe='')}@{self.host}/simple/"

    def requests(self) -> list[tuple[str, str, int]]:
        """Method, path and status of every request in its log, in order."""
        return [(method, path, int(status)) for method, path, status in _REQUEST.findall(self.served.output())]


@dataclass(frozen=True)
class Servers:
    """Both ports, and the directory that they share."""

    root: Path
    uvicorn: Server
    gunicorn: Server

    @property
    def index(self) -> Index:
        """The same index, from this third process."""
        return Index(PosixStore.open(self.root))


@contextmanager
def two_servers(folder: Path, *flags: object) -> Iterator[Servers]:
    """Start both and stop both. `flags`: about access; by default no login is needed."""
    root = folder / "packages"
    root.mkdir()
    flags = flags or ("-a", ".", "-P", ".")

    def command(port: int, server: str) -> list[str]:
        return quire_command(
            "run",
            "-v",
            "-i",
            "127.0.0.1",
            "-p",
            port,
            "--server",
            server,
            "--workers",
            2,
            "--disable-fallback",
            *flags,
            root,
        )  # fmt: skip - one flag and its value beside the next

    with ExitStack() as stack, ThreadPoolExecutor(2) as starting:
        both = [
            running(command(port, server), port, cwd=folder)
            for port, server in ((free_port(), "uvicorn"), (free_port(), "gunicorn"))
        ]
        uvicorn, gunicorn = starting.map(stack.enter_context, both)
        yield Servers(root, Server(uvicorn), Server(gunicorn))
