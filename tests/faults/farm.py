"""Servers of several workers over one directory, their clients, and what the clients were promised."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from quire.index.index import all_indexes
from quire.operations.checking import Check, Severity
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from tests.asking import JSON_V1, OPEN, TWINE, content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import Served, environment, free_port, quire_command, running

PATIENCE = 120.0
"""Seconds that a client waits for an answer: many of them share few cores."""


@dataclass(frozen=True)
class Sent:
    """One upload and its result."""

    project: str
    filename: str
    sha256: str
    status: int | None
    """None when no answer came: the server died."""
    sentence: str = ""


@dataclass
class Farm:
    """Running servers."""

    root: Path
    servers: list[Served]
    sent: list[Sent] = field(default_factory=list)
    """By all clients, in the order of their answers."""

    def upload(self, project: str, version: str, *, variant: str = "", server: int = 0) -> Sent:
        filename = wheel_name(project, version)
        content = make_wheel(project, version, files={"variant.txt": variant.encode() * 1000})
        body = multipart(twine_form(filename, content, name=project, version=version))
        status, sentence = None, ""
        try:
            status, answer = self.ask(
                "POST", "/", body=body, headers={"Content-Type": content_type(), **TWINE}, server=server
            )
            sentence = answer.decode()
        except (OSError, http.client.HTTPException):
            pass
        sent = Sent(project, filename, hashlib.sha256(content).hexdigest(), status, sentence)
        self.sent.append(sent)
        return sent

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        server: int = 0,
    ) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        served = self.servers[server % len(self.servers)]
        connection = http.client.HTTPConnection(served.host, served.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def listed(self, project: str, *, server: int = 0) -> dict[str, tuple[str, str]]:
        """Filename to (sha256, path of the file) as a server lists them."""
        status, text = self.ask("GET", f"/simple/{project}/", headers={"Accept": JSON_V1}, server=server)
        if status == 404:
            return {}
        assert status == 200, text
        files = json.loads(text)["files"]
        return {
            file["filename"]: (
                file["hashes"]["sha256"],
                urlsplit(urljoin(f"http://here/simple/{project}/", file["url"])).path,
            )
            for file in files
        }

    def judge(self) -> None:
        """Everything acknowledged is listed by every server and has its bytes; so has everything else that is listed;
        and `quire check` finds no damage.
        """
        acknowledged = {(sent.project, sent.filename): sent.sha256 for sent in self.sent if sent.status == 200}
        for project in sorted({sent.project for sent in self.sent}):
            pages = [self.listed(project, server=number) for number in range(len(self.servers))]
            assert all(page == pages[0] for page in pages)
            missing = {
                filename
                for (name, filename), sha256 in acknowledged.items()
                if name == project and pages[0].get(filename, ("",))[0] != sha256
            }
            assert not missing, f"acknowledged, and not there: {missing}"
            for sha256, path in pages[0].values():
                status, content = self.ask("GET", path)
                assert (status, hashlib.sha256(content).hexdigest()) == (200, sha256), path
            _, names = self.ask("GET", "/simple/", headers={"Accept": JSON_V1})
            assert bool(pages[0]) == (project in {each["name"] for each in json.loads(names)["projects"]})
        assert self.damage() == []

    def damage(self) -> list[str]:
        """The damage that `quire check` finds."""
        store = PosixStore.open(self.root)
        inspector = PosixInspector(store)
        checked = Check(store, lambda: all_indexes(store), inspector).run()
        return [str(found) for found in checked.findings if found.severity is Severity.DAMAGE]


@contextmanager
def farm(
    folder: Path, servers: Sequence[dict[str, str]], *, workers: int = 4, root: Path | None = None
) -> Iterator[Farm]:
    """One server for each of `servers`, which are further environment variables."""
    root = root or folder / "packages"
    root.mkdir(exist_ok=True)
    with ExitStack() as stack:
        started = []
        for variables in servers:
            port = free_port()
            command = quire_command("run", "-p", port, "-H", "127.0.0.1", *OPEN, "--workers", workers, root)
            environ = environment()
            environ["PYTHONPATH"] = os.pathsep.join(filter(None, [variables.get("PYTHONPATH"), environ["PYTHONPATH"]]))
            environ |= {name: value for name, value in variables.items() if name != "PYTHONPATH"}
            started.append(stack.enter_context(running(command, port, cwd=folder, environ=environ)))
        made = Farm(root, started)
        yield made
        for served in started:
            assert "Traceback" not in served.output(), served.output()


def kill_whole(served: Served) -> None:
    """The main process and all workers at once."""
    os.killpg(served.process.pid, signal.SIGKILL)
    served.process.wait(PATIENCE)


def at_once(count: int, action: Callable[[int], object]) -> None:
    """Run `action(number)` in so many threads, which begin together. Raises the first error of any."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(PATIENCE)
            action(number)
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
