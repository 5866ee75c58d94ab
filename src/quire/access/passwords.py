"""An Apache htpasswd file: its users, the check of a password, and when to read the file again.

A file may hold any scheme that Apache knows. Those that a stolen file would give away (plain text, DES crypt) are not
taken; the others are known by their whole shape before libpass sees them.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import structlog

from quire.access.htpasswd import entries
from quire.domain.errors import ConfigurationError, reason_of
from quire.process.siblings import is_first_report
from quire.store.posix.directory import revalidate_name
from quire.store.posix.filesystem import is_network

if TYPE_CHECKING:
    from passlib.context import CryptContext

MAX_PASSWORD_FILE_BYTES = 1024 * 1024
BCRYPT_BYTES = 72
"""bcrypt reads no further: Apache and its htpasswd pass over what follows, so a long password is cut here too."""
RACY_SECONDS = 2.5
"""How long a file is read again at each check although its status is the same: two changes within one tick of the file
system's clock (up to two seconds on some) leave the same time behind."""

NETWORK_SECONDS = 1.0
"""How long another machine's change of the file may go unseen on a network file system."""
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""A FIFO in the file's place must not hold up the program: O_NONBLOCK opens it at once, and it is no regular file."""

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
    """The users of an htpasswd file that can log in.

    The others are named in one warning for each reason: those whose password is kept as plain text or as DES crypt by
    their names, lines that cannot be read by their numbers. Raises ConfigurationError when `data` is no such file at
    all, or only the first part of one: its last line has no end and is damaged.
    """
    if b"\0" in data:  # blocks that are allocated and not yet written read as NULs
        why = "it is UTF-16; save it as UTF-8" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "it holds NUL bytes"
        raise _malformed(path, why)
    found = list(entries(data))
    good: dict[str, bytes] = {}
    refused: dict[str, None] = {}  # in the order of the file
    faults: dict[str, list[int]] = {}
    for entry in found:
        fault = entry.fault
        if not fault and (entry.user in good or entry.user in refused):
            fault = "an earlier line has the same user, and that one counts"
        elif not fault and _is_damaged(entry.stored):
            if entry is found[-1] and not data.endswith((b"\n", b"\r")):
                raise _malformed(path, f"line {entry.number} is cut off")
            fault = "its hash is cut off or damaged"
        if fault:
            faults.setdefault(fault, []).append(entry.number)
            continue
        if entry.is_latin1:
            faults.setdefault("its user name is not UTF-8 and is read as Latin-1", []).append(entry.number)
        if scheme_of(entry.stored) is None:
            refused[entry.user] = None
        else:
            good[entry.user] = entry.stored
    if found and not (good or refused):
        raise _malformed(path, f"line {found[0].number}: {next(iter(faults))}")
    is_ours = is_first_report(f"users of {path} {_identify(path)}", os.environ) if refused or faults else False
    for reason, lines in faults.items() if is_ours else ():
        _log.warning("passwords_line_odd", reason=reason, path=path, lines=lines[:20], count=len(lines))
    if refused and is_ours:
        _log.warning(
            "passwords_refused",
            reason="kept as plain text, DES crypt or another unsupported hash; these users cannot log in until "
            "their password is set again with 'quire passwd'",
            path=path,
            users=list(refused)[:20],
            count=len(refused),
        )
    return Users({user: stored.decode("ascii") for user, stored in good.items()}, _dummy(good.values()))


def _malformed(path: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"The password file {path} is malformed ({why}); make it with 'quire passwd'.")


def _dummy(hashes: Iterable[bytes]) -> str | None:
    """See `Users.dummy`."""
    kinds: Counter[tuple[str, bytes | None]] = Counter()
    dummies: dict[tuple[str, bytes | None], str] = {}
    for stored in hashes:
        scheme, match = _hash(stored)
        if scheme is None or match is None:
            continue
        kind = (scheme, match["cost"])
        kinds[kind] += 1
        if kind not in dummies:
            zero = "A" * 27 + "=" if scheme == "ldap_sha1" else "." * len(match["checksum"])
            dummies[kind] = stored[: match.start("checksum")].decode("ascii") + zero
    return dummies[kinds.most_common(1)[0][0]] if kinds else None


def _is_damaged(stored: bytes) -> bool:
    scheme, match = _hash(stored)
    return scheme is not None and match is None


def has_users(path: str) -> bool:
    """Whether a password file has a user. Raises ConfigurationError."""
    return any(scheme_of(entry.stored) is not None for entry in entries(read_password_file(path)))


def scheme_of(stored: bytes) -> str | None:
    """The name of a hash's scheme; None when it is not supported, or damaged."""
    scheme, match = _hash(stored)
    return scheme if match is not None else None


def _hash(stored: bytes) -> tuple[str | None, re.Match[bytes] | None]:
    """The scheme that a hash begins like, and the whole of it when it is whole."""
    scheme = next((name for name, (start, _) in _SCHEMES.items() if start.match(stored)), None)
    return scheme, None if scheme is None else _SCHEMES[scheme][1].fullmatch(stored)


def verify_password(password: str, stored: str) -> bool:
    """Whether `stored`, a hash out of `Users`, was made of this password. Slow on purpose: call it in a thread."""
    if "\0" in password:
        return False  # crypt(3) would see the part before it only, and some schemes refuse by exception
    return any(_matches(secret, stored) for secret in _spellings(password))


def _spellings(password: str) -> Iterator[bytes]:
    """The bytes that a hash may have been made of: UTF-8, and Latin-1 where that is something else.

    A file that was made on a terminal that speaks Latin-1 has hashes of such bytes, and Apache compares the bytes that
    a client sends with no thought of their meaning.
    """
    if password.isascii():
        yield password.encode()
        return
    for charset in ("utf-8", "latin-1"):
        try:
            yield password.encode(charset)
        except UnicodeEncodeError:  # a lone surrogate; a letter that Latin-1 lacks
            continue


def _matches(secret: bytes, stored: str) -> bool:
    try:
        return bool(_context().verify(secret[:BCRYPT_BYTES] if stored.startswith("$2") else secret, stored))
    except ValueError:  # over libpass's limit of 4096 bytes
        return False


class Passwords:
    """An htpasswd file, loaded again whenever it changes. Used from one thread.

    A change is seen by `os.stat` at each check: times, size and inode. The time of the last change of the inode
    (ctime) is among them, which no program can set, so a file that was rewritten with its old size and mtime is seen as
    well. Within one tick of the file system's clock that can happen twice, so a file that changed lately is read again
    at each check. A client of NFS answers `stat` from memory for up to a minute, so there the file is opened as well,
    once in `NETWORK_SECONDS`, for which the client has to ask the server. A changed file that cannot be used leaves the
    last good users in force and is warned about once.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        network: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Loads the file. `network`: whether it is on a network file system; None asks the system. `clock`: monotonic
        seconds.

        Raises ConfigurationError when it is missing, unreadable, malformed or larger than 1 MiB.
        """
        self._path = os.fspath(path)
        self._clock = clock
        self._is_network = is_network(self._path) if network is None else network
        self._asked = clock()
        self._identity = _identify(self._path)
        self._first_seen = clock()
        self._past_racy_window = False
        self._warned: object = None
        self._data = read_password_file(self._path)
        self._users = parse_users(self._data, self._path)
        _context()  # now, for all workers of a server that forks, and not during a login

    def current(self) -> Users:
        """The users now: the very same object while the file is unchanged. Never raises."""
        if self._is_network and self._clock() - self._asked >= NETWORK_SECONDS:
            self._asked = self._clock()
            _ask_server(self._path)
        identity = _identify(self._path)
        if identity != self._identity:
            self._identity, self._first_seen, self._past_racy_window = identity, self._clock(), False
        if not self._past_racy_window:
            self._reload()
        return self._users

    def _reload(self) -> None:
        began = self._clock()
        try:
            data = read_password_file(self._path)
            if data != self._data:
                self._users, self._data = parse_users(data, self._path), data
                _log.info("passwords_loaded", path=self._path, count=len(self._users.hashes))
        except ConfigurationError as error:
            if self._warned != self._identity:
                self._warned = self._identity
                if is_first_report(f"{error} {self._identity}", os.environ):
                    _log.warning("passwords_not_loaded", reason=f"{error} The users loaded before stay in force.")
            if isinstance(error.__cause__, OSError):
                return  # the cause may end without a change of the identity: read again next time
        self._past_racy_window = began - self._first_seen >= RACY_SECONDS


def _identify(path: str) -> object:
    """A value that changes when the file does; for a file whose status cannot be read, the reason."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        return type(error), getattr(error, "errno", None)
    return status.st_ctime_ns, status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


def _ask_server(path: str) -> None:
    """Let the client of a network file system ask which file this is now, and for its times."""
    with suppress(OSError, ValueError):  # `_identify` finds the reason again
        revalidate_name(path)
        os.close(os.open(path, _READ))


def read_password_file(path: str) -> bytes:
    """A password file's bytes. Raises ConfigurationError; its cause is an OSError when the file could not be read."""
    try:
        with open(os.open(path, _READ), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("not a regular file")
            data = file.read(MAX_PASSWORD_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with NUL
        why = reason_of(error)
        raise ConfigurationError(
            f"The password file {path!r} cannot be read ({why}); name a readable htpasswd file."
        ) from error
    if len(data) > MAX_PASSWORD_FILE_BYTES:
        raise ConfigurationError(f"The password file {path} is larger than 1 MiB; name an htpasswd file.")
    return data
