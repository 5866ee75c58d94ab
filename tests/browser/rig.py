"""A real browser: `python -m tests.browser.rig` installs Debian's Chromium, and axe-core in `.cache/browser`.

axe-core is the one dependency of the tests with a licence that is not permissive (MPL-2.0). It is not shipped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tests.bucket.npm_packages import installed
from tests.rootfs import RigError, install

CACHE: Final = Path(__file__).parent.parent.parent / ".cache" / "browser"
CHROMIUM: Final = "/usr/bin/chromium"
PICTURES: Final = CACHE / "pictures"
"""Where tests leave a picture of each page, by page and variant."""


def axe_source() -> str:
    """The script that finds what keeps people from using a page. Raises RigError."""
    folder = installed("axe", Path(__file__).parent, CACHE)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def main() -> int:
    """See above."""
    try:
        install("chromium")
        axe_source()
    except RigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
