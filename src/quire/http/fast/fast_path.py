"""The fast path: a page of the simple API that was served before and is still true needs only a validation.

Theory of operation. These are nearly all of an index's requests. When one comes, everything that does not depend on the
moment was done for an earlier one: the page was rendered and compressed, the headers were put together, the Accept and
Authorization headers of this very spelling were understood. Two checks are left, which make the answer right: that this
client may have it, and that the page is still true (`quire.catalog.freshness`). So these few steps stand before the
general application, and a request that is not plain - another method, a query, a body, an ambiguous frame, a page that
takes a thread to be read or rendered - is left to it: `answer` returns None. There is nothing that only this module can
answer, and nothing that it answers otherwise than the application would.

A page that was not asked for before is answered too, where it takes no more than a small read of the system's memory:
one of another server that any worker has kept (`quire.upstream.renderings`), and a small one that has changed.

On a local file system the validation is inline. Over a network a task awaits it, and other requests are answered
meanwhile; the steps are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from datetime import UTC, datetime
from functools import cached_property, partial
from time import perf_counter
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from quire.access.authenticator import Login
from quire.access.authorization import ALLOWED, Right
from quire.access.credentials import TokenLogin, find_token_text
from quire.access.decisions import AccessState, TokenFault
from quire.access.principals import ANONYMOUS, Principal
from quire.access.rates import NO_LIMIT
from quire.access.tokens import TokenText
from quire.catalog.served import ServedIndex
from quire.catalog.views import NamesView, ProjectView
from quire.domain.errors import QuireError
from quire.domain.names import is_normalized
from quire.domain.times import moment
from quire.http.app.framing import problem_with
from quire.http.app.proxies import peer_of
from quire.http.app.request_log import AccessLog, RequestIds
from quire.http.app.routes import Endpoint, endpoint_of
from quire.http.app.worker import Worker
from quire.http.fast.fast_path_files import FILES, FastPathFiles
from quire.http.fast.fast_path_pages import Connected, FastPathPages
from quire.http.fast.prepared import Prepared
from quire.http.fast.raw_requests import RawRequests
from quire.http.fast.responses import (
    IDENTITY,
    AskedPage,
    CachedResponse,
    Download,
    Headers,
    IdentifiedResponse,
)
from quire.http.simple.files import log_broken_off
from quire.render.negotiation import Encoding, MediaType, negotiate, negotiate_encoding
from quire.store.open_blob import OpenBlob

_MAX_HOSTS = 64
_MAX_READERS = 1024
_PROJECTS = endpoint_of("projects")
_PROJECT = endpoint_of("project")


class _Loaded(NamedTuple):
    """A page and the grants, both as they were after some requests had come."""

    view: ProjectView | NamesView
    state: AccessState


class _Reader(NamedTuple):
    """A principal that may read, by one state of the grants."""

    principal: Principal
    until: datetime | None
    """When its token ends; None for never."""


class FastPath:
    """Finds prepared responses of one worker. Belongs to its event loop."""

    def __init__(self, worker: Worker, index: ServedIndex) -> None:
        settings = worker.settings
        self._worker = worker
        self.waits = not index.projects.is_inline
        """Whether validations wait for a network. Then `respond_inline` returns None; call `respond_awaited`, or its
        steps `ask`, `load` and `respond`."""
        self._root = f"{settings.server_base_url}/"
        self._authorize = worker.access.rules.authorize
        self._access = worker.access.stored
        self._uses = worker.access.uses
        self._rates = worker.access.rates
        self._algorithm = settings.hash_algorithm
        self._hosts: set[str] = set()
        self._allowed = worker.hosts
        self._host_is_forwarded = worker.proxies.reports_hosts and not worker.hosts.is_any
        self._tally = worker.metrics.tally
        self._log = AccessLog(settings)
        self._leaves_all = self._log.is_on and self._log.is_formatted
        """Whether the log needs to know more of each request than is known here."""
        self._ids = RequestIds()
        self._authenticator = worker.access.authenticator
        self._user_headers = settings.user_headers
        sharing = (
            index.projects,
            index.project_names,
            worker.access.stored,
            worker.access.authenticator,
            self._log if self._log.is_on else None,
        )
        self._sharing = [each for each in sharing if each is not None]
        self._named: dict[str, FastPath] = {}
        """The parts for indexes that paths name."""
        self._front = self
        """The part for the index at the root, which has the others."""
        self._kept_by: AccessState | None = None
        """The last state by which it has only parts for indexes that are there."""
        self._begin(index, settings.server_base_url)

    def _begin(self, index: ServedIndex, base: str) -> None:
        """`base`: the path below which the index is served."""
        self._index = index
        self._simple = f"{base}{_PROJECT.base}"
        self._base = base
        self._state: AccessState | None = None
        self._pages_are_open = self._files_are_open = False
        """Whether pages and files need no login in that state of the grants."""
        self._readers: dict[tuple[object, ...], _Reader] = {}
        """The principals that were found to have the right to pages or files in that state. A decision is a function
        of the state and the time, so it stands while the validated state is the same one."""
        self.files = FastPathFiles(self._worker, index, base)
        self.pages = FastPathPages(self._worker, index, base)

    def _is_composed(self, state: AccessState) -> bool:
        """Whether the index is composed as this state of the definitions says. Else this request is the application's,
        and the next ones are of the new composition."""
        served = self._worker.served(self._index.name, state)
        if served is self._index:
            return True
        if served is not None and self._base == self._root[:-1]:
            self._forget(*self._named)
            for before, after in (
                (self._index.projects, served.projects),
                (self._index.project_names, served.project_names),
            ):
                self._sharing[self._sharing.index(before)] = after
            self._begin(served, self._base)
        return False

    def _of_index(self, path: str, state: AccessState) -> FastPath | None:
        """The part for the index that a path names, by this state of the definitions; None without one."""
        if not path.startswith(self._root):
            return None
        name = path[len(self._root) :].partition("/")[0]
        if name not in state.document.indexes:
            self._forget(name)
            return None
        index, part = self._worker.served(name, state), self._named.get(name)
        if part is not None and part._index is index:
            return part
        self._forget(name)
        if index is not None:
            part = self._named[name] = copy(self)
            part._begin(index, f"{self._root}{name}")
            self._sharing += [] if index is self._index else [index.projects, index.project_names]
        return None  # its barriers share validations from the next turn on; this request is the application's

    def _forget(self, *names: str) -> None:
        dropped = set()
        for part in [self._named.pop(name) for name in names if name in self._named]:
            if part._index is not self._index:
                for barrier in (part._index.projects, part._index.project_names):
                    barrier.end_tick()
                    dropped.add(id(barrier))
        if dropped:
            self._sharing[:] = [each for each in self._sharing if id(each) not in dropped]

    def _keep_only(self, state: AccessState) -> None:
        """Forget the parts for indexes that are gone by this state: stages come and go, and no path names them
        again."""
        if self._kept_by is not state:
            self._kept_by = state
            self._forget(*(self._named.keys() - state.document.indexes.keys()))

    def begin_tick(self) -> None:
        """All requests from here to `end_tick` share validations (`Barrier.begin_tick`)."""
        for each in self._sharing:
            each.begin_tick()

    def end_tick(self) -> None:
        for each in self._sharing:
            each.end_tick()

    def find_login(self, authorization: str) -> Login | TokenLogin | None:
        """The login for this header, to pass to `respond_inline` and `respond_awaited`; None for an unknown header."""
        known = None if self._authenticator is None else self._authenticator.find_login(authorization)
        if known is not None:
            return known
        sent = find_token_text(authorization)
        return TokenLogin(sent.identity, sent.digest) if isinstance(sent, TokenText) else None

    def respond_inline(
        self,
        path: str,
        headers: Headers,
        client: Callable[[], str],
        login: Login | TokenLogin | None = None,
        *,
        takes_files: bool = False,
        scheme: str = "http",
    ) -> IdentifiedResponse | None:
        """The answer to a GET without a query, which is then counted and logged as given; None when the general
        application has to find it.

        `path`: percent-decoded. `client`: returns the client's address. `login`: see `find_login`. `takes_files`:
        whether the server can send a `Download`; its request is counted and logged when the file has been sent.
        `scheme`: of the connection.
        """
        if self._leaves_all:
            return None
        begun = perf_counter()
        found = self.find_response(path, headers, login, takes_files=takes_files, connected=(client, scheme))
        if found is None:
            return None
        answer, principal = found
        return self._record(answer, principal, path, headers, client, begun=begun)

    async def respond_awaited(
        self, path: str, headers: Headers, client: Callable[[], str], login: Login | TokenLogin | None = None
    ) -> IdentifiedResponse | None:
        """As `respond_inline`, where validations wait for a network (`waits`)."""
        begun = perf_counter()
        try:
            asked = self.ask(path, headers, login)
            loaded = None if asked is None else await self.load(asked.of_index, asked.project, 1)
        except QuireError:  # as in `find_response`
            return None
        if asked is None or loaded is None:
            return None
        return self.respond(asked, loaded, path, headers, client, begun=begun)

    def ask(self, path: str, headers: Headers, login: Login | TokenLogin | None = None) -> AskedPage | None:
        """The page that a GET asks for, where validations wait for a network (`waits`); None when the general
        application has to answer. Of pages only: a file has to be opened, too, which needs a thread there.

        Raises QuireError.
        """
        if self._leaves_all:
            return None
        if not path.startswith(self._simple):
            known = self._access.memory.get("")
            part = None if known is None else self._of_index(path, known.state)
            asked = None if part is None or not path.startswith(part._simple) else part.ask(path, headers, login)
            return None if asked is None or part is None else asked._replace(of_index=part._index.name)
        wanted = self._negotiated(headers) if self._is_supported(headers) else None
        if wanted is None:
            return None
        if login is None and (header := headers.get("authorization")) is not None:
            login = self.find_login(header)
        if path == self._simple:
            return None if self._index.project_names.memory.get("") is None else AskedPage(None, wanted, login)
        name = path[len(self._simple) : -1]
        if path[-1] != "/" or self._index.projects.memory.get(name) is None:
            return None  # it was never asked for
        return AskedPage(name, wanted, login)

    async def load(self, index: str | None, project: str | None, requests: int) -> _Loaded | None:
        """The view of `AskedPage.project` as it is now, and the grants, for so many requests that came before; None for
        a project or an index that is not there. Raises QuireError."""
        if index is not None:
            part = self._named.get(index)
            loaded = None if part is None else await part.load(None, project, requests)
            is_true = loaded is not None and self._worker.served(index, loaded.state) is part._index  # type: ignore[union-attr]
            return loaded if is_true else None
        rights, composed = self._access.get_inline(""), self._index
        asked = None if rights is not None else self._access.begin("", requests)  # while the page is asked for
        view: NamesView | ProjectView
        if project is None:
            view = await self._index.project_names.get("", requests)
        else:
            view = await self._index.projects.get(project, requests)
            if not view.exists:
                return None
        if asked is not None:
            rights = await asyncio.shield(asked)
        if rights is None or (rights.state is not self._state and not self._is_composed(rights.state)):
            return None
        return _Loaded(view, rights.state) if composed is self._index else None

    def respond(
        self,
        asked: AskedPage,
        loaded: _Loaded,
        path: str,
        headers: Headers,
        client: Callable[[], str],
        *,
        begun: float,
    ) -> IdentifiedResponse | None:
        """The answer to a request, which is then counted and logged as given; None when the general application has
        to find it. `loaded`: see `load`. `begun`: when the request was taken up, by `perf_counter`.
        """
        if asked.of_index is not None:
            part = self._named.get(asked.of_index)
            asked = asked._replace(of_index=None)
            return None if part is None else part.respond(asked, loaded, path, headers, client, begun=begun)
        principal = self._principal(headers, asked.login, loaded.state, is_file=False)
        prepared = None if principal is None else self._in_form(loaded.view, asked.form)
        if prepared is None or principal is None:
            return None
        answer = prepared.answer(headers)
        return self._record(answer, principal, path, headers, client, begun=begun)

    def _record(
        self,
        answer: CachedResponse,
        principal: Principal,
        path: str,
        headers: Headers,
        client: Callable[[], str],
        *,
        begun: float,
    ) -> IdentifiedResponse:
        """Count and log it as given."""
        user = principal.username or ("" if principal.token is None else principal.name)
        log, theirs, identity = self._log, headers.get(IDENTITY), ""
        is_logged = log.is_on
        if is_logged or theirs is not None:
            identity = self._ids.of(None if theirs is None else theirs.encode("latin-1"))
        if answer.blob is not None:
            address = self._worker.proxies.address(client(), headers.get_all) if is_logged else ""
            fields = {"client": address, "request_id": identity, "user": user}
            answer.download = self._download(answer, answer.blob, path, begun=begun, principal=principal, fields=fields)
            return answer, identity
        sent = len(answer.body)
        seconds = perf_counter() - begun
        self._tally.request(answer.label, answer.status, seconds, sent)
        if user:
            self._count_login(principal)
        if is_logged:
            address = self._worker.proxies.address(client(), headers.get_all)
            own = theirs is None
            log.fast_path_line(
                path, answer.status, seconds, sent, client=address, request_id=identity, user=user, is_own_id=own
            )
        return answer, identity

    def _count_login(self, principal: Principal) -> None:
        if principal.token is None:
            self._tally.logins["remembered"] += 1
        else:
            self._tally.logins["token"] += 1
            self._uses.note(principal.token)

    def _download(
        self,
        answer: CachedResponse,
        blob: OpenBlob,
        path: str,
        *,
        begun: float,
        principal: Principal,
        fields: dict[str, str],
    ) -> Download:
        """The file of an answer that was made for this request, which is counted and logged when it has been sent.

        `fields`: further arguments of `AccessLog.fast_path_line`.
        """

        def finish(sent: int, problem: str) -> None:
            blob.close()
            if problem:
                log_broken_off(blob, problem, fields["request_id"])
            seconds = perf_counter() - begun
            self._tally.request(answer.label, answer.status, seconds, sent)
            if fields["user"]:
                self._count_login(principal)
            if self._log.is_on:
                self._log.fast_path_line(path, answer.status, seconds, sent, **fields, is_own_id=False)

        return Download(blob, self._worker.in_sender, finish)

    def find_response(
        self,
        path: str,
        headers: Headers,
        login: Login | TokenLogin | None = None,
        *,
        takes_files: bool = False,
        connected: Connected | None = None,
    ) -> tuple[CachedResponse, Principal] | None:
        """As `respond_inline`, but neither counted nor logged; and the principal, ANONYMOUS when no login is needed.

        The caller closes `CachedResponse.blob`. `connected`: None leaves pages for people to the application.
        """
        answer = None
        try:
            if not self._is_supported(headers):
                return None
            stored = self._access.get_inline("")
            if stored is None:
                return None
            state = stored.state
            if path.startswith(self._simple):
                principal = self._principal(headers, login, state, is_file=False)
                answer = None if principal is None else self._page(path, headers)
            elif path.startswith(self.files.prefix):
                principal = self._principal(headers, login, state, is_file=True)
                answer = (
                    None
                    if principal is None
                    else self.files.find_response(path, headers, takes_files=takes_files, public=self._files_are_open)
                )
            elif path.startswith(self.pages.prefix):
                if connected is None or login is not None:
                    return None
                principal = self._principal(headers, login, state, is_file=False)
                answer = self.pages.find_response(path, headers, connected, principal, state)
            else:
                part = self._of_index(path, state)
                if part is not None and path.startswith((part._simple, part.files.prefix, part.pages.prefix)):
                    return part.find_response(path, headers, login, takes_files=takes_files, connected=connected)
                return None
        except QuireError:  # the application meets the same, and has a sentence for it
            pass
        return None if answer is None or principal is None else (answer, principal)

    def _page(self, path: str, headers: Headers) -> CachedResponse | None:
        wanted = self._negotiated(headers)
        if wanted is None:
            return None
        view = self._index.project_names.get_inline("") if path == self._simple else self._project(path)
        prepared = None if view is None else self._in_form(view, wanted)
        return None if prepared is None else prepared.answer(headers)

    @staticmethod
    def _negotiated(headers: Headers) -> tuple[MediaType, Encoding] | None:
        """The form that a client asks for; None when it cannot be had."""
        accept = headers.get("accept")
        media_type = negotiate(accept)
        if media_type is None or (accept is None and "accept" in headers):
            return None
        return media_type, negotiate_encoding(headers.get("accept-encoding"))

    def _project(self, path: str) -> ProjectView | None:
        name = path[len(self._simple) : -1]
        projects = self._index.projects
        if path[-1] != "/" or (projects.memory.get(name) is None and not is_normalized(name)):
            return None
        view = projects.get_inline(name)
        return view if view is not None and view.exists else None

    def _in_form(self, view: ProjectView | NamesView, wanted: tuple[MediaType, Encoding]) -> Prepared | None:
        prepared = view.prepared.get(wanted)
        return prepared if isinstance(prepared, Prepared) else self._prepare(view, *wanted)

    def _prepare(self, view: ProjectView | NamesView, media_type: MediaType, accepted: Encoding) -> Prepared | None:
        """Prepared from the page, if it was rendered for an earlier request, or is at hand; else None."""
        if isinstance(view, ProjectView):
            page, label = view.rendered(media_type, self._algorithm), _PROJECT.label
            if not self.waits and (page is None or not page.has(accepted)):
                page = view.page_inline(media_type, self._algorithm, accepted)
        else:
            page, label = view.rendered(media_type), _PROJECTS.label
        if page is None or not page.has(accepted):
            return None
        prepared = view.prepared[media_type, accepted] = Prepared(page, accepted, label)
        if isinstance(view, ProjectView):
            self._index.projects.memory.account(view.name, view)
        else:
            self._index.project_names.memory.account("", view)
        return prepared

    def _is_supported(self, headers: Headers) -> bool:
        """Whether the request has no body, no precondition but If-None-Match (`quire.http.app.conditions`), and one
        host that is one (`quire.http.app.framing`) and is allowed.
        """
        if (
            "content-length" in headers
            or "transfer-encoding" in headers
            or "if-match" in headers
            or "if-unmodified-since" in headers
        ):
            return False
        if self._host_is_forwarded and ("x-forwarded-host" in headers or "forwarded" in headers):
            return False
        hosts = headers.get_all("host")
        if len(hosts) != 1:
            return False
        host = hosts[0]
        if host in self._hosts:
            return True
        if not host.isascii() or problem_with([], [], [host.encode()]) is not None or not self._allowed.allow(host):
            return False
        if len(self._hosts) < _MAX_HOSTS and len(host) < 256:
            self._hosts.add(host)
        return True

    def _principal(
        self, headers: Headers, login: Login | TokenLogin | None, state: AccessState, *, is_file: bool
    ) -> Principal | None:
        """The principal that has the right to pages or files; ANONYMOUS when no login is needed. None where the
        application has to decide: a login that has to be checked, or a refusal.
        """
        if state is not self._state:
            if not self._is_composed(state):
                return None
            self._find_open_rights(state)
        if self._files_are_open if is_file else self._pages_are_open:
            return ANONYMOUS
        if login is None and (header := headers.get("authorization")) is not None:
            login = self.find_login(header)
        if login is None or (self._user_headers and any(name in headers for name in self._user_headers)):
            return None
        key: tuple[object, ...]
        if isinstance(login, TokenLogin):
            key = is_file, login.identity, login.digest
        elif self._authenticator is not None and self._authenticator.confirm(login):
            key = is_file, login.username
        else:
            return None
        reader = self._readers.get(key) or self._find_reader(key, login, state, is_file=is_file)
        if reader is None or (reader.until is not None and reader.until <= datetime.now(UTC)):
            return None
        return reader.principal

    def _find_reader(
        self, key: tuple[object, ...], login: Login | TokenLogin, state: AccessState, *, is_file: bool
    ) -> _Reader | None:
        """Decide by the present state, and remember it under `key` until the state changes; None for a refusal."""
        until = None
        if isinstance(login, TokenLogin):
            token = state.find_token(login.identity, login.digest, datetime.now(UTC))
            if isinstance(token, TokenFault) or self._rates.limit_of(token) != NO_LIMIT:
                return None
            ends = [] if token.expires is None else [moment(token.expires)]
            if token.previous is not None and token.digest != login.digest:  # a secret that was replaced
                ends.append(moment(token.previous.until))
            begins = state.warned_from(login.identity)
            if begins is not None:  # from then on the application's answers say when the token expires
                ends.append(begins)
            principal, until = Principal(token.user, token=login.identity), min(ends, default=None)
        else:
            principal = login.principal
        right = Right.DOWNLOAD if is_file else Right.LIST
        if self._authorize(principal, right, self._index.name, None, state) is not ALLOWED:
            return None
        if len(self._readers) >= _MAX_READERS:
            self._readers.clear()
        reader = self._readers[key] = _Reader(principal, until)
        return reader

    def _find_open_rights(self, state: AccessState) -> None:
        def is_open(endpoint: Endpoint) -> bool:
            needs = endpoint.needs
            return needs is None or self._authorize(ANONYMOUS, needs, self._index.name, None, state) is ALLOWED

        self._front._keep_only(state)
        self._readers.clear()
        self._state, self._pages_are_open, self._files_are_open = state, is_open(_PROJECT), is_open(FILES)


class FastPathApplication:
    """An ASGI application with fast-path responses before it."""

    def __init__(self, application: ASGIApp, fast_path: FastPath) -> None:
        self.application = application
        self.fast_path = fast_path

    @cached_property
    def raw_requests(self) -> RawRequests:
        """For servers that can pass on the bytes that arrive before they parse them."""
        return RawRequests(self.fast_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_plain = scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]
        if is_plain and not scope.get("root_path"):
            headers, fast_path, given = ASGIHeaders(scope["headers"]), self.fast_path, None
            if not headers.has_repeats:
                asked = (scope["path"], headers, partial(peer_of, scope))
                if fast_path.waits:
                    given = await fast_path.respond_awaited(*asked)
                else:
                    given = fast_path.respond_inline(*asked, scheme=scope["scheme"])
            if given is not None:
                answer, identity = given
                lines = [(name.encode(), value.encode()) for name, value in answer.headers]
                if identity:
                    lines.append((IDENTITY.encode(), identity.encode()))
                if answer.status != 304:
                    lines.append((b"content-length", str(len(answer.body)).encode()))
                await send({"type": "http.response.start", "status": answer.status, "headers": lines})
                await send({"type": "http.response.body", "body": answer.body})
                return
        await self.application(scope, receive, send)


class ASGIHeaders:
    """The header lines of an ASGI scope."""

    __slots__ = ("_first", "_lines", "has_repeats")

    def __init__(self, lines: Sequence[tuple[bytes, bytes]]) -> None:
        self._lines = lines
        self._first = dict(reversed(lines)) if len(lines) > 1 else dict(lines)
        self.has_repeats = len(self._first) < len(lines)
        """Whether a name has several lines: those are for the general application to join, or to refuse."""

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._first

    def get(self, name: str) -> str | None:
        value = self._first.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        wanted = name.encode()
        return [value.decode("latin-1") for found, value in self._lines if found == wanted]
