"""Text that publishers wrote, made fit to be shown: nothing in it is invisible, and none of it turns the rest around.

Names, summaries, links and READMEs may have characters that show nothing, or that change the direction of the text
beside them (Unicode's bidirectional algorithm): two names then look the same, and code reads other than it runs
("Trojan Source", CVE-2021-42574). Each is shown by its number instead. Escaping for HTML is the business of templates.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BLANKS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that show nothing; all others that do are of the categories below."""
_NEVER_SHOWN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_ALLOWED: Final = frozenset("\t\n")
_JOINERS: Final = frozenset("\u200c\u200d")
"""They join and part letters of several scripts, and make one emoji of several."""
_OTHER_SCRIPTS: Final = "\u0600"
"""No script before this character needs joiners."""
_SUSPECT: Final = re.compile(r"[^\n\t -~\u00a1-\u00ac\u00ae-\u02ff]")
"""Nearly all text has few characters that need a second look."""


def visible(text: str) -> str:
    """The text, with each invisible character as `[U+202E]`; line ends are `\\n`.

    A joiner between two characters of scripts, or emoji, that have them stays as it is. A byte order mark at the
    beginning says nothing, and goes.
    """
    if text.replace("\n", "").replace("\t", "").isprintable() and _BLANKS.isdisjoint(text):
        return text  # nearly always, and at no cost
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return _SUSPECT.sub(_shown, text)


def one_line(text: str) -> str:
    """As `visible`, in one line, with single spaces."""
    return " ".join(visible(text).split())


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    if not _is_invisible(character):
        return character
    if character in _JOINERS and _joins(found.string, found.start()):
        return character
    return f"[U+{ord(character):04X}]"


def _is_invisible(character: str) -> bool:
    return character in _BLANKS or (unicodedata.category(character) in _NEVER_SHOWN and character not in _ALLOWED)


def _joins(text: str, place: int) -> bool:
    beside = (text[place - 1 : place], text[place + 1 : place + 2])
    return all(each >= _OTHER_SCRIPTS and not _is_invisible(each) for each in beside)
