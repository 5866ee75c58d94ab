"""quire's servers with another interface or event loop than quire gives them; for comparison only.

`python -m benchmarks.variants asgi|asyncio FLAGS OF QUIRE...`. Everything else is as quire has it.
"""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

from granian.constants import Interfaces
from granian.server import MPServer
from uvicorn import Config

from quire.cli import main as quire
from quire.servers import with_granian, with_uvicorn
from quire.servers.loading import load


class ASGI(MPServer):
    """granian speaks ASGI to the application, whose quick answers are then given as ASGI's messages."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"interface": Interfaces.ASGI}))

    def serve(self, *args: Any, **options: Any) -> None:
        super().serve(*args, **(options | {"target_loader": load}))


class Asyncio(Config):
    """uvicorn with the event loop of the standard library in place of uvloop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"loop": "asyncio"}))


VARIANTS: dict[str, tuple[Any, str, type[Any]]] = {
    "asgi": (with_granian, "Granian", ASGI),
    "asyncio": (with_uvicorn, "Config", Asyncio),
}


def main() -> int:
    name, *flags = sys.argv[1:]
    module, attribute, replacement = VARIANTS[name]
    with mock.patch.object(module, attribute, replacement):
        return quire(flags)


if __name__ == "__main__":
    sys.exit(main())
