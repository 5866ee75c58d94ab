"""The questions of clients, in all forms; each question is checked for a right answer before its load."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.corpora import BIG_BYTES, Corpus
from benchmarks.load import VERY_SLOW_SECONDS, Load, ask, ask_quickly
from benchmarks.peers import Server
from benchmarks.peers.server import Form
from benchmarks.processes import Unavailable

_PART = {"Range": f"bytes={BIG_BYTES - 1_000_000}-{BIG_BYTES - 1_000_000 + 65_535}"}
_LARGE_CONNECTIONS = 8
_LARGE_SECONDS = 4.0  # files that are not complete at the end do not count


@dataclass(frozen=True)
class Questions:
    """Loads on servers that have this corpus. All raise Unavailable for a server whose answer is not right."""

    corpus: Corpus
    seconds: float
    """Of each load."""

    def rotating(self, server: Server, form: Form = "html") -> Load:
        """Pages of many projects in turn."""
        check(server, self.corpus, form)
        paths = [server.path(self.corpus.project(number), form) for number in self.corpus.asked]
        return ask(server, paths, server.headers(form), self.seconds)

    def one(self, server: Server) -> Load:
        """The page of one project."""
        check(server, self.corpus, "html")
        return ask(server, [server.path(self.corpus.project(self.corpus.one))], server.headers(), self.seconds)

    def unchanged(self, server: Server) -> Load:
        """The page of one project, by a client that has it."""
        path = server.path(self.corpus.project(self.corpus.one))
        headers = server.headers() | validator(server.ask(path).headers)
        if (status := server.ask(path, headers).status) != 304:
            raise Unavailable(f"it answers {status} to its own validator")
        return ask(server, [path], headers, self.seconds)

    def listed(self, server: Server, form: Form = "html") -> Load:
        """The list of all projects."""
        is_known_slow = server.answer_seconds is not None and server.answer_seconds > VERY_SLOW_SECONDS
        if server.peer.form != "none" and not is_known_slow:
            answer = server.ask(server.path(None, form), server.headers(form))
            _check_form(answer.headers, form)
            if answer.status != 200 or self.corpus.project(self.corpus.projects - 1).encode() not in answer.body:
                raise Unavailable(f"its project list, with status {answer.status}, lacks a project")
        return ask(server, [server.path(None, form)], server.headers(form), self.seconds)

    def small_file(self, server: Server) -> Load:
        path = self._file(server)
        answer = server.ask(path)
        if answer.body[:2] != b"PK":
            raise Unavailable(f"it answered {answer.status} with something that is no wheel")
        return ask(server, [path], server.headers(), self.seconds)

    def large_file(self, server: Server) -> Load:
        """To be asked of the corpus with the file of 20 MB."""
        path = self._file(server)
        answer = server.ask(path)
        if answer.status != 200 or len(answer.body) < BIG_BYTES:
            raise Unavailable(f"it answered {answer.status} with {len(answer.body)} bytes")
        seconds = max(_LARGE_SECONDS, self.seconds)
        return ask_quickly(server, [path], server.headers(), seconds, connections=_LARGE_CONNECTIONS)

    def part(self, server: Server) -> Load:
        """64 KiB of the file of 20 MB."""
        path, headers = self._file(server), server.headers() | _PART
        answer = server.ask(path, headers)
        if (answer.status, len(answer.body)) != (206, 65_536):
            raise Unavailable(f"it answered a request for 64 KiB with {answer.status} and {len(answer.body)} bytes")
        return ask(server, [path], headers, self.seconds)

    def _file(self, server: Server) -> str:
        return server.file_path(self.corpus.project(self.corpus.one), self.corpus.filename(self.corpus.one, 0))


def check(server: Server, corpus: Corpus, form: Form) -> None:
    """One right answer before the load. Raises Unavailable."""
    if (
        server.peer.form == "none" or (server.answer_seconds or 0) > VERY_SLOW_SECONDS
    ):  # a slow one was asked when it started
        return
    began = time.monotonic()
    for number in (corpus.one, corpus.asked[0], corpus.asked[-1]):
        if time.monotonic() - began > 1:
            return
        answer = server.ask(server.path(corpus.project(number), form), server.headers(form))
        if answer.status != 200:
            raise Unavailable(f"it answered {answer.status} for a page as {form}")
        _check_form(answer.headers, form)
        if form != "gzip" and corpus.filename(number, corpus.files_each - 1).encode() not in answer.body:
            raise Unavailable(f"its page as {form} lacks a file")


def validator(headers: Mapping[str, str]) -> dict[str, str]:
    """The header of a client that has the answer with these headers. Raises Unavailable when nothing can be asked."""
    if "etag" in headers:
        return {"If-None-Match": headers["etag"]}
    if "last-modified" in headers:
        return {"If-Modified-Since": headers["last-modified"]}
    raise Unavailable("its pages have neither ETag nor Last-Modified, so it never answers 304")


def _check_form(headers: Mapping[str, str], form: Form) -> None:
    kind = headers.get("content-type", "")
    if form == "gzip" and headers.get("content-encoding") != "gzip":
        raise Unavailable("it does not compress")
    if form == "json" and "json" not in kind:
        raise Unavailable("it has no JSON")
    if form == "html" and "html" not in kind:
        raise Unavailable(f"it answered with {kind} where HTML was asked for")
