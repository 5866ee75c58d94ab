"""The lines that a newcomer pastes: those of the README and of the home page, run as they stand by the real clients."""

from __future__ import annotations

import html
import os
import pty
import re
import select
import shlex
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.asking import OPEN, Site, password_file, serve
from tests.clients import environments
from tests.clients.matrix import first_of
from tests.clients.sandbox import Sandbox
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.documents import DOCS, ROOT, block
from tests.serving import free_port, running, until
from tests.upstreams import serving_index

pytestmark = pytest.mark.clients

_PROMPT = re.compile(
    r"(?P<user>(?i:user ?name|user for)[^\n]*: ?)$|(?P<password>(?i:password|the same again)[^\n]*: ?)$"
)
_LINE = re.compile('<code id="(install|publish)-[^"]*">(.*?)</code>')
"""Tabs with lines for files of configuration have several lines each."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SECONDS = 60.0
_QUIRE = """
import sys
from quire import cli
from quire.config import settings as config
config.DEFAULT_FALLBACK_URL = sys.argv.pop(1)
sys.exit(cli.main())
"""
"""The program, for which the public index is the one at the URL that comes first."""


def paste(script: str, cwd: Path, environ: Mapping[str, str]) -> None:
    """Run lines as a terminal would, without input. The first that fails fails the test."""
    done = subprocess.run(
        ["sh", "-euc", script],
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}"


def paste_and_answer(script: str, cwd: Path, environ: Mapping[str, str]) -> str:
    """As `paste`, at a terminal where a person answers the questions for user name and password; what was shown."""
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", "--wait", "sh", "-euc", script]
    process = subprocess.Popen(command, cwd=cwd, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    output, shown, seen = b"", "", 0
    try:
        while True:
            assert select.select([ours], [], [], _SECONDS)[0], f"it waits: {script}\n{shown}"
            try:
                output += os.read(ours, 4096)
            except OSError:  # EIO: how a terminal says that its last program ended
                break
            shown = _CONTROL.sub("", output.decode(errors="replace"))
            if found := _PROMPT.search(shown, seen):
                seen = len(shown)
                if found["password"]:  # what is typed before the program hides it, it throws away
                    until(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO)
                os.write(ours, b"alice\n" if found["user"] else b"secret\n")
    finally:
        os.close(ours)  # hangs up, which ends what still runs there
        code = process.wait(_SECONDS)
    assert code == 0, f"{script}\n{shown}"
    return shown


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
        **{"NO_PROXY": "localhost,127.0.0.1", **variables},
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


@pytest.mark.proofs
def test_the_first_index(tmp_path: Path) -> None:
    """The tutorial, from the password to the yanked release that pip does not install."""
    page = DOCS / "tutorials" / "first-index.md"
    environ = dict(clients(tmp_path))
    del environ["PIP_TARGET"]  # it installs into an environment of its own
    (tmp_path / "bin" / "quire").symlink_to(Path(sys.executable).with_name("quire"))
    *before, serve_line = block(page, "sh", "start").splitlines()
    paste_and_answer("\n".join(before), tmp_path, environ)
    port = free_port()
    publish, install = (
        block(page, "sh", mark).replace("127.0.0.1:8080", f"127.0.0.1:{port}") for mark in ("publish", "install")
    )
    with running([sys.executable, "-m", *shlex.split(serve_line), "--port", str(port)], port, cwd=tmp_path):
        paste(publish, tmp_path, environ)
        paste(install, tmp_path / "hello-index", environ)
        paste(block(page, "sh", "yank"), tmp_path, environ)
        with pytest.raises(AssertionError, match="No matching distribution found for hello-index"):
            paste(install.replace("venv try", "venv --clear try"), tmp_path / "hello-index", environ)


def lines(site: Site, base: str) -> tuple[list[str], list[str]]:
    """The commands on the home page under this address: to install `acme-tools`, to publish."""
    found = _LINE.findall(httpx.get(base, trust_env=False).text)
    first, second = ([html.unescape(line) for kind, line in found if kind == of] for of in ("install", "publish"))
    values = {"NAME": "acme-tools", "USER": "alice", "PASSWORD": "secret"}
    return [re.sub(r"\b(?:NAME|USER|PASSWORD)\b", lambda word: values[word[0]], line) for line in first], second


CONFIGURATIONS = {
    "open": (*OPEN,),
    "a-login-for-everything": ("-a", "download,list,update", "-P", "users", "--disable-fallback"),
    "under-a-prefix-with-a-login": (
        *("-a", "download,list,update", "-P", "users", "--disable-fallback", "--server-base-url", "/team/python"),
    ),
    "a-login-to-publish": ("-a", "update", "-P", "users", "--disable-fallback"),
    "a-login-to-install": ("-a", "download", "-P", "users", "--anonymous-uploads", "--disable-fallback"),
    "under-a-prefix": (*OPEN, "--server-base-url", "/team/python"),
}


@pytest.mark.parametrize("host", first_of("127.0.0.1", "localhost", "0.0.0.0"))
@pytest.mark.parametrize("configuration", first_of(*CONFIGURATIONS, first=3))
def test_the_home_page(configuration: str, host: str, tmp_path: Path) -> None:
    """Every line that it shows works, however the index is configured, and under whichever name it is reached. (To pip
    0.0.0.0 is another machine, whose http it does not trust by itself.)"""
    if host != "127.0.0.1" and configuration not in {"open", "a-login-for-everything"}:
        pytest.skip("the host changes nothing in what this one shows")
    password_file(tmp_path, alice="secret")
    build(tmp_path, "acme-tools")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "0"\nrequires-python = ">=3.11"\n')
    environ = clients(tmp_path, NO_PROXY=host)
    with serve(tmp_path, *CONFIGURATIONS[configuration]) as site:
        install, publish = lines(site, site.base.replace("127.0.0.1", host))
        assert [line.split()[0] for line in publish] == ["uv", "twine"]
        assert {line.split()[0] for line in install} - {"export"} == {"uv", "pip"}
        exports = [line for line in install if line.startswith("export ")]
        for line in publish + [line for line in install if line not in exports]:
            shown = paste_and_answer("; ".join([*exports, line]), tmp_path, environ)
            needs_login = ("update" if line in publish else "download") in CONFIGURATIONS[configuration][1]
            assert ("assword:" in shown) == (needs_login and not line.startswith("uv add")), shown
    for place in (tmp_path / "installed", *(tmp_path / ".venv" / "lib").glob("python*/site-packages")):
        assert (place / "acme_tools.py").read_text() == "VERSION = '1.0'\n"


@pytest.mark.parametrize(
    "flags", [(*OPEN, "--read-only"), ("--disable-fallback", "--rights", "settings")], ids=["read-only", "no-login"]
)
def test_the_home_page_of_an_index_that_takes_no_uploads(flags: tuple[str, ...], tmp_path: Path) -> None:
    """It shows how to install, and says why nothing can be published instead of how."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / wheel_name("acme-tools", "1.0")).write_bytes(make_wheel("acme-tools", "1.0"))
    environ = clients(tmp_path)
    with serve(tmp_path, *flags) as site:
        install, publish = lines(site, site.base)
        assert publish == []
        text = site.get("/").text
        assert ("it takes no uploads" if "--read-only" in flags else "No user can publish") in text
        paste(next(line for line in install if line.startswith("pip ")), tmp_path, environ)
    assert (tmp_path / "installed" / "acme_tools.py").exists()
