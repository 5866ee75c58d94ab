"""`quire server`: a running server, over its API.

JSON of status: see `GET /-/api/v1/server`; of settings: `GET /-/api/v1/settings`; of
doctor: `GET /-/api/v1/doctor`.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.administration.remote import Remote
from quire.commands.administering import add_url_flag, open_remote
from quire.commands.common import count, plain, print_json, print_table
from quire.domain.errors import ConfigurationError
from quire.domain.sizes import in_words


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `server` with its actions."""
    parser = subparsers.add_parser(
        "server", help="show a running server", description="Show a running server, over its API."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser(
        "status",
        help="its workers",
        description="Show the workers of the container that answers: requests, memory, and when each gave its last "
        "sign. Workers of other containers are not seen.",
    )
    settings = actions.add_parser(
        "settings",
        help="its settings, and where each was set",
        description="Show every setting that is in force, and the flag, variable or file that set it. The logins of "
        "URLs are left out.",
    )
    settings.add_argument("--all", action="store_true", help="those with their defaults, too")
    doctor = actions.add_parser(
        "doctor",
        help="the last verdict of 'quire doctor' on its store",
        description="Show the last verdict of 'quire doctor' that the store keeps. Exit code 1 where there is none, or "
        "the store does not keep the promise.",
    )
    doctor.set_defaults(verdict=True)
    for each in (status, settings, doctor):
        add_url_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises ConfigurationError, UpstreamError."""
    remote = open_remote(arguments)
    if remote is None:
        raise ConfigurationError("Name the server: --url URL, or QUIRE_URL.")
    return {"status": _status, "settings": _settings, "doctor": _doctor}[arguments.action](arguments, remote)


def _status(arguments: argparse.Namespace, remote: Remote) -> int:
    found = remote.server()
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return 0
    print(
        f"{plain(found.container)}: quire {plain(found.version)}, {plain(found.server)}, {plain(found.store)}"
        f"{', read-only' if found.read_only else ''}{', being stopped' if found.draining else ''}"
    )
    rows = [
        (
            str(each.pid),
            each.started,
            each.heard,
            "usable" if each.ready else "not usable",
            str(each.requests),
            str(each.in_flight),
            in_words(each.memory),
            f"{each.cpu_seconds:.1f} s",
        )
        for each in found.workers
    ]
    print_table(("Process", "Started", "Last sign", "Store", "Requests", "Under way", "Memory", "Processor"), rows)
    print(f"{count(len(rows), 'worker')}, {count(found.requests, 'request')} since the server started")
    return 0


def _settings(arguments: argparse.Namespace, remote: Remote) -> int:
    found = remote.settings()
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return 0
    shown = [each for each in found.settings if arguments.all or each.source != "default"]
    rows = [(each.name, plain(each.value), plain(each.where or "default")) for each in shown]
    print_table(("Setting", "Value", "Set by"), rows)
    left = len(found.settings) - len(shown)
    if left:
        print(f"{count(left, 'setting')} more with the default; --all shows them.")
    return 0


def _doctor(arguments: argparse.Namespace, remote: Remote) -> int:
    found = remote.doctor().verdict
    if arguments.json:
        print_json({"verdict": None if found is None else msgspec.to_builtins(found)})
    elif found is None:
        print("The store keeps no verdict; run 'quire doctor' on it, as a user that may write to it.")
    else:
        quick = ", quick" if found.quick else ""
        peer = f", with {plain(found.peer)}" if found.peer else ""
        where = f"at {found.at} in {plain(found.container)}, {count(found.rounds, 'round')}"
        print(f"{plain(found.verdict)}: {where}{quick}{peer}")
        for each in found.findings:
            print(plain(f"{each.code}: {each.sentence} {each.advice}".rstrip()))
    return 0 if found is not None and found.verdict == "keeps" else 1
