"""Attacks on the login with real connections: floods of invented users, and users that go on working meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.access.login_checks import LoginChecks
from quire.access.login_limits import Limits, Origin
from tests.asking import RawAnswer, Site, basic, password_file, publish_wheel, raw_answer, serve
from tests.distributions import wheel_name

ATTACKERS = 100
COST = 10
"""Of the hashes: a check takes 50 ms and more, so that a flood arrives faster than it is checked."""
BUSY = "Too many logins are being checked; try again in 1 second.\n"


def users_file(folder: Path, **users: str) -> Path:
    """An htpasswd file with hashes that are as slow as those of a deployment; replaced in one step."""
    staging = folder / "users.new"
    lines = [f"{user}:{bcrypt.hashpw(word.encode(), bcrypt.gensalt(COST)).decode()}\n" for user, word in users.items()]
    staging.write_text("".join(lines))
    return staging.replace(folder / "users")


def request(user: str, address: str) -> bytes:
    lines = (
        "GET /simple/ HTTP/1.1",
        "Host: x",
        f"Authorization: {basic(user, 'secret')}",
        f"X-Forwarded-For: {address}",
    )
    return "\r\n".join((*lines, "\r\n")).encode()


def ask(site: Site, user: str, address: str) -> RawAnswer:
    return site.raw(request(user, address))


@contextmanager
def flood(site: Site, addresses: list[str]) -> Iterator[list[socket.socket]]:
    """Requests of users that do not exist, each on a connection of its own; some of them have been refused already."""
    with ExitStack() as stack:
        connections = [stack.enter_context(site.connect()) for _ in range(ATTACKERS)]
        for number, connection in enumerate(connections):
            connection.sendall(request(f"invented{number}", addresses[number % len(addresses)]))
        select.select(connections, [], [])  # the queue is full, and has begun to answer
        yield connections


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Site, Path]]:
    """A server for each test: a flood goes on to fill the queue when its test is over."""
    flags = ("-a", "list,update", "-P", users_file(tmp_path, ann="secret"), "--trusted-proxies", "127.0.0.1")
    with serve(tmp_path, *flags, "--disable-fallback") as site:
        yield site, tmp_path


def test_a_flood_of_invented_users_blocks_no_other_user(site: tuple[Site, Path]) -> None:
    """100 connections from one address: a login from elsewhere that was never seen before is checked and accepted."""
    served, folder = site
    users_file(folder, ann="secret", bob="secret")
    with flood(served, ["192.0.2.66"]) as connections:
        assert ask(served, "bob", "198.51.100.7").status == 200
        answers = [raw_answer(connection) for connection in connections]
    assert {answer.status for answer in answers} in ({401, 503}, {401, 429, 503})
    for answer in answers:
        if answer.status == 503:
            assert (answer.body.decode(), answer.headers["retry-after"]) == (BUSY, "1")


def test_a_flood_from_one_64_is_one_address(site: tuple[Site, Path]) -> None:
    """So it is when each connection has an address of its own within an IPv6 /64."""
    served, folder = site
    users_file(folder, ann="secret", cid="secret")
    with flood(served, [f"2001:db8:0:1::{number:x}" for number in range(1, ATTACKERS + 1)]):
        assert ask(served, "cid", "2001:db8:0:2::1").status == 200


def test_logins_that_were_right_go_on_under_attack_from_everywhere(site: tuple[Site, Path]) -> None:
    """From the attacked address itself, and with all places taken by a hundred networks, although the file has changed
    and every password has to be checked again."""
    served, folder = site
    for addresses in (["203.0.113.5"], [f"10.{number}.0.1" for number in range(ATTACKERS)]):
        users_file(folder, ann="secret")
        assert ask(served, "ann", addresses[0]).status == 200
        users_file(folder, ann="secret", dan="secret")
        with flood(served, addresses):
            assert ask(served, "ann", addresses[0]).status == 200


def test_too_many_failures_of_an_address(site: tuple[Site, Path]) -> None:
    """Guesses with many names, pipelined on one connection: 429, and the sentence says whose failures they are."""
    served, folder = site
    password_file(folder, ann="secret")  # with hashes that are checked in no time
    asked = [request(f"nobody{number // 5}", "192.0.2.99") for number in range(150)]
    asked[-1] = asked[-1].replace(b"Host: x", b"Host: x\r\nConnection: close")
    with served.connect() as connection:
        connection.sendall(b"".join(asked))
        with connection.makefile("rb") as stream:
            answers = stream.read().decode()
    statuses = [int(status) for status in re.findall(r"^HTTP/1.1 (\d+) ", answers, re.M)]
    assert len(statuses) == 150
    assert statuses[:100] == [401] * 100
    assert set(statuses[100:]) <= {401, 429}
    assert re.search(r"Too many failed logins at this address; try again in 1 second\.", answers)
    assert ask(served, "ann", "192.0.2.98").status == 200


# -- a user who was removed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_a_removed_user_is_refused_by_every_worker(tmp_path: Path, server: str) -> None:
    """By the very next request on each of many open connections, to two workers of each of two servers, though all of
    them have just answered the same bytes from the fast path; so is an old password."""
    users = password_file(tmp_path, ann="secret", bob="secret", cid="secret")
    flags = ("-a", "download,list,update", "-P", users, "--workers", 2, "--server", server, "--disable-fallback")
    with serve(tmp_path, *flags) as first, serve(tmp_path, *flags) as second, ExitStack() as stack:
        publish_wheel(first, "one", authorization=basic("ann", "secret"))
        connections = [stack.enter_context(site.connect()) for site in (first, second) for _ in range(12)]

        def statuses(user: str, password: str = "secret") -> list[int]:
            login = basic(user, password)
            found = []
            for path in ("/simple/one/", f"/packages/{wheel_name('one', '1.0')}"):
                for connection in connections:
                    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {login}\r\n\r\n".encode())
                    found.append(raw_answer(connection).status)
            return found

        everywhere = 2 * len(connections)
        for _ in range(2):  # the second time from the fast path
            assert statuses("ann") == statuses("bob") == [200] * everywhere
        password_file(tmp_path, ann="secret", bob="changed")
        assert statuses("bob", "changed") == statuses("ann") == [200] * everywhere
        assert set(statuses("bob")) <= {401, 429}
        assert set(statuses("cid")) <= {401, 429}
        before = users.stat()
        users.write_text(users.read_text().replace("ann:", "eve:"))  # in place, with the old size and time
        os.utime(users, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert set(statuses("ann")) <= {401, 429}
        assert statuses("bob", "changed") == [200] * everywhere


# -- the queue itself -------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans(), st.integers(0, 3)), max_size=30))
def test_the_queue_loses_no_check(asked: list[tuple[int, bool, bool, int]]) -> None:
    """After any cancellation, at any time, the others run, each once, and in the end every place is free again."""
    done: list[int] = []

    def leave(queue: LoginChecks, origin: Origin, proven: bool, _: asyncio.Task[None]) -> None:
        queue.leave(origin, proven=proven)

    async def scenario() -> None:
        queue = LoginChecks(Limits(threads=1, address_pending=64, network_pending=64))
        tasks: list[asyncio.Task[None]] = []
        for number, (network, proven, is_cancelled, steps) in enumerate(asked):
            origin = Origin(f"{network}.{number % 2}", str(network))
            assert queue.enter(origin, proven=proven)
            task = asyncio.create_task(queue.run(partial(done.append, number), origin, proven=proven))
            task.add_done_callback(partial(leave, queue, origin, proven))
            tasks.append(task)
            for _ in range(steps):
                await asyncio.sleep(0)
            if is_cancelled:
                tasks[len(tasks) // 2].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)
        ran = {number for number, result in enumerate(results) if result is None}
        assert ran <= set(done)
        assert len(done) == len(set(done))
        assert len(queue) == 0
        for proven in (True, False):  # every thread and every place is free again
            for origin in {Origin(f"{network}.0", str(network)) for network, *_ in asked}:
                assert all(queue.enter(origin, proven=proven) for _ in range(16))
                await queue.run(list, origin, proven=proven)
                for _ in range(16):
                    queue.leave(origin, proven=proven)
        queue.close()

    asyncio.run(scenario())
