"""An issuer of JSON Web Tokens for tests: a real HTTP server, which can also misbehave."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "packages.acme.example"
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"

Answer = Callable[[BaseHTTPRequestHandler], None]
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_EC = ec.generate_private_key(ec.SECP256R1())
PRIVATE: dict[str, Any] = {"rsa": _RSA, "other": _OTHER_RSA, "ec": _EC}
ALGORITHMS = {"rsa": "RS256", "other": "RS256", "ec": "ES256"}


def public(kid: str, name: str) -> dict[str, Any]:
    """A key of PRIVATE, as a set of keys has it."""
    kind = jwt.algorithms.ECAlgorithm if name == "ec" else jwt.algorithms.RSAAlgorithm
    return {**kind.to_jwk(PRIVATE[name].public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": ALGORITHMS[name]}


def b64(data: bytes | Mapping[str, Any]) -> str:
    """A part of a token."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Issuer:
    """Its keys, and the tokens that it signs. `asked` has the paths that clients asked for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = [public("one", "rsa"), public("curve", "ec")]
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {}
        """Of paths that misbehave."""
        self.discovery: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}{KEYS}"}
        self.released = threading.Event()
        """For an answer that hangs until the test is over."""

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those that every token has; a claim of None is left out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "a job",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            "jti": secrets.token_hex(8),
        }
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(
        self, *, kid: str | None = "one", key: str = "rsa", header: Mapping[str, Any] | None = None, **claims: Any
    ) -> str:
        headers = ({} if kid is None else {"kid": kid}) | dict(header or {})
        return jwt.encode(self.claims(**claims), PRIVATE[key], algorithm=ALGORITHMS[key], headers=headers)


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer that answers, in a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            issuer.asked.append(path)
            self.close_connection = True
            if (answer := issuer.answers.get(path)) is not None:
                answer(self)
            elif path == DISCOVERY:
                send_json(self, issuer.discovery)
            elif path == KEYS:
                send_json(self, {"keys": issuer.keys})
            else:
                self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield issuer
        finally:
            issuer.released.set()
            server.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def send_json(handler: BaseHTTPRequestHandler, document: object) -> None:
    send(handler, json.dumps(document).encode(), Content_Type="application/json")


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A document of 100 MB, as fast as the client reads."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(100 * 1024 * 1024))
    handler.end_headers()
    try:
        handler.wfile.write(b'{"keys": [')
        for _ in range(100):
            handler.wfile.write(b" " * 1024 * 1024)
    except OSError:
        pass  # the client had enough


def redirecting(target: str) -> Answer:
    return lambda handler: send(handler, b"", 302, Location=target)


def hanging(issuer: Issuer) -> Answer:
    def answer(_: BaseHTTPRequestHandler) -> None:
        issuer.released.wait(60)

    return answer
