"""A server that runs and is asked: where its pages are, and what a right answer is."""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin, urlsplit

from tests.serving import environment, free_port

from benchmarks.corpora import Corpus
from benchmarks.processes import Running, Unavailable, started, wait_for

Form = Literal["html", "json", "gzip"]
ACCEPT: dict[str, dict[str, str]] = {
    "html": {"Accept": "text/html"},
    "json": {"Accept": "application/vnd.pypi.simple.v1+json"},
    "gzip": {"Accept": "text/html", "Accept-Encoding": "gzip"},
}
WORKERS = 2
START_SECONDS = 120.0
ANSWER_SECONDS = 120.0
"""How long one answer may take."""
_HREF = re.compile(r'href="([^"]+)"')


@dataclass(frozen=True)
class Login:
    """A user of an htpasswd file."""

    user: str
    password: str
    file: Path

    @property
    def header(self) -> dict[str, str]:
        return {"Authorization": f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"}


@dataclass(frozen=True)
class Launch:
    """The directory and the port of a peer that is to be started."""

    root: Path
    """The directory that it serves, in its own form."""
    corpus: Corpus | None
    """None for an empty root that takes uploads."""
    port: int
    work: Path
    """A directory for its own files while it runs."""
    login: Login | None
    """None when nothing needs a login."""


@dataclass(frozen=True)
class Peer:
    """A kind of server."""

    name: str
    title: str
    """For tables."""
    form: Literal["store", "flat", "tree", "pages", "own", "none"]
    """The form of a corpus that it serves; its own is filled by uploads."""
    command: Callable[[Launch], list[str]]
    """The command that starts it; installs it first. Raises Unavailable."""
    offers: frozenset[str]
    """Of: list, page, file, json, gzip, conditional, range, upload, auth."""
    simple: Mapping[str, str] = field(default_factory=dict)
    """Where the pages of a form are, if not under /simple/."""
    files: str | None = None
    """Where all files are; None where its pages say."""
    short: str = ""
    """For plots, where there is little room; "" when the title is short."""
    upload_path: str = "/"
    login: Callable[[int], dict[str, str]] = lambda port: {}
    """Headers, from its port, that uploads need even where nothing else needs a login."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


@dataclass(frozen=True)
class Server:
    """A peer that runs."""

    peer: Peer
    running: Running
    port: int
    login: Login | None = None
    answer_seconds: float | None = None
    """Seconds for one page of a warm server; None when that was not measured."""

    @property
    def name(self) -> str:
        return self.peer.name

    def path(self, project: str | None = None, form: Form = "html") -> str:
        """Of a project's page, or of the project list."""
        base = self.peer.simple.get(form, self.peer.simple.get("html", "/simple/"))
        return base if project is None else f"{base}{project}/"

    def headers(self, form: Form = "html") -> dict[str, str]:
        return ACCEPT[form] | (self.login.header if self.login is not None else {})

    def ask(self, path: str, headers: Mapping[str, str] | None = None, seconds: float = ANSWER_SECONDS) -> Answer:
        """One request on a connection of its own. Raises OSError, http.client.HTTPException."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request("GET", path, headers=dict(self.headers() if headers is None else headers))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def has(self, corpus: Corpus, number: int) -> bool:
        """Whether the page of a project lists its last file."""
        answer = self.ask(self.path(corpus.project(number)))
        return answer.status == 200 and corpus.filename(number, corpus.files_each - 1).encode() in answer.body

    def lists(self, corpus: Corpus, form: Form = "html") -> bool:
        """Whether the project list has the last project."""
        answer = self.ask(self.path(None, form), self.headers(form))
        return answer.status == 200 and corpus.project(corpus.projects - 1).encode() in answer.body

    def file_path(self, project: str, filename: str) -> str:
        """Where a file is: what the project's page says. Raises Unavailable."""
        if self.peer.files is not None:
            return f"{self.peer.files}{filename}"
        page = self.path(project)
        body = self.ask(page).body.decode(errors="replace")
        for href in _HREF.findall(body):
            path = urlsplit(urljoin(f"http://127.0.0.1:{self.port}{page}", unescape(href))).path
            if path.endswith(f"/{filename}"):
                return path
        raise Unavailable(f"its page of {project} has no link to {filename}")


@contextmanager
def served(
    peer: Peer, corpus: Corpus | None, *, root: Path | None = None, login: Login | None = None, wait: bool = True
) -> Iterator[Server]:
    """The peer with a corpus, or with the directory `root`, ready to answer when `wait`. Raises Unavailable."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Path(folder)
        port = free_port()
        launch = Launch(root or root_of(peer, corpus, work), corpus, port, work, login)
        command = peer.command(launch)
        with started(command, work / "output.log", environ=environment(), cwd=work) as running:
            server = Server(peer, running, port, login)
            if wait:
                wait_for(running, lambda: _is_ready(server, corpus), START_SECONDS)
            yield server


def root_of(peer: Peer, corpus: Corpus | None, work: Path) -> Path:
    """The corpus in the peer's form; `work` for one that serves nothing of its own, or makes its own form."""
    forms = {"store", "flat", "tree"}
    if corpus is None or peer.form not in forms:
        return work
    return {"store": lambda: corpus.store, "flat": lambda: corpus.flat, "tree": lambda: corpus.tree}[peer.form]()


def answers(port: int) -> bool:
    """Whether a server answers on this port, without an error of its own. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().status < 500


def _is_ready(server: Server, corpus: Corpus | None) -> bool:
    if corpus is None or server.peer.form == "none":
        server.ask(server.path())
        return True
    return server.has(corpus, corpus.one)
