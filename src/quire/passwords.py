"""An Apache htpasswd file: who is in it, whether a password is theirs, and when to read it again.

A file may hold any scheme that Apache knows. Those that a stolen file would give away (plain text, DES crypt) are not
taken; the others are known by their whole shape before libpass sees them.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import structlog

from quire.errors import ConfigurationError

if TYPE_CHECKING:
    from passlib.context import CryptContext

MAX_PASSWORD_FILE_BYTES = 1024 * 1024
BCRYPT_BYTES = 72
"""bcrypt reads no further: Apache and its htpasswd pass over what follows, so a long password is cut here too."""
SETTLE_SECONDS = 2.5
"""How long a file is read again at every look, though it looks the same: two changes within one tick of the file
system's clock (up to two seconds on some) leave the same time behind."""

_log = structlog.get_logger(__name__)

_ROUNDS = rb"(rounds=(?P<cost>[1-9][0-9]{3,8})\$)?[./0-9A-Za-z]{0,16}\$"
_SHAPES = (
    ("bcrypt", rb"\$2[aby]\$", rb"(?P<cost>0[4-9]|[12][0-9]|3[01])\$[./0-9A-Za-z]{22}(?P<checksum>[./0-9A-Za-z]{31})"),
    ("sha256_crypt", rb"\$5\$", _ROUNDS + rb"(?P<checksum>[./0-9A-Za-z]{43})"),
    ("sha512_crypt", rb"\$6\$", _ROUNDS + rb"(?P<checksum>[./0-9A-Za-z]{86})"),
    ("apr_md5_crypt", rb"\$apr1\$", rb"(?P<cost>)[./0-9A-Za-z]{0,8}\$(?P<checksum>[./0-9A-Za-z]{22})"),
    ("ldap_sha1", rb"\{SHA\}", rb"(?P<cost>)(?P<checksum>[+/0-9A-Za-z]{27}=)"),
)
_SCHEMES = {name: (re.compile(start), re.compile(start + rest)) for name, start, rest in _SHAPES}
"""By libpass name: how a hash of the scheme begins, and its whole shape. libpass takes a hash whose end is missing
for a request to make one, and so would not notice a file that is still being written."""


@cache
def _context() -> CryptContext:
    from passlib.context import CryptContext  # noqa: PLC0415 - large, and for servers with a password file only

    return CryptContext(schemes=list(_SCHEMES))


@dataclass(frozen=True, slots=True, eq=False)
class Users:
    """The password file as it was at one moment. Compared by identity: every load makes another one."""

    hashes: Mapping[str, str] = field(repr=False)
    dummy: str | None = field(repr=False)
    """A hash of the file's most common scheme and cost that no password has; None when the file has no usable hash."""


def parse_users(data: bytes, path: str) -> Users:
    """The users of an htpasswd file, without those whose password is kept as plain text or as DES crypt.

    Those are named in one warning. Raises ConfigurationError when `data` is no such file, or only the half of one.
    """
    from passlib.apache import HtpasswdFile  # noqa: PLC0415 - as in `_context`

    entries: dict[str, bytes] = {}
    try:
        why = "it holds NUL bytes, or a line is not of the form user:hash"
        if b"\0" in data:  # blocks that are allocated and not yet written read as NULs
            raise ValueError(why)
        file = HtpasswdFile.from_string(data, return_unicode=False)
        why = "a username is not UTF-8, is longer than 255 bytes or holds a tab"
        entries = {user.decode("utf-8"): file.get_hash(user) for user in file.users()}
    except ValueError:
        # `from None`, and never the parser's own words: what it stumbled over may be a password
        raise ConfigurationError(
            f"The password file {path} is malformed ({why}); make it with 'htpasswd -B'."
        ) from None
    hashes: dict[str, str] = {}
    kinds: Counter[tuple[str, bytes | None]] = Counter()
    dummies: dict[tuple[str, bytes | None], str] = {}
    refused = []
    for user, stored in entries.items():
        scheme = next((name for name, (start, _) in _SCHEMES.items() if start.match(stored)), None)
        if scheme is None:
            refused.append(user)
            continue
        match = _SCHEMES[scheme][1].fullmatch(stored)
        if match is None:
            raise ConfigurationError(
                f"The password file {path} is malformed (the hash of user {user!r} is cut off or damaged); "
                "set that password again."
            )
        hashes[user] = stored.decode("ascii")
        kind = (scheme, match["cost"])
        kinds[kind] += 1
        if kind not in dummies:
            zero = "A" * 27 + "=" if scheme == "ldap_sha1" else "." * len(match["checksum"])
            dummies[kind] = hashes[user][: match.start("checksum")] + zero
    if refused:
        _log.warning(
            "passwords_refused",
            reason="kept as plain text, DES crypt or another unsupported hash; these users cannot log in until "
            "their password is set again with 'htpasswd -B'",
            path=path,
            users=refused[:20],
            count=len(refused),
        )
    return Users(hashes, dummies[kinds.most_common(1)[0][0]] if kinds else None)


def verify_password(password: str, stored: str) -> bool:
    """Whether `stored`, a hash out of `Users`, was made of this password. Slow on purpose: call it in a thread."""
    if "\0" in password:
        return False  # crypt(3) would see the part before it only, and some schemes refuse by exception
    try:
        secret = password.encode("utf-8")
        return bool(_context().verify(secret[:BCRYPT_BYTES] if stored.startswith("$2") else secret, stored))
    except ValueError:  # a lone surrogate, or over libpass's limit of 4096 bytes: nobody's password
        return False


class Passwords:
    """An htpasswd file, loaded again whenever it changes. Used from one thread.

    A change is seen by `os.stat` (time, size, inode) at every look; on NFS thus as soon as the client's attribute
    cache lets it. A changed file that cannot be used leaves the last good users in force and is warned about once.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Loads the file. `clock`: monotonic seconds.

        Raises ConfigurationError when it is missing, unreadable, malformed or larger than 1 MiB.
        """
        self._path = os.fspath(path)
        self._clock = clock
        self._identity = _identify(self._path)
        self._first_seen = clock()
        self._settled = False
        self._warned: object = None
        self._data = _read(self._path)
        self._users = parse_users(self._data, self._path)
        _context()  # now, for all workers of a server that forks, and not while somebody waits for a login

    def current(self) -> Users:
        """The users now: the very same object while the file is unchanged. Never raises."""
        identity = _identify(self._path)
        if identity != self._identity:
            self._identity, self._first_seen, self._settled = identity, self._clock(), False
        if not self._settled:
            self._look()
        return self._users

    def _look(self) -> None:
        began = self._clock()
        try:
            data = _read(self._path)
            if data != self._data:
                self._users, self._data = parse_users(data, self._path), data
                _log.info("passwords_loaded", path=self._path, count=len(self._users.hashes))
        except ConfigurationError as error:
            if self._warned != self._identity:
                self._warned = self._identity
                _log.warning("passwords_not_loaded", reason=f"{error} The users loaded before stay in force.")
            if isinstance(error.__cause__, OSError):
                return  # permissions change without a trace in the identity: look again next time
        self._settled = began - self._first_seen >= SETTLE_SECONDS


def _identify(path: str) -> object:
    """What changes when the file does; for a file that cannot be asked, the reason."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return type(error), getattr(error, "errno", None)
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: str) -> bytes:
    """The file's bytes. Raises ConfigurationError; its cause is an OSError when the file could not be read."""
    try:
        # a FIFO in its place must not hold up the program: O_NONBLOCK opens it at once, and it is no regular file
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("not a regular file")
            data = file.read(MAX_PASSWORD_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with NUL
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"The password file {path!r} cannot be read ({why}); name a readable htpasswd file."
        ) from error
    if len(data) > MAX_PASSWORD_FILE_BYTES:
        raise ConfigurationError(f"The password file {path} is larger than 1 MiB; name an htpasswd file.")
    return data
