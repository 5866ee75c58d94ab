"""The projects of the upstream of a run, their changes, and their pages."""

from __future__ import annotations

import hashlib
import html
import json
import random
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from tests.distributions import sdist_name, wheel_name
from tests.linearizability.mirrors.judge import Published
from tests.linearizability.mirrors.states import Shown
from tests.linearizability.model import Entry
from tests.linearizability.recording import now

_MOST_FILES = 6
"""That come and go."""
_STATUSES = ("active", "archived", "deprecated", "quarantined")


class Place(Enum):
    """Where the files of a project are, and so which address a mirror gives them."""

    DIGEST = auto()
    """The address has a digest, and stays."""
    PLAIN = auto()
    """Relative to the page; other content may come to the same address."""
    QUERY = auto()
    """With a query, as signed URLs have it."""


@dataclass(frozen=True)
class Content:
    """The bytes of a file, by what they are made of."""

    data: bytes
    reason: str | None = None
    """Why it is yanked; None when it is not."""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class Offered:
    """One project. Not safe for threads: its upstream locks."""

    name: str
    place: Place
    is_html: bool = False
    has_sizes: bool = True
    has_serial: bool = True
    ballast: int = 0
    """Files that never change: a page of many is kept in another way than a small one."""
    files: dict[str, Content] = field(default_factory=dict)
    status: str = "active"
    is_there: bool = True
    history: list[Published] = field(default_factory=list)
    pages: list[bytes] = field(default_factory=list)
    """Of each state; empty where it has none."""
    paths: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By address: filename and digest of what is there, or was."""
    _made: int = 0

    def begin(self, base: str) -> None:
        """The first state. `base`: the URL of the upstream, without a slash at the end."""
        self._base = base
        for number in range(self.ballast):
            filename = wheel_name(self.name, f"0.0.{number + 1}")
            self.files[filename] = self._content(filename)
        self._add()
        self._publish()

    def change(self, choose: random.Random) -> None:
        """The next state."""
        there = [name for name in self.files if "-0." not in name]
        kind = choose.random()
        if not self.is_there:
            self.is_there = True
        elif (kind < 0.35 and len(there) < _MOST_FILES) or not there:
            self._add(choose.random() < 0.3)
        elif kind < 0.5:
            del self.files[choose.choice(there)]
        elif kind < 0.7:
            filename = choose.choice(there)
            found = self.files[filename]
            self.files[filename] = Content(found.data, None if found.reason else f"reason {self._made}")
        elif kind < 0.8:
            filename = choose.choice(there)
            self.files[filename] = self._content(filename)  # the same name, other bytes
        elif kind < 0.93:
            self.status = choose.choice(_STATUSES)
        else:
            self.is_there = False
        self._publish()

    @property
    def is_numbered(self) -> bool:
        """Whether its pages say their number, so that an old one shows."""
        return self.has_serial and not self.is_html

    @property
    def number(self) -> int:
        return len(self.history) - 1

    def etag(self, number: int) -> str:
        return f'"{self.name}-{number}"'

    def find(self, path: str) -> bytes | None:
        """The bytes at an address now; None for none."""
        filename, digest = self.paths.get(path, ("", ""))
        found = self.files.get(filename) if self.is_there else None
        if found is None or (self.place is not Place.PLAIN and found.sha256 != digest):
            return None
        return found.data

    def metadata(self, path: str) -> bytes | None:
        """The metadata beside the file at an address; None for none."""
        data = self.find(path)
        return None if data is None or not path.endswith(".whl") else _metadata(data)

    # -- making -------------------------------------------------------------------------------------------------------

    def _add(self, is_sdist: bool = False) -> None:
        version = f"1.{self._made}"
        filename = sdist_name(self.name, version) if is_sdist else wheel_name(self.name, version)
        self.files[filename] = self._content(filename)

    def _content(self, filename: str) -> Content:
        self._made += 1
        seed = f"{filename} {self._made}"
        return Content(random.Random(seed).randbytes(60_000 if self._made % 7 == 0 else 700))

    def _publish(self) -> None:
        """Make the next state of what is there. Its number is on its page: as the reason of the status, or of a file
        that is yanked."""
        begun, number = now(), len(self.history)
        mark = sdist_name(self.name, "0.1")
        reason = None if self.status == "active" else f"state {number}"
        files = {**self.files, mark: Content(mark.encode(), f"state {number}")}
        entries = frozenset(Entry(name, each.sha256, each.reason) for name, each in files.items())
        is_quarantined = self.status == "quarantined"
        shown = Shown(self.status, reason, frozenset() if is_quarantined else entries)
        self.files[mark] = files[mark]
        for name, each in files.items():
            self.paths[self._path(name, each)] = (name, each.sha256)
        self.pages.append((self._html if self.is_html else self._json)(files, reason, number) if self.is_there else b"")
        self.history.append(Published(begun, shown if self.is_there else None))

    def _path(self, filename: str, content: Content) -> str:
        digest = content.sha256
        if self.place is Place.DIGEST:
            return f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}"
        return f"/files/{self.name}/{digest[:8] if self.place is Place.QUERY else 'plain'}/{filename}"

    def _url(self, filename: str, content: Content) -> str:
        path = self._path(filename, content)
        if self.place is Place.PLAIN:
            return f"../..{path}"
        return f"{self._base}{path}{'?signature=1' if self.place is Place.QUERY else ''}"

    def _json(self, files: dict[str, Content], reason: str | None, number: int) -> bytes:
        status = {"status": self.status} | ({"reason": reason} if reason else {})
        meta: dict[str, Any] = {"api-version": "1.4"} | ({"_last-serial": number + 1} if self.has_serial else {})
        entries = []
        for name, each in files.items():
            entry: dict[str, Any] = {
                "filename": name,
                "url": self._url(name, each),
                "hashes": {"sha256": each.sha256},
                "yanked": each.reason or False,
            }
            if self.has_sizes:
                entry["size"] = len(each.data)
            if name.endswith(".whl"):
                entry["core-metadata"] = {"sha256": hashlib.sha256(_metadata(each.data)).hexdigest()}
            entries.append(entry)
        document = {"meta": meta, "name": self.name, "project-status": status, "files": entries, "versions": []}
        return json.dumps(document).encode()

    def _html(self, files: dict[str, Content], reason: str | None, _: int) -> bytes:
        lines = ["<!DOCTYPE html><html><head>", '<meta name="pypi:repository-version" content="1.4">']
        if reason:
            lines.append(f'<meta name="pypi:project-status" content="{self.status}">')
            lines.append(f'<meta name="pypi:project-status-reason" content="{reason}">')
        lines.append("</head><body>")
        for name, each in files.items():
            yanked = f' data-yanked="{html.escape(each.reason)}"' if each.reason else ""
            digest = hashlib.sha256(_metadata(each.data)).hexdigest()
            metadata = f' data-core-metadata="sha256={digest}"' if name.endswith(".whl") else ""
            lines.append(f'<a href="{self._url(name, each)}#sha256={each.sha256}"{yanked}{metadata}>{name}</a><br>')
        return "\n".join([*lines, "</body></html>\n"]).encode()


def _metadata(data: bytes) -> bytes:
    """Of a wheel with these bytes."""
    return b"Metadata of " + hashlib.sha256(data).hexdigest().encode()
