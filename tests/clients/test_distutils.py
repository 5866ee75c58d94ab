"""distutils: Python's own until 3.11 and setuptools' copies of it as they run; what older ones send, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import re
import socket
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.clients import environments
from tests.clients.matrix import KINDS
from tests.clients.sandbox import Result, Sandbox, ok
from tests.clients.servers import PASSWORD, USER, Server, Servers
from tests.distributions import make_sdist, sdist_name
from tests.serving import DEADLINE

pytestmark = pytest.mark.clients

with_distutils = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="distutils left Python with 3.12; this environment has a newer one."
)


def _get(server: Server, filename: str) -> bytes:
    """The published file."""
    url = f"{server.url}packages/{filename}"
    return httpx.get(url, auth=(USER, PASSWORD), trust_env=False, follow_redirects=True).raise_for_status().content


# -- as it runs -------------------------------------------------------------------------------------------------------

OWN = "Python's own"
COPIES = [
    *(
        pytest.param(name, marks=(with_distutils, pytest.mark.proofs))
        for name in ("setuptools-50", "setuptools-59", "setuptools-65")
    ),
    "setuptools-74",
]
"""Environments whose setuptools has a copy of distutils that can upload: from the first to the last one. The older ones
need what Python 3.12 no longer has."""
EVERY_DISTUTILS = [pytest.param(OWN, marks=with_distutils), *COPIES]


def _setup(
    sandbox: Sandbox,
    server: Server,
    name: str,
    *commands: str,
    password: str = PASSWORD,
    distutils: str = OWN,
    package: str = "distutils.core",
) -> Result:
    """`setup.py` with these commands, in a project of one module; `.pypirc` names the server and the login.

    `distutils`: Python's own, or the environment whose copy is used. `package`: what `setup` is imported from.
    """
    (sandbox.home / ".pypirc").write_text(
        f"[distutils]\nindex-servers = q\n[q]\nrepository: {server.url}\nusername: {USER}\npassword: {password}\n"
    )
    folder = sandbox.home / name
    folder.mkdir(exist_ok=True)
    (folder / "setup.py").write_text(
        f"from {package} import setup\n"
        f'setup(name="{name}", version="1.0", py_modules=["{name}"], author="A", author_email="a@example.org",\n'
        '    url="http://example.org", description="d", long_description="One line.\\nAnother.\\n")\n'
    )
    (folder / f"{name}.py").write_text('VERSION = "1.0"\n')
    (folder / "README").write_text("\n")
    python = sys.executable if distutils == OWN else environments.programs(distutils) / "python"
    # distutils warns that it will go away; setuptools would put its own copy in place of Python's.
    command = (python, "-W", "ignore", "setup.py", "-v", *commands, "-r", "q")
    return sandbox.run(*command, cwd=folder, SETUPTOOLS_USE_DISTUTILS="stdlib" if distutils == OWN else "local")


@pytest.mark.parametrize("distutils", EVERY_DISTUTILS)
@pytest.mark.parametrize("kind", KINDS)
def test_setup_py_publishes(locked: Servers, sandbox: Sandbox, kind: str, distutils: str) -> None:
    """`register` does no harm, `sdist upload` publishes; the sdist is there byte for byte."""
    server: Server = getattr(locked, kind)
    name = f"setuppy{kind}{distutils[-2:] if distutils != OWN else ''}"
    registered = ok(_setup(sandbox, server, name, "register", distutils=distutils))
    assert locked.index.project(name) is None
    published = ok(_setup(sandbox, server, name, "sdist", "upload", distutils=distutils))
    if distutils not in {"setuptools-65", "setuptools-74"}:  # these say nothing without setuptools' own `setup`
        assert "Server response (200): OK" in registered
        assert "Server response (200): OK" in published
    project = locked.index.project(name)
    assert project is not None
    (filename,) = project.files
    built = (sandbox.home / name / "dist" / filename).read_bytes()
    assert project.files[filename].sha256 == hashlib.sha256(built).hexdigest()
    assert _get(locked.gunicorn, filename) == built


@with_distutils
def test_setup_py_with_a_wrong_password(locked: Servers, sandbox: Sandbox) -> None:
    """The sentence of the refusal is in its error, and nothing is published."""
    refused = _setup(sandbox, locked.uvicorn, "mistaken", "sdist", "upload", password="mistaken")
    assert refused.code > 0
    assert "Upload failed (401): The user name or the password is wrong." in refused.text
    assert locked.index.project("mistaken") is None


@pytest.mark.parametrize("copy", COPIES)
def test_setup_py_with_documentation(locked: Servers, sandbox: Sandbox, copy: str) -> None:
    """`upload_docs`, which is setuptools' own, is accepted, and as on pypiserver not kept."""
    name = f"documented{copy[-2:]}"
    docs = sandbox.home / "documentation"
    docs.mkdir()
    (docs / "index.html").write_text("<p>Documentation</p>\n")
    command = ("upload_docs", f"--upload-dir={docs}")
    said = ok(_setup(sandbox, locked.uvicorn, name, *command, distutils=copy, package="setuptools"))
    assert "Server response (200): OK" in said
    assert locked.index.project(name) is None


# -- as others sent it ------------------------------------------------------------------------------------------------

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.http"))


def _send_again(server: Server, request: bytes) -> tuple[int, str]:
    """Send a request that was recorded, byte for byte but for the address of the server; status and reason."""
    head, _, body = request.partition(b"\r\n\r\n")
    head = re.sub(rb"(?m)^Host: [^\r]*", f"Host: {server.host}".encode(), head)
    with socket.create_connection((server.served.host, server.served.port), timeout=DEADLINE) as connection:
        connection.sendall(head + b"\r\n\r\n" + body)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read().decode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_what_a_python_sent(locked: Servers, kind: str, recorded: Path) -> None:
    """`register` and `upload` of Python 3.6 to 3.11, which from 3.9 on calls a BLAKE2b of 512 bits one of 256."""
    action, _, version = recorded.stem.partition("-")
    request = recorded.read_bytes()
    assert (b"blake2_256_digest" in request) == (action == "upload" and version != "3.6")
    status, text = _send_again(getattr(locked, kind), request)
    assert status == 200, text
    if action == "upload":
        filename = f"distutils{version.replace('.', '')}-1.0.tar.gz"
        assert _get(locked.uvicorn, filename) in request


def test_what_a_python_sent_with_another_digest(locked: Servers) -> None:
    """The long BLAKE2b is compared, not passed over."""
    request = (Path(__file__).parent / "recorded" / "upload-3.10.http").read_bytes()
    digest = re.search(rb"(?<=\n)[0-9a-f]{128}(?=\r?\n)", request)
    assert digest is not None
    status, text = _send_again(locked.uvicorn, request.replace(digest[0], bytes(reversed(digest[0]))))
    assert status == 400
    assert "The blake2b_512 digest" in text


# -- as Python 2.7 sent it --------------------------------------------------------------------------------------------

_BOUNDARY = b"--------------GHSKFJDLGDS7543FJKLFHRE75642756743254"


def _form(fields: dict[str, str | list[str]], line: bytes, content: bytes = b"", *, separator: bytes = b"") -> bytes:
    """A form of Python 2.7. `content`: of the file, after the fields, its name in front of it with `separator`."""
    body = b""
    for field, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            body += line + b"--" + _BOUNDARY + line + b'Content-Disposition: form-data; name="' + field.encode() + b'"'
            if field == "content":
                body += separator + b'filename="' + value.encode() + b'"' + line + line + content
            else:
                body += line + line + value.encode()
    return body + line + b"--" + _BOUNDARY + b"--" + line


def _metadata(name: str) -> dict[str, str | list[str]]:
    """The fields that distutils sends of a release: `UNKNOWN` for what it does not know, nothing for an empty list."""
    return {
        "metadata_version": "1.0",
        "name": name,
        "version": "1.0",
        "summary": "A summary with ümlauts",
        "home_page": "http://example.org",
        "author": "A",
        "author_email": "a@example.org",
        "license": "UNKNOWN",
        "description": "One line.\nAnother one.\n--\n",
        "keywords": "",
        "platform": ["UNKNOWN"],
        "classifiers": ["Private :: A", "Private :: B"],
        "download_url": "UNKNOWN",
        "provides": [],
        "requires": [],
        "obsoletes": [],
    }


def _post(server: Server, body: bytes, *, charset: str = "", login: bool = True) -> httpx.Response:
    """With the headers of urllib2 and httplib in Python 2.7; credentials come with the first request."""
    headers = {
        "accept-encoding": "identity",
        "user-agent": "Python-urllib/2.7",
        "connection": "close",
        "content-type": f"multipart/form-data; boundary={_BOUNDARY.decode()}{charset}",
    }
    if login:
        headers["authorization"] = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    return httpx.post(server.url, content=body, headers=headers, trust_env=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ["submit", "verify"])
def test_register_of_python_27(locked: Servers, kind: str, action: str) -> None:
    """Lines end with LF. Its first request has no login: it waits for a challenge of the realm `pypi`."""
    server: Server = getattr(locked, kind)
    body = _form({":action": action, **_metadata("registered")}, b"\n")
    challenged = _post(server, body, charset="; charset=utf-8", login=False)
    assert challenged.status_code == 401
    assert challenged.headers["www-authenticate"].startswith('Basic realm="pypi"')
    answer = _post(server, body, charset="; charset=utf-8")
    assert (answer.status_code, answer.text) == (200, "Nothing to register: publish a file.\n")
    assert locked.index.project("registered") is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
def test_upload_of_python_27(locked: Servers, kind: str, line: bytes) -> None:
    """Lines end with LF in its early releases, with CRLF in the late ones; no blank stands before `filename`."""
    server: Server = getattr(locked, kind)
    name = f"upload{kind}{len(line)}"
    content = make_sdist(name, "1.0")
    fields = {
        ":action": "file_upload",
        "protcol_version": "1",  # as it is spelled there
        **_metadata(name),
        "filetype": "sdist",
        "pyversion": "",
        "md5_digest": hashlib.md5(content).hexdigest(),
        "comment": "",
        "content": sdist_name(name, "1.0"),
    }
    answer = _post(server, _form(fields, line, content, separator=b";"))
    assert answer.status_code == 200, answer.text
    assert _get(server, sdist_name(name, "1.0")) == content


@pytest.mark.parametrize("kind", KINDS)
def test_upload_docs_of_setuptools(locked: Servers, kind: str) -> None:
    """Lines end with LF, around a zip of the documentation: accepted, and as on pypiserver not kept."""
    server: Server = getattr(locked, kind)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as docs:
        docs.writestr("index.html", "<p>Documentation</p>\n")
    fields: dict[str, str | list[str]] = {":action": "doc_upload", "name": "documented", "content": "documented.zip"}
    answer = _post(server, _form(fields, b"\n", archive.getvalue(), separator=b"; "))
    assert answer.status_code == 200, answer.text
    assert locked.index.project("documented") is None
