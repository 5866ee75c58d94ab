"""Running a client so that it knows nothing but what the test tells it: no configuration, no credentials, no input."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.clients import environments

DEADLINE = 60.0
"""Seconds that one client command may take; reached only when it hangs."""


@dataclass(frozen=True)
class Result:
    """A client's output (both streams) and exit code."""

    code: int
    output: str

    @property
    def text(self) -> str:
        """The output as one line: clients break theirs where their terminal ends."""
        return " ".join(self.output.replace("│", " ").split())


@dataclass(frozen=True)
class Sandbox:
    """A home folder of its own; everything a client keeps (caches, settings, credentials) goes there."""

    home: Path

    def environ(self, **variables: str) -> dict[str, str]:
        """The whole environment of a client: nothing is inherited."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.home),
            # A request to any other server than those of the test fails at once: the port is closed.
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",  # releases differ in one digit, and bytecode is kept by size and second
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "TMPDIR": str(self._folder("tmp")),
            "XDG_CACHE_HOME": str(self._folder("cache")),
            "XDG_CONFIG_HOME": str(self._folder("config")),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_RETRIES": "0",
            "UV_NO_CONFIG": "1",
            "UV_PYTHON": sys.executable,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_RETRIES": "0",
            "UV_NO_PROGRESS": "1",
            "POETRY_KEYRING_ENABLED": "false",
            "POETRY_VIRTUALENVS_IN_PROJECT": "true",
            "POETRY_VIRTUALENVS_OPTIONS_NO_PIP": "true",
            "PDM_CHECK_UPDATE": "0",
            "PDM_IGNORE_SAVED_PYTHON": "1",
            **variables,
        }

    def run(self, *command: object, cwd: Path | None = None, **variables: str) -> Result:
        """Run the command with standard input closed."""
        done = subprocess.run(
            [str(each) for each in command],
            cwd=cwd or self.home,
            env=self.environ(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        return Result(done.returncode, done.stdout)

    def pip(self, version: str, *arguments: object, PATH: str = os.defpath) -> Result:  # noqa: N803 - the variable
        """`pip` of the environment of that name, never asking."""
        python = environments.programs(version) / "python"
        return self.run(python, "-m", "pip", "--no-input", *arguments, PATH=PATH)

    def uv(self, *arguments: object, cwd: Path | None = None, **variables: str) -> Result:
        return self.run(environments.uv(), *arguments, cwd=cwd, **variables)

    def twine(self, *arguments: object) -> Result:
        return self.run(environments.programs("twine") / "twine", "--no-color", *arguments)

    def target(self) -> Path:
        """A new empty folder to install into."""
        return self._folder(f"target-{len(list(self.home.glob('target-*')))}")

    def installs(self, simple: str, *requirements: str) -> list[dict[str, str]]:
        """The releases that pip and uv install from an index alone."""
        with_pip, with_uv = self.target(), self.target()
        pip = ("pip-newest", "install", "--no-cache-dir", "--index-url", simple, "--target", with_pip)
        ok(self.pip(*pip, *requirements))
        ok(self.uv("pip", "install", "--no-cache", "--default-index", simple, "--target", with_uv, *requirements))
        return [installed(with_pip), installed(with_uv)]

    def _folder(self, name: str) -> Path:
        (self.home / name).mkdir(exist_ok=True)
        return self.home / name


def ok(result: Result) -> str:
    """The output of a command that must have succeeded."""
    assert result.code == 0, result.output
    return result.output


def refused(result: Result) -> str:
    """The output, as one line, of a command that must have failed by itself, saying why."""
    assert result.code > 0, result.output
    assert "Traceback" not in result.output, result.output
    return result.text


def installed(target: Path) -> dict[str, str]:
    """Version by name of what a folder holds, as its dist-info folders tell."""
    found = (folder.name.removesuffix(".dist-info").rpartition("-") for folder in target.glob("*.dist-info"))
    return {name: version for name, _, version in found}


def imported(target: Path, module: str) -> str:
    """VERSION of an installed module, as a Python process finds it."""
    code = f"import {module}; print({module}.VERSION)"
    environ = {"PYTHONPATH": str(target), "PATH": os.defpath}
    return subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=target, capture_output=True, text=True, check=True
    ).stdout.strip()
