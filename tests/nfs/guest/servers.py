"""Whole quire servers, one on each client: what one of them acknowledges, the workers of the other serve at once."""

from __future__ import annotations

import hashlib
import http.client
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests import serving
from tests.asking import JSON_V1, OPEN, TWINE, content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.nfs.guest.mounts import A, B, new_folder

serving.DEADLINE = 100.0  # programs start slowly in here


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    complete: bool = True
    """Whether all came that the headers had promised."""


@dataclass(frozen=True)
class Server:
    """One quire server; every request has a connection of its own, so any worker may answer."""

    port: int

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=serving.DEADLINE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            try:
                return Answer(response.status, response.read())
            except http.client.IncompleteRead as error:
                return Answer(response.status, error.partial, complete=False)
        finally:
            connection.close()

    def upload(self, name: str, version: str, content: bytes) -> Answer:
        body = multipart(twine_form(wheel_name(name, version), content, name=name, version=version))
        return self.ask("POST", "/", body, {"Content-Type": content_type(), **TWINE})

    def delete(self, name: str, version: str) -> Answer:
        form = urlencode({":action": "remove_pkg", "name": name, "version": version}).encode()
        return self.ask("POST", "/", form, {"Content-Type": "application/x-www-form-urlencoded"})

    def files(self, project: str) -> dict[str, str]:
        """URL by filename; nothing for a project that there is not."""
        answer = self.ask("GET", f"/simple/{project}/", headers={"Accept": JSON_V1})
        if answer.status == 404:
            return {}
        assert answer.status == 200, answer
        return {file["filename"]: file["url"].removeprefix("../..") for file in json.loads(answer.body)["files"]}

    def projects(self) -> set[str]:
        answer = self.ask("GET", "/simple/", headers={"Accept": JSON_V1})
        assert answer.status == 200, answer
        return {project["name"] for project in json.loads(answer.body)["projects"]}


@contextmanager
def served(roots: Sequence[Path], workers: int = 2, more: Sequence[str] = ()) -> Iterator[list[Server]]:
    """A server for each directory, with `more` flags. Afterwards none of them may have logged a traceback."""
    with ExitStack() as stack:
        running = []
        for root in roots:
            folder = Path(tempfile.mkdtemp())
            port = serving.free_port()
            flags = ("-p", port, "-i", "127.0.0.1", *OPEN, "--workers", workers, *more, root)
            command = serving.quire_command("run", *flags)
            running.append(stack.enter_context(serving.running(command, port, cwd=folder)))
        yield [Server(each.port) for each in running]
        for each in running:
            assert "Traceback" not in each.output(), each.output()


def run(rounds: int, asked: int = 4) -> dict[str, Any]:
    """Upload to one, ask the other `asked` times, delete, ask again; and so on with the roles changed."""
    folder = new_folder()
    stale: list[str] = []
    asks = 0
    with served([A / folder, B / folder]) as servers:
        for number in range(rounds):
            one, other = servers[number % 2], servers[(number + 1) % 2]
            project, version = f"project{number // 4}", f"1.{number % 4}"
            content = make_wheel(project, version)
            filename = wheel_name(project, version)
            answer = one.upload(project, version, content)
            assert answer.status == 200, answer
            for _ in range(asked):
                asks += 3
                files = other.files(project)
                if filename not in files:
                    stale.append(f"round {number}: {filename} is missing in {sorted(files)}")
                    continue
                if project not in other.projects():
                    stale.append(f"round {number}: {project} is missing in the list")
                download = other.ask("GET", files[filename])
                if hashlib.sha256(download.body).digest() != hashlib.sha256(content).digest():
                    stale.append(f"round {number}: the download of {filename} is {download.status}")
            answer = one.delete(project, version)
            assert answer.status == 200, answer
            for _ in range(asked):
                asks += 1
                if filename in other.files(project):
                    stale.append(f"round {number}: {filename} is there although it was deleted")
    return {"rounds": rounds, "asks": asks, "stale": stale[:5], "count": len(stale)}
