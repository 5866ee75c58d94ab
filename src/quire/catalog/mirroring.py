"""Puts the mirror of another index together. It imports the client of other indexes, which most servers do not need."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta
from hashlib import sha256
from typing import Final

from quire.catalog.mirrored import MirroredProjects
from quire.process.threads import Threads
from quire.store.contracts import Store
from quire.upstream.asking import PageRequests
from quire.upstream.files import MirroredFiles
from quire.upstream.mirror import Mirror
from quire.upstream.mirrored import Ages
from quire.upstream.server import OtherServer

_BEHIND: Final = 3
"""A page of up to so many times its freshness is served at once, and asked for behind the answer."""
_MOST_NAME: Final = 60


def open_mirror(
    store: Store, threads: Threads, url: str, *, hosts: Collection[str], max_age: int, max_stale: int
) -> MirroredProjects:
    """The mirror of an index in a store. Nothing is asked yet.

    `url`: of its project list, ended by a slash, perhaps with a login; `hosts`: of its files, which may have addresses
    that are not public; `max_age`, `max_stale`: seconds, see `Ages`.
    """
    server = OtherServer(url, private_hosts=hosts)
    name = mirror_name(server.url)
    ages = Ages(timedelta(seconds=max_age), timedelta(seconds=_BEHIND * max_age), timedelta(seconds=max_stale))
    return MirroredProjects(
        Mirror(store, name, PageRequests(server, threads.readers), ages, executor=threads.readers),
        MirroredFiles(store, name, server, readers=threads.readers, writers=threads.writers),
        server,
        validates_inline=store.validates_inline,
    )


def mirror_name(url: str) -> str:
    """The name of an index in the keys of its mirror. `url`: without the login, so that a new password changes
    nothing."""
    host = re.sub(r"[^a-z0-9]+", "-", url.partition("://")[2].partition("/")[0].lower()).strip("-")
    return f"{host[:_MOST_NAME]}-{sha256(url.encode()).hexdigest()[:12]}"
