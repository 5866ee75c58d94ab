"""`quire webhook`: report the changes of projects to other programs, by signed requests.

JSON of list: {"webhooks": [webhook]}, of show the webhook: {"id": str, "url": str, "events": [str], "index": str,
"projects": [str], "created": str, "by": str or null, "state": "active" | "disabled", "disabled": str or null,
"rotates_until": str or null}. Of add and rotate: {"id": str, "secret": str or null, "changed": bool}; the secret is
null when it came from a file. Of remove: {"removed": [str]}. Of resume: {"resumed": str}. Of test: {"event": str,
"status": int or null, "text": str, "error": str or null, "milliseconds": int}. Of deliveries: {"webhook": webhook,
"recent": [delivery], "waiting": [delivery], "given_up": [delivery]}; of redeliver: {"deliveries": [delivery]}. A
delivery: {"event": str, "type": str, "index": str, "project": str, "version": str or null, "revision": int, "at": str,
"attempt": int, "result": "delivered" | "failed" | "given-up", "status": int or null, "error": str or null,
"milliseconds": int, "next": str or null}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from quire.access.grants import ANY
from quire.access.tokens import new_identity
from quire.administration.contract import Administration
from quire.administration.webhook_documents import (
    DeliveryEntry,
    NewWebhook,
    WebhookBody,
    WebhookEntry,
    WebhookSecretBody,
)
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, count, plain, print_json, print_table, span
from quire.domain.errors import ConfigurationError, InvalidRequest, reason_of
from quire.domain.webhooks import EVENTS, new_secret, parse_secret
from quire.operations import granting

_DESCRIPTION = """\
Webhooks: servers report each change of a project to another program, by a POST with the event as JSON, signed as
Standard Webhooks says. A change never waits for them.
"""
_AT_ONCE = 20
_MOST_SECRET = 1000


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `webhook` and its actions."""
    parser = subparsers.add_parser("webhook", help="report changes to other programs", description=_DESCRIPTION)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    adding = actions.add_parser("add", help="add a webhook", description="Report changes to a receiver from now on.")
    adding.add_argument("receiver", metavar="RECEIVER", help="its URL, e.g. https://ci.acme.example/hooks/quire")
    adding.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="EVENTS",
        help=f"only these, with commas: {', '.join(EVENTS)} (all)",
    )
    adding.add_argument(
        "--project",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only these projects, e.g. 'acme-*'; repeat it",
    )
    listing = actions.add_parser("list", help="list the webhooks", description="List the webhooks.")
    showing = actions.add_parser("show", help="show a webhook", description="Show a webhook, without its secret.")
    removing = actions.add_parser(
        "remove", help="remove webhooks", description="Remove webhooks: no delivery to them begins after that."
    )
    removing.add_argument("ids", nargs="+", metavar="ID")
    rotating = actions.add_parser(
        "rotate", help="give a webhook a new secret", description="Give a webhook a new secret, and show it once."
    )
    rotating.add_argument(
        "--grace",
        type=span,
        default=granting.GRACE,
        metavar="AGE",
        help="how long events are signed by the old secret, too (24h); 0 ends that at once",
    )
    for each in (adding, rotating):
        each.add_argument("--secret-file", metavar="FILE", help="has the secret: whsec_...; `-` for standard input")
    testing = actions.add_parser(
        "test", help="send a ping", description="Send a ping to the receiver, and show its answer."
    )
    deliveries = actions.add_parser(
        "deliveries",
        help="show the latest deliveries",
        description="Show the latest deliveries, the events that are tried again, and those that were given up.",
    )
    resuming = actions.add_parser(
        "resume",
        help="deliver again, and what waits at once",
        description="Deliver again to a webhook that was disabled, and try at once what waits for its next attempt.",
    )
    again = actions.add_parser(
        "redeliver",
        help="send events once more",
        description="Send events once more that were delivered lately, or given up.",
    )
    for each in (showing, rotating, testing, deliveries, resuming, again):
        each.add_argument("id", metavar="ID", help="as 'quire webhook list' lists it")
    again.add_argument("events", nargs="*", metavar="EVENT", help="as 'quire webhook deliveries' lists it")
    again.add_argument("--given-up", action="store_true", help="all events that were given up")
    for each in (adding, listing, showing, removing, rotating, testing, deliveries, resuming, again):
        add_place_flags(each, of_all=each is adding)
    for each in (adding, removing, rotating, resuming):
        add_user_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it; 1 when a receiver did not take an event. Raises NotFound, InvalidRequest, StoreError, UpstreamError."""
    action = arguments.action
    administration = open_administration(arguments, writes=action in {"add", "remove", "rotate", "resume", "redeliver"})
    if action == "add":
        _add(administration, arguments)
    elif action == "rotate":
        secret = _secret(arguments)
        body = WebhookSecretBody(grace=arguments.grace.total_seconds(), secret=secret)
        _show_secret(administration.rotate_webhook(arguments.id, body), secret, arguments)
    elif action == "remove":
        administration.remove_webhooks(arguments.ids)
        _print(arguments, {"removed": arguments.ids}, f"Removed {count(len(arguments.ids), 'webhook')}.")
    elif action == "resume":
        administration.resume_webhook(arguments.id)
        _print(arguments, {"resumed": arguments.id}, f"The webhook {arguments.id} is delivered to.")
    elif action == "list":
        _list(administration.webhooks(), as_json=arguments.json)
    elif action == "show":
        _show(administration.webhook(arguments.id), as_json=arguments.json)
    elif action == "test":
        return _test(administration, arguments)
    elif action == "deliveries":
        _deliveries(administration, arguments)
    else:
        return _redeliver(administration, arguments)
    return 0


def _add(administration: Administration, arguments: argparse.Namespace) -> None:
    secret = _secret(arguments)
    words = [word.strip() for each in arguments.event for word in each.split(",") if word.strip()]
    body = WebhookBody(
        url=arguments.receiver,
        events=words,
        index=arguments.index or ANY,
        projects=arguments.project,
        id=new_identity(),
        secret=secret,
    )
    _show_secret(administration.add_webhook(body), secret, arguments)


def _secret(arguments: argparse.Namespace) -> str:
    """The secret of the file, or a new one. Raises ConfigurationError, InvalidRequest."""
    if arguments.secret_file is None:
        return new_secret()
    try:
        if arguments.secret_file == "-":  # noqa: S105 - standard input
            text = sys.stdin.read(_MOST_SECRET)
        else:
            with Path(arguments.secret_file).open(encoding="ascii") as file:
                text = file.read(_MOST_SECRET)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The secret cannot be read from {arguments.secret_file} ({reason_of(error)})."
        ) from error
    parse_secret(text.strip())
    return text.strip()


def _show_secret(made: NewWebhook, secret: str, arguments: argparse.Namespace) -> None:
    is_new = arguments.secret_file is None
    if arguments.json:
        print_json({"id": made.webhook.id, "secret": secret if is_new else None, "changed": made.changed})
        return
    if is_new:
        print(secret)  # alone on standard output, for SECRET=$(quire webhook add ...)
        sys.stdout.flush()
        print("This is the secret, by which the receiver verifies events. It is shown once.", file=sys.stderr)
    until = f" Events are signed by the former secret, too, until {made.webhook.rotates_until}."
    print(
        f"The webhook {made.webhook.id} reports {_reach(made.webhook)} to {plain(made.webhook.url)}."
        f"{until if made.webhook.rotates_until else ''}",
        file=sys.stderr,
    )


def _list(webhooks: Sequence[WebhookEntry], *, as_json: bool) -> None:
    if as_json:
        print_json({"webhooks": msgspec.to_builtins(webhooks)})
        return
    if not webhooks:
        print("There are no webhooks.")
        return
    rows = [
        (each.id, each.state, plain(each.url), _reach(each), each.created[:19] + "Z", each.by or "")
        for each in webhooks
    ]
    print_table(("id", "state", "receiver", "reports", "created", "by"), rows)


def _show(webhook: WebhookEntry, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(webhook))
        return
    rows = [
        ("id", webhook.id),
        ("receiver", webhook.url),
        ("reports", _reach(webhook)),
        ("state", webhook.disabled or webhook.state),
        ("created", f"{webhook.created} by {webhook.by or 'an unknown user'}"),
    ]
    if webhook.rotates_until is not None:
        rows.append(("rotation", f"signed by the former secret, too, until {webhook.rotates_until}"))
    print_table(("", ""), rows)


def _test(administration: Administration, arguments: argparse.Namespace) -> int:
    answer = administration.test_webhook(arguments.id)
    if arguments.json:
        print_json(msgspec.to_builtins(answer))
    elif answer.error is None:
        print(f"The receiver took the event {answer.event}: {answer.status}, in {answer.milliseconds} ms.")
    else:
        print(answer.error)
    if not arguments.json and answer.text:
        print(f"It answered: {plain(answer.text)}")
    return 0 if answer.error is None else 1


def _deliveries(administration: Administration, arguments: argparse.Namespace) -> None:
    found = administration.webhook_deliveries(arguments.id)
    if arguments.json:
        print_json(msgspec.to_builtins(found))
        return
    if found.webhook.disabled is not None:
        print(f"Disabled: {plain(found.webhook.disabled)}")
    if not (found.recent or found.waiting or found.given_up):
        print("Nothing was delivered yet.")
    for title, entries in (("Recent", found.recent), ("Waiting", found.waiting), ("Given up", found.given_up)):
        if entries:
            print(f"{title}:")
            _table(entries)


def _redeliver(administration: Administration, arguments: argparse.Namespace) -> int:
    events = list(arguments.events)
    if arguments.given_up:
        events += [each.event for each in administration.webhook_deliveries(arguments.id).given_up]
    elif not events:
        raise InvalidRequest("Name the events to send once more, or --given-up for all that were given up.")
    found: list[DeliveryEntry] = []
    for begin in range(0, len(events), _AT_ONCE):
        found += administration.redeliver(arguments.id, events[begin : begin + _AT_ONCE]).deliveries
    if arguments.json:
        print_json({"deliveries": msgspec.to_builtins(found)})
    elif found:
        _table(found)
    else:
        print("No event was given up.")
    return 0 if all(each.error is None for each in found) else 1


def _table(entries: Sequence[DeliveryEntry]) -> None:
    rows = [
        (
            each.at[:19] + "Z",
            each.event,
            each.type,
            " ".join(plain(text) for text in (each.project, each.version) if text),
            each.result,
            str(each.attempt),
            plain(each.error or f"{each.status} in {each.milliseconds} ms"),
            f"again at {each.next[:19]}Z" if each.next else "",
        )
        for each in entries
    ]
    print_table(("time", "event", "type", "project", "result", "attempt", "answer", "next"), rows)


def _reach(webhook: WebhookEntry) -> str:
    events = "every change" if webhook.events == [ANY] else ", ".join(webhook.events)
    projects = "every project" if webhook.projects == [ANY] else ", ".join(webhook.projects)
    return f"{events} of {projects} on {'every index' if webhook.index == ANY else webhook.index}"


def _print(arguments: argparse.Namespace, document: dict[str, Any], sentence: str) -> None:
    if arguments.json:
        print_json(document)
    else:
        print(sentence)
