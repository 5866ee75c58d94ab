"""peryx with one hosted index. It keeps what it serves in a database, so it is filled by uploads."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.serving import environment, free_port

from benchmarks.corpora import Corpus
from benchmarks.environments import programs
from benchmarks.peers.filling import fill, filled
from benchmarks.peers.server import START_SECONDS, Launch, Peer, answers
from benchmarks.processes import started, wait_for

_SECRET = "bench-password"
_INDEX = "/bench/"
_CONFIGURATION = f"""[[index]]
name = "bench"
ecosystem = "pypi"
hosted = true
volatile = true

[[index.access_token]]
name = "upload"
secret = "{_SECRET}"
actions = ["write", "delete"]
"""
_LOGIN = {"Authorization": f"Basic {base64.b64encode(f'__token__:{_SECRET}'.encode()).decode()}"}


def peryx(configuration: str, folder: Path, port: int) -> list[str]:
    """The command of a server that keeps all in this folder. Raises Unavailable when it cannot be installed."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "peryx.toml"
    file.write_text(configuration)
    listen = ["--host", "127.0.0.1", "--port", str(port), "--data-dir", str(folder / "data")]
    return [str(programs("peryx") / "peryx"), "serve", "-c", str(file), *listen, "--log-level", "warn"]


def _command(launch: Launch) -> list[str]:
    def make(folder: Path, corpus: Corpus | None) -> None:
        port = free_port()
        command = peryx(_CONFIGURATION, folder, port)
        if corpus is not None:
            with started(command, launch.work / "filling.log", environ=environment(), cwd=launch.work) as running:
                wait_for(running, lambda: answers(port), START_SECONDS)
                fill("peryx", port, _INDEX, _LOGIN, corpus)

    return peryx(_CONFIGURATION, filled(launch, "peryx", make), launch.port)


PERYX = Peer(
    "peryx",
    "peryx",
    "own",
    _command,
    frozenset({"list", "page", "file", "json", "range", "upload"}),
    simple={"html": f"{_INDEX}simple/"},
    upload_path=_INDEX,
    login=lambda port: _LOGIN,
)
