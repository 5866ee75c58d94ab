"""The commands and their flags, as the parser has them. argparse has no public list of either."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from quire import cli


def commands(names: Iterable[str] = cli.COMMANDS) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands of `quire`, with those of these names."""
    (action,) = (each for each in cli.make_parser(names)[0]._actions if isinstance(each, argparse._SubParsersAction))
    found: dict[str, argparse.ArgumentParser] = action.choices
    return found


def actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the actions of a command, as `token create`."""
    found = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return {name: part for each in found for name, part in each.choices.items()}


def parts(command: str) -> list[argparse.ArgumentParser]:
    """The parser of a command, and those of its actions."""
    parser = commands([command])[command]
    return [parser, *actions(parser).values()]


def flags(command: str) -> set[str]:
    """All flags of a command, short and long."""
    return {flag for action in commands([command])[command]._actions for flag in action.option_strings}
