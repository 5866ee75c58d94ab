"""The distributions on Pythons newer than this machine's: installed, started, published to; and tests of the domain.

`make test-pythons` makes them ready and runs this. Python 3.11 runs the whole suite; no 3.12 can be had from Debian.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import quire
from tests.asking import OPEN, content_type, multipart, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.release.pythons import PACKAGES, SHARED, SOURCE, VERSIONS, inside
from tests.serving import free_port, running

pytestmark = pytest.mark.pythons

FAST = (
    *("tests/domain", "tests/render", "tests/access", "tests/archives", "tests/catalog"),
    *("tests/servers/test_startup.py", "tests/http/app/test_rights_matrix.py", "tests/http/ui/test_account.py"),
    *("tests/http/fast/test_kept_pages.py", "tests/http/app/test_unread_pages.py"),
    *("tests/http/simple/test_mirror_space.py", "tests/http/ui/projects/test_described.py"),
)
_SECONDS = 900.0

each_python = pytest.mark.parametrize("version", VERSIONS)


@dataclass(frozen=True)
class Machine:
    """One Python, with the dependencies of a lock and a folder of the test."""

    version: str
    lock: str
    shared: Path

    def command(self, *words: object) -> list[str]:
        return inside(self.version, self.lock, self.shared, *words)

    def told(self, *words: object) -> str:
        """The output of a command that ends well."""
        done = subprocess.run(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
        return done.stdout

    def environment(self, name: str, *paths: Path, pip: bool = True) -> Path:
        """The folder of the programs of a new environment, which finds modules below these paths as well."""
        self.told(f"python{self.version}", "-m", "venv", *(() if pip else ("--without-pip",)), SHARED / name)
        beside = self.shared / name / "lib" / f"python{self.version}" / "site-packages" / "beside.pth"
        beside.write_text("".join(f"{path}\n" for path in paths))
        return SHARED / name / "bin"


@each_python
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_distribution_is_installed_and_serves_what_it_is_sent(
    built: dict[str, Path], tmp_path: Path, version: str, kind: str
) -> None:
    """Each dependency in the metadata must be among the locked ones. That Python's pip installs what was sent."""
    machine = Machine(version, "run", tmp_path)
    shutil.copy(built[kind], tmp_path)
    programs = machine.environment("server", PACKAGES)
    options = ("--no-index", "--no-build-isolation", "--quiet")
    machine.told(programs / "pip", "install", *options, SHARED / built[kind].name)
    assert machine.told(programs / "quire", "--version") == f"{quire.VERSION_LINE}\n"

    port, name = free_port(), "acme-tools"
    (tmp_path / "files").mkdir()
    serve = (programs / "quire", "serve", "--port", port, *OPEN, "--workers", 2, SHARED / "files")
    with running(machine.command(*serve), port, cwd=tmp_path):
        address = f"http://127.0.0.1:{port}/"
        form = multipart(twine_form(wheel_name(name, "1.0"), make_wheel(name, "1.0"), name=name, version="1.0"))
        sent = httpx.post(address, content=form, headers={"Content-Type": content_type()})
        assert sent.status_code == 200, sent.text
        client = machine.environment("client")
        machine.told(client / "pip", "install", "--quiet", "--index-url", f"{address}simple/", name)
        assert name in machine.told(client / "pip", "list")


@each_python
def test_the_fast_tests_pass(tmp_path: Path, version: str) -> None:
    """Of the domain, pages, rights, archives and the start, on the locked dependencies as they are for that Python."""
    machine = Machine(version, "dev", tmp_path)
    programs = machine.environment("tests", PACKAGES, SOURCE / "src", pip=False)
    words = (programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not clients and not proofs")
    said = machine.told("env", f"--chdir={SOURCE}", *words, *FAST)
    assert " passed" in said
