"""`quire` with a deadline for heads that a test can wait for: `python -m tests.fuzz.impatient run ...`."""

from __future__ import annotations

import sys

from quire.servers import limits

SECONDS = 1

if __name__ == "__main__":
    limits.HEAD_SECONDS = SECONDS  # before the servers' modules are imported

    from quire.cli import main

    sys.exit(main())
