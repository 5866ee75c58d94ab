"""quire in granian with another interface or event loop than the one it chooses; for comparison only.

`python -m benchmarks.variants asgi|asyncio FLAGS OF QUIRE...`. granian gets everything else as quire gives it.
"""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

from granian.constants import Interfaces, Loops
from granian.server import MPServer

from quire.cli import main as quire
from quire.servers import with_granian
from quire.servers.loading import load


class ASGI(MPServer):
    """granian speaks ASGI to the application, whose quick answers are then given as ASGI's messages."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"interface": Interfaces.ASGI}))

    def serve(self, *args: Any, **options: Any) -> None:
        super().serve(*args, **(options | {"target_loader": load}))


class Asyncio(MPServer):
    """granian with the event loop of the standard library in place of uvloop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"loop": Loops.asyncio}))


SERVERS: dict[str, type[MPServer]] = {"asgi": ASGI, "asyncio": Asyncio}


def main() -> int:
    name, *flags = sys.argv[1:]
    with mock.patch.object(with_granian, "Granian", SERVERS[name]):
        return quire(flags)


if __name__ == "__main__":
    sys.exit(main())
