"""The cost of tokens and grants: requests by each kind of credentials beside anonymous ones, in one interleaved run.

`python -m benchmarks.rights` prints a table of ratios. Each server has one worker, a store of its own on a local disk,
and one project with ten files. wrk asks each in turn, so all of them share what else the machine does.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.tokens import make_token

from benchmarks import regress
from benchmarks.load import ask_quickly
from benchmarks.peers import QUIRE, Server
from benchmarks.uploading import Uploader, releases
from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.store.opening import open_store

KINDS = ("anonymous", "password", "password, by a grant", "token")
"""The first two have no grants in the store, the others have."""
_TOKENS = 100


@dataclass(frozen=True)
class _Asked:
    server: Server
    headers: Mapping[str, str]
    paths: Mapping[str, str]
    uploader: Uploader


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rights", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments = parser.parse_args()
    rates: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        asked = {kind: _start(stack, kind) for kind in KINDS}
        for number in range(arguments.rounds):
            for measured in ("page", "list", "file"):
                for kind, each in asked.items():
                    load = ask_quickly(each.server, [each.paths[measured]], each.headers, arguments.seconds)
                    assert not load.errors, (measured, kind, load)
                    rates.setdefault(measured, {}).setdefault(kind, []).append(load.rate)
            for kind, each in asked.items():
                rates.setdefault("upload", {}).setdefault(kind, []).append(_uploads(each, number, arguments.seconds))
    print(f"| | {' | '.join(KINDS)} |\n|---|{'---|' * len(KINDS)}")
    for measured, found in rates.items():
        medians = {kind: statistics.median(values) for kind, values in found.items()}
        ratios = [f"{medians[kind] / medians[KINDS[0]]:.2f}" for kind in KINDS[1:]]
        print(f"| {measured} | {medians[KINDS[0]]:,.0f}/s | {' | '.join(ratios)} |")
    print(f"\n{_tokens():,.0f} tokens made per second")


def _start(stack: ExitStack, kind: str) -> _Asked:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    has_grants = kind not in KINDS[:2]
    token = regress.give_rights(folder) if has_grants else ""
    is_protected = kind != KINDS[0]
    running, port = stack.enter_context(regress.worker(folder, protected=is_protected))
    questions = regress.questions(port, protected="password" in kind, token=token if kind == "token" else "")
    headers = questions["page"].headers
    server = Server(QUIRE, running, port)
    page = server.ask(questions["page"].path, headers).body.decode()
    file = page.partition('href="../../')[2].partition("#")[0]
    credentials = {name: value for name, value in headers.items() if name == "Authorization"}
    uploader = stack.enter_context(contextlib.closing(Uploader(port, "/", credentials)))
    paths = {"page": questions["page"].path, "list": questions["list"].path, "file": f"/{file}"}
    return _Asked(server, headers, paths, uploader)


def _uploads(asked: _Asked, number: int, seconds: float) -> float:
    begun, sent = time.perf_counter(), 0
    for release in releases(f"round-{number}", 2_000):
        asked.uploader.send(release)
        sent += 1
        if time.perf_counter() - begun > seconds:
            break
    return sent / (time.perf_counter() - begun)


def _tokens() -> float:
    """Tokens made per second, one after the other, in a store on a local disk."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        access = AccessRecords(open_store(folder))
        begun = time.perf_counter()
        for _ in range(_TOKENS):
            make_token(access, ("read",), origin=Origin(command="benchmark"))
        return _TOKENS / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
