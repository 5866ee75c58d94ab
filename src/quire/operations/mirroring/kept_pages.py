"""The pages of an upstream as they are kept, for work that asks no other index."""

from __future__ import annotations

from concurrent.futures import Executor

from quire.domain.errors import UpstreamError
from quire.store.contracts import Store
from quire.upstream.mirror import Answered, Mirror
from quire.upstream.mirrored import Ages, Validators


def mirror_of(store: Store, upstream: str) -> Mirror:
    """The mirror of an upstream by its name in keys. Only its methods that block and ask nothing are of use."""
    return Mirror(store, upstream, _ask, Ages(), executor=_executor, asks=False)


async def _ask(name: str, known: Validators) -> Answered:
    raise UpstreamError("This work asks no other index.")


def _executor() -> Executor:
    raise UpstreamError("This work asks no other index.")
