"""`quire completion`: the scripts, in the shells that they are for."""

from __future__ import annotations

import argparse
import os
import pty
import select
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from quire import cli
from quire.commands import completion
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.store.posix.store import PosixStore
from tests.command_line import flags
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, environment, quire_command, run_quire

SHELLS = ("bash", "zsh", "fish")


def script(shell: str, cwd: Path) -> Path:
    """The script, in a file."""
    done = run_quire("completion", shell, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    path = cwd / f"quire.{shell}"
    path.write_text(done.stdout)
    return path


def needs(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def with_quire(cwd: Path) -> dict[str, str]:
    """An environment with a command `quire` in its PATH."""
    bin_folder = cwd / "bin"
    bin_folder.mkdir(exist_ok=True)
    (bin_folder / "quire").write_text(f'#!/bin/sh\nexec {shlex.join(quire_command())} "$@"\n')
    (bin_folder / "quire").chmod(0o755)
    return environment(PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}", HOME=str(cwd), TERM="dumb")


def shell_says(shell: str, program: str, cwd: Path) -> str:
    """The output of a program in a shell, with a command `quire` in its PATH; nothing may go wrong."""
    done = subprocess.run(
        [needs(shell), *(["-f"] if shell == "zsh" else ["--no-config"] if shell == "fish" else []), "-c", program],
        cwd=cwd,
        env=with_quire(cwd),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), program
    return done.stdout


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            command, cwd=cwd, env=with_quire(cwd), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._terminal = ours
        self._shown = b""

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, mark: bytes) -> str:
        """The output before this."""
        while mark not in self._shown:
            assert select.select([self._terminal], [], [], DEADLINE)[0], self._shown
            self._shown += os.read(self._terminal, 65536)
        before, _, self._shown = self._shown.partition(mark)
        return before.decode()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


def zsh_lists(path: Path, line: str, cwd: Path) -> set[str]:
    """The completions that zsh lists below a line when its user types Control-D behind it."""
    zsh = Terminal([needs("zsh"), "-f", "-i"], cwd)
    try:
        style = "stty cols 200 rows 1000; PS1='now> '; zstyle ':completion:*' verbose no"
        zsh.type(f"{style}; autoload -Uz compinit; compinit -D; source {path}; print -r -- __rea''dy__\n")
        zsh.until(b"__ready__")
        zsh.until(b"now> ")  # its line editor has the terminal from here on
        zsh.type(f"{line}\x04")
        zsh.until(line.encode())
        return set(zsh.until(b"now> ").split())
    finally:
        zsh.close()


def completed(line: str, shell: str, cwd: Path) -> set[str]:
    """The shell's completions of the last word of a line."""
    path = script(shell, cwd)
    if shell == "zsh":
        return zsh_lists(path, line, cwd)
    if shell == "fish":
        output = shell_says(shell, f"source {path}; complete -C {shlex.quote(line)}", cwd)
        return {each.split("\t")[0] for each in output.splitlines()}
    words = shlex.join([*line.split(" ")])
    program = (
        f"source {path}; COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 )); _quire; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return set(shell_says(shell, program, cwd).split())


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A working directory with packages/, a store of `alpha` and `beta`, and a file."""
    (tmp_path / "packages").mkdir()
    index = Index(PosixStore.open(tmp_path / "packages"))
    for name in ("alpha", "beta"):
        staging = index.store.blobs.stage(upload_key(wheel_name(name, "1.0")))
        staging.write(make_wheel(name, "1.0"))
        index.publish([examine(staging.finish(), wheel_name(name, "1.0"))])
    (tmp_path / "users").write_text("")
    return tmp_path


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "some", "none"),
    [
        ("quire ", {"serve", "run", "ls", "completion"}, {"alpha", "--port"}),
        ("quire se", {"serve"}, {"run"}),
        ("quire serve --po", {"--port"}, {"--passwords"}),
        ("quire show ", {"alpha", "beta"}, {"users"}),
        ("quire yank al", {"alpha"}, {"beta"}),
        ("quire serve --passwords us", {"users"}, {"alpha"}),
        ("quire ls --js", {"--json"}, {"--port"}),
        ("quire completion ", {"bash", "zsh", "fish"}, {"users"}),
    ],
)
def test_lines_are_completed(shell: str, line: str, some: set[str], none: set[str], served: Path) -> None:
    """Commands, flags, projects, files, words to choose from."""
    found = completed(line, shell, served)
    assert some <= found
    assert not none & found


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_flag_is_there(shell: str, tmp_path: Path) -> None:
    """As the parser has them."""
    text = script(shell, tmp_path).read_text()
    for name in cli.COMMANDS:
        assert name in text
        for flag in flags(name):
            assert (f"-l {flag[2:]}" if shell == "fish" and flag.startswith("--") else flag.lstrip("-")) in text, flag


def test_quoting(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A help text with quotes, brackets and colons breaks no script."""
    subparsers = argparse.ArgumentParser().add_subparsers()
    odd = 'it\'s $(odd) `too`: [a] \\ "b" %%'
    subparsers.add_parser("odd", help=odd).add_argument("--odd", help=odd)
    for shell in SHELLS:
        completion.run(argparse.Namespace(shell=shell, commands=subparsers))
        path = tmp_path / f"odd.{shell}"
        path.write_text(capsys.readouterr().out)
        before = "autoload -Uz compinit && compinit -D && " if shell == "zsh" else ""
        if shutil.which(shell) is not None:
            shell_says(shell, f"{before}source {path}", tmp_path)
