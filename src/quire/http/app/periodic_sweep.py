"""The periodic sweep of the store: removes staged bytes of workers that died, and files that were in the trash for
their time.

Every worker does, at a time of its own; sweeping what is swept already costs one listing of a folder that is nearly
always empty, and what `quire.operations.expiring` says of the trash. Other blobs are left to `quire gc`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from quire.domain.errors import QuireError

EVERY = 3600.0
"""Seconds between two sweeps of one worker."""
ABANDONED_AFTER = 86_400.0
"""Seconds without a write after which an upload is abandoned."""

log = structlog.get_logger(__name__)


async def sweep_periodically(
    sweep: Callable[[float], Awaitable[int]], *, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> None:
    """Call `sweep` with ABANDONED_AFTER, soon after the start and then once an hour, until cancelled.

    `pause`: waits for so many seconds.
    """
    await pause(random.uniform(0, 60))  # noqa: S311 - spreads the workers, hides nothing
    while True:
        try:
            swept = await sweep(ABANDONED_AFTER)
        except QuireError as error:
            log.warning("not swept", error=str(error))
        except Exception:  # a defect, or too many threads: the next one may pass
            log.exception("not swept")
        else:
            if swept:
                log.info("swept", abandoned=swept)
        await pause(EVERY * random.uniform(0.9, 1.1))  # noqa: S311 - as above
