"""The languages of READMEs, and which one a description is in by its content type.

Sources: the core metadata specification, "Description-Content-Type"; PyPI takes reStructuredText where there is none.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final


class Markup(IntEnum):
    """The values are those between the processes."""

    MARKDOWN = 1
    """That of GitHub (GFM)."""
    COMMON_MARK = 2
    RST = 3


_COMMON_MARK: Final = re.compile(r";\s*variant\s*=\s*\"?commonmark\b", re.I)


def markup_of(content_type: str | None) -> Markup | None:
    """The language by a Description-Content-Type; None for plain text, and for what is not known."""
    if not content_type:
        return Markup.RST
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/markdown":
        return Markup.COMMON_MARK if _COMMON_MARK.search(content_type) else Markup.MARKDOWN
    return Markup.RST if kind == "text/x-rst" else None
