#!/usr/bin/env python3
"""Draws docs/demo.svg: a terminal session with a real server, uv and pip, as the README shows it.

    .venv/bin/python scripts/demo.py            # run the session, rewrite the picture
    .venv/bin/python scripts/demo.py --check    # exit code 1 when the session now shows something else

The picture asks no other host for anything. The one thing that differs from the session is the port.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "docs" / "demo.svg"
SHOWN_PORT = "8080"
SERVE = "quire serve -a . -P . --workers 4 packages"
SESSION = (
    "uv publish --publish-url http://localhost:8080/ -u any -p any dist/*",
    "pip install --index-url http://localhost:8080/simple/ acme-tools",
    'quire yank acme-tools 1.0 --reason "loses data" -d packages',
    "pip install --index-url http://localhost:8080/simple/ --force-reinstall acme-tools",
)
"""The lines that a person types. Each worker knows of the yank, which no server was told of."""
COLUMNS = 96
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" \
aria-label="A terminal session">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />\
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own form fetches a font from another host."""


def build(folder: Path) -> None:
    """A wheel of acme-tools 1.0, the same bytes each time."""
    info = "acme_tools-1.0.dist-info"
    files = {
        "acme_tools.py": "VERSION = '1.0'\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: acme-tools\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    folder.mkdir()
    with zipfile.ZipFile(folder / "acme_tools-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(zipfile.ZipInfo(name), text)


def environment(home: Path) -> dict[str, str]:
    """Programs of this environment first, no configuration, no colours, as many columns as the picture has."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "COLUMNS": str(COLUMNS),
        "NO_COLOR": "1",
        "NO_PROXY": "localhost",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_PROGRESS_BAR": "off",
        "PIP_TARGET": str(home / "installed"),
        "PIP_UPGRADE": "1",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
    }


@contextmanager
def served(folder: Path, environ: dict[str, str]) -> Iterator[str]:
    """The port of a server, which says it when it listens."""
    command = [*shlex.split(SERVE), "--port", "0", "--host", "localhost", "--disable-fallback"]
    with subprocess.Popen(  # noqa: S603 - a line of this file
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            found = re.search(r"http://[^ ]+:(\d+)/", line)
            if found is None:
                sys.exit(f"the server does not start: {line}")
            yield found[1]
        finally:
            server.terminate()
            server.stdout.read()  # to its end, so that it need not wait for a reader


def session() -> list[tuple[str, str]]:
    """Each command, and what it printed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "packages").mkdir()
        build(folder / "dist")
        environ = environment(folder)
        with served(folder, environ) as port:
            return [(f"{SERVE} &", ""), *((line, run(line, port, folder, environ)) for line in SESSION)]


def run(line: str, port: str, folder: Path, environ: dict[str, str]) -> str:
    """The output of a line of the session, both streams in one; the port is the one that is shown."""
    done = subprocess.run(  # noqa: S603 - a line of this file
        ["/bin/sh", "-c", line.replace(SHOWN_PORT, port)],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.replace(port, SHOWN_PORT).rstrip()


def draw(shown: list[tuple[str, str]]) -> str:
    """The picture of commands and what they printed."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, highlight=False)
    for number, (command, output) in enumerate(shown):
        if number:
            console.print()
        console.print(Text.assemble(("$ ", "green"), (command, "bold")))
        if output:
            console.print(Text(output))
    return console.export_svg(title="quire", code_format=_FORMAT, unique_id="demo")


def main() -> int:
    parser = argparse.ArgumentParser(description="Draws docs/demo.svg from a real session.")
    parser.add_argument("--check", action="store_true", help="only compare")
    is_check = parser.parse_args().check
    picture = draw(session())
    if not is_check:
        PICTURE.write_text(picture)
    elif not PICTURE.is_file() or PICTURE.read_text() != picture:
        print("docs/demo.svg is not what the session shows now: run scripts/demo.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
