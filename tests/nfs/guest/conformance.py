"""The store's contracts, checked through both clients at once."""

from __future__ import annotations

import time

from quire.testing import check_store
from tests.nfs.guest.mounts import new_folder, stores


def run(tick: float = 0.0) -> dict[str, object]:
    """Every rule, with handles that take turns on the two mounts. `tick`: see PosixStore.open's `coarse_changes`."""
    factory = stores(new_folder(), tick)
    store = factory()
    began = time.monotonic()
    report = check_store(factory, exclusive=True)
    return {
        "rules": len(report.checked),
        "seconds": round(time.monotonic() - began, 1),
        "filesystem": store.filesystem,
        "inline": store.validates_inline,
    }
