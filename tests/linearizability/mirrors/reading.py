"""Clients of a mirror: they ask for pages and files through all workers, and write down what they were told."""

from __future__ import annotations

import hashlib
import pickle
import random
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.linearizability.http import Answer, Connection, NoAnswer, NotSent
from tests.linearizability.mirrors.judge import Failed, Got, NotThere, Observation, Read, Seen
from tests.linearizability.mirrors.plan import PREFIXES, SPELLINGS, MirrorPlan
from tests.linearizability.mirrors.states import Link, Page, read_html, read_json
from tests.linearizability.recording import now

_ACCEPT = {True: b"Accept: application/vnd.pypi.simple.v1+json\r\n", False: b"Accept: text/html\r\n"}
_STAY = 25
"""Requests on one connection, on the average: a connection belongs to one worker, and all are to be asked."""
_REMEMBERED = 12
_BUSY = {502, 503}
"""The statuses of a mirror while it cannot get a file or page."""


@dataclass
class Log:
    """The answers to the clients of one process. Threads may share it."""

    reads: list[Read] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    """Answers that no client should get."""
    bodies: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """The digest of a page's body by path, kind and ETag."""
    disagreements: list[str] = field(default_factory=list)
    """Two bodies under one of these."""
    known: dict[Observation, Observation] = field(default_factory=dict)
    """One object for each observation: most pages are seen many times."""

    def add(self, project: str, observation: Observation, invoked: int, client: int, path: str) -> None:
        ended = now()
        observation = self.known.setdefault(observation, observation)
        self.reads.append(Read(project, observation, invoked, ended, client, path))

    def saw_body(self, path: str, kind: str, etag: str, body: bytes) -> None:
        self.saw_digest((path, kind, etag), hashlib.sha256(body).hexdigest())

    def saw_digest(self, key: tuple[str, str, str], digest: str) -> None:
        if self.bodies.setdefault(key, digest) != digest:
            self.disagreements.append(" ".join(key))

    def merge(self, other: Log) -> None:
        """Take over what another one has."""
        self.reads += other.reads
        self.counts += other.counts
        self.odd += other.odd
        self.disagreements += other.disagreements
        for key, digest in other.bodies.items():
            self.saw_digest(key, digest)


class MirrorReader:
    """One client with one connection at a time."""

    def __init__(self, plan: MirrorPlan, number: int, log: Log) -> None:
        self._plan = plan
        self._choose: random.Random = plan.random(f"reader {number}")
        self._number = number
        self._log = log
        self._connection = self._reconnected()
        self._pages: dict[tuple[str, bool], tuple[bytes, Page]] = {}
        """By path and whether it is JSON."""
        self._links: dict[str, list[tuple[str, Link]]] = {project: [] for project in plan.projects}

    def close(self) -> None:
        self._connection.close()

    def step(self) -> None:
        """Ask one thing."""
        choose = self._choose
        kind, project, prefix = choose.random(), choose.choice(self._plan.projects), choose.choice(PREFIXES)
        if choose.random() < 1 / _STAY:
            self._connection.close()
            self._connection = self._reconnected()
        try:
            if kind < 0.25 and self._links[project]:
                self._download(project, *choose.choice(self._links[project]), is_metadata=choose.random() < 0.4)
            elif kind < 0.33 and self._plan.private:
                self._private(prefix, choose.choice(self._plan.private))
            else:
                self.page(project, prefix, is_json=choose.random() < 0.6)
        except (NoAnswer, NotSent):
            self._log.counts["lost"] += 1
            self._connection.close()
            self._connection = self._reconnected()

    def page(self, project: str, prefix: str, *, is_json: bool) -> Page | None:
        """Ask for a page; None where there is none. Raises NoAnswer, NotSent."""
        path = f"{prefix}/simple/{project}/"
        headers, known = _ACCEPT[is_json], self._pages.get((path, is_json))
        if known is not None:
            headers += b"If-None-Match: %b\r\n" % known[0]
        invoked = self._begin()
        answer = self._connection.get(path, headers)
        page: Page | None = None
        observation: Observation | None = self._error("page", answer)
        if answer.status == 304 and known is not None:
            page = known[1]
        elif answer.status == 200:
            page = read_json(answer.body, path) if is_json else read_html(answer.body, path)
            etag = answer.etag or b""
            self._pages[path, is_json] = etag, page
            self._log.saw_body(path, str(is_json), etag.decode(), answer.body)
            links = self._links[project]
            links += [(name, link) for name, link in page.links.items() if "-0.0." not in name]
            del links[:-_REMEMBERED]
        if page is not None:
            observation = Seen(page.shown)
        elif answer.status == 404:
            observation = Seen(None)
        if observation is not None:
            self._log.add(project, observation, invoked, self._number, path)
            self._log.counts["page"] += 1
        return page

    def files(self, project: str) -> None:
        """Download what the last pages of a project have shown, some of it. Raises NoAnswer, NotSent."""
        for filename, link in self._links[project][-2:]:
            self._download(project, filename, link, is_metadata=False)

    def _download(self, project: str, filename: str, link: Link, *, is_metadata: bool) -> None:
        if is_metadata and link.metadata is None:
            return
        path = f"{link.path}.metadata" if is_metadata else link.path
        invoked = self._begin()
        answer = self._connection.get(path)
        if answer.status == 200:
            got = hashlib.sha256(answer.body).hexdigest()
            if is_metadata:
                # the content of one address may change, and its metadata with it; they name the file's digest
                named = answer.body.decode("latin-1").rpartition(" ")[2]
                is_whole = got == hashlib.sha256(b"Metadata of " + named.encode()).hexdigest()
                got = named if is_whole else got
            self._log.add(project, Got(filename, got), invoked, self._number, path)
            self._log.counts["metadata" if is_metadata else "file"] += 1
        elif answer.status == 404:
            digest = link.sha256 if link.sha256[4:] in link.path else None
            self._log.add(project, NotThere(filename, digest), invoked, self._number, path)
            self._log.counts["no file"] += 1
        else:
            self._error("file", answer)

    def _private(self, prefix: str, name: str) -> None:
        """The upstream sees it, if it is asked."""
        spelling = self._choose.choice((name, SPELLINGS.get(name, name)))
        path = self._choose.choice(("/simple/{}/", "/pypi/{}/json", "/simple/{}"))
        self._begin()
        self._connection.get(f"{prefix}{path.format(spelling)}", _ACCEPT[True])
        self._log.counts["private"] += 1

    def _begin(self) -> int:
        self._connection.connect()
        return now()

    def _error(self, what: str, answer: Answer) -> Failed | None:
        """The observation of an error; None for another answer."""
        if answer.status in {200, 304, 404}:
            return None
        self._log.counts[f"{what} refused"] += 1
        if answer.status not in _BUSY:
            self._log.odd[f"{what}: {answer.status} {answer.body[:120].decode(errors='replace')}"] += 1
        return Failed(answer.status, answer.body[:200].decode(errors="replace"))

    def _reconnected(self) -> Connection:
        return Connection(*self._choose.choice(self._plan.servers))


def read_all(plan: MirrorPlan, number: int, path: Path) -> None:
    """One process of readers, until the time of the plan is over; its log is saved."""
    log, until = Log(), time.monotonic() + plan.seconds
    failed: list[str] = []

    def run(reader: MirrorReader) -> None:
        try:
            while time.monotonic() < until and not failed:
                reader.step()
            reader.close()
        except Exception:  # noqa: BLE001 - it is printed and fails the process
            failed.append(traceback.format_exc())

    readers = [MirrorReader(plan, 100 * number + each, log) for each in range(plan.readers)]
    threads = [threading.Thread(target=run, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit("\n".join(failed))
    path.write_bytes(pickle.dumps(log))
