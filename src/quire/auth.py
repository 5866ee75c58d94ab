"""Who may do what: HTTP Basic credentials, an Apache htpasswd file, and the price of checking a password.

Theory of operation. A good password hash costs 70 to 250 ms of CPU, and clients send the password with every
request. So a password that verified is remembered for a short time, as a keyed digest that is worth nothing outside
this process. Everything else here limits what the remaining checks can cost:

- they run in a few threads, never on the event loop, and only so many may wait;
- requests that bring the same credentials while a check of them runs share that check;
- failures are counted per user and address, and the attempt is charged before the check, not after it: a thousand
  guesses sent at once are a thousand attempts;
- a user who does not exist costs the same check as one who does, so that time does not tell them apart. (In a file
  that mixes schemes, the most common one stands for them; those who differ from it can be told.)

What was found out about one state of the file is never used with another: the check and the memory belong to one
`Users` snapshot, and all of it goes when a new snapshot comes.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import hmac
import ipaddress
import math
import os
import re
import secrets
import stat
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import structlog
from passlib.apache import HtpasswdFile
from passlib.context import CryptContext

from quire.errors import ConfigurationError

MAX_HEADER_CHARACTERS = 8 * 1024
MAX_PASSWORD_FILE_BYTES = 1024 * 1024
BCRYPT_BYTES = 72
"""bcrypt reads no further: Apache and its htpasswd pass over what follows, so a long password is cut here too."""
SETTLE_SECONDS = 2.5
"""How long a file is read again at every look, though it looks the same: two changes within one tick of the file
system's clock (up to two seconds on some) leave the same time behind."""
BUSY_RETRY_SECONDS = 1

_log = structlog.get_logger(__name__)


class Action(StrEnum):
    """What a login can be asked for, by the names that pypiserver's `--authenticate` gives them."""

    DOWNLOAD = "download"
    LIST = "list"
    UPDATE = "update"


def parse_actions(text: str) -> frozenset[Action]:
    """The actions of a comma-separated list, in any case; `.` stands for none and adds nothing.

    Raises ConfigurationError on any other word.
    """
    words = {word.strip().lower() for word in text.split(",")} - {"."}
    known = frozenset(action for action in Action if action in words)
    if unknown := words - known:
        raise ConfigurationError(
            f"{', '.join(map(repr, sorted(unknown)))} is no action to authenticate; "
            "choose from download, list and update, or '.' for none."
        )
    return known


@dataclass(frozen=True, slots=True)
class Policy:
    """Which actions need a login; whoever is logged in may do all of them."""

    protected: frozenset[Action] = frozenset({Action.UPDATE})

    def needs_login(self, action: Action) -> bool:
        return action in self.protected


# -- what the client sent ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credentials:
    """A username and a password; its repr shows the username alone, so that it may end up in a log."""

    username: str
    password: str = field(repr=False)


def parse_basic(header: str | None) -> Credentials | None:
    """The credentials of an Authorization header as RFC 7617 has them, in UTF-8.

    Clients that never heard of a charset send Latin-1 (requests does, whatever the challenge says). Bytes that are not
    UTF-8 are taken for that; Latin-1 text that happens to be UTF-8 is next to unheard of.
    None when there is no header, it is another scheme, malformed, or longer than 8 KiB.
    """
    if header is None or len(header) > MAX_HEADER_CHARACTERS:
        return None
    scheme, _, token = header.strip(" \t").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "basic" or len(token) % 4:  # some Pythons let a surplus "=" pass
        return None
    try:
        data = binascii.a2b_base64(token.encode("ascii"), strict_mode=True)
    except ValueError:  # not ASCII, not base64
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    username, colon, password = text.partition(":")  # RFC 7617: a username holds no colon, a password may
    if not colon or any(character < " " or character == "\x7f" for character in username):
        return None
    return Credentials(username, password)


# -- the htpasswd file ------------------------------------------------------------------------------------------------

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

_CONTEXT = CryptContext(schemes=list(_SCHEMES))


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
        return bool(_CONTEXT.verify(secret[:BCRYPT_BYTES] if stored.startswith("$2") else secret, stored))
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
                _log.info("passwords_loaded", path=self._path, users=len(self._users.hashes))
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


# -- the verdict ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The password is the user's."""

    username: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """No such user, or not the user's password; nobody is told which."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not looked at: too many failures of this user at this address, or too many checks waiting."""

    retry_after: int
    """Seconds, at least 1."""


Verdict = Accepted | Wrong | Throttled


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long passwords are remembered, and what checking them may cost one process."""

    remember_seconds: float = 300
    """0 checks every request."""
    remember_users: int = 10_000
    failures: int = 10
    """Failed attempts of one user at one address before the next has to wait; they are forgiven one by one, evenly
    over `failure_seconds`."""
    failure_seconds: float = 60
    failure_buckets: int = 10_000
    max_pending: int = 64
    """Checks that run or wait for a thread."""
    threads: int = 2


class _Throttle:
    """Token buckets, each kept as one number: the time at which all that was taken from it will be forgiven."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._price = limits.failure_seconds / limits.failures
        self._forgiven: OrderedDict[bytes, float] = OrderedDict()

    def wait(self, key: bytes) -> float:
        """Seconds until one more attempt can be paid for; 0 or less when it can be now."""
        debt = self._forgiven.get(key, 0.0) - self._clock()
        rounding = 1e-6  # limit times price may come out a hair above the whole
        return max(debt, 0.0) + self._price - self._limits.failure_seconds - rounding

    def take(self, key: bytes) -> None:
        now = self._clock()
        self._forgiven[key] = max(self._forgiven.get(key, now), now) + self._price
        self._forgiven.move_to_end(key)
        if len(self._forgiven) > self._limits.failure_buckets:
            self._forgiven.popitem(last=False)

    def give_back(self, key: bytes) -> None:
        if key in self._forgiven:
            self._forgiven[key] -= self._price


@dataclass(frozen=True, slots=True)
class _Remembered:
    digest: bytes = field(repr=False)
    until: float


class Authenticator:
    """Decides whether credentials are good. Used from one event loop; may be made before a fork, and used after it.

    `hash_checks` counts the hash checks begun so far, for tests and for metrics.
    """

    def __init__(
        self,
        passwords: Passwords,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        verify: Callable[[str, str], bool] = verify_password,
    ) -> None:
        self.hash_checks = 0
        self._passwords = passwords
        self._limits = limits or Limits()
        self._clock = clock
        self._verify = verify
        self._throttle = _Throttle(self._limits, clock)
        self._users = passwords.current()
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._checks: dict[bytes, asyncio.Task[bool]] = {}
        self._pending: set[asyncio.Task[bool]] = set()
        self._pool: ThreadPoolExecutor | None = None

    async def authenticate(self, credentials: Credentials, address: str) -> Verdict:
        """Whose credentials these are. `address`: the client's, as far as it is trusted; any text. Never raises."""
        username = credentials.username
        users = self._passwords.current()
        if users is not self._users:
            self._users = users
            self._remembered.clear()
            self._checks.clear()  # those who wait get their answer; nobody joins them
        digest = self._digest(username, credentials.password)
        remembered = self._remembered.get(username)
        proven = remembered is not None and hmac.compare_digest(remembered.digest, digest)
        if proven and remembered is not None and self._clock() < remembered.until:
            self._remembered.move_to_end(username)
            return Accepted(username)
        check = self._checks.get(digest)
        if check is None:
            bucket = self._digest(username, _network(address), "")
            # a password that was right in this state of the file is no guess, even when it has to be checked again
            if not proven and (wait := self._throttle.wait(bucket)) > 0:
                return Throttled(max(1, math.ceil(wait)))
            if len(self._pending) >= self._limits.max_pending:
                return Throttled(BUSY_RETRY_SECONDS)
            self._throttle.take(bucket)
            check = self._begin(users, credentials, digest, bucket)
        # shielded: a client that hangs up must not take the answer away from those who share the check
        return Accepted(username) if await asyncio.shield(check) else Wrong()

    def may(self, username: str, action: Action) -> bool:
        """Whether this user, logged in, has the right to `action`. As yet every user has every right."""
        return username in self._passwords.current().hashes

    def close(self) -> None:
        """Drop the checks that have not begun and let the threads end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _begin(self, users: Users, credentials: Credentials, digest: bytes, bucket: bytes) -> asyncio.Task[bool]:
        def forget(task: asyncio.Task[bool]) -> None:
            self._pending.discard(task)
            if self._checks.get(digest) is task:
                del self._checks[digest]

        task = asyncio.create_task(self._check(users, credentials, digest, bucket))
        task.add_done_callback(forget)  # not a `finally` inside: that is skipped if the task is cancelled unstarted
        self._pending.add(task)
        self._checks[digest] = task
        return task

    async def _check(self, users: Users, credentials: Credentials, digest: bytes, bucket: bytes) -> bool:
        if self._pool is None:
            # as late as this, because threads do not survive a fork
            self._pool = ThreadPoolExecutor(self._limits.threads, "password-check")
        self.hash_checks += 1
        matched = await asyncio.get_running_loop().run_in_executor(self._pool, self._matches, users, credentials)
        if matched:
            self._throttle.give_back(bucket)
            if users is self._users:
                until = self._clock() + self._limits.remember_seconds
                self._remembered[credentials.username] = _Remembered(digest, until)
                self._remembered.move_to_end(credentials.username)
                if len(self._remembered) > self._limits.remember_users:
                    self._remembered.popitem(last=False)
        return matched

    def _matches(self, users: Users, credentials: Credentials) -> bool:
        """Runs in a thread: one hash check, whether the user exists or not."""
        stored = users.hashes.get(credentials.username)
        against = stored or users.dummy
        if against is None:
            return False
        try:
            matched = self._verify(credentials.password, against)
        except Exception as error:  # noqa: BLE001 - whatever a hash library trips over is no reason to let anybody in
            # neither the error's text nor an unknown username: either may hold a password
            who = credentials.username if stored else None
            _log.error("password_check_failed", error=type(error).__name__, username=who)
            return False
        return matched and stored is not None

    @cached_property
    def _key(self) -> bytes:
        return secrets.token_bytes(32)  # made at first use, after any fork: every process has its own

    def _digest(self, *parts: str) -> bytes:
        """A keyed digest of the parts and of where each ends."""
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8) + data)
        return digest.digest()


def _network(address: str) -> str:
    """What one attacker can be assumed to have a single one of: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or parsed.packed[:8].hex())
    return str(parsed)
