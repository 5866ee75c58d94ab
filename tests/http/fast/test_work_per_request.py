"""The cost of one request, as counts of work: no machine is too busy or too slow for these.

The limits are a little above what is true now. A change that makes a request dearer on purpose raises them, and says
why. The counting itself is `benchmarks.regress`, which prints the same numbers and judges nothing.

System calls are counted by strace. Where it is not installed, or may not watch other processes, there is nothing to
count, and these tests are skipped; with TESTS_MUST_COUNT in the environment (as in .ci/run) they fail instead.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest
from benchmarks import regress
from benchmarks.processes import Unavailable

pytestmark = pytest.mark.xdist_group("work per request")

# What the store and the socket take: three looks at directories among them, one of them for grants and tokens. One is
# uvloop's, to call back in a turn. A page for people looks at the list of projects as well.
SYSTEM_CALLS = {"page": 7, "page, gzip": 7, "304": 7, "list": 7, "page for people": 9}
UPLOAD = {"fsync": 7, "link": 2, "unlink": 2, "openat": 11.5, "getdents64": 6.2, "all": 88}
"""Three files, the folders that name them, and a project's folders once in ten uploads: each made to last, once. A
folder is listed once more where a clock tick falls between two looks, which a busy machine makes likelier, and where
uploads follow each other faster than a tick, as on a fast machine."""
# (Python functions, C functions, bytecode instructions); other versions of Python have other instructions, within this.
# A third of it is the turn and the look for grants (8, 7, 220), which requests share under load, and this one has for
# itself.
PYTHON = {
    "page": (62, 51, 1630),
    "page, gzip": (62, 51, 1630),
    "304": (64, 55, 1675),
    "list": (64, 48, 1565),
    "page for people": (84, 70, 2140),
}
LOGIN = (8, 8, 235)
"""The additional work for a known password."""
LOG = (26, 24, 750)
"""The additional work for an access log. Two thirds of it are for all lines of a millisecond together, and this request
has the millisecond for itself."""
RIGHTS = {"password": (6, 8, 220), "token": (4, 7, 165)}
"""The additional work for a known password, and for a token, where grants decide."""
PYTHON_OF_AN_UPLOAD = (1300, 1400, 34200)
"""Of a wheel with four files, into a project of up to ten; 7 of the calls ask whether its projects have owners, 10
whether there are quotas, and some for the definition of the index, what is pending of promotions, and the names that
publishing sessions reserve; 2 count the requests that are under way, 5 find the decoders
of types. Python 3.14 makes some more calls of C functions."""
MUST_COUNT = "TESTS_MUST_COUNT"


def cannot_count(why: Unavailable) -> NoReturn:
    """Skip this test, or fail it where a skip would go unnoticed."""
    if os.environ.get(MUST_COUNT):
        pytest.fail(
            f"{MUST_COUNT} is set, but system calls cannot be counted here: {why}. Install strace and allow ptrace "
            "(in a container: --cap-add SYS_PTRACE), or unset the variable to skip what counts them."
        )
    pytest.skip(str(why))


def test_system_calls_of_a_request(tmp_path: Path) -> None:
    """A page that is known costs a few system calls: its directory is looked at, nothing is listed and nothing read."""
    with regress.worker(tmp_path) as (running, port):
        for what, question in regress.questions(port).items():
            try:
                counts = regress.page_calls(running, port, question)
            except Unavailable as unavailable:
                cannot_count(unavailable)
            assert counts["all"] <= SYSTEM_CALLS[what], (what, counts)
            assert counts.get("getdents64", 0) < 0.1, (what, counts)


def test_system_calls_of_an_upload(tmp_path: Path) -> None:
    """An upload makes its three files and their names durable, and syncs nothing else.

    The least of three measurements counts: a busy machine only ever adds looks at folders.
    """
    least: dict[str, float] = {}
    for turn in range(3):
        (tmp_path / str(turn)).mkdir()
        with regress.worker(tmp_path / str(turn)) as (running, port):
            try:
                counts = regress.upload_calls(running, port)
            except Unavailable as unavailable:
                cannot_count(unavailable)
        least = {name: min(counts[name], least.get(name, counts[name])) for name in UPLOAD}
        if all(least[name] <= most for name, most in UPLOAD.items()):
            return
    for name, most in UPLOAD.items():
        assert least[name] <= most, (name, least)


@pytest.mark.parametrize(
    ("protected", "logged", "more"),
    [(False, False, (0, 0, 0)), (True, False, LOGIN), (False, True, LOG)],
    ids=["open", "with a login", "with an access log"],
)
def test_python_of_a_request(tmp_path: Path, protected: bool, logged: bool, more: tuple[int, int, int]) -> None:
    """The interpreter calls few functions for a page that is known, and the same few each time; a login adds few, and
    so does an access log."""
    counter = tmp_path / "counter"
    with regress.worker(tmp_path, protected=protected, logged=logged, counting=counter) as (_, port):
        for what, question in regress.questions(port, protected=protected).items():
            work = regress.python_work(port, counter, question)
            calls, c_calls, instructions = (limit + extra for limit, extra in zip(PYTHON[what], more, strict=True))
            assert 0 < work.calls <= calls, (what, work)
            assert 0 < work.c_calls <= c_calls, (what, work)
            assert 0 < work.instructions <= instructions, (what, work)


@pytest.mark.parametrize("credentials", list(RIGHTS))
def test_python_of_a_request_by_rights(tmp_path: Path, credentials: str) -> None:
    """Where grants decide, a password or a token adds few steps: the decision is found once for each state of them."""
    counter = tmp_path / "counter"
    text = regress.give_rights(tmp_path)
    with regress.worker(tmp_path, protected=True, counting=counter) as (_, port):
        asked = regress.questions(
            port, protected=credentials == "password", token=text if credentials == "token" else ""
        )
        for what, question in asked.items():
            work = regress.python_work(port, counter, question)
            most = [limit + extra for limit, extra in zip(PYTHON[what], RIGHTS[credentials], strict=True)]
            found = work.calls, work.c_calls, work.instructions
            assert all(0 < each <= limit for each, limit in zip(found, most, strict=True)), (what, work, most)


def test_system_calls_of_a_request_by_rights(tmp_path: Path) -> None:
    """The grants are validated by one look at their directory, whatever they are."""
    text = regress.give_rights(tmp_path)
    with regress.worker(tmp_path, protected=True) as (running, port):
        for what, question in regress.questions(port, token=text).items():
            try:
                counts = regress.page_calls(running, port, question)
            except Unavailable as unavailable:
                cannot_count(unavailable)
            assert counts["all"] <= SYSTEM_CALLS[what] + 0.2, (what, counts)
            assert counts.get("getdents64", 0) < 0.1, (what, counts)


def test_python_of_an_upload(tmp_path: Path) -> None:
    """Form, archive, record and answer take a bounded number of steps, in whatever thread."""
    counter = tmp_path / "counter"
    with regress.worker(tmp_path, counting=counter) as (_, port):
        work = regress.upload_work(port, counter)
    calls, c_calls, instructions = PYTHON_OF_AN_UPLOAD
    assert 0 < work.calls <= calls, work
    assert 0 < work.c_calls <= c_calls, work
    assert 0 < work.instructions <= instructions, work


@pytest.mark.parametrize(("value", "outcome"), [(None, pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_required_counting_fails_where_it_is_impossible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None, outcome: type[BaseException]
) -> None:
    """Without strace the counting of system calls is skipped, or fails with a sentence that says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if value is None:
        monkeypatch.delenv(MUST_COUNT, raising=False)
    else:
        monkeypatch.setenv(MUST_COUNT, value)
    with regress.worker(tmp_path) as (running, _), pytest.raises(Unavailable) as found:
        regress.system_calls(running, lambda: None, 1)
    with pytest.raises(outcome, match="strace is not installed"):
        cannot_count(found.value)
