"""Logins over HTTP: which action needs one, and what a client is told."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asking import Site, basic, multipart, password_file, post, publish, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name

ANN = ("ann", "secret")
LOGIN = basic("ann", "secret")
ACTIONS = ("download", "list", "update")
CHALLENGE = 'Basic realm="pypi", charset="UTF-8"'


def _requests(site: Site, filename: str) -> dict[str, list[tuple[str, str]]]:
    """(method, path) of requests by the action that they are."""
    return {
        "list": [
            *(("GET", path) for path in ("/simple/", "/simple", "/simple/one/", "/simple/One/", "/simple/one")),
            *(("GET", path) for path in ("/simple/not-there/", "/packages/", "/packages", "/one/json")),
            *(("GET", path) for path in ("/pypi/one/json", "/pypi/one/1.0/json", "/pypi/One/json")),
            *(("POST", path) for path in ("/RPC2", "/pypi")),
        ],
        "download": [
            ("GET", f"/packages/{filename}"),
            ("GET", f"/packages/{filename}.metadata"),
            ("GET", "/packages/x.whl"),
        ],
        "update": [
            ("POST", path) for path in ("/", "/legacy/", "/simple/", "/simple", "/upload", "/packages/", "/pypi/")
        ],
        "": [("GET", path) for path in ("/", "/health", "/favicon.ico", "/one", "/one/")],
    }


@pytest.fixture(
    scope="module",
    params=[(), ("download",), ("list",), ("update",), ACTIONS],
    ids=lambda actions: ",".join(actions) or ".",
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, tuple[str, ...]]]:
    """An index with the project `one`, and the actions that need a login there."""
    actions: tuple[str, ...] = request.param
    folder = tmp_path_factory.mktemp("auth")
    users = password_file(folder, ann="secret", jürgen="pä ss:wort")
    flags = ["--disable-fallback"] if "update" in actions else ["--disable-fallback", "--anonymous-uploads"]
    with serve(folder, "-a", ",".join(actions) or ".", "-P", users if actions else ".", *flags) as site:
        publish_wheel(site, "one", authorization=LOGIN)
        yield site, actions


def test_matrix(site: tuple[Site, tuple[str, ...]]) -> None:
    """Without a login exactly the named actions are refused, with a challenge; with one nothing is."""
    served, actions = site
    for action, requests in _requests(served, wheel_name("one", "1.0")).items():
        for method, path in requests:
            stranger = served.client.request(method, path)
            known = served.client.request(method, path, auth=ANN)
            if action in actions:
                assert stranger.status_code == 401, (action, path)
                assert stranger.headers["www-authenticate"] == CHALLENGE
                assert stranger.text == f"To {action} needs a login; give a user name and a password.\n"
            else:
                assert stranger.status_code == known.status_code, (action, path)
            assert known.status_code not in {401, 403, 429}, (action, path)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index where everything needs a login; its users file is `<folder>/users`."""
    folder = tmp_path_factory.mktemp("closed")
    users = password_file(folder, ann="secret", jürgen="pä ss:wort")
    with serve(folder, "-a", "download,list,update", "-P", users, "--disable-fallback") as site:
        yield site


@pytest.mark.parametrize(
    "credentials",
    [
        b"ann:wrong",
        b"ann:",
        b"nobody:secret",
        b"Ann:secret",
        b"ann:secret ",
        b"ann\0:secret",
        b"no colon",
        b":",
        b"ann:secret\0",
    ],
)
def test_wrong_credentials(closed: Site, credentials: bytes) -> None:
    """401 with a challenge, so that the client asks again; it is not told whether the user exists."""
    answer = closed.get("/simple/", authorization=f"Basic {b64encode(credentials).decode()}")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == CHALLENGE
    assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize(
    "header", ["Bearer x", "Basic", "Basic !!!", "Digest username=ann", "Basic " + "A" * 20_000, "x" * 9000]
)
def test_headers_that_are_no_login(closed: Site, header: str) -> None:
    """Other schemes, garbage and kilobytes of it are as good as none."""
    assert closed.get("/simple/", authorization=header).status_code == 401


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_passwords_beyond_ascii(closed: Site, charset: str) -> None:
    """In UTF-8, and in the Latin-1 that older clients send."""
    token = b64encode("jürgen:pä ss:wort".encode(charset)).decode()
    assert closed.get("/simple/", authorization=f"Basic {token}").status_code == 200


def test_the_uploader_is_recorded(closed: Site) -> None:
    """The record keeps the uploader of a file."""
    filename = publish_wheel(closed, "recorded", authorization=LOGIN)
    project = closed.index().project("recorded")
    assert project is not None
    assert project.files[filename].uploader == "ann"


def test_an_upload_without_login_gets_its_sentence(closed: Site) -> None:
    """Also when the client sends all of a big file before it looks."""
    content = make_wheel("late", "1.0", files={"data": os.urandom(8_000_000)})
    answer = publish(closed, wheel_name("late", "1.0"), content, name="late", version="1.0")
    assert answer.status_code == 401
    assert closed.staged() == []


def test_changes_of_the_file_count_at_once(tmp_path: Path) -> None:
    """A new user, a new password, a removed user: at the very next request. A broken file leaves the last good one."""
    users = password_file(tmp_path, ann="secret")
    with serve(tmp_path, "-a", "list,update", "-P", users) as site:

        def status(user: str, password: str) -> int:
            return site.client.get("/simple/", auth=(user, password)).status_code

        assert (status("ann", "secret"), status("bob", "other")) == (200, 401)
        password_file(tmp_path, ann="secret", bob="other")
        assert (status("ann", "secret"), status("bob", "other")) == (200, 200)
        password_file(tmp_path, ann="changed", bob="other")
        assert (status("ann", "secret"), status("ann", "changed")) == (401, 200)
        users.write_text("ann:$2b$04$broken\n")
        assert status("ann", "changed") == 200
        password_file(tmp_path, bob="other")
        assert (status("ann", "changed"), status("bob", "other")) == (401, 200)


def test_guessing_is_throttled(tmp_path: Path) -> None:
    """429 with Retry-After for that user at that address; the others, and what needs no login, are not affected."""
    users = password_file(tmp_path, ann="secret", bob="other")
    with serve(tmp_path, "-a", "list,update", "-P", users, "--trusted-proxies", "127.0.0.1") as site:

        def ask(user: str, password: str, address: str) -> int:
            site.client.headers["x-forwarded-for"] = address
            answer = site.client.get("/simple/", auth=(user, password))
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.text.startswith("Too many failed logins of this user at this address; try again in")
            return answer.status_code

        answers = [ask("ann", f"guess {number}", "192.0.2.1") for number in range(15)]
        assert set(answers[:10]) == {401}
        assert answers[-1] == 429
        assert ask("ann", "secret", "192.0.2.1") == 429
        assert ask("ann", "secret", "192.0.2.2") == 200
        assert ask("bob", "other", "192.0.2.1") == 200
        assert site.get("/").status_code == site.get("/health").status_code == 200


def test_without_a_password_file_no_login_succeeds(tmp_path: Path) -> None:
    """pypiserver's default: uploads need a login that no user has; everything else is open."""
    with serve(tmp_path) as site:
        answer = post(site, [(":action", "submit")], authorization="Basic YW5uOnNlY3JldA==")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, CHALLENGE)
        assert site.get("/simple/").status_code == 200


def test_secrets_stay_out_of_the_log(tmp_path: Path) -> None:
    """Neither a password nor its header is in what `-vv` logs, not even with the format that logs everything."""
    users = password_file(tmp_path, ann="hunter2")
    with serve(tmp_path, "-a", "list,update", "-P", users, "-vv", "--log-req-frmt", "asked %s") as site:
        body = multipart([(":action", "submit")])
        for answer in (
            site.get("/simple/", authorization=basic("ann", "hunter2")),
            site.client.post("/", content=body, auth=("ann", "hunter2"), headers={"content-type": "text/plain"}),
            site.client.get("/simple/", auth=("ann", "wrong-hunter2")),
        ):
            assert answer.status_code in {200, 400, 401}
    output = site.served.output()
    assert "asked {" in output
    assert "/simple/" in output
    assert "hunter2" not in output
    assert basic("ann", "hunter2").split()[1] not in output
