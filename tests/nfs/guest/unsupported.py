"""Wrong answers under the mount option nocto; and a store refuses to be opened with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quire.domain.errors import StoreError
from quire.store.posix.store import PosixStore
from tests.nfs.guest import hammer
from tests.nfs.guest.mounts import A, B, new_folder


def run(seconds: float = 10.0) -> dict[str, Any]:
    """The sentence of the refusal, if there is one, and the hammer's report on stores that were not asked."""
    refusal = ""
    try:
        PosixStore.open(A / new_folder())
    except StoreError as error:
        refusal = str(error)
    return {"refusal": refusal} | hammer.run([str(A)], [str(B)], seconds, opened=_unchecked)


def _unchecked(root: Path) -> PosixStore:
    for folder in ("records", "blobs", "incoming"):
        (root / "quire" / folder).mkdir(parents=True, exist_ok=True)
    return PosixStore(root, writable=True, network=True)
