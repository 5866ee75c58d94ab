"""Writes the lists of the interface, when a release is made.

.venv/bin/python -m tests.promise            # record what was added since the last release
.venv/bin/python -m tests.promise --check    # exit code 1 when something is not recorded, or gone
.venv/bin/python -m tests.promise --major    # forget what a new major version removed
"""

from __future__ import annotations

import sys

from tests.promise.interface import LISTS
from tests.promise.recorded import FOLDER, gone, new, record


def main() -> int:
    """See the module's text."""
    if "--check" in sys.argv:
        problems = [f"{name}: {line} is {how}" for name in LISTS for how, find in _FINDERS for line in find(name)]
        print("\n".join(problems) or "The lists are those of the program.")
        return 1 if problems else 0
    for name in LISTS:
        (FOLDER / f"{name}.txt").touch()
        record(name, is_major="--major" in sys.argv)
    return 0


_FINDERS = (("gone", gone), ("not recorded", new))

if __name__ == "__main__":
    sys.exit(main())
