"""The lines that a newcomer pastes: those of the README, each run as it stands there by the real clients."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.clients import environments
from tests.clients.sandbox import Sandbox
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.documents import ROOT, block
from tests.serving import free_port, running
from tests.upstreams import serving_index

pytestmark = pytest.mark.clients

_QUIRE = """
import sys
from quire import cli, config
config.DEFAULT_FALLBACK_URL = sys.argv.pop(1)
sys.exit(cli.main())
"""
"""The program, for which the public index is the one at the URL that comes first."""


def paste(script: str, cwd: Path, environ: Mapping[str, str]) -> None:
    """Run lines as a terminal would, with nobody to answer questions. The first that fails fails the test."""
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"


def clients(folder: Path, **variables: str) -> Mapping[str, str]:
    """An environment whose PATH has the newest uv, twine, pip, and this Python."""
    programs, home = folder / "bin", folder / "home"
    programs.mkdir()
    home.mkdir()
    sources = {
        "uv": environments.uv(),
        "twine": environments.programs("twine") / "twine",
        "pip": environments.programs("pip-newest") / "pip",
        "python3": Path(sys.executable).resolve(),
    }
    for name, source in sources.items():
        (programs / name).symlink_to(source)
    return Sandbox(home).environ(
        UV_PYTHON="",  # uv would install into that one
        PATH=os.pathsep.join([str(programs), os.defpath]),
        PIP_TARGET=str(folder / "installed"),
        NO_PROXY="localhost,127.0.0.1",
        **variables,
    )


def build(folder: Path, name: str, needs: str = "") -> None:
    """A wheel and an sdist, as `uv build` leaves them in dist/. `needs`: the project that they require."""
    (folder / "dist").mkdir()
    metadata = metadata_text(name, "1.0", extra=f"Requires-Dist: {needs}\n" if needs else "")
    (folder / "dist" / wheel_name(name, "1.0")).write_bytes(make_wheel(name, "1.0", metadata=metadata))
    (folder / "dist" / sdist_name(name, "1.0")).write_bytes(make_sdist(name, "1.0", metadata=metadata))


def test_the_readme(tmp_path: Path) -> None:
    """Serve, publish with uv and twine, install with uv and pip. The package needs `requests`, which is on the public
    index alone; a small index on this machine takes its place."""
    readme = ROOT / "README.md"
    (tmp_path / "packages").mkdir()
    build(tmp_path, "acme-tools", needs="requests")
    port = free_port()
    quire, *words = shlex.split(block(readme, "sh", "serve"))
    assert [quire, *words[:1]] == ["quire", "serve"]
    environ = clients(tmp_path)
    with serving_index() as public:
        public.has("requests", {wheel_name("requests", "2.0"): make_wheel("requests", "2.0")})
        command = [sys.executable, "-c", _QUIRE, public.url, "serve", "--port", str(port), "--workers", "2", *words[1:]]
        with running(command, port, cwd=tmp_path):
            for mark in ("publish", "install"):
                script = block(readme, "sh", mark).replace("localhost:8080", f"localhost:{port}")
                assert str(port) in script
                paste(script, tmp_path, environ)
        assert "/simple/requests/" in public.paths
        assert "/simple/acme-tools/" not in public.paths
    for site in (tmp_path / "installed", *(tmp_path / ".venv" / "lib").glob("python*/site-packages")):
        assert (site / "acme_tools.py").read_text() == "VERSION = '1.0'\n"
        assert (site / "requests.py").read_text() == "VERSION = '2.0'\n"
