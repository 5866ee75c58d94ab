"""The sentence of an error as the HTTP/1.1 reason phrase, where a server can be brought to send one.

twine shows nothing of a failed upload but the reason phrase. ASGI has no place for it, so the application sends a
status that is an int with an attribute `reason` (`Status`), which every server takes for the number
that it is. uvicorn and the WSGI adapter look the phrase up by that number; here their tables are replaced by one that
asks the number first. The sentence is in the body too, with every server. (RFC 9112, 4: a client should ignore the
phrase; it is for people.)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

MAX_REASON_CHARACTERS = 300


class Status(int):
    """A status code that brings its own reason phrase: printable Latin-1 in one line."""

    reason: str

    def __new__(cls, code: int, sentence: str) -> Status:
        status = super().__new__(cls, code)
        text = " ".join(sentence.split())[:MAX_REASON_CHARACTERS]
        status.reason = (
            "".join(c if c.isprintable() else "?" for c in text).encode("latin-1", "replace").decode("latin-1")
        )
        return status


def reason_of(status: object) -> str | None:
    """The phrase that comes with a status; None when it is a plain number."""
    reason = getattr(status, "reason", None)
    return reason if isinstance(reason, str) else None


class _Phrases(dict[Any, Any]):
    """A server's table of phrases, that asks the status first."""

    def __init__(self, table: Mapping[Any, Any], *, form: str) -> None:
        """`form`: how the table spells an entry, from the number and the phrase."""
        super().__init__(table)
        self._form = form
        self._default = table

    def __getitem__(self, status: Any) -> Any:
        known = self._default[status]
        reason = reason_of(status)
        if reason is None:
            return known
        text = self._form.format(int(status), reason)
        return text.encode("latin-1") if isinstance(known, bytes) else text


def install_reason_phrases() -> None:
    """Make the servers that are loaded in this process send reasons. Idempotent."""
    _replace_table("uvicorn.protocols.http.h11_impl", "STATUS_PHRASES", "{1}")
    _replace_table("a2wsgi.asgi", "StatusStringMapping", "{0} {1}")


def _replace_table(module_name: str, attribute: str, form: str) -> None:
    module = sys.modules.get(module_name)
    table = getattr(module, attribute, None)
    if module is not None and isinstance(table, Mapping) and not isinstance(table, _Phrases):
        setattr(module, attribute, _Phrases(table, form=form))
