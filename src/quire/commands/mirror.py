"""`quire mirror`: what is kept of the indexes that are mirrored."""

from __future__ import annotations

import argparse
from typing import Any, Final, Protocol

from quire.commands import mirror_export, mirror_fetch, mirror_import, mirror_status


class _Action(Protocol):
    def add_parser(self, parts: argparse._SubParsersAction[Any]) -> object: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


ACTIONS: Final[dict[str, _Action]] = {
    "status": mirror_status,
    "fetch": mirror_fetch,
    "export": mirror_export,
    "import": mirror_import,
}
"""The module of each action."""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add `mirror` with its actions."""
    text = "what is kept of the indexes that are mirrored"
    parser = subparsers.add_parser("mirror", help=text, description=f"{text[:1].upper()}{text[1:]}.")
    parts = parser.add_subparsers(dest="mirror", required=True, metavar="ACTION")
    for module in ACTIONS.values():
        module.add_parser(parts)


def run(arguments: argparse.Namespace) -> int:
    """Run the action. Raises QuireError."""
    return ACTIONS[arguments.mirror].run(arguments)
