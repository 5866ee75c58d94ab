"""`quire` without its refusal of the mount option nocto, for servers that are to be convicted.

The refusal is taken away in this process and in those that it forks, so only servers that fork their workers do.

Replaced here: the table of mounts, since no setting takes the refusal away.
"""

from __future__ import annotations

import sys
from unittest import mock

from quire.cli import main
from quire.store.posix import store as posix


def unguarded_command(*arguments: object) -> list[str]:
    """The command line of it."""
    return [sys.executable, "-m", __name__, *map(str, arguments)]


if __name__ == "__main__":
    with mock.patch.object(posix, "read_mounts", return_value=[]):
        sys.exit(main())
