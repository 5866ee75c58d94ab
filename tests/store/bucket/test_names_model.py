"""The protocol of the list of names, as a model: no order of steps breaks it, unless a safeguard is left out."""

from __future__ import annotations

import pytest

from tests.store.bucket.names_model import Broken, explore


def test_no_order_of_steps_breaks_the_protocol() -> None:
    """Two writers and two healings; `make test-names` takes three writers."""
    count, way = explore((True, False), heals=2)
    assert not way
    assert count > 10_000


@pytest.mark.parametrize("broken", [Broken.FENCE, Broken.FRESH, Broken.ORDER])
def test_each_safeguard_of_the_protocol_is_needed(broken: Broken) -> None:
    """Without it there is an order of steps after which a settled name and its record disagree."""
    _, way = explore((True, False), heals=1, broken=broken)
    assert all(world.agrees for world in way[:-1])
    assert not way[-1].agrees
