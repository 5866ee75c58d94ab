"""The cost of many tokens in the one access document: `python -m benchmarks.many_tokens` prints a table.

Two stores on a local disk, one with few tokens and one with very many, each with a server of one worker. Pages are
asked for by a token of each in turn, so both share what else the machine does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from tests.tokens import make_token

from benchmarks import regress
from benchmarks.load import ask_quickly
from benchmarks.peers import QUIRE, Server
from quire.access import changing
from quire.access.decisions import AccessState
from quire.access.document import AccessDocument, decode_access, encode_access, with_fields
from quire.access.grants import ANY
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity, new_token
from quire.index.audit.entries import Origin
from quire.store.opening import open_store

_ORIGIN: Final = Origin(command="benchmark")
_REVOKED: Final = 20
"""Tokens that are revoked over the API, one after the other."""


@dataclass(frozen=True)
class _Asked:
    server: Server
    headers: Mapping[str, str]
    path: str
    access: AccessRecords


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_tokens", description=__doc__)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    counts = (2, arguments.tokens)
    rows: dict[str, list[str]] = {}
    with ExitStack() as stack:
        asked = [_start(stack, count) for count in counts]
        rates: list[list[float]] = [[] for _ in counts]
        for _ in range(arguments.rounds):
            for found, each in zip(rates, asked, strict=True):
                found.append(ask_quickly(each.server, [each.path], each.headers, arguments.seconds).rate)
        rows["pages per second, by a token"] = [f"{statistics.median(found):,.0f}" for found in rates]
        for each in asked:
            for name, value in _figures(each).items():
                rows.setdefault(name, []).append(value)
    print(f"| | {' | '.join(f'{count:,} tokens' for count in counts)} |\n|---|{'---|' * len(counts)}")
    for name, values in rows.items():
        print(f"| {name} | {' | '.join(values)} |")


def _start(stack: ExitStack, count: int) -> _Asked:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    token = regress.give_rights(folder)
    access = AccessRecords(open_store(str(folder / "packages")))
    access.change(lambda document: _with_tokens(document, count), "benchmark", {}, _ORIGIN)
    running, port = stack.enter_context(regress.worker(folder, protected=True))
    question = regress.questions(port, token=token)["page"]
    return _Asked(Server(QUIRE, running, port), question.headers, question.path, access)


def _with_tokens(document: AccessDocument, count: int) -> AccessDocument:
    now = datetime.now(UTC)
    made = {}
    for number in range(count - len(document.tokens)):
        text = new_token(new_identity())
        made[text.identity] = changing.make_token(
            text.digest,
            ("read", "upload"),
            ANY,
            [f"team-{number % 100}-*"],
            user=None,
            note=f"job {number}",
            lifetime=timedelta(days=365),
            now=now,
            by="root",
        )
    return with_fields(document, tokens={**document.tokens, **made})


def _figures(asked: _Asked) -> dict[str, str]:
    known = asked.access.read()
    data = known.record.data or b""
    document = known.state.document
    admin = make_token(asked.access, ("admin",), lifetime=timedelta(days=1), origin=_ORIGIN)
    revoked, refused = _revocations(asked, admin.text)
    return {
        "bytes that a change writes, and each worker reads after it": f"{len(data):,}",
        "decode": _milliseconds(lambda: decode_access(data)),
        "encode": _milliseconds(lambda: encode_access(document)),
        "first decision by a new state": _milliseconds(lambda: _decide(document)),
        "revocation over the API, acknowledged": _median(revoked),
        "first answer afterwards": _median(refused),
        "memory of the server": f"{asked.server.running.memory / 2**20:,.0f} MB",
    }


def _revocations(asked: _Asked, admin: str) -> tuple[list[float], list[float]]:
    """The seconds until a revocation was acknowledged, and then until the next request by the token was refused."""
    connection = http.client.HTTPConnection("127.0.0.1", asked.server.port, timeout=60)
    took: tuple[list[float], list[float]] = ([], [])

    def ask(method: str, path: str, token: str, body: object = None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    for _ in range(_REVOKED):
        status, said = ask("POST", "/-/api/v1/tokens", admin, {"rights": ["read"]})
        made = json.loads(said)
        assert ask("GET", asked.path, made["text"])[0] == 200
        begun = time.perf_counter()
        status, _ = ask("POST", "/-/api/v1/tokens/revoke", admin, {"ids": [made["token"]["id"]]})
        acknowledged = time.perf_counter()
        assert status == 200
        status, _ = ask("GET", asked.path, made["text"])
        assert status in {401, 403}, status
        took[0].append(acknowledged - begun)
        took[1].append(time.perf_counter() - acknowledged)
    connection.close()
    return took


def _decide(document: AccessDocument) -> None:
    state = AccessState(document)
    identity = next(iter(document.tokens))
    state.find_token(identity, document.tokens[identity].digest, datetime.now(UTC))
    state.expires_soon(identity, datetime.now(UTC))


def _milliseconds(act: Callable[[], object]) -> str:
    took = []
    for _ in range(7):
        begun = time.perf_counter()
        act()
        took.append(time.perf_counter() - begun)
    return _median(took)


def _median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.1f} ms"


if __name__ == "__main__":
    main()
