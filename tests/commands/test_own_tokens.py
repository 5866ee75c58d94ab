"""`quire token --own`: a user makes, lists and revokes its own tokens on a server, without an administrator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.asking import Site, basic, password_file, post, serve, twine_form
from tests.commands.test_remote import run
from tests.distributions import make_wheel, wheel_name
from tests.serving import run_quire


@dataclass
class Users:
    """A server, and its users."""

    site: Site

    def of(self, user: str, *words: str, password: str = "secret") -> tuple[int, str, str]:
        """Exit code, output and errors of a command with the password of a user."""
        return run("--url", self.site.base.replace("http://", f"http://{user}:{password}@"), *words)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Users]:
    """Ann may upload, bob read, root administer."""
    folder = tmp_path_factory.mktemp("own")
    file = password_file(folder, ann="secret", bob="secret", root="secret")
    with serve(folder, "-a", "list,download,update", "-P", file, "--disable-fallback", "--workers", 2) as site:
        for words in (
            ("access", "init", "--admin", "root", "-a", "list,download,update"),
            ("grant", "user:ann", "read,upload"),
            ("grant", "user:bob", "read"),
        ):
            done = run_quire(*words, "-d", site.root, cwd=folder)
            assert done.returncode == 0, done.stderr
        for line in run_quire("grants", "-d", site.root, cwd=folder).stdout.splitlines():
            if "authenticated" in line:
                run_quire("revoke", line.split()[0], "-d", site.root, cwd=folder)
        yield Users(site)


def test_a_user_makes_and_revokes_a_token(users: Users) -> None:
    """It counts at once for what its user may do; its text was never on the network; no other user sees it."""
    words = ("--right", "read,upload", "--project", "acme-*", "--expires", "30d", "--note", "laptop")
    code, out, err = users.of("ann", "token", "create", "--own", *words)
    assert code == 0, err
    text = out.strip()
    identity = text.split("_")[1]
    assert f"The token {identity} may read every index and upload acme-* on every index for the user ann" in err
    form = twine_form(wheel_name("acme", "1.0"), make_wheel("acme", "1.0"), name="acme", version="1.0")
    assert post(users.site, form, authorization=basic("__token__", text)).status_code == 403
    form = twine_form(wheel_name("acme-a", "1.0"), make_wheel("acme-a", "1.0"), name="acme-a", version="1.0")
    assert post(users.site, form, authorization=basic("__token__", text)).status_code == 200
    listed = json.loads(users.of("ann", "token", "list", "--own", "--json")[1])["tokens"]
    assert [(each["id"], each["note"], each["user"]) for each in listed] == [(identity, "laptop", "ann")]
    assert "There are no valid tokens." in users.of("bob", "token", "list", "--own")[1]
    code, _, err = users.of("bob", "token", "revoke", "--own", identity)
    assert (code, f"You have no token '{identity}'." in err) == (1, True)
    assert users.of("ann", "token", "revoke", "--own", identity)[1] == (
        "Revoked 1 token: no further request is served by it.\n"
    )
    assert post(users.site, form, authorization=basic("__token__", text)).status_code == 401
    assert "There are no valid tokens." in users.of("ann", "token", "list", "--own")[1]
    assert identity in users.of("ann", "token", "list", "--own", "--all")[1]
    assert text not in users.site.served.output()


@pytest.mark.parametrize(
    ("user", "words", "sentence"),
    [
        ("bob", ("--right", "upload"), "A token has no right that its user has not."),
        ("root", ("--right", "admin"), "Only administrators make tokens with the right admin"),
        ("ann", ("--right", "read", "--expires", "never"), "expires within a year; give --expires 365d or less."),
        ("ann", ("--right", "read", "--expires", "400d"), "expires within a year; give --expires 365d or less."),
        ("ann", ("--right", "nothing"), "nothing"),
        ("ann", (), "right"),
        ("ann", ("--right", "read", "--rate", "1/s"), "--rate is for administrators"),
        ("ann", ("--right", "read", "--user", "bob"), "--user is for administrators"),
        ("ann", ("--admin",), "--admin is for administrators"),
    ],
)
def test_a_token_that_a_user_may_not_make(user: str, words: tuple[str, ...], sentence: str, users: Users) -> None:
    """Each refusal is a sentence."""
    code, out, err = users.of(user, "token", "create", "--own", *words)
    assert code != 0
    assert out == ""
    assert sentence in err
    assert "There are no" in users.of(user, "token", "list", "--own")[1]


def test_a_login_is_needed(users: Users) -> None:
    """With the right password; a token makes no other ones; and the store itself has no user that logs in."""
    code, _, err = users.of("ann", "token", "create", "--own", "--right", "read", password="wrong")
    assert (code, "wrong" in err) == (1, True)
    made = users.of("ann", "token", "create", "--own", "--right", "read", "--expires", "1d")[1].strip()
    code, _, err = users.of("__token__", "token", "create", "--own", "--right", "read", password=made)
    assert (code, "A token makes no other tokens" in err) == (1, True)
    identity = made.split("_")[1]
    assert identity in users.of("__token__", "token", "list", "--own", password=made)[1]
    assert users.of("__token__", "token", "revoke", "--own", identity, password=made)[0] == 0
    code, _, err = run("token", "list", "--own", "-d", str(users.site.root))
    assert (code, err) == (2, "quire: error: --own is for the user of a server: give its --url.\n")
