"""`quire log`: the changes, with user, time and origin.

JSON: a list of the entries as they are stored (see docs/reference/logs.md), each with its `project`; with --follow one
such object a line. With --downloads: see `quire.commands.downloads`.
"""

from __future__ import annotations

import argparse
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from quire.access.history import ACCESS_ACTIONS, describe_change
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import count, plain, print_json, print_table
from quire.commands.downloads import add_download_flags, show_downloads
from quire.domain.names import normalize_name
from quire.index.audit.entries import Entry, as_logged
from quire.index.audit.reading import LogFilter, Logged
from quire.observe.metrics.catalog import CHANGE_ACTIONS, TRASH_ACTIONS

_ACTIONS = (*CHANGE_ACTIONS, *TRASH_ACTIONS, *ACCESS_ACTIONS)

FOLLOW_SECONDS = 2.0
"""Seconds between two reads of --follow."""
_FILES_SHOWN = 3
_AGO = re.compile(r"([0-9]+)\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `log`."""
    text = "show the changes, with user, time and origin"
    parser = subparsers.add_parser("log", help=text, description=f"{text[:1].upper()}{text[1:]}; the oldest first.")
    add = parser.add_argument
    add("project", metavar="PROJECT", nargs="?", help="default: all, deleted ones as well")
    add(
        "--since", type=moment, metavar="TIME", help="from then on: 2026-11-23, 2026-11-23T12:00Z, or an age such as 2d"
    )
    add("--user", metavar="NAME", help="changes of this user only")
    help_text = f"changes of this kind only: {', '.join(_ACTIONS)}"
    add("--action", choices=_ACTIONS, metavar="ACTION", help=help_text)
    add("--access", action="store_true", help="changes of grants, groups and tokens only")
    add("--follow", action="store_true", help="go on, and print changes as they are made, until interrupted")
    add_download_flags(parser)
    add_place_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show it. Raises InvalidRequest, StoreError, UpstreamError."""
    if arguments.downloads is not None or arguments.log_files is not None:
        return show_downloads(arguments)
    name = normalize_name(arguments.project) if arguments.project is not None else None
    administration = open_administration(arguments, writes=False)
    filter_ = LogFilter(since=arguments.since, user=arguments.user, action=arguments.action)
    if not arguments.follow:
        found = [logged for logged in administration.log(name, filter_) if not (arguments.access and logged.project)]
        if arguments.json:
            print_json([_document(logged) for logged in found])
        else:
            print_table(
                ("Time", "Project", "Revision", "Action", "User", "From", "What"), [_row(each) for each in found]
            )
        return 0
    new_entries = administration.follow(name, filter_)
    while True:
        for logged in new_entries():
            if arguments.access and logged.project:
                continue
            as_json = msgspec.json.encode(_document(logged)).decode
            print(as_json() if arguments.json else "\t".join(map(plain, _row(logged))), flush=True)
        time.sleep(FOLLOW_SECONDS)


def moment(text: str) -> str:
    """A moment as the log writes it, from a date, a time (UTC when it has no offset) or an age. For argparse."""
    age = _AGO.fullmatch(text.strip().lower())
    try:
        if age is not None:
            return as_logged(datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])}))
        return as_logged(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time such as 2026-11-23T12:00Z nor an age such as 90m, 12h or 2d"
        ) from None


def _document(logged: Logged) -> Entry:
    return {"project": logged.project or None} | logged.entry


def _row(logged: Logged) -> list[str]:
    entry = logged.entry
    where = [str(entry[name]) for name in ("command", "host", "address") if entry.get(name)]
    return [
        logged.at,
        logged.project or "-",
        str(logged.revision),
        str(entry.get("action", "?")),
        str(entry.get("user") or "-"),
        " ".join(where) or "-",
        _what(entry),
    ]


def _what(entry: Entry) -> str:
    if entry.get("action") in ACCESS_ACTIONS:
        return describe_change(entry)
    files = [file for file in entry.get("files", ()) if isinstance(file, dict)]
    words = [f"{file.get('filename')} ({str(file.get('sha256'))[:12]})" for file in files[:_FILES_SHOWN]]
    further = len(files) - len(words) + int(entry.get("more_files", 0))
    if further:
        words.append(f"and {count(further, 'file')} more")
    owners = entry.get("owners")
    if isinstance(owners, list):
        words.append(f"owners {', '.join(map(str, owners))}" if owners else "no owners")
    if entry.get("status"):
        words.append(f"status {entry['status']}")
    if entry.get("reason"):
        words.append(f"because: {entry['reason']}")
    job = entry.get("job")
    if isinstance(job, dict):
        parts = [str(job.get(name, "")) for name in ("platform", "repository")]
        parts += [f"{name} {job[name]}" for name in ("workflow", "run", "commit") if job.get(name)]
        words.append(f"by {' '.join(filter(None, parts))}")
    return ", ".join(words)
