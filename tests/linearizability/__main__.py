"""`python -m tests.linearizability torture`: a long run against servers of its own, or against running ones."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from tests.asking import OPEN
from tests.bucket.proxy import ProxyProcess
from tests.bucket.sabotage import Safeguard
from tests.linearizability import sabotage
from tests.linearizability.guarded import guard
from tests.linearizability.plan import Plan
from tests.linearizability.runs import command, told
from tests.linearizability.servers import Victim, quire_servers
from tests.linearizability.telling import tell
from tests.linearizability.torture import Report, torture
from tests.serving import quire_command


def main() -> int:
    """0: every answer explained; 1: not."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.open and arguments.rights_alone:
        parser.error("--open: servers without rights; --rights-alone asks for nothing else")
    with ExitStack() as stack:
        proxy = ProxyProcess(arguments.faults, arguments.seed) if arguments.faults else None
        if proxy is not None:
            stack.callback(proxy.stop)
            os.environ["AWS_ENDPOINT_URL"] = proxy.url  # of all that is started from here on
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        folder.mkdir(parents=True, exist_ok=True)
        report = _run(arguments, folder, stack)
        if proxy is not None:
            report.requests, report.faults = proxy.counts()
    return told(report, arguments.report)


def _run(arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> Report:
    victims = [Victim(pid, arguments.kill_every or 2.0) for pid in arguments.kill_workers_of]
    guarded = None
    stores: list[Path | str] = [arguments.bucket] if arguments.bucket else arguments.store
    if arguments.url:
        servers = [(parts.hostname or "127.0.0.1", parts.port or 80) for parts in map(urlsplit, arguments.url)]
        doubt = arguments.doubt
    else:
        if not stores:
            root = folder / "packages"
            root.mkdir()
            stores = [root]
        guarded = None if arguments.open else guard(stores[0], folder)
        started = stack.enter_context(
            quire_servers(
                arguments.server or ("uvicorn", "gunicorn"),
                stores,
                folder,
                arguments.workers,
                kill_every=arguments.kill_every,
                flags=OPEN if guarded is None else guarded.flags,
                program=_program(arguments),
            )
        )
        servers = [(served.host, served.port) for served, _ in started]
        if not arguments.no_kills:
            victims += [victim for _, victim in started]
        doubt = arguments.doubt if arguments.doubt is not None else 10.0
    plan = Plan(
        seed=arguments.seed,
        seconds=arguments.seconds,
        servers=tuple(servers),
        stores=tuple(map(str, stores)),
        dropped=("oak", "pine") if stores and not arguments.bucket else (),
        reader_processes=arguments.reader_processes,
        readers=arguments.readers,
        pause=arguments.pause,
        doubt=doubt,
        kill_hands=not arguments.no_kills,
        holders=guarded.holders if guarded is not None else (),
        askers=arguments.askers,
        token=guarded.token if guarded is not None else "",
        admin=guarded.admin if guarded is not None else "",
        decisions=arguments.decisions,
    )
    if arguments.rights_alone:
        plan = plan.with_rights_alone()
    return torture(plan, folder, victims, tell)


def _program(arguments: argparse.Namespace) -> Callable[..., list[str]]:
    """The command line of quire, without the safeguard that is to be removed."""
    if arguments.without in set(sabotage.Safeguard):
        return partial(command, sabotage.__name__, arguments.without)
    if arguments.without:
        return partial(_sabotaged_bucket, arguments.without)
    return quire_command


def _sabotaged_bucket(safeguard: str, *arguments: object) -> list[str]:
    """A command line of quire without this safeguard of the store in a bucket."""
    return [sys.executable, "-m", "tests.bucket.sabotage", safeguard, *map(str, arguments)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.linearizability", description=__doc__)
    add = parser.add_subparsers(dest="command", required=True).add_parser("torture").add_argument
    add("--seconds", type=float, default=1800.0)
    add("--seed", type=int, default=1, help="the same seed asks for the same operations in the same order")
    add("--url", action="append", default=[], help="a server that is running; repeat it. Otherwise some are started")
    add("--store", type=Path, action="append", default=[], help="the served directory; repeat it for several mounts")
    add("--bucket", metavar="URL", help="serve a bucket in place of a directory")
    add("--faults", type=float, default=0.0, metavar="N", help="of a thousand requests to the bucket, that many fail")
    add("--without", choices=[*sabotage.Safeguard, *Safeguard], help="remove a safeguard; the judge must see it")
    add("--server", action="append", default=None, help="a kind of server to start (default: uvicorn and gunicorn)")
    add("--workers", type=int, default=4, help="of each server that is started")
    add("--kill-workers-of", type=int, action="append", default=[], metavar="PID", help="of a server given by --url")
    add("--kill-every", type=float, default=0.0, metavar="SECONDS", help="of each server (default: all it bears)")
    add("--no-kills", action="store_true")
    add("--doubt", type=float, metavar="SECONDS", help="see Plan.doubt (default: 10; with --url no limit)")
    add("--reader-processes", type=int, default=2)
    add("--askers", type=int, default=2, help="threads that try what each user of changing rights may do")
    add("--open", action="store_true", help="start servers that anybody may read and write; no rights are judged")
    add("--rights-alone", action="store_true", help="no other clients than those of the users of changing rights")
    add("--decisions", type=int, default=0, metavar="N", help="with --rights-alone: end when so many were asked for")
    add("--readers", type=int, default=4, help="threads in each of them")
    add("--pause", type=float, default=0.15, help="seconds between two changes of a writer, on the average")
    add("--keep", type=Path, metavar="DIR", help="an empty folder for the recordings and the store")
    add("--report", type=Path, metavar="FILE", help="write the report as JSON as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
