"""`quire config-snippet`: the lines that a developer pastes to use an index with a tool, as the server has it."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from typing import Any

from quire.commands.administering import add_place_flags, url_of
from quire.commands.common import plain, print_json
from quire.config.suggestions import did_you_mean
from quire.domain.errors import ConfigurationError, NotFound
from quire.domain.indexes import IndexDefinition, chain
from quire.domain.moments import parse_moment
from quire.render.snippets import SNIPPETS, Facts


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `config-snippet`."""
    parser = subparsers.add_parser(
        "config-snippet",
        help="print what a developer pastes to use an index with a tool",
        description="Print what a developer pastes to use an index with a tool: its addresses, its login if it needs "
        "one, and where to publish if it takes uploads. It asks the server that --url names.",
    )
    parser.add_argument("name", metavar="INDEX", help="the index")
    parser.add_argument(
        "--for", dest="tool", required=True, choices=tuple(SNIPPETS), metavar="TOOL", help=", ".join(SNIPPETS)
    )
    parser.add_argument(
        "--only",
        action="store_true",
        help="use no other index, also not the public one; the default where the login may see that it has upstreams",
    )
    parser.add_argument(
        "--as-of",
        metavar="MOMENT",
        help="to install from the index as it was: a date, or a time such as 2026-11-01T12:00:00Z",
    )
    add_place_flags(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print it. Raises ConfigurationError, InvalidRequest, NotFound, UpstreamError."""
    if arguments.directory:
        raise ConfigurationError(
            "A server is asked, which knows what its clients may do; leave -d out, and name with --url (or QUIRE_URL) "
            "the address that developers use."
        )
    url = url_of(arguments)
    if url is None:
        raise ConfigurationError("Name the address that developers use with --url (or QUIRE_URL).")
    if arguments.as_of is not None:
        parse_moment(arguments.as_of, datetime.now(UTC))
    from quire.administration.remote import Remote  # noqa: PLC0415 - an HTTP client, for this only

    remote = Remote(url, None, os.environ)
    found = {each.name: each for each in remote.indexes()}
    entry = found.get(arguments.name)
    if entry is None:
        known = remote.of_readable or did_you_mean(arguments.name, found)
        raise NotFound(f"There is no index {plain(arguments.name)!r}{known}.")
    definitions = {
        each.name: IndexDefinition(behind=tuple(each.behind), in_front_of=each.in_front_of) for each in found.values()
    }
    names = (entry.name, *chain(definitions, entry.name))
    unknown = Remote(remote.url, None, {"NETRC": os.devnull})  # without a login, as an unknown client
    # To read an index takes the right on each that is behind it.
    is_open = {each.name for each in unknown.readable_indexes() if each.downloads}.issuperset(names)
    facts = Facts(
        name=entry.name,
        url=remote.url if entry.is_default else f"{remote.url}{entry.name}/",
        has_uploads=entry.uploads and not entry.read_only and arguments.as_of is None,
        needs_login=not is_open,
        is_only=arguments.only or any(found[each].upstreams for each in names if each in found),
        as_of=arguments.as_of,
    )
    text = SNIPPETS[arguments.tool](facts)
    if arguments.json:
        print_json({"index": facts.name, "tool": arguments.tool, "snippet": text})
    else:
        print(text, end="")
    return 0
