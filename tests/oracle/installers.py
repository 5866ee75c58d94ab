"""pip and uv at work on many archives: each is asked for `foo==VERSION` from a page that lists one file."""

from __future__ import annotations

import contextlib
import http.server
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.clients.environments import uv
from tests.oracle.cases import Case

DEADLINE = 500.0

# One process installs all: a new pip takes a third of a second until it has imported itself.
_PIP = """
import contextlib, io, json, logging, sys
from pip._internal.cli.main import main
for line in sys.stdin:
    arguments = json.loads(line)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = main(arguments)
        except BaseException as error:
            code = repr(error)
    logging.getLogger().handlers.clear()
    print(json.dumps([code, out.getvalue()[-2000:]]), flush=True)
"""


@contextlib.contextmanager
def pages(cases: Sequence[Case]) -> Iterator[str]:
    """A server on loopback: `/NUMBER/` is a page with the one file of that case. The address of the server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            number, _, name = self.path.strip("/").partition("/")
            case = cases[int(number)]
            data, kind = case.data, "application/octet-stream"
            if not name:
                link = case.filename.replace("+", "%2B")
                data, kind = f'<!DOCTYPE html><a href="{link}">{case.filename}</a>'.encode(), "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Installers:
    """Both installers, knowing nothing but what they are told; everything they write lies in `home`."""

    def __init__(self, home: Path, cases: Sequence[Case], url: str) -> None:
        self._home, self._cases, self._url = home, cases, url

    def pip(self) -> list[str | None]:
        """Of each case: None when it was installed, else why not."""
        lines = []
        for number, case in enumerate(self._cases):
            common = ["--quiet", "--no-input", "--isolated", "--disable-pip-version-check", "--no-cache-dir"]
            options = ["--no-index", f"--find-links={self._url}/{number}/", "--no-deps", "--no-build-isolation"]
            target = [f"--target={self._target('pip', number)}", "--no-compile", f"foo=={case.version}"]
            lines.append(json.dumps(["install", *common, *options, *target]))
        done = subprocess.run(
            [sys.executable, "-c", _PIP],
            input="\n".join(lines),
            env=self._environ(),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=True,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return [
            f"{code}: {output}" if code != 0 else self._missing("pip", number)
            for number, (code, output) in enumerate(answers)
        ]

    def uv(self) -> list[str | None]:
        """Of each case: None when it was installed, else why not."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(self._uv, range(len(self._cases))))

    def _uv(self, number: int) -> str | None:
        options = [
            "--no-index",
            f"--find-links={self._url}/{number}/",
            "--no-deps",
            "--no-build-isolation",
            "--no-config",
        ]
        done = subprocess.run(
            [
                str(uv()),
                "pip",
                "install",
                "--quiet",
                *options,
                "--python",
                sys.executable,
                f"--target={self._target('uv', number)}",
                f"--cache-dir={self._home / 'uv-cache'}",
                f"foo=={self._cases[number].version}",
            ],
            env=self._environ(),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return done.stderr[-2000:] or "no word" if done.returncode else self._missing("uv", number)

    def _target(self, installer: str, number: int) -> Path:
        return self._home / installer / str(number)

    def _missing(self, installer: str, number: int) -> str | None:
        """Why what was installed is not the distribution; None if it is."""
        target, case = self._target(installer, number), self._cases[number]
        try:
            installed = importlib.metadata.distributions(path=[str(target)])
            found = {(each.name.lower(), each.version) for each in installed if each.metadata}
        except Exception as error:  # noqa: BLE001 - what cannot be read was not installed, whatever the reason
            return f"installed, but its metadata cannot be read: {error}"
        if found != {("foo", case.version)}:
            return f"installed, but as {found}"
        for path, data in case.expected.items():
            file = target / path
            if not file.is_file() or file.read_bytes() != data:
                return f"installed, but {path} is missing or another one"
        return None

    def _environ(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self._home),
            "TMPDIR": str(self._home),
            "LANG": "C.UTF-8",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_RETRIES": "0",
        }
