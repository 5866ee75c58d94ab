"""Puts the mirrors of other indexes together. It imports the client of other indexes: most servers need none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from quire.catalog.mirror_chain import Link, MirrorChain
from quire.catalog.mirrored import MirroredProjects
from quire.catalog.sources import AnySource
from quire.domain.upstreams import UpstreamDefinition, without_login
from quire.observe.metrics.tally import MirrorTally
from quire.process.threads import Threads
from quire.store.contracts import Store
from quire.upstream.answers import Ask
from quire.upstream.asking import PageRequests
from quire.upstream.files import MirroredFiles
from quire.upstream.first_page import UntilFirstPage
from quire.upstream.kept import upstreams
from quire.upstream.mirror import ASK_SECONDS, Mirror
from quire.upstream.mirrored import Ages
from quire.upstream.reach import Reach
from quire.upstream.server import OtherServer
from quire.upstream.space import MirrorSpace

__all__ = ["Mirrors", "Reach", "mirror_name"]

_BEHIND: Final = 3
"""A page of up to so many times its freshness is served at once, and asked for behind the answer."""
_MOST_NAME: Final = 60
_RETIRED_SECONDS: Final = 600
"""For answers that are under way: the bytes of a large file over a slow line."""
NOTHING: Final[Mapping[str, Collection[str]]] = MappingProxyType({})

_Key = tuple[str, tuple[str, ...], int, int]
"""The fields of a definition that a mirror depends on."""


class Mirrors:
    """The mirrors of one worker. Indexes with the same upstream share its mirror: what one of them asks for, the others
    wait for. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        threads: Threads,
        reach: Reach,
        named: Sequence[str] = (),
        *,
        size: int | None = None,
        tally: MirrorTally | None = None,
        confirms: bool = False,
    ) -> None:
        """`reach`: how this server reaches other indexes; `named`: URLs in its settings, perhaps with a login, which
        counts for definitions of the same URL; `size`: the most bytes that the files of all mirrors of the store may
        have together, None for any number; `confirms`: for a command that fetches a mirror: the other index is asked
        for each page once more, however fresh the kept one is, and all that is new survives a loss of power."""
        self._store = store
        self._threads = threads
        self.reach = reach
        self._named = {without_login(url): url for url in named}
        self._confirms = confirms
        self._opened: dict[_Key, MirroredProjects] = {}
        self._retired: dict[MirroredProjects, asyncio.TimerHandle] = {}
        self._ending = set[asyncio.Task[None]]()
        self._tally = tally or MirrorTally()
        self._space = MirrorSpace(store, size, threads.writers, tally=self._tally)

    def behind(
        self, upstreams: Sequence[UpstreamDefinition], withheld: Mapping[str, Collection[str]] = NOTHING
    ) -> AnySource | None:
        """The source of these upstreams, in their order; None for none. Nothing is asked yet.

        `withheld`: by URL, normalized names that the upstream is not asked for.
        """
        links = [Link(self._mirror(each), each.only, withheld.get(each.url, ())) for each in upstreams]
        if len(links) == 1 and links[0].takes_all:
            return links[0].mirror
        return MirrorChain(links) if links else None

    @staticmethod
    def name_of(url: str) -> str:
        """The name of the mirror of an upstream (`mirror_name`)."""
        return mirror_name(url)

    async def close(self) -> None:
        """End what is being asked and fetched."""
        for handle in self._retired.values():
            handle.cancel()
        for mirror in (*self._opened.values(), *self._retired):
            await mirror.close()
        self._retired.clear()
        await self._space.close()

    def keep_only(self, upstreams: Iterable[UpstreamDefinition]) -> None:
        """Close the mirrors that no index has any more, when the answers that they still give had time to end."""
        kept = {*map(_key, upstreams)}
        loop = asyncio.get_running_loop()
        for key in [each for each in self._opened if each not in kept]:
            mirror = self._opened.pop(key)
            self._retired[mirror] = loop.call_later(_RETIRED_SECONDS, self._end, mirror)

    def _end(self, mirror: MirroredProjects) -> None:
        self._retired.pop(mirror, None)
        ending = asyncio.get_running_loop().create_task(mirror.close())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _mirror(self, upstream: UpstreamDefinition) -> MirroredProjects:
        key = _key(upstream)
        mirror = self._opened.get(key)
        if mirror is None:
            mirror = self._opened[key] = self._open(upstream)
        return mirror

    def _open(self, upstream: UpstreamDefinition) -> MirroredProjects:
        store, threads = self._store, self._threads
        url = self._named.get(upstream.url, upstream.url)
        name = mirror_name(upstream.url)
        tally = self._tally.of(name)
        # Connections of their own: slow downloads must not keep pages waiting, nor metadata.
        server, of_documents, of_files = (
            OtherServer(url, private_hosts=upstream.hosts, reach=self.reach, tally=tally) for _ in range(3)
        )
        fresh, stale = timedelta(seconds=upstream.max_age), timedelta(seconds=upstream.max_stale)
        ages = (
            Ages(timedelta(), timedelta(), stale, ASK_SECONDS)
            if self._confirms
            else Ages(fresh, _BEHIND * fresh, stale)
        )
        asking: Ask = PageRequests(server)
        if not self._confirms:
            asking = UntilFirstPage(asking, server.url, lambda: name in upstreams(store.records), threads.readers)
        mirror = Mirror(
            store,
            name,
            asking,
            ages,
            executor=threads.readers,
            makers=threads.large_pages if store.validates_inline else threads.readers,
            asks=not server.offline,
            durable=self._confirms,
            tally=tally,
        )
        files = MirroredFiles(
            store,
            name,
            of_files,
            documents=of_documents,
            readers=threads.readers,
            writers=threads.writers,
            examiners=threads.background,
            space=self._space,
            record=mirror.record_made,
            durable=self._confirms,
        )
        return MirroredProjects(
            mirror, files, (server, of_documents, of_files), validates_inline=store.validates_inline
        )


def _key(upstream: UpstreamDefinition) -> _Key:
    return upstream.url, upstream.hosts, upstream.max_age, upstream.max_stale


def mirror_name(url: str) -> str:
    """The name of an index in the keys of its mirror. `url`: without the login, so that a new password changes
    nothing."""
    host = re.sub(r"[^a-z0-9]+", "-", url.partition("://")[2].partition("/")[0].lower()).strip("-")
    return f"{host[:_MOST_NAME]}-{sha256(url.encode()).hexdigest()[:12]}"
