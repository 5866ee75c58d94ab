"""Keeping the verdict of `quire doctor` in the store that it examined, for the pages of its operators."""

from __future__ import annotations

import sys

from quire.commands.common import plain
from quire.config.settings import Settings
from quire.doctor.kept import KeptVerdict, keep
from quire.domain.errors import QuireError
from quire.store.opening import open_store


def keep_verdict(settings: Settings, verdict: KeptVerdict) -> None:
    """Keep it, where this user may write; a store that cannot take it is said on stderr, and changes no verdict."""
    try:
        store = open_store(settings.root, create=False, coarse_changes=settings.coarse_changes)
        if store.writable and not settings.read_only:
            keep(store.records, verdict)
    except QuireError as error:
        print(f"quire: note: the store does not keep this verdict ({plain(str(error))})", file=sys.stderr)
