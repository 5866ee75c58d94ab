"""Puts the mirrors of other indexes together. It imports the client of other indexes: most servers need none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Final

from quire.catalog.mirror_chain import Link, MirrorChain
from quire.catalog.mirrored import MirroredProjects
from quire.catalog.sources import AnySource
from quire.domain.upstreams import UpstreamDefinition, without_login
from quire.process.threads import Threads
from quire.store.contracts import Store
from quire.upstream.asking import PageRequests
from quire.upstream.files import MirroredFiles
from quire.upstream.mirror import ASK_SECONDS, Mirror
from quire.upstream.mirrored import Ages
from quire.upstream.reach import Reach
from quire.upstream.server import OtherServer

__all__ = ["Mirrors", "Reach", "mirror_name"]

_BEHIND: Final = 3
"""A page of up to so many times its freshness is served at once, and asked for behind the answer."""
_MOST_NAME: Final = 60

_Key = tuple[str, tuple[str, ...], int, int]
"""The fields of a definition that a mirror depends on."""


class Mirrors:
    """The mirrors of one worker. Indexes with the same upstream share its mirror: what one of them asks for, the others
    wait for. Belongs to one event loop."""

    def __init__(
        self, store: Store, threads: Threads, reach: Reach, named: Sequence[str] = (), *, confirms: bool = False
    ) -> None:
        """`reach`: how this server reaches other indexes; `named`: URLs in its settings, perhaps with a login, which
        counts for definitions of the same URL; `confirms`: whether the other index is asked for each page once more,
        however fresh the kept one is."""
        self._store = store
        self._threads = threads
        self.reach = reach
        self._named = {without_login(url): url for url in named}
        self._confirms = confirms
        self._opened: dict[_Key, MirroredProjects] = {}

    def behind(self, upstreams: Sequence[UpstreamDefinition]) -> AnySource | None:
        """The source of these upstreams, in their order; None for none. Nothing is asked yet."""
        links = [Link(self._mirror(each), each.only) for each in upstreams]
        if len(links) == 1 and not upstreams[0].only:
            return links[0].mirror
        return MirrorChain(links) if links else None

    async def close(self) -> None:
        """End what is being asked and fetched."""
        for mirror in self._opened.values():
            await mirror.close()

    def _mirror(self, upstream: UpstreamDefinition) -> MirroredProjects:
        key = upstream.url, upstream.hosts, upstream.max_age, upstream.max_stale
        mirror = self._opened.get(key)
        if mirror is None:
            mirror = self._opened[key] = self._open(upstream)
        return mirror

    def _open(self, upstream: UpstreamDefinition) -> MirroredProjects:
        store, threads = self._store, self._threads
        url = self._named.get(upstream.url, upstream.url)
        server = OtherServer(url, private_hosts=upstream.hosts, reach=self.reach)
        name = mirror_name(upstream.url)
        fresh, stale = timedelta(seconds=upstream.max_age), timedelta(seconds=upstream.max_stale)
        ages = (
            Ages(timedelta(), timedelta(), stale, ASK_SECONDS)
            if self._confirms
            else Ages(fresh, _BEHIND * fresh, stale)
        )
        return MirroredProjects(
            Mirror(
                store,
                name,
                PageRequests(server, threads.readers),
                ages,
                executor=threads.readers,
                asks=not server.offline,
            ),
            MirroredFiles(store, name, server, readers=threads.readers, writers=threads.writers),
            server,
            validates_inline=store.validates_inline,
        )


def mirror_name(url: str) -> str:
    """The name of an index in the keys of its mirror. `url`: without the login, so that a new password changes
    nothing."""
    host = re.sub(r"[^a-z0-9]+", "-", url.partition("://")[2].partition("/")[0].lower()).strip("-")
    return f"{host[:_MOST_NAME]}-{sha256(url.encode()).hexdigest()[:12]}"
