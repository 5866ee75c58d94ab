"""An OpenID provider on a loopback port, which logs everyone in at once, and can be told to misbehave.

It does what a provider must (single use of codes, PKCE, the client's secret); the tests of deploy/ use one that others
wrote.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT, SECRET = "quire", "s:ecret%/+"
METADATA = "/.well-known/openid-configuration"


class Provider:
    """Answers of a provider; change them for a test, and `reset` afterwards."""

    def __init__(self) -> None:
        self.url = ""
        self._codes: dict[str, dict[str, str]] = {}
        self.asked: Counter[str] = Counter()
        self.stopped = threading.Event()
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.reset()

    def reset(self) -> None:
        """As a provider should be."""
        self.user: dict[str, Any] = {
            "sub": "1",
            "email": "ann@acme.example",
            "email_verified": True,
            "groups": ["tools"],
        }
        self.token: dict[str, Any] = {}
        """Other claims of the ID token; None leaves one out."""
        self.header: dict[str, Any] = {}
        self.in_userinfo: set[str] = set()
        """Claims that only the userinfo endpoint has."""
        self.replaced: dict[str, tuple[int, bytes]] = {}
        """Other answers, by path."""
        self.metadata: dict[str, Any] = {}
        self.hanging: set[str] = set()
        """Paths that are not answered."""
        self.signing_key, self.kid, self.algorithm = self.key, "one", "RS256"

    def rotate(self, kid: str) -> None:
        """Sign with a new key, and publish that alone."""
        self.signing_key = self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = kid

    def answer(
        self, method: str, path: str, query: str, body: bytes, headers: Any
    ) -> tuple[int, bytes, dict[str, str]]:
        self.asked[path] += 1
        if path in self.hanging:
            self.stopped.wait(60)
        if method != ("POST" if path == "/token" else "GET"):
            return 405, b"", {}
        if path in self.replaced:
            return *self.replaced[path], {}
        found: Callable[[], Any] | None = {
            METADATA: self._metadata,
            "/jwks": lambda: {"keys": [self._public_key()]},
            "/token": lambda: self._token(dict(parse_qsl(body.decode())), headers),
            "/userinfo": lambda: self.user,
        }.get(path)
        if path == "/authorize":
            asked = dict(parse_qsl(query))
            code = secrets.token_urlsafe(16)
            self._codes[code] = asked
            return (
                302,
                b"",
                {"Location": f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"},
            )
        document: Any = None if found is None else found()
        status = 404 if document is None else 400 if "error" in document else 200
        return status, json.dumps(document).encode(), {"Content-Type": "application/json"}

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
            **self.metadata,
        }

    def _public_key(self) -> dict[str, Any]:
        return {
            **RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True),
            "kid": self.kid,
            "use": "sig",
            "alg": "RS256",
        }

    def _token(self, form: dict[str, str], headers: Any) -> dict[str, Any]:
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or challenge.rstrip(b"=").decode() != asked["code_challenge"]:
            return {"error": "invalid_grant"}
        basic = base64.b64decode(headers.get("Authorization", "Basic ").partition(" ")[2]).decode().partition(":")
        given = (form.get("client_id", unquote_plus(basic[0])), form.get("client_secret", unquote_plus(basic[2])))
        if given != (CLIENT, SECRET) or form["redirect_uri"] != asked["redirect_uri"]:
            return {"error": "invalid_client"}
        now = int(time.time())
        own = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        user = {name: value for name, value in self.user.items() if name not in self.in_userinfo}
        claims = {name: value for name, value in {**own, **user, **self.token}.items() if value is not None}
        text = jwt.encode(claims, self.signing_key, self.algorithm, {"kid": self.kid, **self.header})
        return {"access_token": "access", "token_type": "Bearer", "id_token": text}


@contextmanager
def provider() -> Iterator[Provider]:
    """One that runs."""
    found = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer, headers = found.answer(self.command, parts.path, parts.query, body, self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET  # noqa: N815 - the name that the base class calls

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield found
        finally:
            found.stopped.set()
            server.shutdown()


def query_of(location: str) -> dict[str, str]:
    """The parameters of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
