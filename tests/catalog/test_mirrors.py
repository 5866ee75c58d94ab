"""The mirrors of a worker: one for each upstream, for as long as an index has it."""

from __future__ import annotations

import asyncio

from quire.catalog.mirroring import Mirrors
from quire.domain.upstreams import UpstreamDefinition
from quire.process.threads import Threads
from quire.store.memory import MemoryStore
from quire.upstream.reach import AS_THE_ENVIRONMENT_SAYS


def test_a_mirror_is_shared_until_no_index_has_it() -> None:
    """A changed definition is another one; those before it do not heap up."""

    async def main() -> None:
        mirrors = Mirrors(MemoryStore(), Threads(), AS_THE_ENVIRONMENT_SAYS)
        near, far = (UpstreamDefinition(url=f"https://{each}.test/simple/") for each in ("near", "far"))
        first, other = mirrors.behind([near]), mirrors.behind([far])
        mirrors.keep_only([near])
        assert mirrors.behind([near]) is first
        assert mirrors.behind([far]) is not other
        await mirrors.close()

    asyncio.run(main())
