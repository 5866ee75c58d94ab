"""How many requests a minute a token may make, counted by each worker for itself.

Each token has a bucket (a leaky bucket as a meter, as in GCRA) that holds the requests of one minute at its rate and
empties evenly: so a job may send as many at once, and then one after each 60/rate seconds. A worker that has just
started knows no request.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from quire.access.document import Token

NO_LIMIT: Final = 0
"""As a rate."""
_PERIOD: Final = 60.0
SWEPT_AT: Final = 4096
"""So many tokens are remembered before those that have not sent anything for a minute are forgotten."""


class TokenRates:
    """The requests that one worker has seen. Belongs to its event loop."""

    def __init__(self, default: int = NO_LIMIT, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`default`: requests a minute of a token that has no rate of its own."""
        self._default = default
        self._clock = clock
        self._empty_at: dict[str, float] = {}
        """When the bucket of each token is empty again."""
        self._sweep_at = SWEPT_AT

    def __len__(self) -> int:
        """The tokens that are remembered."""
        return len(self._empty_at)

    def limit_of(self, token: Token) -> int:
        """Requests a minute; NO_LIMIT for any number."""
        return self._default if token.rate is None else token.rate

    def take(self, identity: str, limit: int) -> int | None:
        """Count a request of a token with this limit (not NO_LIMIT). None if it is within the limit; else it is not
        counted, and may be sent again after so many seconds, 1 at the least."""
        now = self._clock()
        empty_at = max(self._empty_at.get(identity, now), now) + _PERIOD / limit
        if empty_at - now > _PERIOD * (1 + 1e-9):
            return max(1, math.ceil(empty_at - now - _PERIOD))
        self._empty_at[identity] = empty_at
        if len(self._empty_at) > self._sweep_at:
            self._empty_at = {each: until for each, until in self._empty_at.items() if until > now}
            self._sweep_at = max(SWEPT_AT, 2 * len(self._empty_at))
        return None
