"""Attacks on logins with a password and on their sessions: changed and planted cookies, secrets in addresses."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.asking import Site, password_file, serve
from tests.http.ui.test_account import ACCOUNT, LOGIN, field, log_in
from tests.serving import DEADLINE, run_quire
from tests.web_pages import BROWSER

USERS: Final = {"ann": "secret of ann", "mallory": "secret of mallory"}
FLAGS: Final = ("-v", "-a", "list,download,update", "-P", "users")
SESSION: Final = "quire_session"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("attacked")
    password_file(folder, **USERS)
    with serve(folder, *FLAGS) as site:
        yield site


def browser(site: Site, **headers: str) -> httpx.Client:
    return httpx.Client(
        base_url=site.client.base_url, headers={"accept": BROWSER, **headers}, timeout=DEADLINE, follow_redirects=True
    )


def session_of(site: Site, user: str) -> str:
    """The cookie of a new login."""
    with browser(site) as client:
        log_in(client, user, USERS[user])
        return client.cookies[SESSION]


def seen(site: Site, cookie: bytes | None) -> tuple[int, str | None, bool]:
    """The answer to a request for the account with these bytes as its cookie."""
    headers = [(b"accept", BROWSER.encode()), *([] if cookie is None else [(b"cookie", cookie)])]
    answer = site.client.get(ACCOUNT, headers=headers)
    assert answer.status_code < 500, answer.text
    return answer.status_code, answer.headers.get("location"), 'id="user"' in answer.text


def test_a_cookie_that_was_changed_is_none(site: Site) -> None:
    """In any place and in any way: the request is one without a login."""
    text = session_of(site, "mallory")
    body, _, digest = text.partition(".")
    content = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    ann = base64.urlsafe_b64encode(content.replace(b"mallory", b"ann")).rstrip(b"=").decode()
    later = base64.urlsafe_b64encode(re.sub(rb'"e":\d+', b'"e":99999999999', content)).rstrip(b"=").decode()
    assert ann != body != later
    nobody = seen(site, None)
    assert nobody[2] is False
    assert seen(site, f"{SESSION}={text}".encode()) == (200, None, True)
    changed = [
        *(f"{text[:at]}{'A' if text[at] != 'A' else 'B'}{text[at + 1 :]}" for at in range(0, len(text) - 1, 7)),
        *(text[:at] for at in (0, 1, len(body), len(body) + 1, len(text) - 1)),
        *(f"{ann}.{digest}", f"{later}.{digest}", f"{body}.", f".{digest}", f"{digest}.{body}", body + digest),
        *(f"{text}=", f"{text}.", f" {text}x", f"{text}A", f"{text}{text}", text.swapcase(), text[::-1]),
        *("null", "{}", "e30.", "a" * 3801, "a" * 6000, "%00", "..", "\u20ac.\u20ac", '"', "\\"),
    ]
    for value in changed:
        assert seen(site, f"{SESSION}={value}".encode()) == nobody, value
    for name in ("quire_login", "quire_form", "__Host-quire_session", "QUIRE_SESSION", "quire_session2"):
        assert seen(site, f"{name}={text}".encode()) == nobody, name
    for raw in (b"\xff\xfe", b"quire_session", b";" * 3000, b"=" * 3000, b"quire_session=\x80" + text.encode()):
        assert seen(site, raw) == nobody, raw


def test_a_session_of_another_index_counts_for_nothing(site: Site, tmp_path: Path) -> None:
    """Each store has a key of its own."""
    password_file(tmp_path, **USERS)
    with serve(tmp_path, *FLAGS) as other:
        foreign = session_of(other, "ann")
    session_of(site, "ann")
    assert seen(site, f"{SESSION}={foreign}".encode()) == seen(site, None)


def test_a_login_takes_nothing_that_was_there_before(site: Site) -> None:
    """Session fixation: with the cookies of the attacker in the browser, the login makes a session and tokens of forms
    that the attacker does not know."""
    planted = session_of(site, "mallory")
    with browser(site) as attacker:
        known = field(attacker.get(LOGIN), "token")
        form_cookie = attacker.cookies["quire_form"]
    with browser(site) as victim:
        victim.cookies.set(SESSION, planted)
        victim.cookies.set("quire_form", form_cookie)
        assert 'id="user">mallory<' in victim.get(ACCOUNT).text
        victim.cookies.delete(SESSION)
        victim.cookies.set(SESSION, planted)
        log_in(victim, "ann", USERS["ann"])
        own = [each.value for each in victim.cookies.jar if each.name == SESSION and each.value != planted]
        (text,) = own
        page = victim.get(ACCOUNT, headers={"cookie": f"{SESSION}={text}"})
        assert 'id="user">ann<' in page.text
        assert field(page, "token") != known
    assert 'id="user">mallory<' in site.client.get(ACCOUNT, headers={"cookie": f"{SESSION}={planted}"}).text
    assert session_of(site, "ann") != text


def test_a_secret_in_an_address_is_no_login(site: Site) -> None:
    """Addresses are in logs, histories and Referer lines, so neither a token nor a password counts there."""
    done = run_quire("token", "create", "--right", "read", "--json", "-d", site.root, cwd=site.root)
    assert done.returncode == 0, done.stderr
    found = re.search(r"quire_[0-9a-z]{10}_[0-9A-Za-z]{49}", done.stdout)
    assert found is not None
    for path in ("/simple/", "/packages/", "/-/api/v1/tokens", "/project/x/"):
        for name in ("token", "access_token", "password", "session", SESSION, "authorization", "key"):
            for value in (found[0], f"Bearer {found[0]}", USERS["ann"]):
                assert site.client.get(path, params={name: value, "user": "ann"}).status_code == 401, path
    with browser(site) as client:
        answer = client.get(LOGIN, params={"user": "ann", "password": USERS["ann"]})
        assert (answer.status_code, client.cookies.get(SESSION)) == (200, None)
        assert "secret" not in answer.text


def test_a_refusal_does_not_tell_which_users_there_are(site: Site) -> None:
    """The page is the same but for the name that was typed."""
    pages = []
    with browser(site) as client:
        for user in ("ann", "xyz", "root"):
            page = log_in(client, user, "a guess")
            assert page.status_code == 401
            pages.append(page.text.replace(f'value="{user}"', 'value="USER"'))
    assert len(set(pages)) == 1


def test_guessing_is_throttled_whatever_a_client_says_of_its_address(tmp_path: Path) -> None:
    """Headers of a client that is no trusted proxy change nothing; another user is not held up."""
    password_file(tmp_path, **USERS)
    with serve(tmp_path, *FLAGS) as site:
        statuses = set()
        for number in range(40):
            forged = dict.fromkeys(("x-forwarded-for", "x-real-ip", "true-client-ip"), f"192.0.2.{number}")
            forged["forwarded"] = f"for=192.0.2.{number}"
            with browser(site, **forged) as client:
                statuses.add(log_in(client, "ann", f"guess {number}").status_code)
        assert statuses == {401, 429}
        with browser(site) as client:
            assert log_in(client, "ann", USERS["ann"]).status_code == 429, "the right one does not get through either"
            assert log_in(client, "mallory", USERS["mallory"]).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        *("/\\evil.example", "\\\\evil.example", "/\t/evil.example", "\t//evil.example", " //evil.example"),
        *("///evil.example", "/./\\evil.example", "/.//evil.example", "https:evil.example", "http:/evil.example"),
        *("/%0d%0aLocation:%20//evil.example/\r\n", "/\r\nX: y", "/\u2028/evil", "//evil.example@127.0.0.1/"),
        *("/%2e%2e//evil.example", "/..;/x", "?next=//evil.example", "#//evil.example", "/\0", "/" + "a" * 2000),
        *("javascript:alert(1)", "data:text/html,x", "evil.example", "/-/login\\..\\..", "/\u202e"),
    ],
)
def test_no_spelling_leads_to_another_site(site: Site, target: str) -> None:
    """After a login the browser stays here: refused, or an address of this index."""
    with browser(site) as client:
        page = client.get(LOGIN, params={"next": target})
        if page.status_code == 400:
            form = {"token": field(client.get(LOGIN), "token"), "next": target}
        else:
            form = {"token": field(page, "token"), "next": field(page, "next")}
        form |= {"user": "ann", "password": USERS["ann"]}
        answer = client.post(LOGIN, data=form, follow_redirects=False)
        if answer.status_code != 400:
            where = answer.headers["location"]
            assert answer.status_code == 303
            assert re.fullmatch(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*", where)
            assert client.base_url.join(where).host == client.base_url.host
