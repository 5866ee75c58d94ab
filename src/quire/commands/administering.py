"""Opening what a command works on: the store, or with `--url` a server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from quire.administration.contract import Administration
from quire.commands.common import ONE_INDEX, add_store_flags, open_store, plain
from quire.commands.local import Local
from quire.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from quire.administration.remote import Remote

URL_VARIABLE = "QUIRE_URL"
OWN: Final = "This is what {index} itself has; its clients may be offered more of {behind}, behind it."
OFFERED: Final = "This is what clients of {index} are offered; it may be of {behind}, behind it."


def add_place_flags(parser: argparse.ArgumentParser, *, of_all: bool = False) -> None:
    """The flags of a command that works on a store and on a server alike. `of_all`: without --index on all indexes."""
    add_store_flags(parser, *((ONE_INDEX,) if of_all else ()))
    _add_url(parser, "the base URL of a server, to work over its API in place of on the store (default: QUIRE_URL)")


def add_url_flag(parser: argparse.ArgumentParser) -> None:
    """The flags of a command that works on a server alone."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(directory=None, index=None)
    _add_url(parser, "the base URL of the server (default: QUIRE_URL)")


def _add_url(parser: argparse.ArgumentParser, words: str) -> None:
    # it may stand before the command, too
    parser.add_argument("--url", metavar="URL", default=argparse.SUPPRESS, help=words)
    parser.set_defaults(takes_url=True)


def url_of(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> str | None:
    """The server to work on; None for the store. Raises ConfigurationError for flags that contradict each other."""
    url: str | None = getattr(arguments, "url", None)
    if url is None:
        return None if arguments.directory else environ.get(URL_VARIABLE) or None
    if arguments.directory:
        raise ConfigurationError("Name a server with --url or a store with -d, not both.")
    return url


def open_administration(
    arguments: argparse.Namespace, *, writes: bool, required: bool = True, further: Sequence[str] = ()
) -> Administration:
    """The store or the server that the flags and the environment name.

    `writes`, `required`, `further`: of a store, see `open_store`. Raises ConfigurationError, StoreError.
    """
    url = url_of(arguments)
    if url is None:
        return Local(open_store(arguments, writes=writes, required=required, further=further))
    if named := next((each for each in further if getattr(arguments, each) is not None), None):
        raise ConfigurationError(f"--{named} is for a store; a server has its own settings.")
    if getattr(arguments, "log_user", None) is not None:
        raise ConfigurationError("--user is for the log of a store; a server logs the user that logs in.")
    from quire.administration.remote import Remote  # noqa: PLC0415 - an HTTP client, for this only

    return Remote(url, arguments.index, os.environ)


def open_remote(arguments: argparse.Namespace) -> Remote | None:
    """The server that the flags and the environment name; None where they name a store. Raises ConfigurationError."""
    url = url_of(arguments)
    if url is None:
        return None
    from quire.administration.remote import Remote  # noqa: PLC0415 - an HTTP client, for this only

    return Remote(url, arguments.index, os.environ)


def say_what_is_behind(arguments: argparse.Namespace, administration: Administration, index: str, told: str) -> None:
    """Say on stderr that clients of an index are offered more than is printed, or (`told`) what that is; nothing where
    nothing is behind the index."""
    if arguments.json:
        return
    entry = next((each for each in administration.indexes() if each.name == index), None)
    if entry is None:
        return
    behind = [*([entry.in_front_of] if entry.in_front_of else []), *entry.behind]
    behind += [upstream.url for upstream in entry.upstreams or ()]
    if behind:
        print(told.format(index=plain(index), behind=plain(", ".join(behind))), file=sys.stderr)
