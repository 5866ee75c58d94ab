"""Shared by the commands that take lock files: reading them, and the choice of files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from quire.commands.common import plain
from quire.domain.errors import ConfigurationError, InvalidRequest, reason_of
from quire.locks.locked import Lock
from quire.locks.reading import MOST_BYTES, read_lock
from quire.locks.selecting import PLATFORMS, Sdists, Selection


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """The choice among the files of a release."""
    parser.add_argument(
        "--platform",
        action="append",
        default=[],
        metavar="NAME",
        help=f"only wheels of this platform ({', '.join(PLATFORMS)}, or a pattern of platform tags such as "
        "'manylinux*_ppc64le'), and those of any; repeat it for several (default: all wheels that the lock names)",
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="VERSION",
        help="only wheels that this CPython takes, such as 3.12 or 3.14t; repeat it for several",
    )
    parser.add_argument(
        "--sdists",
        choices=list(Sdists),
        metavar="WHICH",
        default=Sdists.NEEDED,
        type=Sdists,
        help="source archives: those of releases without a chosen wheel (needed, the default), all, or none",
    )


def selection_of(arguments: argparse.Namespace) -> Selection:
    """Raises ConfigurationError."""
    try:
        return Selection(arguments.platform, arguments.python, arguments.sdists)
    except InvalidRequest as error:
        raise ConfigurationError(str(error)) from None


def read_locks(paths: Sequence[str]) -> list[Lock]:
    """Raises ConfigurationError for the first file that is none, or cannot be read."""
    return [_read(path) for path in paths]


def _read(path: str) -> Lock:
    try:
        with open(path, "rb") as file:
            return read_lock(os.path.basename(path), file.read(MOST_BYTES + 1))
    except OSError as error:
        raise ConfigurationError(f"{plain(path)} cannot be read ({reason_of(error)}).") from None
    except InvalidRequest as error:
        raise ConfigurationError(f"{plain(path)}: {plain(str(error))}.") from None
