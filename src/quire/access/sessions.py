"""Sessions of the web interface: a cookie that proves its user, by a key that all servers of a store share.

Theory of operation. A session is in its cookie and nowhere else, so a login writes nothing. The cookie has the user,
its groups, and the time of its end, with a keyed digest (HMAC, RFC 2104) that no client can make. The key is in the
document of grants and tokens, which every decision validates. There is also a number for each user whose sessions were
ended: a session counts as long as it has the number of now. So sessions that are ended, all of them by a new key or
those of a user by the next number, are refused by the next request to every server, whatever its clock says.

A session ends with the login that began it, too. That of a token has the digest of its secret, so it counts as long as
the token does; that of a user with a password has a mark of the stored hash, so it counts until that is another one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from quire.access.document import AccessDocument, Sessions, with_fields
from quire.access.grants import SubjectKind, check_name
from quire.access.principals import Principal

MAX_SEALED: Final = 3800
"""Characters of a sealed text: browsers keep cookies of 4096 bytes, with name and attributes."""
SESSION: Final = "session"
LOGIN: Final = "login"
"""Purposes of sealed texts: one is never taken for another."""
_CSRF: Final = "csrf"
_PASSWORD: Final = "password"  # noqa: S105 - a purpose, too


@dataclass(frozen=True, slots=True)
class Session:
    """A user that has logged in to the web interface."""

    principal: Principal
    identity: str
    """Of this login, for the tokens of its forms."""
    expires: int
    """Seconds since 1970."""
    digest: str | None = None
    """Of the token that it was begun with (`TokenText.digest`); None for a user."""
    mark: str | None = None
    """Of the password that it was begun with (`password_mark`); None without one."""


def seal(document: Sessions, purpose: str, content: Mapping[str, Any]) -> str:
    """The content as a text for a cookie, which `unseal` takes back; clients can read it and not change it."""
    body = base64.urlsafe_b64encode(msgspec.json.encode(content)).rstrip(b"=")
    return f"{body.decode()}.{_digest(document, purpose, body)}"


def unseal(document: Sessions, purpose: str, text: str, now: float) -> dict[str, Any] | None:
    """The content that was sealed for this purpose, with this key, if it has not expired (`e`); else None."""
    if len(text) > MAX_SEALED or not text.isascii():
        return None
    body, _, digest = text.partition(".")
    if not hmac.compare_digest(digest, _digest(document, purpose, body.encode())):
        return None
    content: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return content if content["e"] > now else None


def seal_session(
    document: Sessions, principal: Principal, expires: float, *, digest: str | None = None, mark: str | None = None
) -> str:
    """The cookie of a new session. `digest`, `mark`: see `Session`."""
    name = account_of(principal)
    content = {"u": name, "g": sorted(principal.groups), "n": document.ended.get(name, 0), "e": int(expires)}
    more = {"t": principal.token, "d": digest, "p": mark}
    content |= {key: value for key, value in more.items() if value is not None}
    return seal(document, SESSION, {**content, "i": secrets.token_urlsafe(12)})


def account_of(principal: Principal) -> str:
    """The name under which sessions are ended: that of the user, or of a token that stands for itself (no name of a
    user with a password has a colon)."""
    return principal.username or f"token:{principal.token}"


def password_mark(document: Sessions, user: str, stored: str) -> str:
    """A mark of a stored hash of a password, which says nothing about it without the key."""
    return _digest(document, _PASSWORD, f"{user}\0{stored}".encode())


def open_session(document: Sessions | None, text: str, now: float) -> Session | None:
    """The session of a cookie, if it counts; None for one that has ended or is none."""
    content = None if document is None else unseal(document, SESSION, text, now)
    if document is None or content is None or content["n"] != document.ended.get(content["u"], 0):
        return None
    token = content.get("t")
    user = None if token is not None and content["u"] == f"token:{token}" else content["u"]
    principal = Principal(user, groups=frozenset(content["g"]), token=token)
    return Session(principal, content["i"], content["e"], content.get("d"), content.get("p"))


def form_token(document: Sessions, session: Session) -> str:
    """The token that a form of a session's own page sends, which no page of another site knows."""
    return _digest(document, _CSRF, session.identity.encode())


# -- changes of the document ------------------------------------------------------------------------------------------


def with_key(document: AccessDocument) -> AccessDocument:
    """With a key; the very document when it has one."""
    return document if document.sessions is not None else with_all_ended(document)


def with_all_ended(document: AccessDocument) -> AccessDocument:
    """With a new key: no session counts any more."""
    known = Sessions(key="") if document.sessions is None else document.sessions
    fresh = msgspec.structs.replace(known, key=secrets.token_hex(32), ended={})
    return with_fields(document, sessions=fresh)


def with_ended(document: AccessDocument, users: Collection[str]) -> AccessDocument:
    """With the sessions of some users ended. Raises InvalidRequest for names that no user has."""
    for user in users:
        check_name(SubjectKind.USER, user)
    known = document.sessions
    if known is None:
        return document  # there is no session yet
    ended = {**known.ended, **{user: known.ended.get(user, 0) + 1 for user in users}}
    return with_fields(document, sessions=msgspec.structs.replace(known, ended=ended))


def _digest(document: Sessions, purpose: str, data: bytes) -> str:
    found = hmac.new(bytes.fromhex(document.key), purpose.encode() + b"\0" + data, hashlib.sha256)
    return base64.urlsafe_b64encode(found.digest()).rstrip(b"=").decode()
