"""Path traversal in every parameter, and bombs: nothing outside the store is read or written, and memory is bounded."""

from __future__ import annotations

import base64
import gzip
import io
import os
import re
import shutil
import subprocess
import tarfile
import xmlrpc.client
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.asking import OPEN, Site, content_type, multipart, nothing_changes, post, publish, publish_wheel, serve
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.http.fast.test_work_per_request import MUST_COUNT
from tests.memory import family, growth
from tests.serving import DEADLINE, until

SECRET = b"nobody must ever see this"
SECRET_FILE = sdist_name("secret", "1.0")
MARK = "zqx"
"""In every path that a client makes up, to find it again among the system calls."""


def _paths(outside: Path) -> list[str]:
    """Ways to say `outside`, as they go into a parameter."""
    up = f"../outside/{SECRET_FILE}"
    plain = [
        *(up, f"../{up}", f"../../../{up}", f"there/../{up}", f"./{up}", f"there/{'0' * 64}/../../../{up}"),
        *(str(outside / SECRET_FILE), f"/{outside / SECRET_FILE}", f"file://{outside / SECRET_FILE}"),
        *(up.replace("/", "\\"), up.replace("../", "....//"), up.replace("..", "%2e%2e"), f"{up}\0.whl"),
        *(f"../{MARK}-1.0.tar.gz", f"../../{MARK}", f"{MARK}/../../{MARK}", f"~/{MARK}", f"$HOME/{MARK}", f"{MARK}\0"),
        *("..", ".", "../", "/", "quire", "quire/format", "../quire/records", "incoming", f"{MARK}|id", "-rf"),
    ]
    return [*plain, up.encode().decode().replace("/", "\u2215"), up.replace(".", "\uff0e")]


def _ask_everywhere(site: Site, path: str) -> Iterator[httpx.Response]:
    """This value in every parameter that there is, its slashes as they are and escaped."""
    for spelt in dict.fromkeys((quote(path, safe="/"), quote(path, safe=""))):
        for address in (
            *("/simple/{}/", "/simple/{}", "/packages/{}", "/packages/there/{}", "/packages/{}.metadata"),
            *("/pypi/{}/json", "/pypi/there/{}/json", "/{}/json", "/{}", "/{}/", "/simple/?format={}"),
        ):
            # a client library would tidy the dots away
            url = httpx.URL(site.base).copy_with(raw_path=address.format(spelt).encode())
            yield site.client.send(httpx.Request("GET", url))
    wheel = make_wheel("sample", "1.0")
    yield post(site, [(":action", "file_upload"), ("content", path.replace('"', ""), wheel)])
    name = wheel_name("sample", "1.0")
    for field in ("name", "version", "filetype", "pyversion", "protocol_version", "sha256_digest", ":action"):
        fields = {":action": "file_upload", "name": "sample", "version": "1.0"} | {field: path}
        yield post(site, [*fields.items(), ("content", name, wheel)])
    yield post(
        site, [(":action", "file_upload"), ("content", name, wheel), ("gpg_signature", path, b"x"), ("name", path)]
    )
    yield post(site, [(":action", "remove_pkg"), ("name", path), ("version", path)])
    yield post(site, [(":action", "remove_pkg"), ("name", "there"), ("version", path)])
    yield site.client.post("/RPC2", content=xmlrpc.client.dumps(({"name": [path.replace("\0", "")]}, "or"), "search"))
    token = base64.b64encode(f"{path}:{path}".encode()).decode()
    yield site.get("/simple/", authorization=f"Basic {token}", x_forwarded_prefix=quote(path))


def _read(trace: Path) -> str:
    return trace.read_text(errors="replace") if trace.exists() else ""


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


_CALL = re.compile(r"\b(\w+)\((.*)")
_ARGUMENT = re.compile(r'(?:(AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')


def _touched(trace: str) -> Iterator[tuple[str, str, bool]]:
    """Of every call of `strace -y -e trace=%file`: its name, an absolute path, and whether the call may write."""
    for line in trace.splitlines():
        call = _CALL.search(line)
        if call is None:
            continue
        writes = call[1] not in {"open", "openat", "openat2"} or re.search(r"O_WRONLY|O_RDWR|O_CREAT", line)
        reads = call[1] in {"access", "faccessat", "faccessat2", "readlink", "readlinkat", "chdir", "execve", "getcwd"}
        for _, directory, name in _ARGUMENT.findall(call[2]):
            path = name.encode("latin-1", "replace").decode("unicode_escape")
            absolute = os.path.normpath(os.path.join(directory or "/", path))
            yield call[1], absolute, bool(writes) and not reads and "stat" not in call[1]


def test_the_trace_is_understood() -> None:
    """Relative to a directory, climbing out of one, and octal bytes: the paths that the system was asked for."""
    lines = [
        '12 openat(AT_FDCWD</work>, "/store/../secret", O_RDONLY|O_CLOEXEC) = 3</secret>',
        '12 openat(5</store/a>, "b", O_WRONLY|O_CREAT, 0666) = 6</store/a/b>',
        '12 linkat(AT_FDCWD</work>, "/store/x", 4</store/d>, "\\303\\244", 0) = 0',
        '12 newfstatat(7</store>, "../y", {st_mode=S_IFREG|0644, ...}, 0) = 0',
    ]
    assert list(_touched("\n".join(lines))) == [
        ("openat", "/secret", False),
        ("openat", "/store/a/b", True),
        ("linkat", "/store/x", True),
        ("linkat", "/store/d/\xc3\xa4", True),
        ("newfstatat", "/y", False),
    ]


@pytest.mark.skipif(not _can_trace() and not os.environ.get(MUST_COUNT), reason="needs strace, and the right to trace")
def test_no_parameter_leads_out_of_the_store(tmp_path: Path) -> None:
    """Every system call of a worker that names a path, while each parameter says `outside` in two dozen ways."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / SECRET_FILE).write_bytes(SECRET)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serve(tmp_path, *OPEN, TMPDIR=str(temporary)) as site:
        publish_wheel(site, "there")
        # what is loaded with the first request of a kind is not the client's doing
        for _ in _ask_everywhere(site, "warm"):
            pass
        before = _tree(outside)
        trace = tmp_path / "trace"
        workers = [argument for pid in family(site.served.process.pid) for argument in ("-p", str(pid))]
        command = ["strace", "-f", "-y", "-s", "4096", "-e", "trace=%file", "-o", str(trace), *workers]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
            try:
                # asked again and again: strace attaches to one thread after the other, and writes when it has a block
                until(lambda: site.get("/simple/there/").status_code == 200 and "there" in _read(trace))
                with nothing_changes(site):
                    for path in _paths(outside):
                        for answer in _ask_everywhere(site, path):
                            assert answer.status_code < 500, (path, answer.request.url, answer.text)
                            assert SECRET not in answer.content
            finally:
                tracer.terminate()
                tracer.communicate(timeout=DEADLINE)
        assert _tree(outside) == before
        root = f"{site.root}/"
    touched = list(_touched(trace.read_text()))
    assert len(touched) > 1000
    beyond = [(call, path) for call, path, _ in touched if not f"{path}/".startswith(root)]
    assert [each for each in beyond if str(outside) in each[1] or MARK in each[1]] == []
    own = (root, f"{temporary}/quire-")  # the store, and the counts of the workers
    assert [(call, path) for call, path, writes in touched if writes and not f"{path}/".startswith(own)] == []


# -- bombs ------------------------------------------------------------------------------------------------------------


def _zip_bomb(megabytes: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sample-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        with archive.open("sample-1.0.dist-info/METADATA", "w") as member:
            member.write(metadata_text("sample", "1.0").encode())
            for _ in range(megabytes):
                member.write(b"\n" * 2**20)
    return buffer.getvalue()


def _tar_bomb(megabytes: int) -> bytes:
    """An sdist whose PKG-INFO is long, and one that says of itself to be longer than it is."""
    member = tarfile.TarInfo("sample-1.0/PKG-INFO")
    member.size = megabytes * 2**20
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as compressed:
        compressed.write(member.tobuf())
        compressed.write(metadata_text("sample", "1.0").encode())
        for _ in range(megabytes):
            compressed.write(b"\n" * 2**20)
    return buffer.getvalue()


def test_bombs_need_no_memory(tmp_path: Path) -> None:
    """Metadata of 200 MB in a small zip or tar, a compressed request body: refused, within 64 MB more."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "there")
        publish(site, sdist_name("there", "1.0"), make_sdist("there", "1.0"), name="there", version="1.0")
        with growth(site.served.process.pid) as grown, nothing_changes(site):
            for filename, content in (
                (wheel_name("sample", "1.0"), _zip_bomb(200)),
                (sdist_name("sample", "1.0"), _tar_bomb(200)),
            ):
                answer = publish(site, filename, content, name="sample", version="1.0")
                assert answer.status_code == 400, answer.text
            body = gzip.compress(multipart([(":action", "file_upload"), ("name", "x" * 100_000_000)]))
            headers = {"Content-Type": content_type(), "Content-Encoding": "gzip"}
            assert site.client.post("/", content=body, headers=headers).status_code == 400
            call = gzip.compress(b"<methodCall>" + b" " * 100_000_000)
            assert site.client.post("/RPC2", content=call, headers={"Content-Encoding": "gzip"}).status_code in {
                400,
                413,
            }
            assert grown() < 64_000_000
