"""`quire policy`: the files that an index holds back, and why.

JSON of show: the policy, with the fields of `GET /-/api/v1/indexes/NAME/policy`; of set, allow, deny, block and exempt
{"policy": such an object, "changed": bool}; of explain {"index": str, "project": str, "version": str or null, "files":
[{"filename": str, "offered": bool, "why": str, "decision": object or null, ...}]}; of try {"index": str, "files":
[{"project": str, "filename": str, "version": str, "before": object or null, "after": object or null}], "checked": int,
"unknown": [str]}.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from quire.administration.contract import Administration
from quire.administration.policy_documents import ExplainedFile, PolicyBody, PolicyEntry
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, count, duration, plain, print_json, print_table, span
from quire.commands.policy_try import add_try, try_change
from quire.domain.errors import InvalidRequest, NotFound
from quire.domain.names import normalize_name
from quire.domain.policy import parse_digest, parse_release
from quire.domain.rulings import age_text
from quire.domain.times import stamp

_EFFECTS = ("block", "warn", "ignore")
_SEVERITIES = ("low", "medium", "high", "critical")
_READING = {"show", "explain", "try"}
_UPSTREAM = ("upstream", "local")
"""Settings of servers that decide which releases an index has."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `policy` with its actions."""
    parser = subparsers.add_parser(
        "policy",
        help="say which files an index holds back, and explain it",
        description="Say which files an index holds back: projects, digests, releases that are too new, and those "
        "with advisories. A file that is held back is in no page, and its URL answers 403 with a sentence.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    showing = actions.add_parser("show", help="show the policy", description="Show the policy of an index.")
    setting = _add_set(actions)
    allowing = actions.add_parser(
        "allow",
        help="serve only named projects of upstreams",
        description="Serve only projects of upstreams that are named here. Private projects need not be named.",
    )
    denying = actions.add_parser(
        "deny", help="serve no file of named projects", description="Serve no file of projects that are named here."
    )
    blocking = actions.add_parser(
        "block", help="serve no file with a digest", description="Serve no file with one of these digests."
    )
    exempting = actions.add_parser(
        "exempt",
        help="let single releases pass all rules but those of digests",
        description="Let single releases pass all rules but those of digests.",
    )
    exempting.add_argument("--until", type=_until, metavar="TIME", help="when it ends: 14d, or 2026-12-24")
    for each, words, metavar in (
        (allowing, "a name, or a pattern such as 'acme-*'", "PATTERN"),
        (denying, "a name, or a pattern such as 'acme-*'", "PATTERN"),
        (blocking, "a SHA-256 in hexadecimal digits", "DIGEST"),
        (exempting, "a release such as six==1.17.0", "RELEASE"),
    ):
        each.add_argument("entries", nargs="+", metavar=metavar, help=words)
        each.add_argument("--remove", action="store_true", help="end this")
    for each in (denying, blocking, exempting):
        each.add_argument("--reason", metavar="TEXT", help="for the sentence that clients get, and for the log")
    explaining = actions.add_parser(
        "explain",
        help="say of each file of a project or release which rule decides",
        description="Say of each file of a project, or of one release, whether it is offered, and which rule decides.",
    )
    explaining.add_argument("release", metavar="RELEASE", help="a project, or a release such as six==1.17.0")
    for each in (explaining, add_try(actions)):
        each.set_defaults(verdict=True, further=_UPSTREAM)
        each.add_argument(
            "--upstream",
            metavar="URL",
            help="on a store: the upstream of the index at the root, where its definition has none, as the servers "
            "have it; none is asked, the pages that are kept of it count",
        )
        each.add_argument("--local", metavar="PATTERN", help="reserved names, as the servers have them")
    for each in (showing, setting, allowing, denying, blocking, exempting, explaining):
        add_place_flags(each)
    for each in (setting, allowing, denying, blocking, exempting):
        add_user_flag(each)


def _add_set(actions: argparse._SubParsersAction[Any]) -> argparse.ArgumentParser:
    setting: argparse.ArgumentParser = actions.add_parser(
        "set",
        help="set the minimum age, and the effect of advisories",
        description="Set the minimum age of files of upstreams, and the effect of advisories. All else stays.",
    )
    setting.add_argument(
        "--min-age",
        type=duration,
        metavar="TIME",
        help="hold files of upstreams back until they are so old: 7d; 0 ends it",
    )
    setting.add_argument(
        "--min-age-except", action="append", metavar="PATTERN", help="but not those of these projects; may be repeated"
    )
    setting.add_argument(
        "--no-min-age-except", action="append", metavar="PATTERN", help="take such a pattern away; may be repeated"
    )
    setting.add_argument(
        "--min-age-except-fixes",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="but not releases that an advisory names as fixed",
    )
    setting.add_argument("--malicious", choices=_EFFECTS, help="the effect of advisories on malicious packages")
    for name, words in (("block", "hold back"), ("warn", "warn of")):
        setting.add_argument(
            f"--{name}-severity",
            choices=(*_SEVERITIES, "off"),
            help=f"{words} releases with an advisory at least so severe",
        )
    return setting


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises InvalidRequest, NotFound, StoreError, UpstreamError."""
    further = getattr(arguments, "further", ())
    administration = open_administration(arguments, writes=arguments.action not in _READING, further=further)
    if arguments.action == "show":
        _show(arguments, administration.policy())
    elif arguments.action in {"explain", "try"}:
        return (_explain if arguments.action == "explain" else try_change)(arguments, administration)
    else:
        _change(arguments, administration)
    return 0


def _show(arguments: argparse.Namespace, policy: PolicyEntry) -> None:
    if arguments.json:
        print_json(msgspec.to_builtins(policy))
        return
    age = age_text(timedelta(seconds=policy.min_age)) if policy.min_age else "none"
    excepted = [*policy.min_age_except, *(["releases that an advisory names as fixed"] * policy.min_age_except_fixes)]
    rows = [
        ("Index", policy.index),
        ("Of upstreams", ", ".join(policy.allow) or "all projects"),
        ("Minimum age", age + (f", except {', '.join(excepted)}" if excepted and policy.min_age else "")),
        ("Malicious", policy.malicious),
        ("Blocked from", policy.block_severity or "none"),
        ("Warned of from", policy.warn_severity or "none"),
    ]
    rows += [("Denied", _noted(each.pattern, each.since, each.by, each.reason)) for each in policy.deny]
    rows += [("Blocked", _noted(each.sha256, each.since, each.by, each.reason)) for each in policy.blocked]
    rows += [
        ("Exempt", _noted(f"{each.project}=={each.version}", each.since, each.by, each.reason, each.until))
        for each in policy.exempt
    ]
    print_table(("Rule", "Value"), rows)


def _noted(what: str, since: str | None, by: str | None, reason: str | None, until: str | None = None) -> str:
    notes = [
        f"since {since}" if since else "",
        f"until {until}" if until else "",
        f"by {by}" if by else "",
        reason or "",
    ]
    return plain(", ".join([what, *filter(None, notes)]))


def _change(arguments: argparse.Namespace, administration: Administration) -> None:
    done = administration.set_policy(_body(arguments))
    if arguments.json:
        print_json(msgspec.to_builtins(done))
    elif not done.changed:
        print(f"Nothing to do: the policy of {plain(done.policy.index)} says so already.")
    else:
        print(f"Changed the policy of {plain(done.policy.index)}; it counts for the next request on every server.")
    if arguments.action == "exempt" and not arguments.remove and done.policy.blocked:
        _warn_of_blocked(arguments.entries, {each.sha256 for each in done.policy.blocked}, administration)


def _warn_of_blocked(releases: Sequence[str], blocked: Collection[str], administration: Administration) -> None:
    """Name the files that an exemption lets through no more than before: it is not from the rules of digests."""
    for project, version in map(parse_release, releases):
        with contextlib.suppress(NotFound):
            files = administration.explain_policy(project, version).files
            for each in (file for file in files if file.sha256 in blocked and not file.offered):
                print(
                    f"quire: warning: {plain(each.filename)} is held back all the same: its digest is blocked, which "
                    f"no exemption lifts; 'quire policy block {each.sha256} --remove' does.",
                    file=sys.stderr,
                )


def _body(arguments: argparse.Namespace) -> PolicyBody:
    """The change that the flags ask for. Raises InvalidRequest."""
    if arguments.action == "set":
        asked = {
            "min_age": None if arguments.min_age is None else int(arguments.min_age),
            "min_age_except": arguments.min_age_except,
            "not_min_age_except": arguments.no_min_age_except,
            "min_age_except_fixes": arguments.min_age_except_fixes,
            "malicious": arguments.malicious,
        }
        fields: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        for name in ("block_severity", "warn_severity"):
            if (severity := getattr(arguments, name)) is not None:
                fields[name] = None if severity == "off" else severity
        if not fields:
            raise InvalidRequest("Name a rule to set; 'quire policy set --help' lists them.")
        return PolicyBody(**fields)
    names = {"allow": "not_allow", "deny": "not_deny", "block": "unblock", "exempt": "not_exempt"}
    field = names[arguments.action] if arguments.remove else arguments.action
    entries = list(map(parse_digest, arguments.entries)) if field == "block" else arguments.entries
    fields = {field: entries}
    if not arguments.remove:
        notes = {"reason": getattr(arguments, "reason", None), "until": getattr(arguments, "until", None)}
        fields |= {name: value for name, value in notes.items() if value is not None}
    return PolicyBody(**fields)


def _explain(arguments: argparse.Namespace, administration: Administration) -> int:
    """1 where a file is held back, 2 for an error."""
    if "==" in arguments.release:
        project, version = parse_release(arguments.release)
    else:
        project, version = normalize_name(arguments.release), None
    found = administration.explain_policy(project, version)
    if arguments.json:
        print_json(msgspec.to_builtins(found))
    else:
        for each in found.files:
            print(f"{plain(each.filename)}: {_verdict(each)}. {plain(each.why)}")
        held = sum(not each.offered for each in found.files)
        print(f"{count(len(found.files), 'file')} on {plain(found.index)}, {held} held back")
    return 0 if all(each.offered for each in found.files) else 1


def _verdict(file: ExplainedFile) -> str:
    if not file.offered:
        return "held back"
    return "offered" if file.decision is None else "offered with a warning"


def _until(text: str) -> str:
    """The end of an exemption in RFC 3339, UTC. For argparse."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d.*", text.strip()):
        try:
            found = datetime.fromisoformat(text.strip())
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no time; write it like 14d or 2026-12-24") from None
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    else:
        found = datetime.now(UTC) + span(text)
    return stamp(found)
