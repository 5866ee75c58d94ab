"""distutils: Python's own until 3.11 as it runs, and the forms of Python 2.7 and its setuptools byte for byte."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import zipfile

import httpx
import pytest

from tests.clients.sandbox import Result, Sandbox, ok
from tests.clients.servers import PASSWORD, USER, Server, Servers
from tests.distributions import make_sdist, sdist_name

pytestmark = pytest.mark.clients

with_distutils = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="distutils left Python with 3.12; this environment has a newer one."
)


def _get(server: Server, filename: str) -> bytes:
    """The published file."""
    url = f"{server.url}packages/{filename}"
    return httpx.get(url, auth=(USER, PASSWORD), trust_env=False, follow_redirects=True).raise_for_status().content


# -- as Python 3.11 runs it -------------------------------------------------------------------------------------------


def _setup(sandbox: Sandbox, server: Server, name: str, *commands: str, password: str = PASSWORD) -> Result:
    """`setup.py` with these commands, in a project of one module; `.pypirc` names the server and the login."""
    (sandbox.home / ".pypirc").write_text(
        f"[distutils]\nindex-servers = q\n[q]\nrepository: {server.url}\nusername: {USER}\npassword: {password}\n"
    )
    folder = sandbox.home / name
    folder.mkdir(exist_ok=True)
    (folder / "setup.py").write_text(
        "from distutils.core import setup\n"
        f'setup(name="{name}", version="1.0", py_modules=["{name}"], author="A", author_email="a@example.org",\n'
        '    url="http://example.org", description="d", long_description="One line.\\nAnother.\\n")\n'
    )
    (folder / f"{name}.py").write_text('VERSION = "1.0"\n')
    (folder / "README").write_text("\n")
    # distutils warns that it will go away; setuptools would put its own copy in place of Python's.
    command = (sys.executable, "-W", "ignore", "setup.py", "-v", *commands, "-r", "q")
    return sandbox.run(*command, cwd=folder, SETUPTOOLS_USE_DISTUTILS="stdlib")


@with_distutils
@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
def test_setup_py_publishes(locked: Servers, sandbox: Sandbox, kind: str) -> None:
    """`register` does no harm, `sdist upload` publishes; the sdist is there byte for byte."""
    server: Server = getattr(locked, kind)
    name = f"setuppy{kind}"
    assert "Server response (200): OK" in ok(_setup(sandbox, server, name, "register"))
    assert locked.index.project(name) is None
    assert "Server response (200): OK" in ok(_setup(sandbox, server, name, "sdist", "upload"))
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
    """What distutils says of a release: `UNKNOWN` for what it does not know, nothing for an empty list."""
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


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
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


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
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


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn"])
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
