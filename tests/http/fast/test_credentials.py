"""Credentials on the fast path: hostile headers get the application's answer, and what was found out ends in time."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest

from tests.asking import RawAnswer, Site, basic, password_file, publish_wheel, serve
from tests.serving import run_quire, until

CLOSED = ("-a", "list,download,update", "--disable-fallback")
USER, PASSWORD = "ann", "secret-a"
LOGIN = basic(USER, PASSWORD)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index whose grants let every login read."""
    folder = tmp_path_factory.mktemp("credentials")
    with serve(folder, *CLOSED, "-P", password_file(folder, **{USER: PASSWORD})) as site:
        quire(site, "access", "init", "--admin", USER, "-a", "download,list,update")
        publish_wheel(site, "demo", authorization=LOGIN)
        yield site


def quire(site: Site, *words: str) -> str:
    done = run_quire(*words, "-d", site.root, cwd=site.root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def token(site: Site, *words: str) -> tuple[str, str]:
    """A new token that may read: its id and its text."""
    made = json.loads(quire(site, "token", "create", "--right", "read", *words, "--json"))
    return made["id"], made["token"]


def asked(site: Site, target: str, *lines: bytes) -> RawAnswer:
    head = [f"GET {target} HTTP/1.1".encode(), b"Host: index.test", b"Accept: text/html", *lines, b"", b""]
    return site.raw(b"\r\n".join(head))


def answers(site: Site, *lines: bytes) -> set[tuple[int, str | None, bytes]]:
    """The different answers of both paths to the same headers, each asked a few times."""
    found = [asked(site, target, *lines) for target in ("/simple/demo/", "/simple/demo/?parsed") for _ in range(3)]
    return {(each.status, each.headers.get("www-authenticate"), each.body) for each in found}


def encoded(data: bytes) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(data)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ([b"Authorization: Bearer TOKEN"], 200),
        ([b"authorization: bEaReR TOKEN"], 200),
        ([b"Authorization: Bearer  TOKEN"], 200),
        ([b"Authorization:Bearer TOKEN\t "], 200),
        ([b"Authorization: Bearer TOKEN x"], 401),
        ([b"Authorization: Bearer"], 401),
        ([b"Authorization: Bearer "], 401),
        ([b"Authorization: BearerTOKEN"], 401),
        ([b"Authorization: Bearer TOKEN, Basic eDp5"], 401),
        ([b"Authorization: TOKEN"], 401),
        ([b"Authorization: Token TOKEN"], 401),
        ([b"Authorization: Negotiate TOKEN"], 401),
        ([b"Authorization: Digest username=ann"], 401),
        ([b"Authorization:"], 401),
        ([b"Authorization: Basic"], 401),
        ([b"Authorization: Basic ===="], 401),
        ([b"Authorization: Basic !!!!"], 401),
        ([b"Authorization: Basic YW5uOnNlY3JldC1h="], 401),
        ([encoded(b"ann")], 401),
        ([encoded(b":secret-a")], 401),
        ([encoded(b"ann:secret-a")], 200),
        ([encoded(b"ann:secret-a\0")], 401),
        ([encoded(b"an\0n:secret-a")], 401),
        ([encoded(b"__token__:TOKEN")], 401),
        ([encoded(b"\xff\xfe:\xff")], 401),
        ([b"Authorization: Bearer \xff\xfe\x80"], 401),
        ([b"Authorization: Bearer quire_0123456789_" + b"a" * 49], 401),
        ([b"Authorization: Bearer " + b"a" * 7000], 401),
        ([b"Authorization: Basic " + b"QUFB" * 2500], 401),
        ([b"Authorization: Bearer TOKEN"] * 2, 400),
        ([b"Authorization: Bearer TOKEN", b"Authorization: Basic eDp5"], 400),
        ([b"Authorization: Bearer TO\0KEN"], 400),
        ([b"Authorization : Bearer TOKEN"], 400),
        ([b"X-Authorization: Bearer TOKEN"], 401),
        ([b"Proxy-Authorization: Bearer TOKEN"], 401),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_both_paths_answer_alike(site: Site, readable: bytes, form: list[bytes], status: int) -> None:
    """The same status, sentence and challenge before the parser and behind it, however often it is asked."""
    lines = [line.replace(b"TOKEN", readable) for line in form]
    found = answers(site, *lines)
    assert len(found) == 1, found
    assert found.pop()[0] == status


@pytest.fixture(scope="module")
def readable(site: Site) -> bytes:
    return token(site)[1].encode()


def test_a_token_ends_in_time_although_nothing_changes(site: Site) -> None:
    """Its end is a moment, no change of the grants: a decision that was made before stands until then."""
    _, text = token(site, "--expires", "3s")
    line = f"Authorization: Bearer {text}".encode()
    assert [asked(site, "/simple/demo/", line).status for _ in range(3)] == [200] * 3
    until(lambda: asked(site, "/simple/demo/", line).status == 401)
    assert b"expired" in asked(site, "/simple/demo/", line).body


def test_a_secret_that_was_replaced_ends_with_its_grace(site: Site) -> None:
    """The new one goes on, the old one is told that it was replaced."""
    identity, old = token(site)
    new = json.loads(quire(site, "token", "rotate", identity, "--grace", "3s", "--json"))["token"]
    lines = [f"Authorization: Bearer {text}".encode() for text in (old, new)]
    assert [asked(site, "/simple/demo/", line).status for line in lines * 2] == [200] * 4
    until(lambda: asked(site, "/simple/demo/", lines[0]).status == 401)
    assert b"replaced" in asked(site, "/simple/demo/", lines[0]).body
    assert asked(site, "/simple/demo/", lines[1]).status == 200
