"""The text of a token, such as `quire_7f3kq0m2xd_9aB...`: made once, recognised by secret scanners, kept as a digest.

    quire_ID_SECRETCHECK

ID is 10 characters of `0-9a-z` and no secret: lists and logs name a token by it. SECRET is 43 characters of `0-9A-Za-z`
and holds 256 random bits. CHECK is the CRC-32 of all before it, in 6 of the same characters: a token that was cut or
mistyped is recognised without a look at the store. A secret of 256 random bits cannot be guessed, so a fast digest is
enough for what is kept.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Final

PATTERN: Final = r"quire_[0-9a-z]{10}_[0-9A-Za-z]{49}"
"""The regular expression for secret scanners."""
PREFIX: Final = "quire_"
USERNAME: Final = "__token__"
"""The user name that clients send with a token as the password, as with PyPI."""

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_DIGITS: Final = string.digits + string.ascii_lowercase
_ID_LENGTH: Final = 10
_SECRET_LENGTH: Final = 43
"""62 ** 43 is more than 2 ** 256."""
_CHECK_LENGTH: Final = 6
_TOKEN: Final = re.compile(PATTERN)


@dataclass(frozen=True, slots=True)
class TokenText:
    """A token as a client sends it, whose checksum is right; its repr shows the id alone."""

    identity: str
    text: str = field(repr=False)

    digest: str = field(init=False, repr=False, compare=False)
    """The SHA-256 of the text, in hexadecimal: the part that the store keeps."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha256(self.text.encode()).hexdigest())


def new_identity() -> str:
    """An id that no token has."""
    return "".join(secrets.choice(_ID_DIGITS) for _ in range(_ID_LENGTH))


def parse_identity(text: str) -> str | None:
    """The id of a token; None for another text."""
    return text if len(text) == _ID_LENGTH and set(text) <= set(_ID_DIGITS) else None


def new_token(identity: str) -> TokenText:
    """A token with a new secret."""
    number, drawn = secrets.randbits(256), []
    for _ in range(_SECRET_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        drawn.append(_DIGITS[digit])
    begin = f"{PREFIX}{identity}_{''.join(drawn)}"
    return TokenText(identity, begin + _checksum(begin))


def parse_token(text: str) -> TokenText | None:
    """The token that this is; None for other text, and for a token with a wrong checksum. Whitespace around it does
    not count: secrets in a CI's settings often end with a line feed.
    """
    text = text.strip()
    if not _TOKEN.fullmatch(text) or _checksum(text[:-_CHECK_LENGTH]) != text[-_CHECK_LENGTH:]:
        return None
    return TokenText(text[len(PREFIX) : len(PREFIX) + _ID_LENGTH], text)


def resembles_token(text: str) -> bool:
    """Whether this was meant as a token of quire, whether or not it is one."""
    return text.lstrip().startswith(PREFIX)


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), []
    for _ in range(_CHECK_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
