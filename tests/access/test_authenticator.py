"""Credentials, and what checking a password may cost."""

from __future__ import annotations

import asyncio
import base64
import gc
import threading
import tracemalloc
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from quire.access.authenticator import (
    MAX_HEADER_CHARACTERS,
    Accepted,
    Authenticator,
    Busy,
    Credentials,
    Throttled,
    Verdict,
    Wrong,
    parse_basic,
)
from quire.access.login_limits import Attempt, Limits, Scope, Throttle, origin_of
from quire.access.passwords import Passwords, parse_users, verify_password
from tests.clocks import Clock
from tests.htpasswd import SCHEMES, bcrypt_hash, sha1_hash, write

HOME = "192.0.2.1"
ELSEWHERE = "192.0.2.2"


class Checker:
    """Stands for the hash check: counts, records what it was asked, and waits at a gate that tests may shut."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.open = threading.Event()
        self.open.set()

    def __call__(self, password: str, stored: str) -> bool:
        self.asked.append((password, stored))
        assert self.open.wait(30), "the test never opened the gate"
        return verify_password(password, stored)


@contextmanager
def authenticator(
    path: Path, limits: Limits | None = None, clock: Clock | None = None
) -> Iterator[tuple[Authenticator, Checker]]:
    checker, clock = Checker(), clock or Clock()
    made = Authenticator(Passwords(path, clock=clock), limits, clock=clock, verify=checker)
    try:
        yield made, checker
    finally:
        checker.open.set()
        made.close()


def ask(made: Authenticator, username: str, password: str, address: str = HOME) -> Verdict:
    return asyncio.run(made.authenticate(Credentials(username, password), address))


async def parked(*calls: Coroutine[Any, Any, Verdict]) -> list[asyncio.Task[Verdict]]:
    """The calls as tasks, each run until it first has to wait.

    The loop runs what is ready in the order it became ready, so after one turn every new task has had its first step.
    """
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


# -- the Authorization header -----------------------------------------------------------------------------------------


def basic(data: bytes, scheme: str = "Basic ") -> str:
    return scheme + base64.b64encode(data).decode()


@given(username=st.text(), password=st.text())
def test_basic_credentials_round_trip(username: str, password: str) -> None:
    """Any username without colon and control characters, and any password, come back as they were sent."""
    username = "".join(character for character in username if character.isprintable() and character != ":")
    password = password.encode("utf-8", "ignore").decode()
    assert parse_basic(basic(f"{username}:{password}".encode())) == Credentials(username, password)


def test_latin_1_is_understood() -> None:
    """Clients that encode as Latin-1 send the same password, and no client can make the decoding fail."""
    assert parse_basic(basic("jürgen:pä§".encode("latin-1"))) == Credentials("jürgen", "pä§")
    assert parse_basic(basic("jürgen:pä§".encode())) == Credentials("jürgen", "pä§")
    assert parse_basic(basic(b"alice:\xff\xfe")) == Credentials("alice", "ÿþ")


def test_scheme_is_matched_in_any_case() -> None:
    """RFC 7235: the scheme's name is case-insensitive; a password keeps its colons."""
    assert parse_basic(basic(b"alice:a:b:", "bAsIc  ")) == Credentials("alice", "a:b:")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Bearer " + base64.b64encode(b"alice:secret").decode(),
        "Basic alice:secret",
        "Basic YWxpY2U6c2VjcmV0=",  # padding too many
        "Basic YWxpY2U6c2VjcmU",  # padding missing
        "Basic YWxp\nY2U6c2VjcmV0",
        "Basic YWxpY2U6c2VjcmV0 x",
        "Basic é",
        "Basic \ud800",
        basic(b"no colon"),
        basic(b"al\0ice:secret"),
        basic(b"alice\n:secret"),
    ],
)
def test_malformed_headers_are_no_credentials(header: str | None) -> None:
    """Whatever is not RFC 7617 is treated like no header, never an error."""
    assert parse_basic(header) is None


@given(st.text())
def test_no_header_raises(header: str) -> None:
    """No text makes the parser fail."""
    parse_basic(header)
    parse_basic("Basic " + header)


def test_long_headers_are_not_read() -> None:
    """The header is bounded at 8 KiB."""
    fits = basic(b"alice:" + b"x" * 6000)
    assert len(fits) <= MAX_HEADER_CHARACTERS
    assert parse_basic(fits) is not None
    assert parse_basic(basic(b"alice:" + b"x" * 6200)) is None


def test_credentials_never_show_the_password() -> None:
    """Neither repr nor str nor a format string has it."""
    shown = f"{Credentials('alice', 'hunter2')} {Credentials('alice', 'hunter2')!r} {[Credentials('alice', 'hunter2')]}"
    assert "alice" in shown
    assert "hunter2" not in shown


# -- hashes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["secret", "", "pass:with:colons", "pässwörd пароль 🔑", " lead and trail "])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_verifies(tmp_path: Path, scheme: str, password: str) -> None:
    """Real hashes of every supported scheme accept their password and no other."""
    with authenticator(write(tmp_path / "htpasswd", alice=SCHEMES[scheme](password))) as (made, _):
        assert ask(made, "alice", password) == Accepted("alice")
        assert ask(made, "alice", password + "x") == Wrong()
        assert ask(made, "alice", password.upper() + "y") == Wrong()


@pytest.mark.parametrize("ident", ["2a", "2b", "2y"])
def test_bcrypt_reads_72_bytes(tmp_path: Path, ident: str) -> None:
    """As in Apache, what follows the 72nd byte of a bcrypt password does not count, even in mid-character."""
    long, wide = "0123456789" * 10, "x" + "é" * 60
    path = write(tmp_path / "htpasswd", alice=bcrypt_hash(long, ident), bob=bcrypt_hash(wide, ident))
    with authenticator(path) as (made, _):
        assert ask(made, "alice", long) == Accepted("alice")
        assert ask(made, "alice", long[:72]) == Accepted("alice")
        assert ask(made, "alice", long[:72] + "other") == Accepted("alice")
        assert ask(made, "alice", long[:71]) == Wrong()
        assert ask(made, "bob", wide) == Accepted("bob")
        assert ask(made, "bob", long * 50) == Wrong()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("password", ["secret\0", "sec\0ret", "\0", "x" * 6000, "\ud800"])
def test_impossible_passwords_are_wrong(tmp_path: Path, scheme: str, password: str) -> None:
    """NUL bytes, endless passwords and lone surrogates are wrong passwords, not errors."""
    with authenticator(write(tmp_path / "htpasswd", alice=SCHEMES[scheme]("secret"))) as (made, _):
        assert ask(made, "alice", password) == Wrong()
        assert ask(made, "nobody", password) == Wrong()


@pytest.mark.parametrize(
    "stored",
    [
        "secret",
        "rl.3StKT.4T8M",  # DES crypt
        "$1$abcdefgh$irWbblnpmw.5z7wgBnprh0",
        "$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "{SSHA}" + sha1_hash("secret")[5:],
        "!",
        "",
    ],
)
def test_plain_text_and_unsupported_hashes_never_match(tmp_path: Path, stored: str) -> None:
    """Such a user is named in a warning, and cannot log in even with the stored text itself."""
    path = write(tmp_path / "htpasswd", alice=stored, bob=sha1_hash("b"))
    with capture_logs() as logs, authenticator(path) as (made, checker):
        assert ask(made, "alice", stored) == Wrong()
        assert ask(made, "alice", "secret") == Wrong()
        assert ask(made, "bob", "b") == Accepted("bob")
    assert [(log["log_level"], log["users"]) for log in logs] == [("warning", ["alice"])]
    assert all(asked != stored for _, asked in checker.asked)
    if len(stored) > 1:
        assert stored not in str(logs)


# -- the file ---------------------------------------------------------------------------------------------------------


def test_file_is_reloaded_when_it_changes(tmp_path: Path) -> None:
    """The next request after a change sees it: a new password, a new user, a removed one; else the snapshot stays."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("old"), bob=sha1_hash("b"))
    with authenticator(path) as (made, _):
        assert ask(made, "alice", "old") == Accepted("alice")
        write(path, alice=sha1_hash("new"), carol=sha1_hash("c"))
        assert ask(made, "alice", "old") == Wrong()
        assert ask(made, "alice", "new") == Accepted("alice")
        assert ask(made, "carol", "c") == Accepted("carol")
        assert ask(made, "bob", "b") == Wrong()
        write(path)
        assert ask(made, "alice", "new") == Wrong()


# -- remembering ------------------------------------------------------------------------------------------------------


def test_verified_password_is_remembered_for_a_while(tmp_path: Path) -> None:
    """One check serves for 300 seconds, from any address, and not a moment longer."""
    clock = Clock()
    path = write(tmp_path / "htpasswd", alice=bcrypt_hash("secret"))
    with authenticator(path, clock=clock) as (made, checker):
        for address in (HOME, ELSEWHERE, HOME):
            assert ask(made, "alice", "secret", address) == Accepted("alice")
        clock.now += 299
        assert ask(made, "alice", "secret") == Accepted("alice")
        assert len(checker.asked) == made.hash_checks == 1
        clock.now += 1
        assert ask(made, "alice", "secret") == Accepted("alice")
        assert len(checker.asked) == made.hash_checks == 2


def test_only_the_very_same_credentials_are_remembered(tmp_path: Path) -> None:
    """Shifting letters between name and password, or another user with the password, is another question."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"), alices=sha1_hash("other"))
    with authenticator(path) as (made, checker):
        assert ask(made, "alice", "secret") == Accepted("alice")
        assert ask(made, "alices", "ecret") == Wrong()
        assert ask(made, "alices", "secret") == Wrong()
        assert ask(made, "alice", "secret") == Accepted("alice")
        assert len(checker.asked) == 3


def test_everything_is_forgotten_when_the_file_changes(tmp_path: Path) -> None:
    """Even a user whose entry did not change is checked again."""
    path, same = tmp_path / "htpasswd", sha1_hash("secret")
    with authenticator(write(path, alice=same)) as (made, checker):
        assert ask(made, "alice", "secret") == Accepted("alice")
        write(path, alice=same, bob=same)
        assert ask(made, "alice", "secret") == Accepted("alice")
        assert len(checker.asked) == 2


def test_memory_is_bounded(tmp_path: Path) -> None:
    """The least recently seen user is dropped."""
    path = write(tmp_path / "htpasswd", **{user: sha1_hash(user) for user in "abc"})
    with authenticator(path, Limits(remember_users=2)) as (made, checker):
        for user in "abacab":  # c drives out b, b drives out c
            assert ask(made, user, user) == Accepted(user)
        assert [password for password, _ in checker.asked] == ["a", "b", "c", "b"]


def test_nothing_remembered_is_a_password(tmp_path: Path) -> None:
    """Neither the password nor a plain digest of it is kept, and two processes keep different ones."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("hunter2"))
    kept = []
    for _ in range(2):
        with authenticator(path) as (made, _checker):
            ask(made, "alice", "hunter2")
            # What is remembered is to be seen nowhere else: that is what the test is about.
            kept.append(made._logins["alice"].digest)
            assert "hunter2" not in repr(vars(made))
    assert kept[0] != kept[1]


# -- one check for many -----------------------------------------------------------------------------------------------


def test_concurrent_requests_share_one_check(tmp_path: Path) -> None:
    """500 requests with the same new credentials cost one check; so do 500 with the same wrong ones."""

    async def scenario(made: Authenticator, checker: Checker) -> None:
        for password, expected in (("secret", Accepted("alice")), ("wrong", Wrong())):
            checker.open.clear()
            tasks = await parked(*(made.authenticate(Credentials("alice", password), HOME) for _ in range(500)))
            assert not any(task.done() for task in tasks)
            checker.open.set()
            assert await asyncio.gather(*tasks) == [expected] * 500

    with authenticator(write(tmp_path / "htpasswd", alice=bcrypt_hash("secret"))) as (made, checker):
        asyncio.run(scenario(made, checker))
        assert len(checker.asked) == made.hash_checks == 2


def test_client_that_hangs_up_does_not_spoil_the_check(tmp_path: Path) -> None:
    """The first request of those that share a check is cancelled: the others get their answer, and it is remembered."""

    async def scenario(made: Authenticator, checker: Checker) -> None:
        checker.open.clear()
        first, second = await parked(*(made.authenticate(Credentials("alice", "secret"), HOME) for _ in range(2)))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        checker.open.set()
        assert await second == Accepted("alice")
        assert await made.authenticate(Credentials("alice", "secret"), HOME) == Accepted("alice")

    with authenticator(write(tmp_path / "htpasswd", alice=sha1_hash("secret"))) as (made, checker):
        asyncio.run(scenario(made, checker))
        assert len(checker.asked) == 1


def test_check_of_an_older_file_is_not_joined_or_remembered(tmp_path: Path) -> None:
    """A request after the change gets a check of its own, and the outcome of the old one is not kept."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))

    async def scenario(made: Authenticator, checker: Checker) -> None:
        checker.open.clear()
        (before,) = await parked(made.authenticate(Credentials("alice", "secret"), HOME))
        write(path, alice=sha1_hash("changed"))
        (after,) = await parked(made.authenticate(Credentials("alice", "secret"), HOME))
        checker.open.set()
        assert await before == Accepted("alice")
        assert await after == Wrong()
        assert await made.authenticate(Credentials("alice", "secret"), HOME) == Wrong()

    with authenticator(path) as (made, checker):
        asyncio.run(scenario(made, checker))


def test_waiting_checks_are_bounded(tmp_path: Path) -> None:
    """When enough checks wait, others are told to come back, without being charged; sharing is still possible."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"), bob=sha1_hash("b"))

    async def scenario(made: Authenticator, checker: Checker) -> None:
        assert await made.authenticate(Credentials("bob", "b"), HOME) == Accepted("bob")
        checker.open.clear()
        guesses = [made.authenticate(Credentials(f"user{n}", "guess"), ELSEWHERE) for n in range(3)]
        tasks = await parked(*guesses)
        for _ in range(50):
            assert await made.authenticate(Credentials("alice", "secret"), HOME) == Busy()
        assert await made.authenticate(Credentials("bob", "b"), HOME) == Accepted("bob")
        tasks += await parked(made.authenticate(Credentials("user0", "guess"), HOME))
        checker.open.set()
        assert await asyncio.gather(*tasks) == [Wrong()] * 4
        assert await made.authenticate(Credentials("alice", "secret"), HOME) == Accepted("alice")

    with authenticator(path, Limits(max_pending=3, threads=1)) as (made, checker):
        asyncio.run(scenario(made, checker))
        assert made.hash_checks == 5


def test_loop_that_ends_leaves_nothing_pending(tmp_path: Path) -> None:
    """Checks cut off by the end of their event loop do not count as pending for ever."""

    async def leave(made: Authenticator, checker: Checker) -> None:
        checker.open.clear()
        await parked(made.authenticate(Credentials("user0", "guess"), HOME))
        await asyncio.sleep(0)  # user0's check is with its thread now
        await parked(made.authenticate(Credentials("user1", "guess"), HOME))  # and user1's has not had its first step
        assert made.hash_checks == 1
        assert await made.authenticate(Credentials("user2", "guess"), HOME) == Busy()

    with authenticator(write(tmp_path / "htpasswd", alice=sha1_hash("secret")), Limits(max_pending=2)) as (made, gate):
        asyncio.run(leave(made, gate))
        gate.open.set()
        assert ask(made, "alice", "secret") == Accepted("alice")


def test_threads_start_with_the_first_check(tmp_path: Path) -> None:
    """Nothing that a fork would lose exists before, and after close() new threads are made when needed."""
    before = set(threading.enumerate())
    with authenticator(write(tmp_path / "htpasswd", alice=sha1_hash("secret")), Limits(remember_seconds=0)) as (
        made,
        _,
    ):
        assert set(threading.enumerate()) <= before
        made.close()
        for _ in range(2):
            assert ask(made, "alice", "secret") == Accepted("alice")
            assert not set(threading.enumerate()) <= before
            made.close()
        assert made.hash_checks == 2


# -- the price of failing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_unknown_users_cost_what_known_ones_cost(tmp_path: Path, scheme: str) -> None:
    """One check each, against a hash of the same scheme, cost and length, which nothing matches."""
    stored = SCHEMES[scheme]("secret")
    path = write(tmp_path / "htpasswd", alice=stored)
    with authenticator(path) as (made, checker):
        assert ask(made, "alice", "wrong") == Wrong()
        assert ask(made, "nobody", "wrong") == Wrong()
        assert ask(made, "nobody", "secret") == Wrong()
    (_, known), (_, unknown), _ = checker.asked
    assert known == stored != unknown
    assert len(unknown) == len(stored)
    assert unknown.rpartition("$")[0] == stored.rpartition("$")[0]
    assert set(parse_users(f"x:{unknown}".encode(), "f").hashes) == {"x"}  # a whole hash: its check does all the work


def test_dummy_follows_the_most_common_scheme(tmp_path: Path) -> None:
    """In a mixed file an unknown user looks like the many; a file without usable hashes needs no dummy."""
    users = parse_users(
        f"a:{sha1_hash('a')}\nb:{bcrypt_hash('b')}\nc:{bcrypt_hash('c', '2y')}\nd:{SCHEMES['apr1']('d')}".encode(), "f"
    )
    assert users.dummy is not None
    assert users.dummy.startswith("$2b$04$")
    assert parse_users(b"", "f").dummy is None
    with authenticator(write(tmp_path / "htpasswd")) as (made, _):
        assert ask(made, "alice", "") == Wrong()


def test_matching_the_dummy_is_no_login(tmp_path: Path) -> None:
    """Even a check that says yes to everything does not make an unknown user known."""
    passwords = Passwords(write(tmp_path / "htpasswd", alice=sha1_hash("secret")))
    made = Authenticator(passwords, verify=lambda _password, _stored: True)
    assert ask(made, "nobody", "x") == Wrong()
    assert ask(made, "alice", "x") == Accepted("alice")
    made.close()


def test_failures_are_throttled_and_forgiven(tmp_path: Path) -> None:
    """Ten failures, then nothing is checked until one is forgiven, six seconds later; after the window all are."""
    clock = Clock()
    with authenticator(write(tmp_path / "htpasswd", alice=sha1_hash("secret")), clock=clock) as (made, checker):
        for n in range(10):
            assert ask(made, "alice", f"guess{n}") == Wrong()
        assert ask(made, "alice", "guess") == Throttled(6, Scope.USER)
        assert ask(made, "alice", "secret") == Throttled(
            6, Scope.USER
        )  # a guess that is right must look like any other
        clock.now += 5.5
        assert ask(made, "alice", "guess") == Throttled(1, Scope.USER)
        assert len(checker.asked) == 10
        clock.now += 0.5
        assert ask(made, "alice", "guess") == Wrong()
        assert ask(made, "alice", "guess") == Throttled(6, Scope.USER)
        clock.now += 60
        assert [ask(made, "alice", f"more{n}") for n in range(11)] == [Wrong()] * 10 + [Throttled(6, Scope.USER)]


@pytest.mark.parametrize("failures", [1, 3, 7, 10, 49])
def test_exactly_the_limit_may_fail(tmp_path: Path, failures: int) -> None:
    """Fractions do not cost an attempt, however long the clock has been running."""
    clock = Clock()
    clock.now = 123_456_789.123
    with authenticator(write(tmp_path / "htpasswd", alice=sha1_hash("secret")), Limits(failures=failures), clock) as (
        made,
        _,
    ):
        verdicts = [ask(made, "alice", f"guess{n}") for n in range(failures + 1)]
    assert verdicts[:-1] == [Wrong()] * failures
    assert isinstance(verdicts[-1], Throttled)


def test_guesses_sent_at_once_are_counted_at_once(tmp_path: Path) -> None:
    """The attempt is charged before the check: 30 parallel guesses get 10 checks."""

    async def scenario(made: Authenticator) -> list[Verdict]:
        guesses = (made.authenticate(Credentials("alice", f"guess{n}"), HOME) for n in range(30))
        return list(await asyncio.gather(*guesses))

    with authenticator(write(tmp_path / "htpasswd", alice=sha1_hash("secret"))) as (made, checker):
        verdicts = asyncio.run(scenario(made))
        assert verdicts.count(Wrong()) == len(checker.asked) == 10
        assert verdicts.count(Throttled(6, Scope.USER)) == 20


def test_success_costs_nothing(tmp_path: Path) -> None:
    """A right password gives its attempt back, however often it has to be checked."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))
    with authenticator(path, Limits(remember_seconds=0)) as (made, checker):
        assert [ask(made, "alice", "secret") for _ in range(30)] == [Accepted("alice")] * 30
        assert len(checker.asked) == 30
        assert [ask(made, "alice", f"guess{n}") for n in range(10)] == [Wrong()] * 10


def test_no_user_is_locked_out_by_others(tmp_path: Path) -> None:
    """Failures at one address leave the user's other addresses alone, and other users at that address."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"), bob=sha1_hash("b"))
    with authenticator(path) as (made, _):
        while not isinstance(ask(made, "alice", "guess", ELSEWHERE), Throttled):
            pass
        assert ask(made, "bob", "b", ELSEWHERE) == Accepted("bob")
        assert ask(made, "alice", "secret", HOME) == Accepted("alice")


def test_remembered_password_is_never_throttled(tmp_path: Path) -> None:
    """Failures beside it do not stop a program that has the right password, even when it must be checked again."""
    clock = Clock()
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))
    with authenticator(path, Limits(failure_seconds=6000), clock) as (made, checker):
        assert ask(made, "alice", "secret") == Accepted("alice")
        while not isinstance(ask(made, "alice", "guess"), Throttled):
            pass
        assert ask(made, "alice", "secret") == Accepted("alice")
        clock.now += 301
        before = len(checker.asked)
        assert ask(made, "alice", "secret") == Accepted("alice")
        assert len(checker.asked) == before + 1
        assert isinstance(ask(made, "alice", "guess"), Throttled)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("unix:", "", False),
    ],
)
def test_addresses_of_one_network_are_one_address(tmp_path: Path, one: str, other: str, same: bool) -> None:
    """A host owns a whole IPv6 /64; IPv4 stays one address whichever way it is written; other text is taken as is."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))
    with authenticator(path, Limits(failures=1)) as (made, _):
        assert ask(made, "alice", "guess", one) == Wrong()
        assert isinstance(ask(made, "alice", "guess", other), Throttled if same else Wrong)


def test_counting_failures_needs_bounded_memory() -> None:
    """Many users at one address, and many addresses, leave no more buckets than allowed."""
    throttle = Throttle(Limits(failure_buckets=5))
    for n in range(20):
        throttle.take(Attempt(b"user %d" % n, b"address", b"network"))
    assert len(throttle) == 5 + 1 + 1
    for n in range(20):
        throttle.take(Attempt(b"user", b"address %d" % n, b"network %d" % n))
    assert len(throttle) == 3 * 5


def test_names_of_failed_logins_are_not_kept(tmp_path: Path) -> None:
    """A name may be as long as a request's head, or a password in the wrong field: neither it nor its length stays."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))
    with authenticator(path) as (made, _):
        ask(made, "warm", "up")
        tracemalloc.start()
        try:
            for n in range(20):
                assert ask(made, f"user{n}" + "x" * 100_000, "guess") == Wrong()
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] < 10 * 100_000
        finally:
            tracemalloc.stop()


def test_guesses_spread_over_users_are_counted_together(tmp_path: Path) -> None:
    """Each with a name of its own: an address has a bucket for all of them, and a network a larger one."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))
    limits = Limits(address_failures=20, network_failures=50)
    with authenticator(path, limits) as (made, checker):
        verdicts = [ask(made, f"user{n}", "guess") for n in range(21)]
        assert verdicts == [Wrong()] * 20 + [Throttled(3, Scope.ADDRESS)]
        assert ask(made, "alice", "secret") == Throttled(3, Scope.ADDRESS)
        assert ask(made, "alice", "secret", "192.0.2.99") == Accepted("alice")
        verdicts = [ask(made, f"user{n}", "guess", f"192.0.2.{n}") for n in range(100, 131)]
        assert verdicts == [Wrong()] * 30 + [Throttled(2, Scope.NETWORK)]
        assert ask(made, "bob", "b", "192.0.3.1") == Wrong()
        assert len(checker.asked) == 52


def test_many_addresses_do_not_reset_a_users_bucket(tmp_path: Path) -> None:
    """Names that are made up push no bucket of an address out of memory."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))
    with authenticator(path, Limits(failure_buckets=3, address_failures=20)) as (made, _):
        for n in range(20):
            assert ask(made, f"user{n}", "guess") == Wrong()
        assert ask(made, "alice", "guess") == Throttled(3, Scope.ADDRESS)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.77", ("192.0.2.77", "c00002/24")),
        ("::ffff:192.0.2.77", ("192.0.2.77", "c00002/24")),
        ("2001:db8:1:2:3::4", ("20010db800010002/64", "20010db80001/48")),
        ("fe80::1%eth0", ("fe80000000000000/64", "fe8000000000/48")),
        ("", ("", "")),
        ("unix:", ("unix:", "unix:")),
    ],
)
def test_origins(address: str, origin: tuple[str, str]) -> None:
    """Addresses count as one address, or as one network."""
    assert origin_of(address) == origin


# -- the order of checks ----------------------------------------------------------------------------------------------


def test_one_address_and_one_network_have_a_share_of_the_queue(tmp_path: Path) -> None:
    """The rest is for the others, and for credentials that were right before."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"), bob=sha1_hash("b"))

    async def scenario(made: Authenticator, checker: Checker) -> None:
        checker.open.clear()
        tasks = await parked(*(guess(made, n, ELSEWHERE) for n in range(2)))
        assert await guess(made, 3, ELSEWHERE) == Busy()
        tasks += await parked(guess(made, 4, "192.0.2.3"), guess(made, 5, "192.0.2.4"))
        assert await guess(made, 6, "192.0.2.5") == Busy()
        tasks += await parked(guess(made, 7, "198.51.100.1"))
        assert await guess(made, 8, "203.0.113.1") == Busy()
        checker.open.set()
        assert await asyncio.gather(*tasks) == [Wrong()] * 5
        assert await guess(made, 9, ELSEWHERE) == Wrong()
        await asyncio.sleep(0)

    async def twice(made: Authenticator, checker: Checker) -> None:
        await scenario(made, checker)
        await scenario(made, checker)  # every place is free again

    limits = Limits(max_pending=5, address_pending=2, network_pending=4, threads=1)
    with authenticator(path, limits) as (made, checker):
        asyncio.run(twice(made, checker))


async def guess(made: Authenticator, number: int, address: str) -> Verdict:
    return await made.authenticate(Credentials(f"user{number}", "guess"), address)


def test_networks_are_served_round_robin(tmp_path: Path) -> None:
    """A login from a quiet network waits for one check of the busy one, and one that was right before for none."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))

    async def scenario(made: Authenticator, checker: Checker) -> None:
        assert await made.authenticate(Credentials("alice", "secret"), HOME) == Accepted("alice")
        write(path, alice=sha1_hash("secret"), bob=sha1_hash("b"))
        checker.asked.clear()
        checker.open.clear()
        tasks = await parked(*(made.authenticate(Credentials(f"user{n}", f"flood {n}"), ELSEWHERE) for n in range(5)))
        tasks += await parked(made.authenticate(Credentials("bob", "b"), "198.51.100.1"))
        tasks += await parked(made.authenticate(Credentials("alice", "secret"), ELSEWHERE))
        checker.open.set()
        await asyncio.gather(*tasks)
        order = [password for password, _ in checker.asked]
        assert order == ["flood 0", "secret", "flood 1", "b", "flood 2", "flood 3", "flood 4"]

    with authenticator(path, Limits(threads=1)) as (made, checker):
        asyncio.run(scenario(made, checker))


def test_credentials_that_were_right_before_are_no_guess(tmp_path: Path) -> None:
    """Not even after a change of the file, whatever failed beside them. Once they are wrong they count like others."""
    path = write(tmp_path / "htpasswd", alice=sha1_hash("secret"))
    with authenticator(path, Limits(failures=1, address_failures=3)) as (made, checker):
        assert ask(made, "alice", "secret") == Accepted("alice")
        while not isinstance(ask(made, "alice", "guess"), Throttled):
            pass
        for n in range(3):
            ask(made, f"user{n}", "guess")
        write(path, alice=sha1_hash("secret"), bob=sha1_hash("b"))
        assert ask(made, "alice", "secret") == Accepted("alice")
        assert isinstance(ask(made, "bob", "b"), Throttled)
        write(path, alice=sha1_hash("changed"))
        assert ask(made, "alice", "secret") == Wrong()
        before = len(checker.asked)
        assert isinstance(ask(made, "alice", "secret"), Throttled)
        assert len(checker.asked) == before


def test_memory_of_right_credentials_is_bounded(tmp_path: Path) -> None:
    """As that of logins is: of three users the first is a guesser again. A removed user is one after a failure."""
    users = {user: sha1_hash(user) for user in "abc"}
    path = write(tmp_path / "htpasswd", **users)
    with authenticator(path, Limits(remember_users=2, address_failures=1)) as (made, _):
        for user in "abc":
            assert ask(made, user, user) == Accepted(user)
        assert ask(made, "somebody", "guess") == Wrong()
        write(path, **users, more=sha1_hash("more"))  # so that no login is remembered
        assert isinstance(ask(made, "a", "a"), Throttled)
        assert [ask(made, user, user) for user in "bc"] == [Accepted("b"), Accepted("c")]
        write(path)
        assert ask(made, "c", "c") == Wrong()
        assert isinstance(ask(made, "c", "c"), Throttled)


# -- nothing leaks ----------------------------------------------------------------------------------------------------


def test_failing_hash_library_is_a_wrong_password_and_a_log_line(tmp_path: Path) -> None:
    """An error inside the check is no login, is logged by its class alone, and does not reach the client."""

    def broken(password: str, stored: str) -> bool:
        raise RuntimeError(f"cannot check {password} against {stored}")

    stored = sha1_hash("hunter2")
    made = Authenticator(Passwords(write(tmp_path / "htpasswd", alice=stored)), verify=broken)
    with capture_logs() as logs:
        assert ask(made, "alice", "hunter2") == Wrong()
        assert ask(made, "hunter2", "alice") == Wrong()  # a password typed into the wrong field
    made.close()
    assert [(log["event"], log["error"], log["user"]) for log in logs] == [
        ("password_check_failed", "RuntimeError", "alice"),
        ("password_check_failed", "RuntimeError", None),
    ]
    assert "hunter2" not in str(logs)
    assert stored not in str(logs)


def test_ordinary_requests_log_nothing(tmp_path: Path) -> None:
    """Neither success nor failure nor throttling writes a line here; the access log has them."""
    with capture_logs() as logs, authenticator(write(tmp_path / "htpasswd", alice=sha1_hash("secret"))) as (made, _):
        for password in ("secret", *("guess" * n for n in range(12))):
            ask(made, "alice", password)
    assert logs == []
