"""The threads of one worker, by what they do: work of one kind never waits behind work of another.

Nothing is started before it is needed, so a server may make a worker and fork after that.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

READERS: Final = 16
SENDERS: Final = 16
"""Of their own: slow disks under downloads must not hold up the listings."""
LARGE_PAGES: Final = 2
"""For work that takes the processor for long: more of them would only take it from the others."""
READMES: Final = 1
"""Of its own: a README may take seconds, and they are rendered one at a time."""
WRITERS: Final = 32
"""A write mostly waits for the disk."""
LARGE_UPLOADS: Final = 4
"""Of their own: an archive of gigabytes takes the processor for a minute, and small uploads must not wait for it."""
RECEIVERS: Final = 4
"""Of their own: a receiver of webhooks that hangs must not hold up a change while an administrator tries it."""
BACKGROUND: Final = 2
"""For work that no request waits for, such as reading archives for their metadata: it holds up nothing else."""

CATALOGERS: Final = 1
"""Of its own: reading all projects takes minutes, and pauses between its steps."""


class Threads:
    """Nine pools, each made when it is first asked for. Belongs to one event loop."""

    def __init__(self) -> None:
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def readers(self) -> ThreadPoolExecutor:
        """For work that reads from the store or the served directories."""
        return self._pool("read", READERS)

    def senders(self) -> ThreadPoolExecutor:
        """For reading pieces of files that are being downloaded."""
        return self._pool("send", SENDERS)

    def large_pages(self) -> ThreadPoolExecutor:
        """For reading or rendering much at once."""
        return self._pool("large", LARGE_PAGES)

    def readmes(self) -> ThreadPoolExecutor:
        """For waiting for READMEs that are rendered."""
        return self._pool("readme", READMES)

    def writers(self) -> ThreadPoolExecutor:
        """For changes."""
        return self._pool("write", WRITERS)

    def large_uploads(self) -> ThreadPoolExecutor:
        """For uploads whose archives take long to examine."""
        return self._pool("upload", LARGE_UPLOADS)

    def receivers(self) -> ThreadPoolExecutor:
        """For requests to receivers of webhooks that an administrator waits for."""
        return self._pool("receive", RECEIVERS)

    def background(self) -> ThreadPoolExecutor:
        """For long work behind the answers."""
        return self._pool("behind", BACKGROUND)

    def catalogers(self) -> ThreadPoolExecutor:
        """For keeping the catalog of searches."""
        return self._pool("catalog", CATALOGERS)

    def close(self) -> None:
        """Start nothing more, and drop the work that waits. For the end of the process."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _pool(self, name: str, size: int) -> ThreadPoolExecutor:
        pool = self._pools.get(name)
        if pool is None:
            pool = self._pools[name] = ThreadPoolExecutor(size, thread_name_prefix=name)
        return pool
