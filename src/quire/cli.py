"""The command `quire`: finds the command, runs it, and turns errors raised on purpose into one line and an exit code.

Exit codes: 0 done; 1 what was asked for could not be done; 2 the command line, a setting or a directory is wrong;
130 interrupted by the keyboard; 141 the reader of its output ended before it. Of a command that answers a question
(`verdict` of its arguments), such as `quire apply --check`: 0 yes; 1 no; 2 not known, for any error.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, Protocol, cast

from quire import VERSION_LINE
from quire.config.suggestions import did_you_mean
from quire.domain.errors import ConfigurationError, QuireError, UnknownLayout

COMMANDS = {
    **dict.fromkeys(("run", "serve"), "run"),
    "ls": "ls",
    "show": "show",
    **dict.fromkeys(("yank", "unyank"), "yank"),
    "delete": "delete",
    "trash": "trash",
    "status": "status",
    "log": "log",
    "passwd": "passwd",
    "token": "token",
    "publisher": "publisher",
    **dict.fromkeys(("grant", "revoke", "grants", "group", "access"), "grant"),
    "owner": "owner",
    "claim": "claim",
    "policy": "policy",
    "namespace": "namespace",
    "config-snippet": "config_snippet",
    "webhook": "webhook",
    "session": "session",
    "index": "index",
    "apply": "apply",
    **dict.fromkeys(("stage", "promote"), "stage"),
    **dict.fromkeys(("merge", "unmerge"), "merge"),
    "mirror": "mirror",
    "server": "server",
    "osv": "osv",
    "import": "import_",
    "import-devpi": "import_devpi",
    "backup": "backup",
    "restore": "restore",
    "check": "check",
    "gc": "gc",
    "retention": "retention",
    "doctor": "doctor",
    "update": "update",
    "completion": "completion",
}
"""The module of quire.commands that each command is in, in the order that the help lists them."""


class Command(Protocol):
    """The interface of a module of quire.commands."""

    def add_parser(self, subparsers: argparse._SubParsersAction[Any]) -> object:
        """Add one or more parsers; the module's `run` serves all of them."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code. Raises QuireError."""
        ...


class Parser(argparse.ArgumentParser):
    """argparse with the same form of errors as all of quire, and with flags between PROJECT and VERSION.

    argparse up to Python 3.12 gives an optional positional its value as soon as it meets a flag: nothing, if it has not
    come by then. So flags with their values are brought to the front first.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if args is not None and any(action.nargs == "?" for action in self._get_positional_actions()):
            args = self._flags_first(list(args))
        return super().parse_known_args(args, namespace)

    def _flags_first(self, args: list[str]) -> list[str]:
        flags: list[str] = []
        positionals: list[str] = []
        rest = iter(args)
        for word in rest:
            if word == "--":
                return [*flags, word, *positionals, *rest]
            known = self._option_string_actions
            action = known.get(word) or next((known[flag] for flag in known if flag.startswith(word)), None)
            if not word.startswith("-") or word == "-":
                positionals.append(word)
                continue
            flags.append(word)
            if action is not None and action.nargs is None:
                flags += [value for _, value in zip("1", rest, strict=False)]
        return [*flags, *positionals]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, with the flag that was meant beside the one that is unknown."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            commands = [each for each in self._actions if isinstance(each, argparse._SubParsersAction)]
            parser: argparse.ArgumentParser = commands[0].choices[found.command] if commands else self
            known = [flag for action in parser._actions for flag in action.option_strings]
            hint = did_you_mean(unknown[0].partition("=")[0], known)
            parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return found

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            hint = did_you_mean(str(value), map(str, action.choices)) or f"; take {', '.join(map(str, action.choices))}"
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{hint}")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"quire: error: {message}; see '{self.prog} --help'.\n")


def make_parser(commands: Iterable[str] = COMMANDS) -> tuple[argparse.ArgumentParser, dict[str, Command]]:
    """The parser, and the module of each command name, with those commands and the others in their modules.

    A command's module is imported for it, with all that it works with: fewer of them start sooner.
    """
    parser = Parser(
        prog="quire", description="A private Python package index whose every worker tells the truth at once."
    )
    parser.add_argument("--version", action="version", version=VERSION_LINE)
    parser.add_argument(
        "--url",
        metavar="URL",
        help="the base URL of a server: the command works over its API, and needs neither the store nor its disk",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    owners: dict[str, Command] = {}
    for name in dict.fromkeys(COMMANDS[command] for command in commands):
        module = cast("Command", importlib.import_module(f"quire.commands.{name}"))
        module.add_parser(subparsers)
        for added in subparsers.choices.keys() - owners.keys():
            owners[added] = module
    return parser, owners


def _needed(first: Sequence[str]) -> Iterable[str]:
    """The commands that the parser must know: `first`, the first word, can only be a command if it has the name of one,
    and nothing comes after a version. All else may need all commands, as the script that completes them does."""
    if list(first) == ["--version"]:
        return ()
    importlib.import_module("quire.process.lean_structlog")  # now: the commands' modules import structlog as it comes
    return first if first and first[0] in COMMANDS and first[0] != "completion" else COMMANDS


def _from_command_on(argv: Sequence[str]) -> Sequence[str]:
    """The words behind `--url URL`."""
    while argv and argv[0].partition("=")[0] == "--url":
        argv = argv[1:] if "=" in argv[0] else argv[2:]
    return argv


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (sys.argv without the program when None); returns the exit code."""
    parser, owners = make_parser(_needed(_from_command_on(sys.argv[1:] if argv is None else argv)[:1]))
    arguments = parser.parse_args(argv)
    is_verdict, code = getattr(arguments, "verdict", False), None
    try:
        if arguments.url is not None and not getattr(arguments, "takes_url", False):
            raise ConfigurationError(
                f"'quire {arguments.command}' works on the store itself and takes no --url; run it where the store is."
            )
        code = owners[arguments.command].run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except QuireError as error:
        print(f"quire: error: {error}", file=sys.stderr)
        return 2 if is_verdict or isinstance(error, ConfigurationError | UnknownLayout) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader, say `head`, has all it wants; keep Python from complaining about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if is_verdict:  # an answer that broke off is no yes
            return 2 if code is None else code
        return code or 141  # as a program that SIGPIPE ends
