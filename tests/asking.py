"""An index to ask: a real server process over a directory of its own, and requests as clients send them.

A request that a client library would correct before sending it (a truncated body, an HTTP/1.0 request) goes over a raw
socket.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import httpx

from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import defining
from quire.store.posix.store import PosixStore
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, Served, environment, free_port, running, until

JSON_V1 = "application/vnd.pypi.simple.v1+json"
HTML_V1 = "application/vnd.pypi.simple.v1+html"
OPEN = ("-a", ".", "-P", ".", "--disable-fallback")
"""Flags of an index that needs no login."""
TWINE = {"User-Agent": "twine/7.0.0 CPython/3.11"}
NAMED_INDEX = "index:team"
"""The place of a named index of this name in a directory: all requests go below `/team/`."""
BUCKET_IN_MEMORY = "s3://memory"
"""The place of a bucket in the memory of its server (see `tests.bucket_in_memory`)."""
_BOUNDARY = "----------quire-tests"


@dataclass
class LoopbackConnection:
    """In place of the connection that a raw request came on."""

    further: Sequence[tuple[bytes, bytes]] = ()
    takes_files: bool = False
    scheme: str = "http"

    def client_host(self) -> str:
        return "192.0.2.1"

    def further_headers(self) -> Sequence[tuple[bytes, bytes]]:
        return self.further


@dataclass
class Site:
    """A served directory."""

    root: Path
    served: Served
    client: httpx.Client
    """Follows no redirects; its base URL has the prefix."""
    place: str = ""
    """Where the store is, in place of the directory, which then has drop-in files only; empty: in the directory."""
    name: str = "main"
    """Of the index."""

    @property
    def base(self) -> str:
        """The URL of the index, ended by a slash."""
        return f"{str(self.client.base_url).rstrip('/')}/"

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=_dashed(headers))

    def listing(self, project: str) -> dict[str, Any]:
        """The project's page as JSON."""
        answer = self.get(f"/simple/{project}/", accept=JSON_V1)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def filenames(self, project: str) -> list[str]:
        return [file["filename"] for file in self.listing(project)["files"]]

    def projects(self) -> list[str]:
        return [each["name"] for each in self.get("/simple/", accept=JSON_V1).json()["projects"]]

    def file_url(self, project: str, filename: str) -> str:
        """The absolute URL that the listing gives for a file."""
        page = self.client.build_request("GET", f"/simple/{project}/").url
        (url,) = [file["url"] for file in self.listing(project)["files"] if file["filename"] == filename]
        return str(page.join(url))

    def index(self) -> Index:
        """The same index as another process sees it."""
        self._is_on_disk()
        return Index(PosixStore.open(self.root), self.name)

    def staged(self) -> list[str]:
        """The files in the staging folder."""
        self._is_on_disk()
        folder = self.root / "quire" / "incoming"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def blobs(self) -> list[str]:
        """Every stored file."""
        self._is_on_disk()
        folder = self.root / "quire" / "blobs"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def _is_on_disk(self) -> None:
        assert not self.place, "this test looks into the store's folder: mark it with on_disk"

    def raw(self, *pieces: bytes, half_close: bool = False) -> RawAnswer:
        """Send these bytes on a connection of their own; the answer to them."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return raw_answer(connection)

    def connect(self) -> socket.socket:
        return socket.create_connection((self.served.host, self.served.port), timeout=DEADLINE)


@dataclass(frozen=True)
class RawAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


def raw_answer(connection: socket.socket, method: str = "GET") -> RawAnswer:
    """The next response on this connection."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return RawAnswer(response.status, headers, response.read())


@contextmanager
def serve(
    folder: Path,
    *flags: object,
    place: str = "",
    unprivileged: bool = False,
    descriptors: int | None = None,
    **variables: str,
) -> Iterator[Site]:
    """A `quire run` with one worker over `folder`/packages, which is made if it is not there.

    `place`: see `Site.place`; an `@` in it stands for a folder that no other server has. Below BUCKET_IN_MEMORY it is
    in a bucket in the memory of the server. NAMED_INDEX: a named index in the directory,
    instead of the one at the root.

    Whatever was asked of it, it must not have logged a traceback. `unprivileged`: for root, to have no other rights to
    files than the permissions give. `descriptors`: the hard limit of open files; None for that of the tests.
    """
    root = folder / "packages"
    root.mkdir(exist_ok=True)
    name = "main"
    if place == NAMED_INDEX:
        place, name = "", place.partition(":")[2]
        access = AccessRecords(PosixStore.open(root))
        defining.create_index(access, name, {}, default="main", origin=Origin(command="test"))
    port, place = free_port(), place.replace("@", secrets.token_hex(6))
    arguments = ("run", "-p", port, "-i", "127.0.0.1", "--workers", 1, *flags, *filter(None, [place]), root)
    program = "tests.bucket_in_memory" if place.startswith(f"{BUCKET_IN_MEMORY}/") else "quire"
    command = [sys.executable, "-m", program, *map(str, arguments)]
    if unprivileged:
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    if descriptors is not None:
        command = ["prlimit", f"--nofile={descriptors}:{descriptors}", *command]
    prefix = str(flags[flags.index("--server-base-url") + 1]) if "--server-base-url" in flags else ""
    if name != "main":
        prefix = f"{prefix.rstrip('/')}/{name}"
    with (
        running(command, port, cwd=folder, environ=environment(**variables)) as served,
        httpx.Client(base_url=f"http://127.0.0.1:{port}{prefix}", timeout=DEADLINE) as client,
    ):
        yield Site(root, served, client, place, name)
        assert "Traceback" not in served.output(), served.output()


def password_file(folder: Path, **users: str) -> Path:
    """An htpasswd file of these users and passwords, as cheap as bcrypt can be; replaced in one step if it is there."""
    lines = [f"{user}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()}\n" for user, word in users.items()]
    staging = folder / "users.new"
    staging.write_text("".join(lines))
    return staging.replace(folder / "users")


def basic(user: str, password: str) -> str:
    """The value of the Authorization header (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


# -- uploads ----------------------------------------------------------------------------------------------------------

Part = tuple[str, str] | tuple[str, str, bytes]
"""(field, value), or (field, filename, content)."""


def multipart(parts: Sequence[Part], boundary: str = _BOUNDARY) -> bytes:
    """The body of a form."""
    body = io.BytesIO()
    for part in parts:
        disposition = f'form-data; name="{part[0]}"'
        content = part[1].encode()
        if len(part) == 3:
            disposition += f'; filename="{part[1]}"'
            content = part[2]
        body.write(f"--{boundary}\r\nContent-Disposition: {disposition}\r\n".encode())
        if len(part) == 3:
            body.write(b"Content-Type: application/octet-stream\r\n")
        body.write(b"\r\n" + content + b"\r\n")
    body.write(f"--{boundary}--\r\n".encode())
    return body.getvalue()


def content_type(boundary: str = _BOUNDARY) -> str:
    return f"multipart/form-data; boundary={boundary}"


def twine_form(
    filename: str, content: bytes, *, name: str, version: str, replaced: Mapping[str, str | None] | None = None
) -> list[Part]:
    """The parts of the form that twine sends. `replaced`: other values of fields; None leaves one out."""
    fields: dict[str, str | None] = {
        ":action": "file_upload",
        "protocol_version": "1",
        "name": name,
        "version": version,
        "filetype": "bdist_wheel" if filename.endswith(".whl") else "sdist",
        "pyversion": "py3" if filename.endswith(".whl") else "source",
        "metadata_version": "2.4",
        "summary": "A summary: with ümlauts",
        "description": "One line.\nAnother one.\n",
        "md5_digest": hashlib.md5(content).hexdigest(),
        "sha256_digest": hashlib.sha256(content).hexdigest(),
        "blake2_256_digest": hashlib.blake2b(content, digest_size=32).hexdigest(),
    }
    fields |= replaced or {}
    parts: list[Part] = [(field, value) for field, value in fields.items() if value is not None]
    return [*parts, ("classifiers", "Private :: A"), ("classifiers", "Private :: B"), ("content", filename, content)]


def post(site: Site, parts: Sequence[Part], path: str = "/", **headers: str) -> httpx.Response:
    """Send a form."""
    return site.client.post(
        path, content=multipart(parts), headers={"content-type": content_type(), **_dashed(headers)}
    )


def publish(site: Site, filename: str, content: bytes, *, name: str, version: str, **headers: str) -> httpx.Response:
    """Upload a distribution as twine does."""
    return post(site, twine_form(filename, content, name=name, version=version), **headers)


def publish_wheel(
    site: Site, name: str, version: str = "1.0", *, files: Mapping[str, bytes] | None = None, **headers: str
) -> str:
    """Upload a wheel that is accepted; its filename. `files`: further content, to make it another one."""
    filename = wheel_name(name, version)
    content = make_wheel(name, version, files=files)
    answer = publish(site, filename, content, name=name, version=version, **headers)
    assert answer.status_code == 200, answer.text
    return filename


@contextmanager
def nothing_changes(site: Site) -> Iterator[None]:
    """Whatever is asked in this block leaves no trace: not in a listing, and not among the blobs and in staging, which
    can be looked at where they are on disk.
    """

    def everything() -> tuple[object, ...]:
        return site.projects(), site.get("/packages/").text, [] if site.place else site.blobs()

    before = everything()
    yield
    until(lambda: bool(site.place) or not site.staged())
    assert everything() == before


def _dashed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
