"""How long fuzzing may take: seconds in the test suite, as long as one likes with FUZZ_SECONDS."""

from __future__ import annotations

import os


def seconds(usual: float) -> int:
    """The seconds for one target. `usual`: in `make test` and `make test-proofs`."""
    return int(os.environ.get("FUZZ_SECONDS", usual))
