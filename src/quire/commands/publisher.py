"""`quire publisher`: CI jobs that may upload because of what their platform says of them, without a secret.

JSON of list: {"audience": str or null, "publishers": [{"id": str, "name": str, "platform": str, "issuer": str,
"settings": {word: str}, "claims": {claim: str}, "index": str, "projects": [str], "pending": [str], "remembered":
{claim: str}, "created": str, "by": str or null}]}. Of add: {"id": str, "changed": bool, "audience": str, "pending":
[str]}. Of remove: {"removed": [str]}. Of audience: {"audience": str or null}.
"""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from quire.administration.contract import Administration
from quire.administration.publisher_documents import PublisherBody, PublisherPage
from quire.commands.administering import add_place_flags, open_administration
from quire.commands.common import add_user_flag, count, plain, print_json, print_table
from quire.publishing.platforms import PLATFORMS
from quire.publishing.words import SETTINGS, parse_claim


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `publisher` and its actions."""
    parser = subparsers.add_parser(
        "publisher",
        help="let CI jobs publish without a secret (trusted publishing)",
        description="Let jobs of GitHub Actions, GitLab CI and others publish without a secret (trusted publishing).",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    adding = actions.add_parser(
        "add",
        help="trust the jobs of a workflow",
        description="Trust the jobs of a workflow: they may upload to some projects of an index, which need not exist.",
    )
    adding.add_argument("platform", metavar="PLATFORM", choices=tuple(PLATFORMS), help=", ".join(PLATFORMS))
    for word, text in SETTINGS.items():
        adding.add_argument(f"--{word.replace('_', '-')}", dest=word, metavar="TEXT", help=text)
    adding.add_argument("--issuer", metavar="URL", help="of an installation of your own: its address, the claim iss")
    adding.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a claim that tokens must have, e.g. repository_id=74; repeat it",
    )
    adding.add_argument(
        "--project", action="append", required=True, metavar="PATTERN", help="it may upload to; repeat it"
    )
    listing = actions.add_parser("list", help="list the publishers", description="List the publishers.")
    removing = actions.add_parser(
        "remove",
        help="trust them no more, at once",
        description="Trust publishers no more: their tokens are refused from the next request on, on every worker.",
    )
    removing.add_argument("ids", nargs="+", metavar="ID", help="as 'quire publisher list' lists them")
    audience = actions.add_parser(
        "audience",
        help="show or set the audience of tokens",
        description="Show or set the audience that the tokens of CI jobs must have. It is this store's alone.",
    )
    audience.add_argument("audience", nargs="?", metavar="AUDIENCE", help="e.g. the host name of the index")
    for each in (adding, listing, removing, audience):
        add_place_flags(each)
    for each in (adding, removing, audience):
        add_user_flag(each)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises NotFound, InvalidRequest, StoreError, UpstreamError."""
    writes = arguments.action in {"add", "remove"} or bool(getattr(arguments, "audience", None))
    administration = open_administration(arguments, writes=writes)
    if arguments.action == "add":
        _add(arguments, administration)
    elif arguments.action == "remove":
        administration.remove_publishers(arguments.ids)
        if arguments.json:
            print_json({"removed": arguments.ids})
        else:
            print(f"Removed {count(len(arguments.ids), 'publisher')}: no further request is served by their tokens.")
    elif arguments.action == "audience":
        _audience(arguments, administration)
    else:
        _list(administration.publishers(), as_json=arguments.json)
    return 0


def _add(arguments: argparse.Namespace, administration: Administration) -> None:
    body = PublisherBody(
        platform=arguments.platform,
        settings={word: value for word in SETTINGS if (value := getattr(arguments, word)) is not None},
        claims=dict(map(parse_claim, arguments.claim)),
        issuer=arguments.issuer,
        index=arguments.index,
        projects=arguments.project,
    )
    added = administration.add_publisher(body)
    publisher = added.publisher
    if arguments.json:
        print_json(
            {
                "id": publisher.id,
                "changed": added.changed,
                "audience": added.audience,
                "pending": publisher.pending,
            }
        )
        return
    print(f"{'Added' if added.changed else 'There is already'} the publisher {publisher.id}: {plain(publisher.name)}")
    print(
        f"It may upload {', '.join(publisher.projects)} to the index {publisher.index}; its tokens need the audience "
        f"{added.audience}"
    )
    if publisher.pending:
        print(f"{', '.join(publisher.pending)}: not there yet; the first upload makes the project.")


def _audience(arguments: argparse.Namespace, administration: Administration) -> None:
    if arguments.audience:
        found = administration.set_audience(arguments.audience).audience
    else:
        found = administration.publishers().audience
    if arguments.json:
        print_json({"audience": found})
    else:
        print(found or "There is no audience yet; the first publisher brings one.")


def _list(found: PublisherPage, *, as_json: bool) -> None:
    if as_json:
        print_json({"audience": found.audience, "publishers": msgspec.to_builtins(found.publishers)})
        return
    if not found.publishers:
        print("There are no publishers.")
        return
    rows = [
        (
            each.id,
            each.name,
            each.index,
            ", ".join(each.projects),
            "pending" if each.pending else "",
            " ".join(f"{name}={value}" for name, value in each.remembered.items()),
        )
        for each in found.publishers
    ]
    print_table(("id", "jobs", "index", "projects", "state", "ids"), rows)
