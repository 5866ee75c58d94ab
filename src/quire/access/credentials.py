"""Tokens in Authorization headers: as a Bearer token (RFC 6750), or as the password of Basic credentials, as PyPI's
clients send them with the user name `__token__`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from quire.access.authenticator import MAX_HEADER_CHARACTERS, Credentials, parse_basic
from quire.access.tokens import USERNAME, TokenText, parse_token, resembles_token


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """A token that was found in a header. Ask `AccessState.find_token` whether it counts."""

    identity: str
    digest: str
    """See `TokenText.digest`: the text itself is not kept."""

    is_over: ClassVar[bool] = False
    """See `quire.access.authenticator.Login`: the header means this token for ever."""


WRONG_TOKEN: Final = "The token is no token of this server, or was cut; copy it whole, from 'quire_' on."  # noqa: S105


def find_token_text(header: str | None) -> TokenText | str | None:
    """The token in an Authorization header; a sentence for something that was sent as one and is none. None when there
    is no token, as with a user name and a password.

    Any user name is taken with a token for a password, as some clients insist on one of their own. So a password of a
    user that begins like a token is found as well: it is for the caller to check it, where the token does not count.
    """
    if header is None or len(header) > MAX_HEADER_CHARACTERS:
        return None
    scheme, _, sent = header.strip(" \t").partition(" ")
    if scheme.lower() == "bearer":
        return parse_token(sent) or WRONG_TOKEN
    credentials = parse_basic(header)
    return None if credentials is None else token_in(credentials)


def token_in(credentials: Credentials) -> TokenText | str | None:
    """The same of a user name and a password."""
    if credentials.username == USERNAME or resembles_token(credentials.password):
        return parse_token(credentials.password) or WRONG_TOKEN
    return None
