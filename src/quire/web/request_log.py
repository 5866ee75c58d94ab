"""Log lines of requests: one each with what an operator looks for, or pypiserver's if its formats were given."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

import structlog
from starlette.datastructures import URL, Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quire.config import Settings
from quire.logs import interpolate

log = structlog.get_logger(__name__)

_FORMATS = ("log_request_format", "log_response_format", "log_error_format")
_SECRET = {"authorization", "cookie", "proxy-authorization"}


class RequestLog:
    """Middleware. Logs from the first `-v` on."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        default = Settings(directories=settings.directories)
        self._formatted = any(getattr(settings, name) != getattr(default, name) for name in _FORMATS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._settings.verbosity < 1:
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        start: Message = {"status": 0, "headers": []}
        reason = b""
        if self._formatted:
            log.info(interpolate(self._settings.log_request_format, request_properties(scope)))

        async def noting_send(message: Message) -> None:
            nonlocal start, reason
            if message["type"] == "http.response.start":
                start = message
            elif message["type"] == "http.response.body" and start["status"] >= 400:
                reason = message.get("body", b"")[:1000]
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        finally:
            if self._formatted:
                self._log_response(start, reason)
            else:
                client = scope.get("client")
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=start["status"],
                    milliseconds=round((time.perf_counter() - begun) * 1000, 1),
                    client=client[0] if client else "",
                )

    def _log_response(self, start: Message, reason: bytes) -> None:
        status = start["status"]
        line = f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)
        properties: dict[str, Any] = {
            "status": line,
            "status_code": status,
            "headers": dict(Headers(raw=list(start["headers"]))),
            "body": reason.decode(errors="replace").strip(),
        }
        log.info(interpolate(self._settings.log_response_format, properties))
        if status >= 400:
            properties |= {"exception": "", "traceback": ""}
            log.info(interpolate(self._settings.log_error_format, properties))


def request_properties(scope: Scope) -> dict[str, object]:
    """A request under the names of a WSGI environment (PEP 3333), without what is secret."""
    client = scope.get("client")
    properties: dict[str, object] = {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": scope["path"],
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0] if client else "",
        "wsgi.url_scheme": scope["scheme"],
        "bottle.request": f"<Request: {scope['method']} {URL(scope=scope)}>",
    }
    for name, value in Headers(scope=scope).items():
        if name not in _SECRET:
            key = name.upper().replace("-", "_")
            properties[key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"] = value
    return properties
