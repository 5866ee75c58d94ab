"""Tokens of CI jobs exchanged per second: `python -m benchmarks.minting` prints a table.

The tokens are of a real issuer on loopback, signed before the clock runs; clients with kept connections send each of
them once to `/_/oidc/mint-token`. Every exchange verifies a signature and swaps the store's one access document, so
several workers contend for it. The store is a new one on a local disk.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from tests.issuers import Issuer, issuing
from tests.serving import free_port, quire_command, running

from benchmarks.load import percentile
from quire.access.minting import MOST_LIVE, MOST_OF_ONE
from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.operations import trusted_publishing
from quire.store.opening import open_store

_SIGNED: Final = {"RS256": ("one", "rsa"), "ES256": ("curve", "ec")}
"""By which key of the issuer."""
_PUBLISHERS: Final = MOST_LIVE // MOST_OF_ONE
"""Jobs of one publisher have no more tokens at a time than MOST_OF_ONE."""
_ORIGIN: Final = Origin(command="benchmark")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.minting", description=__doc__)
    parser.add_argument("--tokens", type=int, default=1000, help=f"for each row; {MOST_LIVE} at most")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8])
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # standard output has the table alone
    print("| algorithm | workers | clients | tokens/s | median | p99 |\n|---|---|---|---|---|---|")
    with issuing() as issuer:
        for algorithm in _SIGNED:
            for workers in arguments.workers:
                for clients in arguments.clients:
                    took, seconds = _measured(issuer, algorithm, workers, clients, min(arguments.tokens, MOST_LIVE))
                    cells = [
                        algorithm,
                        str(workers),
                        str(clients),
                        f"{len(took) / seconds:,.0f}",
                        f"{statistics.median(took) * 1000:.1f} ms",
                        f"{percentile(took, 0.99) * 1000:.1f} ms",
                    ]
                    print(f"| {' | '.join(cells)} |", flush=True)


def _measured(issuer: Issuer, algorithm: str, workers: int, clients: int, count: int) -> tuple[list[float], float]:
    """The seconds of each exchange, and of all of them."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        audience = _make_publishers(issuer, Path(name) / "packages")
        kid, key = _SIGNED[algorithm]
        tokens = [
            issuer.token(kid=kid, key=key, aud=audience, team=f"team-{number % _PUBLISHERS}") for number in range(count)
        ]
        port = free_port()
        flags = ("-p", port, "-H", "127.0.0.1", "--workers", workers, "-a", ".", "-P", ".")
        command = quire_command("run", *flags, Path(name) / "packages")
        with running(command, port, cwd=Path(name)):
            _exchange(port, [issuer.token(kid=kid, key=key, aud=audience, team="team-0") for _ in range(4 * workers)])
            parts = [tokens[first::clients] for first in range(clients)]
            took: list[float] = []
            failed: list[BaseException] = []

            def run(part: Sequence[str]) -> None:
                try:
                    took.extend(_exchange(port, part))
                except BaseException as error:  # noqa: BLE001 - raised below, by the thread that waits
                    failed.append(error)

            threads = [threading.Thread(target=run, args=(part,)) for part in parts]
            begun = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - begun
            if failed:
                raise failed[0]
            return took, seconds


def _make_publishers(issuer: Issuer, root: Path) -> str:
    """The audience of a new store with them."""
    root.mkdir()
    access = AccessRecords(open_store(str(root)))
    for number in range(_PUBLISHERS):
        trusted_publishing.add_publisher(
            access,
            "oidc",
            {},
            {"team": f"team-{number}"},
            issuer=issuer.url,
            index="main",
            projects=(f"tools-{number}",),
            origin=_ORIGIN,
        )
    audience = access.read().state.document.audience
    assert audience is not None
    return audience


def _exchange(port: int, tokens: Sequence[str]) -> list[float]:
    """Exchange each, one after the other over one connection; the seconds that each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    took = []
    try:
        for token in tokens:
            body = json.dumps({"token": token}).encode()
            begun = time.perf_counter()
            connection.request("POST", "/_/oidc/mint-token", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
            took.append(time.perf_counter() - begun)
            assert answer.status == 200, (answer.status, said[:300])
    finally:
        connection.close()
    return took


if __name__ == "__main__":
    main()
