"""`python -m tests.linearizability.promotions`: a run of servers of its own over a new directory, or over a bucket."""

from __future__ import annotations

import sys

from tests.linearizability.promotions.program import Safeguard
from tests.linearizability.promotions.run import torture_promotions
from tests.linearizability.runs import main

NUMBERS = {"workers": (3, "of each of two servers"), "readers": (6, "threads")}

if __name__ == "__main__":
    sys.exit(main("tests.linearizability.promotions", str(__doc__), torture_promotions, Safeguard, NUMBERS))
