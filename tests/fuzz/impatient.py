"""`quire` with deadlines that a test can wait for, of heads and of clients that take nothing:
`python -m tests.fuzz.impatient run ...`.
"""

from __future__ import annotations

import sys

from quire.servers import limits

SECONDS = 1

if __name__ == "__main__":
    limits.HEAD_SECONDS = SECONDS  # before the servers' modules are imported
    limits.UNREAD_MILLISECONDS = SECONDS * 1000

    from quire.cli import main

    sys.exit(main())
