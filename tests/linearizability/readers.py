"""Clients that ask, as fast as they can, and write down what they were told."""

from __future__ import annotations

import hashlib
import random

from tests.linearizability import pages
from tests.linearizability.http import Answer, Connection, NoAnswer, NotSent
from tests.linearizability.model import NOTHING, Holds, Lacks, Listed, Missing, Page
from tests.linearizability.plan import Plan
from tests.linearizability.recording import Recording, now

_JSON = b"Accept: application/vnd.pypi.simple.v1+json\r\n"
_HTML = b"Accept: text/html\r\n"
_STAY = 150
"""Requests on one connection, on the average: a connection belongs to one worker, and all are to be asked."""
_UNSETTLED = (b"change faster than they can be read", b"is replaced faster than it can be opened")
"""From the answers about drop-in files that did not rest long enough, as docs/consistency.md has them."""
_REMEMBERED = 12


class Reader:
    """One client with one connection at a time. Every answer is one operation; a broken connection is none."""

    def __init__(self, plan: Plan, name: str, number: int, recording: Recording) -> None:
        self._plan = plan
        self._choose: random.Random = plan.random(name)
        self._routes: random.Random = plan.random(f"{name} routes")
        self._number = number
        self._recording = recording
        self._connection = self._reconnected()
        self._pages: dict[tuple[str, bool], tuple[bytes, int]] = {}
        """By project and whether it is JSON: the validator, and the number of what that page said."""
        self._names: dict[bool, tuple[bytes, frozenset[str]]] = {}
        self._seen: dict[str, list[tuple[str, str]]] = {project: [] for project in plan.every_project}
        """The last files that pages showed."""
        self.reads = 0

    def close(self) -> None:
        self._connection.close()

    def step(self) -> None:
        """Ask one thing. The seed repeats the choices; only which file a download means depends on what was shown."""
        choose = self._choose
        kind, project, pick, leave = (
            choose.random(),
            choose.choice(self._plan.every_project),
            choose.random(),
            choose.random(),
        )
        if leave < 1 / _STAY:
            self._connection.close()
            self._connection = self._reconnected()
        try:
            if kind < 0.10:
                self._download(project, pick)
            elif kind < 0.25:
                self._list(is_json=pick < 0.8)
            else:
                self.page(project, is_json=pick < 0.85)
        except (NoAnswer, NotSent):
            self._recording.counts["read lost"] += 1
            self._connection.close()
            self._connection = self._reconnected()

    def look_at_everything(self) -> None:
        """Every list and page in both forms, and every file that they show. Raises NoAnswer, NotSent."""
        for is_json in (True, False):
            self._list(is_json=is_json)
            for project in self._plan.every_project:
                self.page(project, is_json=is_json)
        for project, files in self._seen.items():
            for filename, sha256 in dict.fromkeys(files):
                self._download_file(project, filename, sha256)

    def _reconnected(self) -> Connection:
        return Connection(*self._routes.choice(self._plan.servers))

    def page(self, project: str, *, is_json: bool) -> None:
        is_json = is_json and not self._plan.plain
        headers = self._plan.credentials + (_JSON if is_json else _HTML)
        known = self._pages.get((project, is_json))
        if known is not None:
            headers += b"If-None-Match: %b\r\n" % known[0]
        self._connection.connect()
        invoked = now()
        answer = self._connection.get(f"/simple/{project}/", headers)
        ended = now()
        history = self._recording.histories[project]
        if answer.status == 304 and known is not None:
            number = known[1]
        elif answer.status == 404:
            number = history.number(Page(NOTHING))
        elif answer.status == 200:
            page = pages.project_json(answer.body) if is_json else pages.project_html(answer.body)
            number = history.number(page)
            if answer.etag is not None:
                self._pages[project, is_json] = answer.etag, number
            seen = self._seen[project]
            seen += [(entry.filename, entry.sha256) for entry in page.files]
            del seen[:-_REMEMBERED]
        else:
            return self._without_content("page", project, answer)
        history.add_number(number, invoked, ended, client=self._number)
        return self._count("page")

    def _list(self, *, is_json: bool) -> None:
        is_json = is_json and not self._plan.plain
        headers = self._plan.credentials + (_JSON if is_json else _HTML)
        known = self._names.get(is_json)
        if known is not None:
            headers += b"If-None-Match: %b\r\n" % known[0]
        self._connection.connect()
        invoked = now()
        answer = self._connection.get("/simple/", headers)
        ended = now()
        if answer.status == 304 and known is not None:
            names = known[1]
        elif answer.status == 200:
            names = frozenset(pages.names_json(answer.body) if is_json else pages.names_html(answer.body))
            if answer.etag is not None:
                self._names[is_json] = answer.etag, names
        else:
            return self._odd("list", answer)
        for project in self._plan.every_project:
            if project in self._plan.dropped and project in names:
                continue  # by the names of its files alone, which may be incomplete
            history = self._recording.histories[project]
            number = history.number(Listed(project in names))
            history.add_number(number, invoked, ended, client=self._number)
        return self._count("list")

    def _download(self, project: str, pick: float) -> None:
        seen = self._seen[project]
        if not seen:
            return None
        return self._download_file(project, *seen[int(pick * len(seen))])

    def _download_file(self, project: str, filename: str, sha256: str) -> None:
        is_plain = self._plan.plain or project in self._plan.dropped
        path = f"/packages/{filename}" if is_plain else f"/packages/{project}/{sha256}/{filename}"
        self._connection.connect()
        invoked = now()
        answer = self._connection.get(path, self._plan.credentials)
        if answer.status == 200:
            got = hashlib.sha256(answer.body).hexdigest()
            if project in self._plan.dropped and answer.etag != f'"{got}"'.encode():
                self._recording.counts["torn"] += 1  # copied over while it was sent; the digest tells
                return None
            self._recording.done(project, Holds(filename, got), invoked, self._number)
        elif answer.status == 404:
            gone = Missing(frozenset({filename})) if is_plain else Lacks(filename, sha256)
            self._recording.done(project, gone, invoked, self._number)
        else:
            return self._without_content("download", project, answer)
        return self._count("download")

    def _count(self, what: str) -> None:
        self.reads += 1
        self._recording.counts[what] += 1

    def _without_content(self, what: str, project: str, answer: Answer) -> None:
        """An answer that tells nothing about the project: right only where its files change while they are read."""
        if answer.status == 503 and project in self._plan.dropped and any(text in answer.body for text in _UNSETTLED):
            self._recording.counts["unsettled"] += 1
        else:
            self._odd(what, answer)

    def _odd(self, what: str, answer: Answer) -> None:
        self._recording.odd[f"{what}: {answer.status} {answer.body[:120].decode(errors='replace')}"] += 1
