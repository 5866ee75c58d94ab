"""The login of the web interface at an OpenID provider, through real servers: the users that it lets in, the rights of
a session, and its end.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.asking import Site, basic, password_file, publish, serve
from tests.distributions import make_wheel, wheel_name
from tests.http.login.openid import CLIENT, METADATA, SECRET, Provider, provider, query_of
from tests.serving import DEADLINE, run_quire

HTML = {"accept": "text/html"}
ACCOUNT, LOGIN = "/-/account/", "/-/login/provider"


def flags_of(found: Provider, *more: object) -> tuple[object, ...]:
    return (
        *("-v", "-a", "list,download,update", "--disable-fallback", "--trusted-proxies", "127.0.0.3"),
        *("--oidc-issuer", found.url, "--oidc-client-id", CLIENT, *more),
    )


@pytest.fixture(scope="module")
def running_provider() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
def idp(running_provider: Provider) -> Provider:
    running_provider.reset()
    return running_provider


@pytest.fixture(scope="module")
def site(running_provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index of two workers with a login page, where the group tools may do everything."""
    folder = tmp_path_factory.mktemp("sessions")
    flags = flags_of(running_provider, "-P", password_file(folder, root="secret-r"), "--workers", 2)
    with serve(folder, *flags, QUIRE_OIDC_CLIENT_SECRET=SECRET) as site:
        command(site, "access", "init", "--admin", "root", "-a", "list,download,update")
        for line in command(site, "grants").splitlines():
            if "authenticated" in line:
                command(site, "revoke", line.split()[0])
        command(site, "grant", "group:tools", "admin")
        content = make_wheel("acme", "1.0")
        root = {"authorization": basic("root", "secret-r")}
        assert publish(site, wheel_name("acme", "1.0"), content, name="acme", version="1.0", **root).status_code == 200
        yield site


def command(site: Site, *words: str) -> str:
    done = run_quire(*words, "-d", site.root, cwd=site.root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def browser(site: Site, **headers: str) -> httpx.Client:
    """A client with cookies of its own, which follows redirects; each request may meet another worker."""
    return httpx.Client(
        base_url=site.client.base_url,
        headers={"connection": "close", **headers},
        timeout=DEADLINE,
        follow_redirects=True,
    )


@contextmanager
def logged_in(site: Site) -> Iterator[httpx.Client]:
    """A browser of the user that the provider logs in now."""
    with browser(site) as client:
        page = client.get(LOGIN)
        assert page.status_code == 200, page.text
        yield client


def begun(client: httpx.Client) -> dict[str, str]:
    """The parameters of the request to the provider for a login that has begun; the client keeps its cookie."""
    answer = client.get(LOGIN, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return query_of(answer.headers["location"])


def at_provider(client: httpx.Client) -> str:
    """The address to which the provider sends the browser back."""
    asked = client.get(LOGIN, follow_redirects=False).headers["location"]
    return client.get(asked, follow_redirects=False).headers["location"]


def test_a_login(site: Site, idp: Provider) -> None:
    """It leads through the provider to the account's page, and its cookies are for this site and no script."""
    with browser(site) as client:
        out = client.get(LOGIN, follow_redirects=False)
        asked = query_of(out.headers["location"])
        assert asked["code_challenge_method"] == "S256"
        assert asked["response_type"] == "code"
        assert set(asked["scope"].split()) == {"openid", "profile", "email"}
        assert asked["redirect_uri"] == f"{site.base}-/login/callback"
        page = client.get(LOGIN)
        assert (page.status_code, page.url.path) == (200, ACCOUNT)
        assert 'id="user">ann@acme.example<' in page.text
        assert 'id="groups">tools<' in page.text
        assert page.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert f'href="{ACCOUNT}"' in client.get("/").text
    assert re.search(r"logged in.*ann@acme\.example", site.served.output())
    for line in out.headers.get_list("set-cookie"):
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(line.split("; "))
    assert SECRET not in site.served.output()


def test_cookies_of_https(running_provider: Provider, tmp_path: Path) -> None:
    """Behind a proxy with TLS they are never sent without it, and no page of another host can set them."""
    flags = flags_of(running_provider, "--server-base-url", "/pypi", "--session-seconds", "60", "--body-timeout", "1")
    flags = tuple("127.0.0.1" if each == "127.0.0.3" else each for each in flags)
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    running_provider.reset()
    with serve(tmp_path, *flags, "--oidc-client-secret-file", secret) as site, browser(site) as client:
        headers = {"x-forwarded-proto": "https", "host": "index.example"}
        out = client.get("/-/login/provider?next=/pypi/packages/", headers=headers, follow_redirects=False)
        assert query_of(out.headers["location"])["redirect_uri"] == "https://index.example/pypi/-/login/callback"
        (kept,) = out.headers.get_list("set-cookie")
        assert kept.startswith("__Host-quire_login=")
        assert "Secure" in kept.split("; ")
        back = client.get(out.headers["location"], follow_redirects=False).headers["location"]
        cookie = {"cookie": kept.partition(";")[0]}
        secret.unlink()
        unread = client.get(
            f"/-/login/callback?{back.partition('?')[2]}", headers={**headers, **cookie}, follow_redirects=False
        )
        assert (unread.status_code, "cannot be read (--oidc-client-secret-file)" in unread.text) == (503, True)
        secret.write_text(f"{SECRET}\n")
        into = client.get(
            f"/-/login/callback?{back.partition('?')[2]}", headers={**headers, **cookie}, follow_redirects=False
        )
        assert into.status_code == 303, into.text
        assert into.headers["location"] == "/pypi/packages/"
        session, cleared = into.headers.get_list("set-cookie")
        assert session.startswith("__Host-quire_session=")
        assert {"Secure", "HttpOnly", "SameSite=lax", "Max-Age=60"} <= set(session.split("; "))
        assert "Max-Age=0" in cleared.split("; ")
        assert b" 408 " in cut_short(site, "/pypi/-/logout", session.partition(";")[0])


def cut_short(site: Site, path: str, cookie: str) -> bytes:
    """The answer to a form whose end never arrives."""
    address = urlsplit(site.base)
    with socket.create_connection((address.hostname, address.port), timeout=DEADLINE) as connection:
        lines = f"POST {path} HTTP/1.1", "Host: index.example", "X-Forwarded-Proto: https", f"Cookie: {cookie}"
        form = "Content-Type: application/x-www-form-urlencoded", "Content-Length: 100", "", "token="
        connection.sendall("\r\n".join([*lines, *form]).encode())
        return connection.recv(4096)


def test_a_session_is_for_pages_of_people(site: Site, idp: Provider) -> None:
    """It opens the list of files. It is no login for installers, programs, downloads, uploads or metrics."""
    with logged_in(site) as client:
        files = client.get("/packages/")
        assert files.status_code == 200
        download = re.search(r'href="([^"]+\.whl)', files.text)
        assert download is not None
        for path in (
            "/simple/",
            "/simple/acme/",
            "/pypi/acme/json",
            f"/packages/{download[1]}",
            "/metrics",
            "/openapi.json",
        ):
            assert client.get(path, headers=HTML).status_code == 401, path
        content = make_wheel("acme", "2.0")
        form = {":action": "file_upload", "name": "acme", "version": "2.0", "filetype": "bdist_wheel"}
        upload = client.post("/", data=form, files={"content": (wheel_name("acme", "2.0"), content)})
        assert upload.status_code == 401
        assert client.post("/", data={":action": "remove_pkg", "name": "acme", "version": "1.0"}).status_code == 401


def test_a_browser_is_sent_to_the_login(site: Site, idp: Provider) -> None:
    """And comes back to the page that it asked for; a program gets 401 and its challenge."""
    with browser(site) as client:
        asked = client.get("/packages/?x=1", headers=HTML, follow_redirects=False)
        assert (asked.status_code, asked.headers["location"]) == (303, "/-/login?next=/packages/%3Fx%3D1")
        ways = client.get("/packages/?x=1", headers=HTML)
        assert (ways.status_code, ways.url.path, 'name="password"' in ways.text) == (200, "/-/login", True)
        way = re.search(r'id="provider" href="([^"]+)"', ways.text)
        assert way is not None
        page = client.get(unescape(way[1]))
        assert (page.status_code, page.url.path, page.url.query) == (200, "/packages/", b"x=1")
    assert site.client.get("/packages/").status_code == 401
    wrong = site.client.get("/packages/", headers={**HTML, "authorization": basic("root", "wrong")})
    assert wrong.status_code == 401


def test_a_user_without_rights(site: Site, idp: Provider) -> None:
    """The session is good, and gives no right that no grant gives."""
    idp.user["groups"] = ["others"]
    with logged_in(site) as client:
        refused = client.get("/packages/", headers=HTML)
        assert (refused.status_code, refused.text.startswith("The user ann@acme.example may not list")) == (403, True)


def test_a_session_ends_everywhere(site: Site, idp: Provider) -> None:
    """Of one user or of all: the next request to each worker needs a new login, which then counts."""
    with logged_in(site) as ann, browser(site) as bob:
        idp.user |= {"sub": "2", "email": "bob@acme.example"}
        assert bob.get(LOGIN).status_code == 200
        for _ in range(4):
            assert ann.get("/packages/").status_code == bob.get("/packages/").status_code == 200
        command(site, "session", "end", "ann@acme.example")
        assert {ann.get("/packages/").status_code for _ in range(6)} == {401}
        assert "You are not logged in" in ann.get(ACCOUNT).text
        assert {bob.get("/packages/").status_code for _ in range(6)} == {200}
        idp.user |= {"sub": "1", "email": "ann@acme.example"}
        assert ann.get(LOGIN).status_code == 200
        assert {ann.get("/packages/").status_code for _ in range(6)} == {200}
        command(site, "session", "end", "--all")
        assert {each.get("/packages/").status_code for each in (ann, bob) for _ in range(6)} == {401}
        assert bob.get(LOGIN).status_code == 200
    refused = run_quire("session", "end", "-d", site.root, cwd=site.root)
    assert (refused.returncode, "--all" in refused.stderr) == (1, True)


def test_the_way_out(site: Site, idp: Provider) -> None:
    """Only the form of the session's own page ends it."""
    with logged_in(site) as client, logged_in(site) as other:
        found = re.search(r'name="token" value="([^"]+)"', client.get(ACCOUNT).text)
        theirs = re.search(r'name="token" value="([^"]+)"', other.get(ACCOUNT).text)
        assert found is not None
        assert theirs is not None
        for form in ({"other": ""}, {"token": ""}, {"token": "wrong"}, {"token": theirs[1]}):
            assert client.post("/-/logout", data=form).status_code == 403
        kind = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/-/logout", content=b"token=" + b"x" * 70_000, headers=kind).status_code == 413
        assert client.post("/-/logout", content=b"token=\xff", headers=kind).status_code == 400
        assert client.post("/-/logout").status_code == 415
        foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert client.post("/-/logout", data={"token": found[1]}, headers=foreign).status_code == 403
        assert "ann@acme.example" in client.get(ACCOUNT).text
        assert client.get("/-/logout").status_code == 405
        copied = {"cookie": f"quire_session={client.cookies['quire_session']}"}
        left = client.post("/-/logout", data={"token": found[1]})
        assert (left.status_code, "You are not logged in" in left.text) == (200, True)
        assert "quire_session" not in client.cookies
        assert {client.get("/packages/", headers=copied).status_code for _ in range(6)} == {401}
        assert other.get("/packages/").status_code == 401, "the sessions of other browsers are those of the same user"
        assert client.get(LOGIN).status_code == client.get("/packages/").status_code == 200
        again = httpx.post(f"{site.base}-/logout", data={"token": found[1]}, headers=copied, timeout=DEADLINE)
        assert again.status_code == 303
        assert client.get("/packages/").status_code == 200, "a session that has ended ends no other"
    log = [each for each in json.loads(command(site, "log", "--json")) if each["action"] == "session-end"]
    assert [(each["user"], each["users"]) for each in log[-1:]] == [("ann@acme.example", ["ann@acme.example"])]


def test_a_read_only_server_forgets_the_cookie(site: Site, idp: Provider) -> None:
    """It changes nothing in the store, so it ends the session in that browser alone."""
    with logged_in(site):  # the first login of a store makes the key, which a read-only server cannot
        flags = flags_of(idp, "--read-only")
    with serve(site.root.parent, *flags, QUIRE_OIDC_CLIENT_SECRET=SECRET) as reader, logged_in(reader) as client:
        found = re.search(r'name="token" value="([^"]+)"', client.get(ACCOUNT).text)
        assert found is not None
        copied = {"cookie": f"quire_session={client.cookies['quire_session']}"}
        left = client.post("/-/logout", data={"token": found[1]})
        assert (left.status_code, "You are not logged in" in left.text) == (200, True)
        assert "quire_session" not in client.cookies
        assert httpx.get(f"{site.base}packages/", headers=copied, timeout=DEADLINE).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        *(
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example",
            "\\\\evil.example",
            "/%0d%0aset-cookie:x=1\r\n",
        ),
        *(
            "javascript:alert(1)",
            "evil.example",
            "/x//evil.example",
            "/../evil",
            "/packages/../../x",
            "/packages/%2e%2E/x",
            "/\tx",
            "",
            "/" * 20,
        ),
        "/" + "x" * 2000,
    ],
)
def test_no_login_leads_to_another_site(site: Site, idp: Provider, target: str) -> None:
    """The page after a login is one of this index."""
    answer = site.client.get(LOGIN, params={"next": target})
    assert (answer.status_code, answer.text) == (
        400,
        "The address to go to after the login ('next') is no path of this index.\n",
    )


def test_a_callback_that_was_not_begun_here(site: Site, idp: Provider) -> None:
    """Without the cookie of the login, with that of another, with a changed one, or answered by another provider."""
    with browser(site) as client, browser(site) as other:
        back, theirs = at_provider(client), at_provider(other)
        expected = "This login was not begun here, or took too long; log in again.\n"
        for answer in (
            httpx.get(back, timeout=DEADLINE),
            client.get(theirs),
            client.get(back.replace("state=", "state=x")),
            client.get(f"{site.base}-/login/callback?code=x"),
            client.get(f"{site.base}-/login/callback"),
        ):
            assert (answer.status_code, answer.text) == (400, expected)
        kept = client.cookies["quire_login"]
        body, _, digest = kept.partition(".")
        other_digest = f"{digest[:-1]}{'B' if digest.endswith('A') else 'A'}"
        for text in (f"{body}x.{digest}", f"{body}.{other_digest}", body, ".", "é", "x" * 5000, f"{body}.{digest}.x"):
            sent = httpx.get(back, headers={b"cookie": f"quire_login={text}".encode()}, timeout=DEADLINE)
            assert (sent.status_code, sent.text) == (400, expected), text
        # one sealed text is not another
        sent = httpx.get(f"{site.base}packages/", headers={"cookie": f"quire_session={kept}"}, timeout=DEADLINE)
        assert sent.status_code == 401
        mixed = client.get(f"{back}&iss=https%3A%2F%2Fevil.example")
        assert (mixed.status_code, "another provider" in mixed.text) == (400, True)
        assert client.get(f"{back}&iss={idp.url}").status_code == 200
        again = client.get(back)
        assert again.status_code == 400  # the cookie of the login is used up


def test_the_provider_refuses(site: Site, idp: Provider) -> None:
    """The user said no, or the code is used up."""
    with browser(site) as client:
        state = begun(client)["state"]
        denied = client.get("/-/login/callback", params={"state": state, "error": "access_denied"})
        assert (denied.status_code, denied.text) == (403, "The login provider refused the login (access_denied).\n")
        shown = client.get("/-/login/callback", params={"state": state, "error": "<script>"})
        assert (shown.status_code, "script" in shown.text) == (403, False)
        used = client.get("/-/login/callback", params={"state": state, "code": "used"})
        assert (used.status_code, "log in again" in used.text) == (400, True)
        long = client.get("/-/login/callback", params={"state": state, "code": "x" * 5000})
        assert long.status_code == 400
        assert "quire_session" not in client.cookies


def test_codes_that_are_none_are_bounded(site: Site, idp: Provider) -> None:
    """An address that sends many has to wait, and the provider is not asked for it; others log in meanwhile."""
    elsewhere = httpx.HTTPTransport(local_address="127.0.4.1")
    with httpx.Client(base_url=site.base, transport=elsewhere, timeout=DEADLINE) as client:  # one worker
        state = query_of(client.get(LOGIN).headers["location"])["state"]
        asked, before, answers = {"state": state, "code": "invented"}, idp.asked["/token"], [400]
        while answers[-1] == 400 and len(answers) < 1000:  # some are forgiven meanwhile
            answer = client.get("-/login/callback", params=asked)
            answers.append(answer.status_code)
    assert (answers[-1], len(answers) > 60) == (429, True)
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.text.startswith("Too many failed logins; try again in ")
    assert idp.asked["/token"] - before == len(answers) - 2
    with logged_in(site) as ann:
        assert ann.get("/packages/").status_code == 200


TOKENS: Mapping[str, tuple[Mapping[str, Any], int, str]] = {
    "another login": ({"token": {"nonce": "x"}}, 400, "to another login"),
    "no nonce": ({"token": {"nonce": None}}, 400, "to another login"),
    "another audience": ({"token": {"aud": "other"}}, 400, "cannot be believed"),
    "several audiences": ({"token": {"aud": [CLIENT, "other"]}}, 400, "cannot be believed"),
    "another issuer": ({"token": {"iss": "https://evil.example"}}, 400, "of another issuer"),
    "expired": ({"token": {"exp": 1_600_000_000}}, 400, "expired"),
    "not yet valid": ({"token": {"nbf": 9_999_999_999}}, 400, "not valid yet"),
    "alg none": ({"algorithm": "none", "signing_key": None}, 400, "three parts"),
    "alg HS256": ({"algorithm": "HS256", "signing_key": "x" * 40}, 400, "'HS256' is not taken"),
    "an unknown key": ({"header": {"kid": "two"}}, 400, "does not have"),
    "a key of its own": ({"header": {"jwk": {"kty": "RSA"}}}, 400, "a key of its own"),
    "no name": ({"user": {"sub": "1"}}, 403, "sends no claim 'email'"),
    "an address that is not verified": (
        {"user": {"sub": "1", "email": "root", "email_verified": False}},
        403,
        "not verified",
    ),
    "an address of which it says a list": (
        {"user": {"sub": "1", "email": "root", "email_verified": []}},
        403,
        "not verified",
    ),
    "an address of which it says a number": (
        {"user": {"sub": "1", "email": "root", "email_verified": 0}},
        403,
        "not verified",
    ),
    "half of a character": ({"user": {"sub": "1", "email": "\ud800"}}, 400, "no JSON object"),
    "a name of a token": ({"user": {"sub": "1", "email": "token:x"}}, 403, "another kind"),
    "groups that are none": ({"user": {"sub": "1", "email": "ann", "groups": [1]}}, 403, "no list of groups"),
    "another user's claims": (
        {"in_userinfo": {"groups"}, "replaced": {"/userinfo": (200, b'{"sub": "2", "groups": ["tools"]}')}},
        400,
        "another user",
    ),
    "no JSON": ({"replaced": {"/token": (200, b"<html>")}}, 503, "is no JSON object"),
    "no ID token": ({"replaced": {"/token": (200, b"{}")}}, 503, "sent no ID token"),
    "an error": ({"replaced": {"/token": (500, b"")}}, 503, "status 500"),
    "a client that is not known": (
        {"replaced": {"/token": (401, b'{"error": "invalid_client"}')}},
        503,
        "invalid_client",
    ),
    "an endless answer": ({"replaced": {"/token": (200, b" " * 2_000_000)}}, 503, "has more than"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_an_answer_that_cannot_be_believed(site: Site, idp: Provider, name: str) -> None:
    """Each is one sentence, and no session."""
    changes, status, sentence = TOKENS[name]
    for attribute, value in changes.items():
        setattr(idp, attribute, value)
    with browser(site) as client:
        answer = client.get(LOGIN)
        assert (answer.status_code, sentence in answer.text) == (status, True), answer.text
        assert "quire_session" not in client.cookies
        assert answer.text.count("\n") == 1


def test_claims_of_the_userinfo_endpoint(site: Site, idp: Provider) -> None:
    """Claims that are not in the ID token are asked for there."""
    idp.in_userinfo = {"email", "email_verified", "groups"}
    with logged_in(site) as client:
        assert client.get("/packages/").status_code == 200


def test_more_groups_than_a_cookie_holds(site: Site, idp: Provider) -> None:
    """Those that grants name are kept."""
    idp.user["groups"] = [*(f"a-rather-long-name-of-a-group-{number:03}" for number in range(250)), "tools"]
    with logged_in(site) as client:
        assert client.get("/packages/").status_code == 200
        assert 'id="groups">tools<' in client.get(ACCOUNT).text


NONSENSE: Mapping[str, tuple[int, bytes]] = {
    "is no JSON object": (200, b"<html>"),
    "answered with status 500": (500, b""),
    "answered with status 302": (302, b""),
    "is of another issuer": (200, b'{"issuer": "https://evil.example"}'),
}


@pytest.mark.parametrize("sentence", NONSENSE)
def test_a_provider_that_answers_nonsense(idp: Provider, tmp_path: Path, sentence: str) -> None:
    """The server starts and serves all the same; the login page says what is wrong."""
    idp.replaced[METADATA] = NONSENSE[sentence]
    with serve(tmp_path, *flags_of(idp), "--oidc-allowed-groups", "tools", QUIRE_OIDC_CLIENT_SECRET=SECRET) as site:
        answer = site.client.get(LOGIN)
        assert (answer.status_code, sentence in answer.text) == (503, True), answer.text
        assert answer.text.startswith("The login provider cannot be asked now. ")
        assert site.client.get(ACCOUNT).status_code == 200
        asked = idp.asked[METADATA]
        assert site.client.get(LOGIN).status_code == 503
        assert idp.asked[METADATA] == asked  # not asked again at once


def test_groups_that_are_let_in(idp: Provider, tmp_path: Path) -> None:
    """With --oidc-allowed-groups a user of none of them cannot log in; a wrong secret is the operator's matter."""
    flags = flags_of(idp, "--oidc-allowed-groups", "tools,ops")
    with serve(tmp_path, *flags, QUIRE_OIDC_CLIENT_SECRET=SECRET) as site:
        with logged_in(site) as client:
            assert client.get("/packages/").status_code == 200  # the settings decide: every login may
        idp.user["groups"] = ["staff"]
        with browser(site) as client:
            answer = client.get(LOGIN)
            assert (answer.status_code, "in none of the groups" in answer.text) == (403, True)
    (tmp_path / "second").mkdir()
    wrong = (*flags, "--public-url", "https://index.example/pypi")
    with serve(tmp_path / "second", *wrong, QUIRE_OIDC_CLIENT_SECRET="wrong") as site, browser(site) as client:
        assert begun(client)["redirect_uri"] == "https://index.example/pypi/-/login/callback"
    (tmp_path / "third").mkdir()
    with serve(tmp_path / "third", *flags, QUIRE_OIDC_CLIENT_SECRET="wrong") as site, browser(site) as client:
        answer = client.get(LOGIN)
        assert (answer.status_code, "'invalid_client'" in answer.text) == (503, True)


def test_without_a_provider_there_is_no_login_page(tmp_path: Path) -> None:
    """Each of its addresses says so, and the home page does not lead there."""
    with serve(tmp_path, "-a", ".", "-P", ".") as site:
        for path in (LOGIN, "/-/login", "/-/login/callback", ACCOUNT):
            answer = site.client.get(path)
            assert (answer.status_code, "has no login" in answer.text) == (404, True)
        assert site.client.post("/-/logout").status_code == 404
        assert ACCOUNT not in site.client.get("/").text
