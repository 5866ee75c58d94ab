"""`python -m tests.linearizability.mirrors`: a run of servers of its own over a new directory, or over a bucket."""

from __future__ import annotations

import sys

from tests.linearizability.mirrors.program import Safeguard
from tests.linearizability.mirrors.run import torture_mirror
from tests.linearizability.runs import main

NUMBERS = {
    "workers": (3, "of each of two servers"),
    "processes": (2, "of readers"),
    "readers": (4, "threads in each of them"),
}

if __name__ == "__main__":
    sys.exit(main("tests.linearizability.mirrors", str(__doc__), torture_mirror, Safeguard, NUMBERS))
