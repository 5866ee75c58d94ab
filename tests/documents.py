"""The documentation as tests read it: its examples, by language and by the mark above them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_FENCE = re.compile(r"(?:<!-- run: (?P<mark>\S+) -->\n)?^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.M | re.S)


def blocks(page: Path, language: str, mark: str | None = None) -> list[str]:
    """The fenced blocks of a language; with `mark` only those that `<!-- run: mark -->` stands above."""
    found = _FENCE.finditer(page.read_text())
    return [m["text"] for m in found if m["language"] == language and (mark is None or m["mark"] == mark)]


def block(page: Path, language: str, mark: str) -> str:
    """The one block with that mark."""
    (text,) = blocks(page, language, mark)
    return text


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every `quire ...` line in a page's shell examples."""
    for text in blocks(page, "sh"):
        for line in text.replace("\\\n", " ").splitlines():  # a backslash at its end continues a line
            words = shlex.split(line, comments=True)
            if words and words[0] == "quire":
                end = words.index(">") if ">" in words else len(words)  # the output goes to a file
                yield words[1:end]


def with_part(text: str, mark: str, part: str) -> str:
    """A page with another text between `<!-- mark -->` and the next `<!-- end -->`. Raises ValueError without these."""
    before, mark_line, rest = text.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not (mark_line and end):
        raise ValueError(f"The page has no <!-- {mark} --> that an <!-- end --> follows.")
    return f"{before}{mark_line}{part}{end}{after}"
