"""Rehearsals of docs/operations.md: its own blocks, with other paths, and a server that takes uploads meanwhile."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from quire.index.index import Index, all_indexes
from quire.operations.checking import Check, Checked
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.store import PosixStore
from tests.asking import OPEN, Site, content_type, multipart, serve, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, environment, quire_command, until

PAGE = Path(__file__).parent.parent / "docs" / "operations.md"
_BLOCK = re.compile(r"^<!-- run: (\S+) -->\n```sh\n(.*?)^```$", re.M | re.S)
_PATHS = re.compile(r"(?<![\w./-])/(data|backup|new|etc/quire)/")
_UPLOADS = 60
_TIMEOUT = 100


def blocks() -> dict[str, str]:
    """The page's shell blocks by their names."""
    found = _BLOCK.findall(PAGE.read_text())
    assert len(found) == len(dict(found)), "two blocks have one name"
    return dict(found)


@dataclass(frozen=True)
class Host:
    """A folder that stands for the file system of the page: /data, /backup, /new, /etc/quire are in it."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Host:
        """With /data/packages in it, and a command `quire`."""
        for name in ("data/packages", "new/packages", "backup", "etc/quire", "bin"):
            (folder / name).mkdir(parents=True)
        host = cls(folder)
        host.program("quire", f'exec {shlex.join(quire_command())} "$@"')
        host.program("pypi-server", f'exec {shlex.quote(sys.executable)} -m pypiserver "$@"')
        return host

    @property
    def data(self) -> Path:
        return self.folder / "data" / "packages"

    @property
    def backup(self) -> Path:
        return self.folder / "backup" / "packages"

    @property
    def new(self) -> Path:
        return self.folder / "new" / "packages"

    def program(self, name: str, script: str) -> None:
        """A command of this name, first in the PATH."""
        file = self.folder / "bin" / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def environ(self) -> dict[str, str]:
        return environment(PATH=f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}")

    def script(self, block: str) -> str:
        """The text of a block, with this host's paths."""
        return self.placed(blocks()[block])

    def placed(self, text: str) -> str:
        """A block of any page, with this host's paths."""
        return _PATHS.sub(lambda found: f"{self.folder}/{found[1]}/", text)

    def run(self, block: str, *, edit: Callable[[str], str] = str, code: int = 0) -> str:
        """Run a block, which must end with `code`; what it printed. `edit`: a change of its text that the page tells
        its reader to make."""
        return self.shell(edit(self.script(block)), code=code)

    def shell(self, script: str, *, code: int = 0) -> str:
        """Run a script, that ends at the first line that fails."""
        done = subprocess.run(
            ["sh", "-eu", "-c", script],
            cwd=self.folder,
            env=self.environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        assert done.returncode == code, f"{script}\nended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def quire(self, *arguments: object, code: int = 0) -> str:
        """Run `quire`, which must end with `code`; what it printed."""
        return self.shell(shlex.join(map(str, ("quire", *arguments))), code=code)

    def serve(self, *flags: object, volume: str = "data") -> AbstractContextManager[Site]:
        """A server over /data/packages, or that of another volume, without logins."""
        return serve(self.folder / volume, *(flags or OPEN))

    def serve_as(self, block: str, volume: str) -> AbstractContextManager[Site]:
        """The same with the flags of a block that starts a server; the address and the port are the test's."""
        *words, root = shlex.split(self.script(block))
        assert words[:2] == ["quire", "serve"]
        assert Path(root) == self.folder / volume / "packages"
        return self.serve(*words[2:], "--disable-fallback", volume=volume)


def index_in(root: Path) -> Index:
    """The index in a directory, as a process sees it that has just started."""
    return Index(PosixStore.open(root, create=False))


def published_in(root: Path) -> set[str]:
    """The names of all files that are listed in a directory's store."""
    index = index_in(root)
    projects = [index.project(name) for name in index.names()]
    return {filename for project in projects if project is not None for filename in project.files}


def checked(root: Path, *, repair: bool = False) -> Checked:
    """The findings of a check of a directory's store, in this process."""
    store = PosixStore.open(root)
    inspector = PosixInspector(store)
    indexes = all_indexes(store)
    return Check(store, lambda: indexes, inspector, repair=repair).run()


@dataclass
class Publisher:
    """Publishes one release after the other until it is told to stop, or for `limit` of them."""

    base: str
    prefix: str = "busy"
    """Of the names of its projects."""
    limit: int = _UPLOADS
    acknowledged: list[str] = field(default_factory=list)
    """Filenames, in the order in which the server said that they were published."""
    refused: list[int] = field(default_factory=list)
    """Status codes of the others."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Returns when a few are published."""
        self._thread.start()
        self.await_more(5)

    def await_more(self, number: int) -> None:
        """Wait until so many more have been acknowledged. Raises AssertionError."""
        goal = min(len(self.acknowledged) + number, self.limit)
        until(lambda: len(self.acknowledged) >= goal or not self._thread.is_alive())
        assert len(self.acknowledged) >= goal or self.refused, self._failure

    def stop(self) -> None:
        """Raises what the thread could not bear."""
        self._stop.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        if self._failure:
            raise self._failure[0]

    def _run(self) -> None:
        try:
            with httpx.Client(base_url=self.base, timeout=DEADLINE) as client:
                for number in range(self.limit):
                    if self._stop.is_set():
                        return
                    self._publish(client, number)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._failure.append(error)

    def _publish(self, client: httpx.Client, number: int) -> None:
        name, version = (
            f"{self.prefix}-{number % 7}",
            f"1.{number}",
        )  # new projects first, then new revisions of old ones
        filename, content = wheel_name(name, version), make_wheel(name, version)
        body = multipart(twine_form(filename, content, name=name, version=version))
        answer = client.post("/", content=body, headers={"content-type": content_type()})
        if answer.status_code == 200:
            self.acknowledged.append(filename)
        else:
            self.refused.append(answer.status_code)


@contextmanager
def publishing(site: Site, prefix: str = "busy", limit: int = _UPLOADS) -> Iterator[Publisher]:
    """Uploads go on in this block; some are done when it begins."""
    publisher = Publisher(str(site.client.base_url), prefix, limit)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()
