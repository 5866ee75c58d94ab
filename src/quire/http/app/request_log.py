"""The records of a request beside its answer: its id, a line in the log, its place in the metrics, a trace.

One middleware does all of it, since each one costs every request. A line has the fields that operators need, or is
pypiserver's if its formats were given.
"""

from __future__ import annotations

import itertools
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

import structlog
from starlette.datastructures import URL, Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quire.access.authorization import Right
from quire.access.decisions import AccessState
from quire.access.principals import ANONYMOUS, Principal
from quire.config.settings import Settings
from quire.domain.names import guess_filename, is_normalized
from quire.http.app.access_lines import AccessFields, AccessLines, Parts, access_lines
from quire.http.app.proxies import TrustedProxies, peer_of
from quire.http.app.routes import RouteTable, path_within
from quire.http.fast.responses import SENT
from quire.index.audit.entries import Origin
from quire.observe.logs import interpolate
from quire.observe.metrics.tally import Tally
from quire.publishing.publishers import facts

log = structlog.get_logger(__name__)

SLOW_SECONDS = 1.0
"""A request that took longer is always logged."""

_FORMATS = ("log_request_format", "log_response_format", "log_error_format")
_SECRET = re.compile(r"auth|cookie|token|secret|password|api-?key|session|credential", re.IGNORECASE)
_PARAMETER_ENDS = re.compile(r"([&;?])")
_SECRET_PARAMETER = re.compile(r"auth|token|secret|pass|key|sig|^code$|^state$", re.IGNORECASE)
"""The last two are of a login at an OpenID provider (RFC 6749, 4.1.2)."""
_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:+=@/-]{0,63}")
_CONTEXT = "quire.notes"
EXPIRES_HEADER = b"quire-token-expires"
"""In answers to a token that expires soon: when, in UTC (RFC 3339)."""
_MILLISECONDS = [str(tenths / 10) for tenths in range(1000)]
_MAX_PARTS = 4096
_MAX_PATH = 2000
"""Characters of a path in a line. A client may send many more, and each is looked at for what must not be logged."""
_OWN_PLACE = re.compile(r"[0-9a-f]{64}/[^/]+")
"""The place of a file whose address begins with its project, behind that."""
_KINDS = frozenset({"simple", "packages", "project"})
"""The first words of addresses of the fast path, behind the name of an index if there is one."""


class RequestContext:
    """Facts that handlers find out about a request, for the log and the audit log. Empty where one does not apply."""

    __slots__ = (
        "action",
        "checked_at",
        "decided_at",
        "decided_by",
        "file",
        "index",
        "needed_no_login",
        "needs",
        "principal",
        "project",
        "request_id",
        "takes_sessions",
        "token_expires",
    )

    def __init__(self, request_id: str = "") -> None:
        self.request_id = request_id
        self.principal = ANONYMOUS
        self.checked_at: datetime | None = None
        """When the credentials of the principal were checked; None without any, and of a user that a proxy names."""
        self.needed_no_login = False
        """Whether the right that the request needed is given without a login."""
        self.needs: tuple[Right, str] | None = None
        """The right that its line of the route table names, and the index; None where it needs none."""
        self.takes_sessions = False
        """Whether a login to the web interface counts: see `Access.authorize`."""
        self.token_expires = ""
        """When the token of the request expires, if that is soon."""
        self.decided_by: AccessState | None = None
        """The grants that the last decision on the request was made by; None before the first."""
        self.decided_at = 0.0
        """When they were asked for, by `time.monotonic`."""
        self.index = ""
        """The index that the path names, if there is one of this name; empty for the one at the root."""
        self.project = ""
        self.action = ""
        self.file = ""

    @property
    def user(self) -> str | None:
        """The name of the user that has logged in, or of a token that stands for itself; None without a login."""
        return self.principal.name or None


def context_of(scope: Scope) -> RequestContext:
    """The context of a request, to be written to; also of one that is not logged."""
    context: RequestContext | None = scope.get(_CONTEXT)
    if context is None:
        context = scope[_CONTEXT] = RequestContext()
    return context


def origin_of(request: Request, user: str | None, proxies: TrustedProxies) -> Origin:
    """The origin of a change by this request, for the audit log."""
    context = context_of(request.scope)
    publisher = context.principal.publisher
    return Origin(
        user=user,
        token=context_of(request.scope).principal.token,
        address=proxies.client_address(request) or None,
        agent=request.headers.get("user-agent"),
        request=context.request_id or None,
        job=facts(publisher.kind, publisher.claims, publisher.issuer) if publisher is not None else None,
    )


class RequestIds:
    """Ids for requests that come without one: some random digits of this process, and a number."""

    def __init__(self) -> None:
        self._process = ""
        self._numbers = itertools.count(1)

    def of(self, sent: bytes | None) -> str:
        """The id that the client (or a proxy) sent, if it is a harmless one: up to 64 letters, digits and `._:+=@/-`.
        Else a new one."""
        if sent is not None and _ID.fullmatch(sent):
            return sent.decode("ascii")
        if not self._process:
            self._process = secrets.token_hex(4)  # at first use, after any fork: each process has its own
        return f"{self._process}-{next(self._numbers):x}"


class AccessLog:
    """The log line of a request, for the middleware and for the fast path."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.server_base_url
        self._routes = RouteTable(settings.server_base_url, settings.health_endpoint)
        self.is_on = settings.verbosity > 0 and (settings.log_stream != "none" or settings.log_file is not None)
        """Whether any request is logged; else `line` need not be called."""
        default = Settings(directories=settings.directories)
        self.is_formatted = any(getattr(settings, name) != getattr(default, name) for name in _FORMATS)
        """Whether pypiserver's formats were given, which need to know all of the request; only `RequestLog` does."""
        self._lines: AccessLines | None = None
        """None also where lines are made as all others are."""
        self._is_in_tick = False
        self._is_sampled = settings.log_sample < 1.0
        self._parts: dict[tuple[str, int, int, str, float], Parts] = {}

    def line(
        self,
        method: str,
        path: str,
        status: int,
        seconds: float,
        *,
        sent: int,
        client: str,
        context: RequestContext,
        received: int = 0,
    ) -> None:
        """Log a request, or not, as the sampling has it. `sent`, `received`: bytes of bodies."""
        share = self._share(method, status, seconds)
        if share is None:
            return
        fields = self._fields(
            method, path, status, seconds, client, sent=sent, received=received, context=context, share=share
        )
        lines = self._as_set_up()
        if lines is None:
            log.info("request", **fields.by_name())
        else:
            lines.write(lines.parts(fields), str(fields.milliseconds), client, context.request_id)

    def fast_path_line(
        self,
        path: str,
        status: int,
        seconds: float,
        sent: int,
        *,
        client: str,
        request_id: str,
        user: str,
        is_own_id: bool,
    ) -> None:
        """As `line`, of a GET on the fast path. `user`: empty without a login. `is_own_id`: whether the
        client sent none."""
        lines = self._lines if self._is_in_tick else self._as_set_up()
        if lines is None:
            context = _fast_path_context(path.removeprefix(self._prefix), request_id, user)
            self.line("GET", path, status, seconds, sent=sent, client=client, context=context)
            return
        share = self._share("GET", status, seconds) if self._is_sampled else 1.0
        if share is None:
            return
        key = (path, status, sent, user, share)
        parts = self._parts.get(key)
        if parts is None:
            if len(self._parts) >= _MAX_PARTS:
                self._parts.clear()
            context = _fast_path_context(path.removeprefix(self._prefix), request_id, user)
            fields = self._fields(
                "GET", path, status, seconds, client, sent=sent, received=0, context=context, share=share
            )
            parts = self._parts[key] = lines.parts(fields)
        tenths = round(seconds * 10_000)
        milliseconds = _MILLISECONDS[tenths] if tenths < len(_MILLISECONDS) else str(tenths / 10)
        if self._is_in_tick:
            lines.write_in_tick(parts, milliseconds, client, request_id, is_safe=is_own_id)
        else:
            lines.write(parts, milliseconds, client, request_id)

    def _fields(
        self,
        method: str,
        path: str,
        status: int,
        seconds: float,
        client: str,
        *,
        sent: int,
        received: int,
        context: RequestContext,
        share: float,
    ) -> AccessFields:
        return AccessFields(
            method=method,
            path=path if len(path) <= _MAX_PATH else f"{path[:_MAX_PATH]}...",
            status=status,
            milliseconds=round(seconds * 10_000) / 10,
            client=client,
            request=context.request_id,
            sent=sent,
            route=self._routes.of(method, path),
            index=context.index or self._settings.index,
            received=received,
            user=context.user,
            project=context.project or _project_in(path.removeprefix(self._prefix), context.index),
            action=context.action,
            file=context.file,
            share=share,
        )

    def _share(self, method: str, status: int, seconds: float) -> float | None:
        """The share of such requests that is logged; None when this one is not."""
        share = self._settings.log_sample
        if share >= 1.0 or method not in {"GET", "HEAD"} or not 100 <= status < 500 or seconds > SLOW_SECONDS:
            return 1.0
        return share if random.random() < share else None  # noqa: S311 - a sample, no secret

    def _as_set_up(self) -> AccessLines | None:
        """Writes the lines, where they are not made as all others are."""
        lines = self._lines
        if lines is None or lines.is_stale:
            lines = self._lines = access_lines(self._settings, __name__)
            self._parts.clear()
        return lines

    def begin_tick(self) -> None:
        """The lines from here to `end_tick` are written together."""
        lines = self._as_set_up()
        if lines is not None:
            self._is_in_tick = True
            lines.begin_tick()

    def end_tick(self) -> None:
        """See `begin_tick`."""
        if self._is_in_tick and self._lines is not None:
            self._is_in_tick = False
            self._lines.end_tick()


class RequestLog:
    """Middleware. Lines are written from the first `-v` on; ids and counts are always there."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        tally: Tally | None = None,
        on_defect: Callable[[Request, Exception], Awaitable[Response]] | None = None,
    ) -> None:
        """`on_defect`: makes the response to a request that an unexpected exception has ended; it is sent here, so that
        it has an id, and is counted and logged as all others."""
        self._app = app
        self._on_defect = on_defect
        self._settings = settings
        self._tally = tally or Tally()
        self._ids = RequestIds()
        self._log = AccessLog(settings)
        self._proxies = TrustedProxies(settings.trusted_proxies, settings.trusted_headers)
        self._routes = RouteTable(settings.server_base_url, settings.health_endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        received = sent = status = 0
        start: Message = {"status": 0, "headers": []}
        reason = b""
        context = scope[_CONTEXT] = RequestContext(self._ids.of(_header(scope, b"x-request-id")))
        if self._log.is_on and self._log.is_formatted:
            log.info(interpolate(self._settings.log_request_format, request_properties(scope)))

        async def recording_send(message: Message) -> None:
            nonlocal start, reason, sent, status
            kind = message["type"]
            if kind == "http.response.start":
                start, status = message, int(message["status"])
                further = [(b"x-request-id", context.request_id.encode())]
                if context.token_expires:
                    further.append((EXPIRES_HEADER, context.token_expires.encode()))
                message = {**message, "headers": [*message["headers"], *further]}
            elif kind == "http.response.body":
                body = message.get("body", b"")
                sent += len(body)
                if status >= 400 and self._log.is_formatted:
                    reason = body[:1000]
            else:  # a file, or a part of one, that the server sends by itself
                try:
                    await send(message)
                finally:
                    sent += message.get(SENT, _content_length(start))
                return
            await send(message)

        async def recording_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        self._tally.in_flight += 1
        try:
            await self._app(
                scope, recording_receive if scope["method"] not in {"GET", "HEAD"} else receive, recording_send
            )
        except Exception as error:
            await self._answer_defect(error, scope, receive, recording_send, has_begun=status > 0)
            raise  # the server logs it
        finally:
            seconds = time.perf_counter() - begun
            self._tally.in_flight -= 1
            self._tally.request(self._routes.of(scope["method"], path_within(scope)), status, seconds, sent)
            self._tally.received += received
            if self._log.is_on and self._log.is_formatted:
                self._log_response(start, reason)
            elif self._log.is_on:
                self._log.line(
                    scope["method"],
                    path_within(scope),
                    status,
                    seconds,
                    sent=sent,
                    received=received,
                    client=self._proxies.client_address(Request(scope)),
                    context=context,
                )

    async def _answer_defect(
        self, error: Exception, scope: Scope, receive: Receive, send: Send, *, has_begun: bool
    ) -> None:
        if has_begun or self._on_defect is None or isinstance(error, ClientDisconnect):
            return
        response = await self._on_defect(Request(scope), error)
        await response(scope, receive, send)

    def _log_response(self, start: Message, reason: bytes) -> None:
        status = start["status"]
        line = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
        properties: dict[str, Any] = {
            "status": line,
            "status_code": status,
            "headers": {name: _masked(name, value) for name, value in Headers(raw=list(start["headers"])).items()},
            "body": reason.decode(errors="replace").strip(),
        }
        log.info(interpolate(self._settings.log_response_format, properties))
        if status >= 400:
            properties |= {"exception": "", "traceback": ""}
            log.info(interpolate(self._settings.log_error_format, properties))


def request_properties(scope: Scope) -> dict[str, object]:
    """A request under the names of a WSGI environment (PEP 3333), without secrets."""
    url = _without_secrets(str(URL(scope=scope)))
    properties: dict[str, object] = {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": scope["path"],
        "QUERY_STRING": _without_secrets(scope["query_string"].decode("latin-1")),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": peer_of(scope),
        "wsgi.url_scheme": scope["scheme"],
        "bottle.request": f"<Request: {scope['method']} {url}>",
    }
    for name, value in Headers(scope=scope).items():
        if not _SECRET.search(name):
            key = name.upper().replace("-", "_")
            key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
            properties[key] = f"{properties[key]}, {value}" if key in properties else value
    return properties


def _without_secrets(text: str) -> str:
    """A URL or a query without the values of parameters that are secret by their names."""
    parts, hides = _PARAMETER_ENDS.split(text), False  # parameters, and between them their separators
    for place in range(0, len(parts), 2):
        name, equals, _ = parts[place].partition("=")
        if equals and _SECRET_PARAMETER.search(name):
            parts[place], hides = f"{name}=***", True
        elif hides and parts[place - 1] == "?":  # a value may hold question marks
            parts[place] = "***"
        else:
            hides = False
    return "".join(parts)


def _masked(name: str, value: str) -> str:
    if name == "location":  # the query of a signed URL is a right
        address, mark, _ = value.partition("?")
        return f"{address}?***" if mark else address
    return "***" if _SECRET.search(name) and name != "www-authenticate" else value


def _header(scope: Scope, name: bytes) -> bytes | None:
    """The value of the only line of this name; None when there is none, or several."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else None


def _content_length(start: Message) -> int:
    for name, value in start["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _fast_path_context(path: str, request_id: str, user: str) -> RequestContext:
    """The context of a request that the fast path has answered: of a page or a file of the index at the root, or of
    one that the path names. `path`: below the prefix."""
    context = RequestContext(request_id)
    context.principal = Principal(user or None)
    parts = path.split("/", 3)
    if len(parts) > 3 and parts[1] not in _KINDS and parts[2] in _KINDS:
        context.index = parts[1]
    return context


def _project_in(path: str, index: str) -> str:
    """The project that a path is about, if it names one as it is spelled in addresses. `index`: that of the path."""
    if index:
        path = path.removeprefix(f"/{index}")
    if path.startswith("/@"):  # a moment of the past
        path = path[path.find("/", 1) :]
    parts = path.split("/", 3)
    if len(parts) > 3 and parts[1] == "packages" and not _OWN_PLACE.match(parts[3]):
        filename = parts[3].rpartition("/")[2].removesuffix(".metadata").removesuffix(".asc")
        guessed = guess_filename(filename)  # of a mirrored file, or a drop-in, which lie in folders of any name
        return "" if guessed is None else guessed.project
    if len(parts) > 2 and parts[1] in {"simple", "packages", "project", "pypi"} and is_normalized(parts[2]):
        return parts[2]
    return ""
