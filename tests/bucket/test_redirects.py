"""`--downloads redirect`: clients get files from the bucket itself, and their credentials stay with the index."""

from __future__ import annotations

import os
import random
import re
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.asking import OPEN, Site, password_file, publish, serve
from tests.clients import environments
from tests.clients.sandbox import Sandbox, installed, ok
from tests.distributions import make_wheel, wheel_name

pytestmark = pytest.mark.bucket

REDIRECT = ("--downloads", "redirect", "--redirect-seconds", "77")
NAME = wheel_name("acme", "1.0")
CONTENT = make_wheel(
    "acme", "1.0", files={"acme.py": b"VERSION = '1.0'\n", "acme.bin": random.Random(3).randbytes(300_000)}
)
USER, PASSWORD = "alice", "wonder land/@:%"


class Relay:
    """In front of the S3 server: passes all bytes on, and keeps those that clients sent."""

    def __init__(self) -> None:
        target = urlsplit(os.environ["AWS_ENDPOINT_URL"])
        assert target.hostname is not None
        self._target = (target.hostname, target.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sent: list[bytearray] = []
        self._threads: list[threading.Thread] = []
        self._sockets = [self._listener]
        self._start(self._accept)

    def signed(self) -> list[str]:
        """The heads of the requests by signed URLs."""
        heads = [head for sent in self._sent for head in bytes(sent).decode("latin-1").split("\r\n\r\n")]
        return [head for head in heads if re.match(r"GET \S+X-Amz-Signature=", head)]

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                self._sent.append(sent := bytearray())
                self._start(_pass_on, client, server, sent)
                self._start(_pass_on, server, client, bytearray())


def _pass_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            kept += data
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def relayed(folder: Path, url: str, *flags: object) -> Iterator[tuple[Site, Relay]]:
    """A server with the file CONTENT, whose downloads are redirected to a relay."""
    relay = Relay()
    try:
        with serve(folder, *flags, *REDIRECT, "-v", place=url, AWS_ENDPOINT_URL=relay.url) as site:
            yield site, relay
    finally:
        relay.close()


def test_a_download_is_a_signed_url(tmp_path: Path, url: str) -> None:
    """A GET is answered with a URL for the time that was set, which no cache keeps, and which gives the file to anyone.

    All else is answered here: HEAD, what did not change, ranges behind the end, metadata.
    """
    with relayed(tmp_path, url, *OPEN, "--log-res-frmt", "%s") as (site, relay):
        assert publish(site, NAME, CONTENT, name="acme", version="1.0").status_code == 200
        address = site.file_url("acme", NAME)
        answer = site.client.get(address)
        location = answer.headers["location"]
        assert (answer.status_code, answer.content) == (307, b"")
        assert answer.headers["cache-control"] == "no-store"
        assert location.startswith(f"{relay.url}/")
        assert "X-Amz-Expires=77&" in location
        assert httpx.get(location).content == CONTENT
        part = site.client.get(address, headers={"Range": "bytes=-7"}, follow_redirects=True)
        assert (part.status_code, part.content) == (206, CONTENT[-7:])
        assert len(relay.signed()) == 2
        head = site.client.head(address)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(CONTENT)))
        assert site.client.get(address, headers={"If-None-Match": head.headers["etag"]}).status_code == 304
        assert site.client.get(address, headers={"Range": f"bytes={len(CONTENT)}-"}).status_code == 416
        metadata = site.client.get(f"{address}.metadata")
        assert (metadata.status_code, b"Name: acme" in metadata.content) == (200, True)
        assert len(relay.signed()) == 2
        assert httpx.put(location, content=b"other").status_code == 403
        assert httpx.get(location.replace(NAME, f"{NAME}.metadata")).status_code == 403
    output = site.served.output()
    assert "X-Amz" not in output
    assert f"{NAME}?***" in output


@pytest.mark.clients
@pytest.mark.parametrize("client", ["pip", "uv", "twine and pip"])
def test_clients_follow_and_keep_their_password(client: str, tmp_path: Path, url: str) -> None:
    """pip and uv install by the redirect, with the digest checked, and send the bucket no credentials of the index."""
    passwords = password_file(tmp_path, **{USER: PASSWORD})
    home = tmp_path / "home"
    home.mkdir()
    sandbox = Sandbox(home)
    target = sandbox.target()
    with relayed(tmp_path, url, "-a", "download,list,update", "-P", passwords) as (site, relay):
        (home / NAME).write_bytes(CONTENT)
        login = f"{USER}:{quote(PASSWORD, safe='')}@"
        simple = site.base.replace("://", f"://{login}") + "simple/"
        if client == "twine and pip":
            ok(sandbox.twine("upload", "--repository-url", site.base, "-u", USER, "-p", PASSWORD, home / NAME))
        else:
            authorization = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            headers = {"authorization": f"Basic {authorization}"}
            assert publish(site, NAME, CONTENT, name="acme", version="1.0", **headers).status_code == 200
        listing = site.client.get("/simple/acme/", auth=(USER, PASSWORD)).text
        link = re.search(r'href="([^"#]+\.whl)#', listing)
        assert link is not None
        refused = site.client.get(str(site.client.base_url.join("/simple/acme/").join(link[1])))
        assert (refused.status_code, "location" in refused.headers) == (401, False)
        if client == "uv":
            ok(sandbox.uv("pip", "install", "--default-index", simple, "--target", target, "acme"))
        else:
            ok(sandbox.pip("pip-newest", "install", "--index-url", simple, "--target", target, "acme"))
        assert installed(target) == {"acme": "1.0"}
        (request,) = relay.signed()
        assert "authorization:" not in request.lower()
        assert "referer:" not in request.lower()


@pytest.mark.clients
def test_poetry_follows(tmp_path: Path, url: str) -> None:
    """poetry locks and installs by the redirect, with its own check of the digest."""
    home = tmp_path / "home"
    home.mkdir()
    sandbox = Sandbox(home)
    with relayed(tmp_path, url, *OPEN) as (site, relay):
        assert publish(site, NAME, CONTENT, name="acme", version="1.0").status_code == 200
        (home / "pyproject.toml").write_text(
            '[project]\nname = "throwaway"\nversion = "1.0"\nrequires-python = ">=3.11"\ndependencies = ["acme"]\n'
            f'[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = "quire"\nurl = "{site.base}simple/"\n'
        )
        ok(sandbox.run(environments.programs("poetry") / "poetry", "--no-interaction", "install", cwd=home))
        python = home / ".venv" / "bin" / "python"
        assert ok(sandbox.run(python, "-c", "import acme; print(acme.VERSION)")).strip() == "1.0"
        assert relay.signed()
