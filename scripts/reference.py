#!/usr/bin/env python3
"""Writes the tables in docs/reference/ that say again what the program knows: flags, settings, deprecations.

    .venv/bin/python scripts/reference.py            # rewrite what is between the marks
    .venv/bin/python scripts/reference.py --check    # exit code 1 when something is out of date

A page has `<!-- reference: NAME -->` and `<!-- end -->` where a table belongs; all other text is its author's.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from quire.cli import make_parser
from quire.config.deprecations import DEPRECATIONS
from quire.config.settings import DEFAULT_FALLBACK_URL, OPTIONS

PAGES = Path(__file__).parent.parent / "docs" / "reference"
_BLOCK = re.compile(r"(<!-- reference: ([\w -]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_SAME_AS_RUN = {"serve"}
"""Commands whose flags are those of another one; their page says so."""


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command by its name, and those of its actions, as `token create`."""
    found: dict[str, argparse.ArgumentParser] = {}
    parser, _ = make_parser()
    for name, command in _choices(parser).items():
        actions = _choices(command)
        found |= {f"{name} {action}": each for action, each in actions.items()} if actions else {name: command}
    return found


def _choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands, or the actions of one; none for a command without."""
    for action in parser._actions:  # argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def meaning(action: argparse.Action) -> str:
    """The help of a flag as one cell."""
    text = (action.help or "").replace("%%", "%").replace("|", "\\|")
    text = text.replace(DEFAULT_FALLBACK_URL, "the public index")
    text = re.sub(r"(?<!\w)'([^']+)'(?!\w)", r"`\1`", text)
    return re.sub(r"(?<![\w`])(--[a-z]+(-[a-z]+)*)(?![^`]*`)", r"`\1`", text)


def command_table(parser: argparse.ArgumentParser) -> str:
    """Every argument and flag of a command."""
    lines = ["| Argument | Meaning |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        if action.option_strings:
            value = "" if action.nargs == 0 else f" {metavar}"
            name = ", ".join(f"`{flag}{value}`" for flag in action.option_strings)
        else:
            optional, several = action.nargs in {"?", "*"}, action.nargs in {"*", "+"}
            name = f"{metavar} ..." if several else metavar
            name = f"`[{name}]`" if optional else f"`{name}`"
        lines.append(f"| {name} | {meaning(action)} |")
    return "\n".join(lines) + "\n"


def settings_table() -> str:
    """Every setting with its three spellings."""
    helps = {action.dest: action for action in command_parsers()["run"]._actions}
    lines = ["| `quire.toml` | Environment | Flag | Meaning |", "|---|---|---|---|"]
    for option in OPTIONS:
        action = helps[option.name]
        variables = [f"QUIRE_{option.name.upper()}", *option.borrowed]
        environment = f"`{variables[0]}`" + "".join(f", else `{variable}`" for variable in variables[1:])
        flag = ", ".join(f"`{each}`" for each in action.option_strings) or "arguments"
        lines.append(f"| `{option.name.replace('_', '-')}` | {environment} | {flag} | {meaning(action)} |")
    return "\n".join(lines) + "\n"


def deprecations_table() -> str:
    """Everything that is deprecated."""
    lines = ["| Deprecated | Since | Removed in | Not before | Instead |", "|---|---|---|---|---|"]
    for each in DEPRECATIONS:
        columns = (f"{each.kind} `{each.name}`", each.since, each.removed_in, each.not_before, each.instead)
        lines.append(f"| {' | '.join(map(str, columns))} |")
    return "\n".join(lines) + "\n"


def block(name: str) -> str:
    """The table of that name. Raises KeyError for an unknown one."""
    tables = {"settings": settings_table, "deprecated": deprecations_table}
    return tables[name]() if name in tables else command_table(command_parsers()[name])


def rewritten(page: str) -> str:
    """The page with its tables as they should be."""
    return _BLOCK.sub(lambda match: f"{match[1]}{block(match[2])}{match[3]}", page)


def missing() -> set[str]:
    """Commands that have no table on any page."""
    found = {match[2] for path in PAGES.glob("*.md") for match in _BLOCK.finditer(path.read_text())}
    return set(command_parsers()) - found - _SAME_AS_RUN


def main() -> int:
    """See the module's text."""
    stale = []
    for path in sorted(PAGES.glob("*.md")):
        before = path.read_text()
        after = rewritten(before)
        if after != before:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(after)
    for name in sorted(missing()):
        print(f"docs/reference/ has no table for 'quire {name}'")
    if "--check" in sys.argv and stale:
        print(f"out of date: {', '.join(stale)}; run scripts/reference.py")
    return 1 if missing() or ("--check" in sys.argv and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
