"""A double of what clouds give credentials by, and a bucket that notes which credentials came: all on one port.

The doubles answer as the clouds document it, and show that quire sends the right requests. They are no clouds.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

EXPIRES: Final = "2099-01-01T00:00:00Z"


class Cloud(ThreadingHTTPServer):
    """One that runs; see `cloud`."""

    daemon_threads = True

    def __init__(self, certificates: Path | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._scheme = "http"
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
            self.socket, self._scheme = context.wrap_socket(self.socket, server_side=True), "https"
        self.seen: list[str] = []
        """The paths of the requests for credentials, with the decisive part of each."""
        self.signed: list[str] = []
        """The credentials of the requests to the bucket: the header Authorization, or the query."""
        self.token = "from-cloud"
        """The one that Google and Azure give."""
        self.proves: Callable[[str], bool] = lambda _: True
        """Whether a request for credentials has what it needs; given all of it as text."""

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Cloud

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        url = urlsplit(self.path)
        form = {name: values[0] for name, values in parse_qs(body or url.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = _credentials(url.path, form, self.server.token)
        if answer is None:
            session = headers.get("x-amz-security-token", "")
            self.server.signed.append(f"{headers.get('authorization', '')} {session} {url.query}")
            self._send(404, "application/xml", "<Error><Code>NoSuchKey</Code></Error>")
            return
        self.server.seen.append(f"{self.command} {url.path}")
        whole = f"{self.command} {self.path} {body} {headers}"
        if not self.server.proves(whole):
            self._send(403, "text/plain", f"refused: {whole}")
            return
        self._send(200, "text/xml" if answer.startswith("<") else "application/json", answer)

    do_GET = do_POST = do_PUT = do_HEAD = _answer  # noqa: N815 - the names are those of the base class

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _credentials(path: str, form: dict[str, str], given: str) -> str | None:
    """The answer of a cloud's own endpoint; None for a request to the bucket."""
    keys = {"AccessKeyId": "from-role", "SecretAccessKey": "very-secret", "Expiration": EXPIRES}
    token = {"access_token": given, "expires_in": 3600, "token_type": "Bearer"}
    azure = {**token, "expires_in": "3600", "expires_on": "4070908800", "resource": "https://storage.azure.com"}
    match path:
        case "/latest/api/token":  # of an EC2 instance (IMDSv2)
            return "metadata-token"
        case "/latest/meta-data/iam/security-credentials/":
            return "role"
        case "/latest/meta-data/iam/security-credentials/role":
            return json.dumps(
                {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": EXPIRES, **keys, "Token": "session"}
            )
        case "/container":  # of an ECS task, and of EKS Pod Identity
            return json.dumps({**keys, "Token": "session"})
        case "/sts/" | "/sts":
            return _assumed(form)
        case "/federation/credentials":  # of IAM Identity Center (SSO)
            role = {"accessKeyId": "from-role", "secretAccessKey": "very-secret", "sessionToken": "session"}
            return json.dumps({"roleCredentials": {**role, "expiration": 4070908800000}})
        case "/google/sts":
            return json.dumps({**token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
        case _ if path.endswith(":generateAccessToken"):
            return json.dumps({"accessToken": "impersonated", "expireTime": EXPIRES})
        case _ if path.startswith("/computeMetadata/v1/instance/service-accounts/"):
            return json.dumps(token)
        case "/subject":  # of a CI job
            return json.dumps({"value": "a-token-of-the-job"})
        case "/metadata/identity/oauth2/token":  # of Azure's managed identities, on a virtual machine and in AKS
            return json.dumps(azure)
        case "/identity":  # of Azure's managed identities, in App Service and Container Apps
            return json.dumps(azure)
        case _ if path.endswith("/oauth2/v2.0/token"):  # of Entra ID
            return json.dumps(token)
    return None


def _assumed(form: dict[str, str]) -> str:
    """STS' answer to AssumeRole and AssumeRoleWithWebIdentity."""
    action = form.get("Action", "")
    return (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result><Credentials>'
        f"<AccessKeyId>from-role</AccessKeyId><SecretAccessKey>very-secret</SecretAccessKey>"
        f"<SessionToken>session</SessionToken><Expiration>{EXPIRES}</Expiration></Credentials>"
        f"<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/a/b</Arn><AssumedRoleId>a:b</AssumedRoleId>"
        f"</AssumedRoleUser></{action}Result></{action}Response>"
    )


@contextmanager
def cloud(certificates: Path | None = None) -> Iterator[Cloud]:
    """One on a free port, in threads of this process. `certificates`: a folder, for TLS."""
    with Cloud(certificates) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
