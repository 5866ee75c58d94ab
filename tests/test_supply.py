"""Dependencies: images are pinned by their registry's answer, and the audit reports when it cannot be done."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.serving import DEADLINE, environment

PIN, AUDIT = ROOT / "scripts" / "pin-images", ROOT / "scripts" / "audit"
DIGEST = f"sha256:{hashlib.sha256(b'an index').hexdigest()}"


@contextmanager
def registry(digest: str = DIGEST) -> Iterator[str]:
    """The address of a registry that gives a token to every client, and manifests to clients with the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"token": "abc"}' if self.path.startswith("/token?service=here&scope=") else b"{}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            if self.headers.get("Authorization") != "Bearer abc":
                self.send_response(401)
                challenge = f'Bearer realm="http://{address}/token",service="here",scope="repository:x:pull"'
                self.send_header("WWW-Authenticate", challenge)
            else:
                self.send_response(200 if self.path == "/v2/library/python/manifests/3.13-slim" else 404)
                self.send_header("Docker-Content-Digest", digest)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()


def project(folder: Path, image: str) -> Path:
    """The two files that name images, with this one."""
    (folder / "deploy" / "compose").mkdir(parents=True)
    (folder / "Dockerfile").write_text(f"ARG BASE={image}\n\nFROM ${{BASE}}\n")
    (folder / "deploy" / "compose" / "compose.yaml").write_text("image: quire\n")
    return folder


def run(script: Path, *arguments: object, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env=environment(NO_PROXY="127.0.0.1", **variables),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_an_image_is_pinned_to_what_its_tag_stands_for(tmp_path: Path) -> None:
    """Also once more, when the tag was moved; then --check is content."""
    with registry() as address:
        folder = project(tmp_path, f"{address}/library/python:3.13-slim")
        code, said = run(PIN, "--check", "--project", folder)
        assert (code, "has no digest" in said) == (1, True)
        for _ in range(2):
            assert run(PIN, "--project", folder, "--scheme", "http")[0] == 0
            pinned = f"ARG BASE={address}/library/python:3.13-slim@{DIGEST}\n"
            assert (folder / "Dockerfile").read_text().startswith(pinned)
        assert run(PIN, "--check", "--project", folder) == (0, "")


@pytest.mark.parametrize(("tag", "digest"), [("3.13-slim", "sha256:short"), ("other", DIGEST)])
def test_a_wrong_answer_changes_nothing(tag: str, digest: str, tmp_path: Path) -> None:
    """One sentence, and the file as it was."""
    with registry(digest) as address:
        folder = project(tmp_path, f"{address}/library/python:{tag}")
        before = (folder / "Dockerfile").read_text()
        code, said = run(PIN, "--project", folder, "--scheme", "http")
    assert (code, said.count("\n")) == (1, 1)
    assert "cannot be had" in said
    assert (folder / "Dockerfile").read_text() == before


def test_every_image_of_others_is_pinned() -> None:
    """Those that this repository names have a digest, and a registry: nothing is left to the engine's guess."""
    assert run(PIN, "--check") == (0, "")


def test_the_audit_is_skipped_without_a_network() -> None:
    """With a sentence, and exit code 0."""
    code, said = run(AUDIT, HTTPS_PROXY="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    assert code == 0
    assert said.startswith("The audit is skipped: ")
