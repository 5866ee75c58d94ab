"""Clients that change things: over HTTP, and by processes of their own straight on the store."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tests.asking import content_type, multipart, twine_form
from tests.distributions import make_sdist, make_wheel, metadata_text, wheel_name
from tests.linearizability.hand_process import HandProcess
from tests.linearizability.http import Connection, NoAnswer, NotSent
from tests.linearizability.model import Delete, Filenames, Mark, Missing, ProjectWrite, Publish
from tests.linearizability.objects import Write
from tests.linearizability.plan import VERSIONS, Plan, all_filenames, filenames, version_of
from tests.linearizability.recording import Recording, now

KILLED = 0.04
"""The share of its orders in which a hand is killed."""


def distribution(project: str, filename: str, salt: str) -> bytes:
    """A distribution that no other salt makes."""
    version = version_of(project, filename)
    if filename == wheel_name(project, version):
        return make_wheel(project, version, files={"salt.txt": salt.encode()})
    return make_sdist(project, version, metadata=metadata_text(project, version, extra=f"Keywords: {salt}\n"))


class Writer:
    """Shared by both kinds: choosing, pausing, counting."""

    def __init__(self, plan: Plan, name: str, number: int, recording: Recording) -> None:
        self.plan = plan
        self.choose: random.Random = plan.random(name)
        self.name = f"{plan.seed}-{name}"
        self.number = number
        self.recording = recording
        self.changes = 0
        self.kills = 0

    def step(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it holds."""

    def rest(self) -> float:
        """Seconds until the next change. Now and then long enough that the servers come to rest, and remember."""
        return self.choose.expovariate(1 / self.plan.pause)

    def content(self, project: str, chosen: tuple[str, ...]) -> dict[str, bytes]:
        self.changes += 1
        return {filename: distribution(project, filename, f"{self.name}-{self.changes}") for filename in chosen}

    def took_effect(self, project: str, write: ProjectWrite, invoked: int) -> None:
        self.recording.done(project, write, invoked, self.number)
        self.recording.counts[_verb(write)] += 1

    def was_refused(self, project: str, names: Filenames, invoked: int) -> None:
        self.recording.done(project, Missing(names), invoked, self.number)
        self.recording.counts["refused"] += 1

    def is_doubtful(self, name: str, write: Write, invoked: int) -> None:
        self.recording.doubtful(name, write, invoked, self.number)
        self.recording.counts["unknown"] += 1


class Uploader(Writer):
    """Publishes, overwrites and deletes releases over HTTP, each time on a new connection to any server."""

    def step(self) -> None:
        choose = self.choose
        project, kind = choose.choice(self.plan.projects), choose.random()
        connection = Connection(*choose.choice(self.plan.servers))
        filename, version = choose.choice(all_filenames(project)), choose.choice(VERSIONS)
        content = self.content(project, (filename,))[filename]
        try:
            connection.connect()
        except NotSent:
            self.recording.counts["not sent"] += 1
            return
        if kind < 0.6:
            self._publish(connection, project, filename, content)
        else:
            self._delete(connection, project, version)
        connection.close()

    def _publish(self, connection: Connection, project: str, filename: str, content: bytes) -> None:
        version = version_of(project, filename)
        body = multipart(twine_form(filename, content, name=project, version=version))
        write = Publish(((filename, hashlib.sha256(content).hexdigest()),))
        self._send(connection, project, write, None, content_type(), body)

    def _delete(self, connection: Connection, project: str, version: str) -> None:
        body = urlencode({":action": "remove_pkg", "name": project, "version": version}).encode()
        names = frozenset(filenames(project, version))
        self._send(connection, project, Delete(names), names, "application/x-www-form-urlencoded", body)

    def _send(
        self, connection: Connection, project: str, write: ProjectWrite, names: Filenames, media_type: str, body: bytes
    ) -> None:
        invoked = now()
        try:
            answer = connection.post("/", media_type, body, self.plan.credentials)
        except (NoAnswer, NotSent):
            self.is_doubtful(project, write, invoked)
            return
        if answer.status == 200:
            self.took_effect(project, write, invoked)
        elif answer.status == 404 and names is not None:
            self.was_refused(project, names, invoked)
        else:
            self.recording.odd[f"{_verb(write)}: {answer.status} {answer.body[:120].decode(errors='replace')}"] += 1
            if answer.status >= 500:
                self.is_doubtful(project, write, invoked)


class Hand(Writer):
    """Yanks, un-yanks, deletes and publishes whole releases by a process that works on the store, and is killed."""

    def __init__(self, plan: Plan, name: str, number: int, recording: Recording) -> None:
        super().__init__(plan, name, number, recording)
        self._process = HandProcess(plan.stores, self.choose)

    def close(self) -> None:
        self._process.close()

    def step(self) -> None:
        choose = self.choose
        project, kind = choose.choice(self.plan.projects), choose.random()
        filename, version = choose.choice(all_filenames(project)), choose.choice(VERSIONS)
        is_killed, after = self.plan.kill_hands and choose.random() < KILLED, choose.random() * 0.02
        content = self.content(project, filenames(project, version))
        reason = f"reason {self.name}-{self.changes}"
        order: dict[str, Any] = {"project": project}
        write: ProjectWrite
        if kind < 0.35:
            order |= {"do": "yank", "filename": filename, "reason": reason}
            write = Mark(frozenset({filename}), reason)
        elif kind < 0.45:
            order |= {"do": "yank", "version": version, "reason": reason}
            write = Mark(frozenset(filenames(project, version)), reason)
        elif kind < 0.6:
            order |= {"do": "unyank", "filename": filename}
            write = Mark(frozenset({filename}), None)
        elif kind < 0.75:
            files = [(each, base64.b64encode(data).decode()) for each, data in content.items()]
            order |= {"do": "publish", "files": files}
            write = Publish(tuple((each, hashlib.sha256(data).hexdigest()) for each, data in content.items()))
        elif kind < 0.85:
            order |= {"do": "delete", "filename": filename}
            write = Delete(frozenset({filename}))
        else:
            order |= {"do": "delete"}
            write = Delete(None)
        self._order(project, order, write, after if is_killed else None)

    def _order(self, project: str, order: dict[str, Any], write: ProjectWrite, killed_after: float | None) -> None:
        answer, invoked, answered = self._process.order(order, killed_after)
        self.kills = self._process.kills
        names = None if isinstance(write, Publish) else write.filenames
        if answer.get("done") is True:
            self.recording.histories[project].add(write, invoked, answered, client=self.number)
            self.recording.counts[_verb(write)] += 1
        elif answer.get("done") is False:
            self.was_refused(project, names, invoked)
        else:
            self.is_doubtful(project, write, invoked)
            if "error" in answer:
                self.recording.odd[f"{_verb(write)}: {answer['error']}"] += 1


def keep_on(writer: Writer, is_over: Callable[[], bool]) -> None:
    """Change one thing after the other until it is over."""
    while not is_over():
        writer.step()
        time.sleep(writer.rest())


def _verb(write: ProjectWrite) -> str:
    if isinstance(write, Mark):
        return "yank" if write.reason is not None else "unyank"
    return "publish" if isinstance(write, Publish) else "delete"
