"""HTTP Basic credentials, and the cost of checking a password.

Theory of operation. A good password hash costs 70 to 250 ms of CPU, and clients send the password with every
request. So a password that verified is remembered for a short time, as a keyed digest that is worth nothing outside
this process. Everything else here limits what the remaining checks can cost:

- they run in a few threads, never on the event loop, and only so many may wait, from one address and one network only
  a share of these (`quire.access.login_checks`);
- requests that bring the same credentials while a check of them runs share that check;
- failures are counted per user at an address, per address and per network (`quire.access.login_limits`), and the
  attempt is charged before the check, not after it: a thousand guesses sent at once are a thousand attempts;
- credentials that were right before are no guess, even when they have to be checked again because their time is over
  or the file has changed: no failures of others stop them, and their check goes first. Those that were right and no
  longer are lose this with the first check;
- an unknown user costs the same check as a known one, so the time does not show which users exist. (In a file that
  mixes schemes, an unknown user costs a check of the most common one.)

What lets a user in was found out about the present state of the file: the check and the memory belong to one `Users`
snapshot, and all of it goes when a new snapshot comes. (That credentials were right before earns a place in the queue,
nothing else.)
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property, partial

import structlog

from quire.access.login_checks import LoginChecks
from quire.access.login_limits import Attempt, Limits, Origin, Scope, Throttle, origin_of
from quire.access.passwords import Passwords, Users, verify_password
from quire.access.principals import Principal

MAX_HEADER_CHARACTERS = 8 * 1024
BUSY_RETRY_SECONDS = 1

_log = structlog.get_logger(__name__)


# -- the client's credentials -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credentials:
    """A username and a password; its repr shows the username alone, so that it may end up in a log."""

    username: str
    password: str = field(repr=False)


def parse_basic(header: str | None) -> Credentials | None:
    """The credentials of an Authorization header as RFC 7617 has them, in UTF-8.

    Clients without a choice of charset send Latin-1 (requests does, even if the challenge names UTF-8). Bytes that are
    not UTF-8 are taken for that; Latin-1 text that happens to be UTF-8 is very rare.
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


# -- the verdict ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The password is the user's."""

    username: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """No such user, or not the user's password; the client does not learn which."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not checked: too many failures."""

    retry_after: int
    """Seconds, at least 1."""
    scope: Scope
    """The bucket that is full: the user's, the address's or the network's."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Not checked: too many checks are waiting."""

    retry_after: int = BUSY_RETRY_SECONDS


Verdict = Accepted | Wrong | Throttled | Busy


@dataclass(slots=True, eq=False)
class Login:
    """Credentials that were found good. Ask `Authenticator.confirm` whether they are still valid.

    Callers may keep it beside what they recognise the same credentials by, as long as it is not over.
    """

    username: str
    digest: bytes = field(repr=False)
    until: float = 0.0
    """By the authenticator's clock; it may be extended."""
    is_over: bool = False
    """Whether it will never count again. The credentials may: `Authenticator.find_login` finds out."""
    principal: Principal = field(init=False)

    def __post_init__(self) -> None:
        self.principal = Principal(self.username)


@dataclass(frozen=True, slots=True)
class _Check:
    """A check to make."""

    users: Users
    credentials: Credentials
    digest: bytes
    origin: Origin
    attempt: Attempt
    _: KW_ONLY
    proven: bool
    """Whether the credentials were right before."""


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
        self._throttle = Throttle(self._limits, clock)
        self._queue = LoginChecks(self._limits)
        self._users = passwords.current()
        self._tick_users: Users | None = None
        self._tick_has_begun = False
        self._logins: OrderedDict[str, Login] = OrderedDict()
        self._headers: OrderedDict[bytes, Login] = OrderedDict()
        self._checks: dict[bytes, asyncio.Task[bool]] = {}
        self._pending: set[asyncio.Task[bool]] = set()
        self._verified_before: OrderedDict[bytes, None] = OrderedDict()

    async def authenticate(self, credentials: Credentials, address: str) -> Verdict:
        """Check credentials. `address`: the client's, as far as it is trusted; any text. Never raises."""
        username = credentials.username
        users = self._passwords.current()
        if users is not self._users:
            self._users = users
            for login in self._logins.values():
                login.is_over = True
            self._logins.clear()
            self._headers.clear()
            self._checks.clear()  # requests that wait for one get its result; later ones do not join
        digest = self._digest(username, credentials.password)
        known = self._logins.get(username)
        if known is not None and hmac.compare_digest(known.digest, digest) and self._clock() < known.until:
            self._logins.move_to_end(username)
            return Accepted(username)
        check = self._checks.get(digest)
        if check is None:
            pending = self._new_check(users, credentials, digest, address)
            if not pending.proven and (wait := self._throttle.wait(pending.attempt)) is not None:
                return Throttled(*wait)
            if not self._queue.enter(pending.origin, proven=pending.proven):
                return Busy()
            self._throttle.take(pending.attempt)
            check = self._begin(pending)
        # shielded: a client that hangs up must not cancel the check for the requests that share it
        return Accepted(username) if await asyncio.shield(check) else Wrong()

    def find_login(self, header: str) -> Login | None:
        """The login that an earlier request had with this Authorization header, or one that says the same.

        None says nothing about the credentials: `authenticate` finds out. Never raises.
        """
        if len(header) > MAX_HEADER_CHARACTERS:
            return None
        keyed = self._keyed_for_headers.copy()  # a third cheaper than a new one with the key
        keyed.update(header.encode("utf-8", "surrogatepass"))
        digest = keyed.digest()
        login = self._headers.get(digest)
        if login is not None and not login.is_over:
            return login
        self._headers.pop(digest, None)
        credentials = parse_basic(header)
        login = None if credentials is None else self._logins.get(credentials.username)
        if credentials is None or login is None:
            return None
        if not hmac.compare_digest(login.digest, self._digest(credentials.username, credentials.password)):
            return None
        self._headers[digest] = login
        if len(self._headers) > self._limits.remember_users:
            self._headers.popitem(last=False)
        return login

    def confirm(self, login: Login) -> bool:
        """Whether a login counts now. When not, `authenticate` finds out more.

        Never waits, never raises. To be called from a callback or task of the event loop: all calls
        in one loop tick share one check of the file (see `quire.catalog.freshness`).
        """
        users = self._tick_users or self._read_users()
        if users is not self._users or login.is_over or self._clock() >= login.until:
            return False
        self._logins.move_to_end(login.username)
        return True

    def stored_hash(self, username: str) -> str | None:
        """The hash of a user's password, as the file has it now; None for a user that is not there. As `confirm`."""
        return (self._tick_users or self._read_users()).hashes.get(username)

    def begin_tick(self) -> None:
        """As `Barrier.begin_tick`."""
        self._tick_users, self._tick_has_begun = None, True

    def end_tick(self) -> None:
        """As `Barrier.end_tick`."""
        self._tick_users, self._tick_has_begun = None, False

    def _read_users(self) -> Users:
        if not self._tick_has_begun:
            self._tick_has_begun = True
            asyncio.get_running_loop().call_soon(
                self.end_tick
            )  # before the check: so it is fresh for all callbacks before that
        self._tick_users = self._passwords.current()
        return self._tick_users

    def close(self) -> None:
        """Drop the checks that have not begun and let the threads end."""
        self._queue.close()

    def _new_check(self, users: Users, credentials: Credentials, digest: bytes, address: str) -> _Check:
        origin = origin_of(address)
        attempt = Attempt(
            self._digest(credentials.username, origin.address),
            self._digest(origin.address),
            self._digest(origin.network),
        )
        return _Check(users, credentials, digest, origin, attempt, proven=digest in self._verified_before)

    def _begin(self, pending: _Check) -> asyncio.Task[bool]:
        def finished(task: asyncio.Task[bool]) -> None:
            self._pending.discard(task)
            self._queue.leave(pending.origin, proven=pending.proven)
            if self._checks.get(pending.digest) is task:
                del self._checks[pending.digest]

        task = asyncio.create_task(self._check(pending))
        task.add_done_callback(finished)  # not a `finally` inside: that is skipped if the task is cancelled unstarted
        self._pending.add(task)
        self._checks[pending.digest] = task
        return task

    async def _check(self, pending: _Check) -> bool:
        self.hash_checks += 1
        check = partial(self._matches, pending.users, pending.credentials)
        matched = await self._queue.run(check, pending.origin, proven=pending.proven)
        self._verified_before.pop(pending.digest, None)
        if matched:
            self._throttle.refund(pending.attempt)
            self._verified_before[pending.digest] = None  # as the newest
            if len(self._verified_before) > self._limits.remember_users:
                self._verified_before.popitem(last=False)
            if pending.users is self._users:
                self._remember(pending.credentials.username, pending.digest)
        return matched

    def _remember(self, username: str, digest: bytes) -> None:
        login = self._logins.get(username)
        if login is None or login.digest != digest:  # two spellings of a password may both be right
            if login is not None:
                login.is_over = True
            login = self._logins[username] = Login(username, digest)
        login.until = self._clock() + self._limits.remember_seconds
        self._logins.move_to_end(username)
        if len(self._logins) > self._limits.remember_users:
            self._logins.popitem(last=False)[1].is_over = True

    def _matches(self, users: Users, credentials: Credentials) -> bool:
        """Runs in a thread: one hash check, whether the user exists or not."""
        stored = users.hashes.get(credentials.username)
        against = stored or users.dummy
        if against is None:
            return False
        try:
            matched = self._verify(credentials.password, against)
        except Exception as error:  # noqa: BLE001 - an error of a hash library must not accept a login
            # neither the error's text nor an unknown username: either may hold a password
            user = credentials.username if stored else None
            _log.error("password_check_failed", error=type(error).__name__, user=user)
            return False
        return matched and stored is not None

    @cached_property
    def _key(self) -> bytes:
        return secrets.token_bytes(32)  # made at first use, after any fork: every process has its own

    @cached_property
    def _keyed_for_headers(self) -> hashlib.blake2b:
        return hashlib.blake2b(key=self._key, person=b"header")

    def _digest(self, *parts: str) -> bytes:
        """A keyed digest of the parts and of where each ends."""
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8) + data)
        return digest.digest()
