"""quire in uvicorn with another event loop than quire gives it; for comparison only.

`python -m benchmarks.variants asyncio FLAGS OF QUIRE...`. Everything else is as quire has it.
"""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

from uvicorn import Config

from quire.cli import main as quire
from quire.servers import with_uvicorn


class Asyncio(Config):
    """uvicorn with the event loop of the standard library in place of uvloop."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"loop": "asyncio"}))


VARIANTS: dict[str, type[Config]] = {"asyncio": Asyncio}


def main() -> int:
    name, *flags = sys.argv[1:]
    with mock.patch.object(with_uvicorn, "Config", VARIANTS[name]):
        return quire(flags)


if __name__ == "__main__":
    sys.exit(main())
