"""quire with the times of a mirror in seconds instead of minutes, and perhaps without one of its safeguards.

`python -m tests.linearizability.mirrors.program none run ...` is quire's command line. With the usual times most of a
run would be a wait for the lease of a worker that was killed. A mirror is right with any times: they decide only how
often it asks.

Replaced here: these times, and the safeguards, which no setting changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from unittest import mock

from quire.catalog.hosted import HostedProject
from quire.domain.errors import Conflict, UpstreamError
from quire.domain.reserved import Reserved
from quire.store.contracts import Record
from quire.upstream import asking, files, mirror, mirrored, server
from quire.upstream.mirror import Mirror
from quire.upstream.mirrored import Ages, MirroredPage, Need
from quire.upstream.page_store import Mirrored, PageStore
from quire.upstream.pages import UpstreamPage, parse_page
from quire.upstream.server import OtherServer
from tests.linearizability.runs import run_without

_REMEMBERED: Final = 1.5
"""Seconds for which a worker believes its own memory."""


class Safeguard(StrEnum):
    """The one that is removed."""

    NONE = "none"
    SWAP = "swap"
    """A record is written whether another worker has written it meanwhile or not."""
    SHARING = "sharing"
    """Each worker serves for a while what it remembers, without a look at the record."""
    SERIAL = "serial"
    """Old pages are taken, too."""
    DIGEST = "digest"
    """Any bytes are taken."""
    ERROR_PAGES = "error-pages"
    """An answer that is no page of the Simple API is taken for one without files."""
    ADDRESSES = "addresses"
    """Any host is asked."""
    LOGIN = "login"
    """Every host gets the login."""
    RESERVED = "reserved"
    """Claimed and reserved names are asked for like others."""
    STALE = "stale"
    """While the upstream fails, nothing is served."""
    WRITTEN = "written"
    """A project whose files are all gone is one that never was."""


@contextmanager
def hurried() -> Iterator[None]:
    """The times of a mirror, in this process and those that it forks."""
    with ExitStack() as stack:
        for module, name, value in (
            (mirrored, "LEASE", timedelta(seconds=3)),
            (mirrored, "LONGEST_PAUSE", timedelta(seconds=1)),
            (mirrored, "_FIRST_PAUSE", timedelta(seconds=0.1)),
            (mirror, "ASK_SECONDS", 2.0),
            (mirror, "LONGEST_PAUSE", timedelta(seconds=1)),
            (mirror, "_FIRST_PAUSE", timedelta(seconds=0.1)),
            (server, "CONNECT_SECONDS", 1.0),
            (server, "SILENT_SECONDS", 2.0),
        ):
            stack.enter_context(mock.patch.object(module, name, value))
        yield


@contextmanager
def without(safeguard: Safeguard) -> Iterator[None]:
    """The mirror without it, in this process and those that it forks."""
    replaced: dict[Safeguard, tuple[object, str, object]] = {
        Safeguard.SWAP: (PageStore, "write", _write_anyway),
        Safeguard.SHARING: (Mirror, "_stored", _stored_sometimes),
        Safeguard.SERIAL: (mirrored, "is_older", lambda *_: False),
        Safeguard.DIGEST: (files, "compare_digest", lambda *_: True),
        Safeguard.ERROR_PAGES: (asking, "parse_page", _parse_anything),
        Safeguard.ADDRESSES: (server, "_may_ask", lambda *_, **__: True),
        Safeguard.LOGIN: (OtherServer, "_authorization", lambda other, _: {"Authorization": other._login}),
        Safeguard.RESERVED: (Reserved, "__contains__", lambda *_: False),
        Safeguard.STALE: (mirrored, "need", _need_more),
        Safeguard.WRITTEN: (HostedProject, "was_written", False),
    }
    if safeguard is Safeguard.NONE:
        yield
        return
    with mock.patch.object(*replaced[safeguard]):
        yield


def _write_anyway(stored: PageStore, record: Record, page: MirroredPage, *, durable: bool = True) -> Record:
    """In the place of `PageStore.write`."""
    while True:
        try:
            current = stored.records.read(record.key)
            return stored.records.write(record.key, mirrored.encode_page(page), current, durable=durable)
        except Conflict:
            continue


_stored = Mirror._stored
_remembered: dict[str, float] = {}
"""By name, until when a worker believes what it knows."""


async def _stored_sometimes(mirror: Mirror, name: str, known: Mirrored | None) -> Mirrored:
    """In the place of `Mirror._stored`."""
    if known is not None and time.monotonic() < _remembered.get(name, 0.0):
        return known
    _remembered[name] = time.monotonic() + _REMEMBERED
    return await _stored(mirror, name, known)


def _parse_anything(project: str, content_type: str, body: bytes, url: str) -> UpstreamPage:
    """In the place of `parse_page`."""
    try:
        return parse_page(project, content_type, body, url)
    except UpstreamError:
        return UpstreamPage(files=())


_need = mirrored.need


def _need_more(page: MirroredPage, ages: Ages, now: datetime) -> Need:
    """In the place of `mirrored.need`."""
    needed = _need(page, ages, now)
    return Need.UNUSABLE if page.trouble is not None or needed is Need.AHEAD else needed


if __name__ == "__main__":
    with hurried():
        sys.exit(run_without(Safeguard, without))
