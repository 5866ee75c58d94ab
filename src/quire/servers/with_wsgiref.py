"""wsgiref, the standard library's server: one process, a thread per request, for trying out only."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
from socketserver import ThreadingMixIn
from types import FrameType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog

from quire.config.settings import Settings
from quire.http.app.wsgi import LINES, TARGET
from quire.servers import host_and_port, log_start
from quire.servers.binding import bind
from quire.servers.draining import Drain
from quire.servers.loading import load

_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\x7e]+ HTTP/1\.[01]\r?\n")

_log = structlog.stdlib.get_logger("quire.servers")


def serve(settings: Settings, target: str, *, grants_decide: bool = False) -> int:
    """See quire.servers.run. Raises ConfigurationError when the target cannot be imported."""
    listener = bind(settings.host, settings.port)
    application = load(target)
    log_start(
        settings,
        [host_and_port(listener.getsockname())],
        "wsgiref (for trying out only)",
        1,
        grants_decide=grants_decide,
    )
    server = _Server(listener)
    server.set_app(application)
    drain = Drain.of(settings)

    def stop(_number: int, _frame: FrameType | None) -> None:
        # From a thread, as it waits for the loop that this handler interrupts. Not by an exception: one that is raised
        # in a callback is only printed.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, drain.before(stop))
    signal.signal(signal.SIGINT, stop)  # also where it is ignored, as in a shell's background jobs: as other servers do
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
    return 0


class _Server(ThreadingMixIn, WSGIServer):
    """wsgiref's server on a socket that is bound already."""

    daemon_threads = True  # a client that never finishes must not keep the process alive

    def __init__(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__((host, port), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        listener.listen(128)
        # server_bind would look the host's name up in DNS
        self.server_name, self.server_port = host, port
        self.setup_environ()

    def handle_error(self, _request: object, client_address: object) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):  # the client went away, or said nothing for too long
            _log.debug("connection broken", client=client_address, error=error)
        else:
            _log.error("request failed", client=client_address, exc_info=True)


class _Handler(WSGIRequestHandler):
    """A request; logged by the application, not here."""

    raw_requestline: bytes  # declared nowhere else; set before `parse_request` is called
    timeout = 60  # seconds of silence
    error_message_format = "%(explain)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def parse_request(self) -> bool:
        """Refuse requests with faults that neither wsgiref nor the WSGI adapter checks for."""
        if not _REQUEST_LINE.fullmatch(self.raw_requestline):
            self.requestline, self.command, self.request_version = "", "", "HTTP/1.0"  # asked for by the answer
            self.send_error(400, explain="The first line of this request is not one of HTTP/1.1.")
            return False
        if not super().parse_request():
            return False
        for name in [each for each in self.headers if "_" in each]:
            del self.headers[name]  # in a WSGI environment it would be the header that has hyphens in its place
        if "transfer-encoding" in self.headers:
            self.send_error(411, explain="Send the body with a Content-Length; wsgiref reads no other.")
            return False
        lengths = self.headers.get_all("content-length", ["0"])
        if len(lengths) != 1 or not (lengths[0].isascii() and lengths[0].isdigit()):
            self.send_error(400, explain="The Content-Length of this request is not one number.")
            return False
        return True

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        if not environ.get("CONTENT_LENGTH"):  # wsgiref's way to say that there is none
            environ.pop("CONTENT_LENGTH", None)
        environ["REMOTE_PORT"] = str(self.client_address[1])  # the WSGI adapter makes the client's address of both
        environ[TARGET] = self.raw_requestline.split(b" ", 2)[1]
        environ[LINES] = [
            (name.lower().encode("latin-1"), value.strip().encode("latin-1")) for name, value in self.headers.items()
        ]
        return environ

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the overridden method's signature
        _log.debug(format % args, client=self.address_string())
