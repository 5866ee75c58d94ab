"""Listings: the project list and project pages, in all their forms."""

from __future__ import annotations

import time
from collections.abc import Mapping

from benchmarks.corpora import Corpus
from benchmarks.load import VERY_SLOW_SECONDS, Load, ask
from benchmarks.peers import BARE, QUIRE, Server
from benchmarks.peers.server import Form
from benchmarks.processes import Unavailable
from benchmarks.suite import Suite

PAGE = "project page, 200 in turn"
LIST = "project list"
ONE = "one project page"
JSON = "project page as JSON, 200 in turn"
GZIP = "project page, gzip, 200 in turn"
UNCHANGED = "304 for one project page"
AUTHENTICATED = "project page, everybody logs in"
AUTHENTICATED_LIST = "project list, everybody logs in"
AUTHENTICATED_UNCHANGED = "304, everybody logs in"
AUTHENTICATED_FILE = "small file, everybody logs in"


def measure(suite: Suite) -> None:
    for corpus in suite.corpora:
        suite.say(f"pages, corpus {corpus.name}")
        with suite.running(corpus, [QUIRE, *suite.others("page")]) as servers:
            _measure(suite, corpus, servers)


def _measure(suite: Suite, corpus: Corpus, servers: Mapping[str, Server]) -> None:
    def offering(*wanted: str) -> dict[str, Server]:
        return {label: server for label, server in servers.items() if server.peer.offers.issuperset(wanted)}

    def rotating(server: Server, form: Form = "html") -> Load:
        check(server, corpus, form)
        paths = [server.path(corpus.project(number), form) for number in corpus.asked]
        return ask(server, paths, server.headers(form), suite.seconds)

    def one(server: Server) -> Load:
        check(server, corpus, "html")
        return ask(server, [server.path(corpus.project(corpus.one))], server.headers(), suite.seconds)

    def unchanged(server: Server) -> Load:
        path = server.path(corpus.project(corpus.one))
        headers = server.headers() | {"If-None-Match": server.ask(path).headers["etag"]}
        if server.ask(path, headers).status != 304:
            raise Unavailable("it does not answer 304 to its own validator")
        return ask(server, [path], headers, suite.seconds)

    def project_list(server: Server) -> Load:
        if server.name != BARE.name and not server.lists(corpus):
            raise Unavailable("its project list lacks a project")
        return ask(server, [server.path()], server.headers(), suite.seconds)

    suite.interleave(PAGE, corpus.name, servers, rotating)
    suite.interleave(LIST, corpus.name, offering("list"), project_list)
    fast = {label: server for label, server in offering("gzip").items() if server.peer.name in {"quire", "nginx"}}
    suite.interleave(ONE, corpus.name, fast | offering_bare(servers), one)
    suite.interleave(UNCHANGED, corpus.name, fast, unchanged)
    if corpus.name == "M":
        suite.interleave(JSON, corpus.name, offering("json"), lambda server: rotating(server, "json"))
        suite.interleave(GZIP, corpus.name, fast, lambda server: rotating(server, "gzip"))


def offering_bare(servers: Mapping[str, Server]) -> dict[str, Server]:
    return {label: server for label, server in servers.items() if server.peer is BARE}


def check(server: Server, corpus: Corpus, form: Form) -> None:
    """One right answer before the load. Raises Unavailable."""
    if server.peer is BARE:
        return
    began = time.monotonic()
    for number in (corpus.one, corpus.asked[0], corpus.asked[-1]):
        if time.monotonic() - began > VERY_SLOW_SECONDS:
            return
        answer = server.ask(server.path(corpus.project(number), form), server.headers(form))
        if answer.status != 200:
            raise Unavailable(f"it answered {answer.status} for a page as {form}")
        if form == "gzip":
            if answer.headers.get("content-encoding") != "gzip":
                raise Unavailable("its page is not compressed")
        elif corpus.filename(number, corpus.files_each - 1).encode() not in answer.body:
            raise Unavailable(f"its page as {form} lacks a file")


def measure_authenticated(suite: Suite) -> None:
    """The same page with a login for everything: quire without, quire with, quire without, pypiserver with, ..."""
    login = suite.login()
    for corpus in suite.corpora:
        if corpus.name not in {"S", "M"}:
            continue
        suite.say(f"pages with a login, corpus {corpus.name}")
        with (
            suite.running(corpus, [QUIRE]) as plain,
            suite.running(corpus, [QUIRE, *suite.others("auth", "page")], login) as guarded,
        ):
            for label, server in guarded.items():
                path = server.path(corpus.project(corpus.one))
                if server.ask(path, {}).status != 401:
                    suite.missing(AUTHENTICATED, corpus.name, label, "it asks for no login")

            def rotating(server: Server, corpus: Corpus = corpus) -> Load:
                check(server, corpus, "html")
                paths = [server.path(corpus.project(number)) for number in corpus.asked]
                return ask(server, paths, server.headers(), suite.seconds)

            def project_list(server: Server) -> Load:
                return ask(server, [server.path()], server.headers(), suite.seconds)

            def unchanged(server: Server, corpus: Corpus = corpus) -> Load:
                path = server.path(corpus.project(corpus.one))
                headers = server.headers() | {"If-None-Match": server.ask(path).headers["etag"]}
                return ask(server, [path], headers, suite.seconds)

            def small_file(server: Server, corpus: Corpus = corpus) -> Load:
                path = server.file_path(corpus.project(corpus.one), corpus.filename(corpus.one, 0))
                return ask(server, [path], server.headers(), suite.seconds)

            suite.interleave(AUTHENTICATED, corpus.name, plain | guarded, rotating)
            ours = plain | {label: server for label, server in guarded.items() if server.peer is QUIRE}
            suite.interleave(AUTHENTICATED_LIST, corpus.name, ours, project_list)
            suite.interleave(AUTHENTICATED_UNCHANGED, corpus.name, ours, unchanged)
            suite.interleave(AUTHENTICATED_FILE, corpus.name, ours, small_file)
