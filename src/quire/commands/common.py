"""Shared by the commands that work directly on a store: the store, the index, the user, and printing."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from quire.config import values
from quire.config.deprecations import in_use
from quire.config.resolving import resolve, unknown_variables
from quire.config.settings import Settings
from quire.domain.durations import parse_duration
from quire.domain.errors import ConfigurationError, InvalidRequest
from quire.domain.names import SURROGATE, encodable
from quire.dropin.folder import Folder
from quire.dropin.listing import Candidate
from quire.dropin.tree import Tree
from quire.index.audit.entries import Origin
from quire.index.index import Index, all_indexes
from quire.observe import logs
from quire.operations.defining import check_index
from quire.operations.opening import check_place, drop_ins_of, open_index
from quire.store.contracts import Store
from quire.store.opening import inspector_of, is_directory, name_repairs_of
from quire.store.posix.inspector import PosixInspector
from quire.store.posix.layout import check_directory, nearest_store
from quire.store.purposes import Purpose

if TYPE_CHECKING:
    from quire.store.bucket.name_repairs import NameRepairs

_log = structlog.get_logger(__name__)

_ABOUT_RIGHTS = {"access", "grant", "revoke", "grants", "group", "token", "publisher", "index"}
"""The commands on what servers with the setting rights=settings do not obey."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, as the command line named it."""

    settings: Settings
    index: Index
    root: str
    """The name of the index at the server's root, whichever one --index names."""

    @property
    def store(self) -> Store:
        return self.index.store

    @property
    def home(self) -> str:
        """Where the store's own things are: its folder where it has one."""
        return self.store.home or self.store.place

    @property
    def inspector(self) -> PosixInspector | None:
        return inspector_of(self.store)

    def name_repairs(self) -> NameRepairs | None:
        """Repairs of lists of projects that are objects of a bucket; None for another store. Raises StoreReadOnly."""
        return name_repairs_of(self.store)

    def indexes(self) -> list[Index]:
        """All indexes of the store."""
        return all_indexes(self.store, self.index.origin)

    @property
    def has_drop_ins(self) -> bool:
        """Whether drop-in files are files of the index: those of a store are of the one at the root alone."""
        return self.index.name == self.root

    def folder(self, *, keeps_facts: bool = True) -> Folder:
        """The drop-in files that are served with the store. `keeps_facts`: store the facts about them, too."""
        settings = msgspec.structs.replace(self.settings, index=self.root)
        return drop_ins_of(settings, self.store, stores_facts=keeps_facts)

    def candidates(self, project: str) -> tuple[Candidate, ...]:
        """The drop-in files of a project of the index by their names alone, without reading any."""
        return self.all_candidates().get(project, ())

    def all_candidates(self) -> Mapping[str, tuple[Candidate, ...]]:
        """The same of every project that has any."""
        return self.beside_store() if self.has_drop_ins else {}

    def beside_store(self) -> Mapping[str, tuple[Candidate, ...]]:
        """The same of the index at the root, whichever index the command is about."""
        roots = [Path(directory) for directory in self.settings.drop_in_roots]
        return Tree(roots, exclude=[Path(self.home)]).refresh().projects


ONE_INDEX = "only on this index (default: every index, stages too)"
"""The meaning of --index where a command without it is about all of them."""


def add_store_flags(parser: argparse.ArgumentParser, index: str = "the index of the store (default: main)") -> None:
    """The flags that say which store and index, and how to print. `index`: the help of --index."""
    add = parser.add_argument
    add(
        "-d",
        "--directory",
        action="append",
        metavar="DIR",
        help="the served directory or bucket that carries the store (default: QUIRE_DIRECTORIES, quire.toml, "
        "packages/ with a store here or in a folder above, ~/packages); "
        "repeat it for further directories that are served with it",
    )
    add("--index", metavar="NAME", help=index)
    add("--config", metavar="FILE", help="a configuration file (default: quire.toml in the working directory)")
    add("--json", action="store_true", help="print JSON, for scripts")


def add_user_flag(parser: argparse.ArgumentParser) -> None:
    """The user for the log."""
    parser.add_argument(
        "--user", dest="log_user", metavar="NAME", help="user name for the log (default: the user of this system)"
    )


def user_of(arguments: argparse.Namespace) -> str:
    """The name to log."""
    if getattr(arguments, "log_user", None):
        return str(arguments.log_user)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return str(os.getuid())


def origin_of(arguments: argparse.Namespace) -> Origin:
    """The origin of this command's changes, for the audit log."""
    command = f"quire {getattr(arguments, 'command', '')}".strip()
    return Origin(user=user_of(arguments), command=command, host=socket.gethostname())


def resolve_for_store(
    flags: Mapping[str, object], config_file: str | None, defaults: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of a command that works straight on a directory: where none is named, that of the nearest store.

    Raises ConfigurationError; also for a directory that is in a store, and when none is named and there is none.
    """
    nearest = nearest_store()
    defaults = {**(defaults or {}), **({"directories": (str(nearest),)} if nearest is not None else {})}
    settings = resolve(flags, os.environ, defaults, config_file)
    is_default = settings.directories == (os.path.expanduser("~/packages"),)
    if nearest is None and is_default and not os.path.isdir(settings.root):
        raise ConfigurationError(
            f"No store was found: there is none in packages/ here or in a folder above, and no {settings.root}; name "
            f"the served directory with -d."
        )
    check_place(settings.root)
    for directory in settings.folders:
        check_directory(directory)
    return settings


def open_store(
    arguments: argparse.Namespace,
    *,
    writes: bool,
    required: bool = True,
    create: bool = False,
    asks_the_time: bool = False,
    names_own_index: bool = True,
    further: Sequence[str] = (),
    purpose: Purpose = Purpose.INDEX,
) -> Opened:
    """The store that the flags, the environment or quire.toml name.

    `writes`: whether the command is going to change it. `required`: whether there must be one already.
    `asks_the_time`: whether ages matter; only a writer can ask a file system for its time. `names_own_index`: whether
    the flag --index names an index of this store, which then must have it; rights may be given before it is made.
    `further`: the names of other settings that the command has flags for. `purpose`: see `quire.store.purposes`.
    Raises ConfigurationError when it cannot be used for that, NotFound for an index that there is not, StoreError.
    """
    flags = {name: getattr(arguments, name) for name in further}
    flags |= {"directories": arguments.directory, "index": arguments.index}
    settings = resolve_for_store(flags, arguments.config)
    # The answers go to stdout, and must not be mixed with anything.
    stream = "none" if settings.log_stream == "none" else "stderr"
    logs.configure(msgspec.structs.replace(settings, log_stream=stream))
    for sentence in (*unknown_variables(os.environ), *in_use(settings)):
        _log.warning(sentence)
    if settings.rights == "settings" and getattr(arguments, "command", None) in _ABOUT_RIGHTS:
        _log.warning(
            "The setting rights is 'settings' here: servers with it obey no grant, token, publisher or definition of "
            "an index, and answer no request while the store has grants that decide."
        )
    index = open_index(
        settings,
        origin_of(arguments),
        writes=writes,
        create=create,
        asks_the_time=asks_the_time,
        purpose=purpose,
    )
    is_needed = required or not (is_directory(settings.root) or create or settings.drop_in_roots)
    if is_needed and not index.store.exists:
        carrier = "directory that carries it" if is_directory(settings.root) else "bucket and the prefix of a store"
        raise ConfigurationError(
            f"There is no store in {index.store.place}; name the {carrier} with -d. A server makes one when it is "
            f"started there (quire serve), and so does 'quire import'."
        )
    if arguments.index is not None and names_own_index and getattr(arguments, "command", None) not in _ABOUT_RIGHTS:
        check_index(index.store, index.name, default_index(arguments))
    return Opened(settings, index, settings.index if arguments.index is None else default_index(arguments))


def default_index(arguments: argparse.Namespace) -> str:
    """The index of the setting, which the flag --index replaces for one command. Raises ConfigurationError."""
    return resolve_for_store({"directories": arguments.directory}, arguments.config).index


# -- asking and printing ----------------------------------------------------------------------------------------------


def confirmed(question: str) -> bool:
    """Ask on the terminal. Raises InvalidRequest where there is none."""
    if not sys.stdin.isatty():
        raise InvalidRequest(f"{question} There is no terminal to ask at: to do it without being asked, add --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def print_json(document: Any) -> None:
    """One JSON document on stdout. Its keys are an interface: they are added to, and never change."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    print(SURROGATE.sub(lambda found: json.dumps(encodable(found[0]))[1:-1], text))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; else lines with tabs, without a head, whole."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(map(plain, row)))
        return
    from rich.console import Console  # noqa: PLC0415 - large, and for people only
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        is_number = column in {"Releases", "Files", "Size"}
        table.add_column(column, overflow="fold", justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    Console(highlight=False).print(table)


def plain(text: str) -> str:
    """Text that strangers wrote, without characters that would move a terminal's cursor or break a line."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def count(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(text: str) -> int:
    """Bytes, from `1048576`, `500M` or `2G`. For argparse."""
    try:
        return values.size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_LONGEST_DAYS: Final = 36_500


def span(text: str) -> timedelta:
    """A duration that begins or ends now: one that leads past the calendar is refused. For argparse."""
    seconds = duration(text)
    if seconds > _LONGEST_DAYS * 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is too long; give at most {_LONGEST_DAYS}d")
    return timedelta(seconds=seconds)


def duration(text: str) -> float:
    """Seconds, from `90`, `90s`, `15m`, `1h` or `2d`. For argparse."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
