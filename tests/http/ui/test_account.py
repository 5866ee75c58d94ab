"""The account's pages through a real server: logins with a password or a token, their end, and a user's own tokens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import httpx
import pytest

from tests.asking import Site, basic, password_file, publish, serve
from tests.distributions import make_wheel, wheel_name
from tests.serving import DEADLINE, run_quire

HTML = {"accept": "text/html,application/xhtml+xml"}
LOGIN, ACCOUNT = "/-/login", "/-/account/"
API = "/-/api/v1/account/tokens"
USERS = {"ann": "secret of ann", "bob": "secret of bob", "root": "secret of root"}
TOKEN = re.compile(r"quire_[0-9a-z]{10}_[0-9A-Za-z]{49}")


def command(site: Site, *words: str) -> str:
    done = run_quire(*words, "-d", site.root, cwd=site.root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An index of two workers whose grants decide: ann may upload, bob read, root administer."""
    flags = ("-v", "-a", "list,download,update", "-P", password_file(tmp_path, **USERS), "--workers", 2)
    with serve(tmp_path, *flags, "--trusted-proxies", "127.0.0.3") as site:
        command(site, "access", "init", "--admin", "root", "-a", "list,download,update")
        for line in command(site, "grants").splitlines():
            if "authenticated" in line:
                command(site, "revoke", line.split()[0])
        command(site, "grant", "user:ann", "read,upload")
        command(site, "grant", "user:bob", "read")
        yield site


@contextmanager
def browser(site: Site, **headers: str) -> Iterator[httpx.Client]:
    """A browser; each of its requests may meet another worker."""
    headers = {**HTML, "connection": "close", **headers}
    with httpx.Client(
        base_url=site.client.base_url, headers=headers, timeout=DEADLINE, follow_redirects=True
    ) as client:
        yield client


def field(page: httpx.Response, name: str) -> str:
    """The value of the first hidden field of that name."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found is not None, page.text
    return unescape(found[1])


def log_in(client: httpx.Client, user: str, password: str, **more: str) -> httpx.Response:
    page = client.get(LOGIN, params={key: value for key, value in more.items() if key == "next"})
    form = {"token": field(page, "token"), "next": field(page, "next"), "user": user, "password": password}
    return client.post(LOGIN, data=form)


def make(client: httpx.Client, **fields: object) -> httpx.Response:
    """Send the form of a new token, as the page has it."""
    page = client.get(ACCOUNT)
    form = {"token": field(page, "token"), "note": "a test", "right": "read", "index": "main", "days": "30"}
    form["id"] = re.findall(r'name="id" value="([^"]*)"', page.text)[-1]
    return client.post(f"{ACCOUNT}tokens", data={**form, **fields})


def test_a_login_with_a_password(site: Site) -> None:
    """It leads back to the page that was asked for; the cookie is for this site and no script."""
    with browser(site) as client:
        asked = client.get("/packages/?x=1", follow_redirects=False)
        assert (asked.status_code, asked.headers["location"]) == (303, "/-/login?next=/packages/%3Fx%3D1")
        page = client.get("/packages/?x=1")
        assert (page.status_code, page.url.path, page.headers["cache-control"]) == (200, LOGIN, "no-store")
        form = {"token": field(page, "token"), "next": field(page, "next"), "user": "bob", "password": USERS["bob"]}
        into = client.post(LOGIN, data=form, follow_redirects=False)
        assert (into.status_code, into.headers["location"]) == (303, "/packages/?x=1")
        (cookie,) = into.headers.get_list("set-cookie")
        assert cookie.startswith("quire_session=")
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert {client.get("/packages/").status_code for _ in range(6)} == {200}
        shown = client.get(ACCOUNT)
        assert 'id="user">bob<' in shown.text
        assert 'id="rights">read<' in shown.text
        assert ">bob</a>" in client.get("/").text
        assert client.get("/simple/", headers={"accept": "*/*"}).status_code == 401, "installers have no session"
        assert client.get("/-/api/v1/whoami").json()["user"] is None, "and so has the API"
        content = make_wheel("acme", "1.0")
        sent = {"name": "acme", "version": "1.0", "cookie": cookie.partition(";")[0]}
        assert publish(site, wheel_name("acme", "1.0"), content, **sent).status_code == 401
    assert re.search(r"logged in.*user=bob", site.served.output())
    assert USERS["bob"] not in site.served.output()


def test_wrong_passwords_are_refused_as_for_any_request(site: Site) -> None:
    """The form comes again, with the sentence; failures are throttled together with those of other requests."""
    with browser(site) as client:
        for user, password in (
            ("bob", "wrong"),
            ("nobody", "wrong"),
            ("bob \r\nforged", "x"),
            ("b:b", "x"),
            ("<b>", "\0"),
        ):
            page = log_in(client, user, password)
            assert (page.status_code, "www-authenticate" in page.headers) == (401, False)
            assert "The user name or the password is wrong." in page.text
            assert 'value="<b>"' not in page.text
        long = log_in(client, "bob", "x" * 60_000)
        assert (long.status_code, "is wrong" in long.text) == (401, True)
        empty = log_in(client, "bob", "")
        assert (empty.status_code, "Give a password" in empty.text) == (400, True)
        assert "quire_session" not in client.cookies
        answers = [log_in(client, "bob", f"wrong {number}") for number in range(40)]
        throttled = [each for each in answers if each.status_code == 429]
        assert throttled
        assert int(throttled[0].headers["retry-after"]) >= 1
        assert "Too many failed logins" in throttled[0].text
        header = {"authorization": basic("bob", "wrong again")}
        refused = site.client.get("/simple/", headers=header)
        answers, throttled = [*answers, refused], [each for each in (*throttled, refused) if each.status_code == 429]
    tried = [line for line in site.served.output().splitlines() if "login failed" in line and "user=bob " in line]
    assert len(tried) == 1 + len(answers) - len(throttled), "what no request can send is not checked, and not logged"
    assert "forged" not in site.served.output()


def test_forms_of_other_sites_are_refused(site: Site) -> None:
    """By their origin, and by the token of each form: that of another browser or session does not count."""
    with browser(site) as client, browser(site) as other:
        theirs = field(other.get(LOGIN), "token")
        form = {"user": "bob", "password": USERS["bob"]}
        client.get(LOGIN)
        for token in (None, "", "wrong", theirs):
            refused = client.post(LOGIN, data=form if token is None else {**form, "token": token})
            assert refused.status_code == 403
        own = {**form, "token": field(client.get(LOGIN), "token")}
        foreign = ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"})
        for headers in foreign:
            assert client.post(LOGIN, data=own, headers=headers).status_code == 403
        assert client.post(LOGIN, json=own).status_code == 415
        assert "quire_session" not in client.cookies
        log_in(client, "ann", USERS["ann"])
        log_in(other, "ann", USERS["ann"])
        page, stranger = client.get(ACCOUNT), other.get(ACCOUNT)
        made = {"note": "x", "right": "read", "index": "main", "days": "7", "id": "0123456789"}
        for path in (f"{ACCOUNT}tokens", f"{ACCOUNT}tokens/revoke", "/-/logout"):
            for token in (None, "", field(stranger, "token")):
                sent = made if token is None else {**made, "token": token}
                assert client.post(path, data=sent).status_code == 403, path
            for headers in foreign:
                sent = {**made, "token": field(page, "token")}
                assert client.post(path, data=sent, headers=headers).status_code == 403, path
            assert client.get(path).status_code in {404, 405}
        assert client.get(ACCOUNT).status_code == 200
        assert json.loads(command(site, "token", "list", "--json"))["tokens"] == []
        for target in ("https://evil.example/", "//evil.example/", "/../x", "javascript:alert(1)"):
            assert client.get(LOGIN, params={"next": target}).status_code == 400
            sent = {**form, "token": field(client.get(LOGIN), "token"), "next": target}
            assert client.post(LOGIN, data=sent).status_code == 400


def test_a_user_makes_and_revokes_a_token(site: Site) -> None:
    """It is shown once, with lines to paste; it counts everywhere at once, and for what it was made for alone."""
    with browser(site) as client:
        log_in(client, "ann", USERS["ann"])
        page = make(client, right=["read"], projects="acme-*", note="<b>CI</b>", days="7")
        assert page.status_code == 400, "the right read is for a whole index"
        assert "<b>CI</b>" not in page.text
        page = make(client, right=["upload"], projects="acme-*", note="<b>CI</b>", days="7")
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        text = TOKEN.search(page.text)
        assert text is not None
        assert f"UV_PUBLISH_TOKEN={text[0]} uv publish --publish-url {site.base} dist/*" in unescape(page.text)
        login = {"authorization": basic("__token__", text[0])}
        for name, status in (("acme-tools", 200), ("other", 403)):
            content = make_wheel(name, "1.0")
            done = publish(site, wheel_name(name, "1.0"), content, name=name, version="1.0", **login)
            assert done.status_code == status, done.text
        again = client.get(ACCOUNT)
        assert text[0] not in again.text
        identity = text[0].split("_")[1]
        assert identity in again.text
        revoked = client.post(f"{ACCOUNT}tokens/revoke", data={"token": field(again, "token"), "id": identity})
        assert (revoked.status_code, "is revoked" in revoked.text) == (200, True)
        assert {site.client.get("/simple/", headers=login).status_code for _ in range(6)} == {401}
        assert text[0] not in site.served.output()
    log = command(site, "log", "--access")
    assert re.search(rf"ann.*{identity}", log)


def test_a_form_that_is_sent_twice_makes_one_token(site: Site) -> None:
    """The page has chosen its id; a page that is loaded again says that there is one."""
    with browser(site) as client:
        log_in(client, "ann", USERS["ann"])
        page = client.get(ACCOUNT)
        form = {"token": field(page, "token"), "note": "n", "right": "read", "index": "main", "days": "7"}
        form["id"] = re.findall(r'name="id" value="([^"]*)"', page.text)[-1]
        assert TOKEN.search(client.post(f"{ACCOUNT}tokens", data=form).text)
        second = client.post(f"{ACCOUNT}tokens", data=form)
        assert (second.status_code, TOKEN.search(second.text)) == (409, None)
        assert "revoke it below" in second.text
        assert client.post(f"{ACCOUNT}tokens", data={**form, "id": "../x"}).status_code == 400


def test_no_token_may_do_more_than_its_user(site: Site) -> None:
    """Neither when it is made nor later; administration is never in it; a token makes no tokens."""
    with browser(site) as client:
        log_in(client, "bob", USERS["bob"])
        for right in ("upload", "manage", "admin", "everything"):
            refused = make(client, right=[right])
            assert (refused.status_code in {400, 403}, TOKEN.search(refused.text)) == (True, None), right
        assert make(client, index="../x").status_code == 400
        log_in(client, "root", USERS["root"])
        assert make(client, right=["admin"]).status_code == 403
    ann = {"authorization": basic("ann", USERS["ann"])}
    body = {"rights": ["read", "upload"], "expires_in": 3600}
    refused = site.client.post(API, json={**body, "expires_in": 10**9}, headers=ann)
    assert refused.status_code == 400
    assert site.client.post(API, json=body).status_code == 401
    made = site.client.post(API, json={**body, "index": "main"}, headers=ann)
    assert made.status_code == 200, made.text
    token = {"authorization": f"Bearer {made.json()['text']}"}
    assert site.client.get("/-/api/v1/whoami", headers=token).json()["rights"] == ["read", "upload"]
    assert site.client.post(API, json=body, headers=token).status_code == 403
    own = site.client.get(API, headers=token).json()
    assert ([each["id"] for each in own["tokens"]], own["indexes"]) == ([made.json()["token"]["id"]], [])
    bobs = site.client.post(
        API,
        json={"rights": ["read"], "index": "main", "expires_in": 60},
        headers={"authorization": basic("bob", USERS["bob"])},
    ).json()["token"]["id"]
    assert site.client.post(f"{API}/revoke", json={"ids": [bobs]}, headers=ann).status_code == 404
    assert site.client.post(f"{API}/revoke", json={"ids": [bobs]}, headers=token).status_code == 404
    for line in command(site, "grants").splitlines():
        if "user:ann" in line:
            command(site, "revoke", line.split()[0])
    assert site.client.get("/simple/", headers=token).status_code == 403, "rights that its user lost"


def test_tokens_of_a_user_are_bounded(site: Site) -> None:
    """Those that ended do not count."""
    ann = {"authorization": basic("ann", USERS["ann"])}
    body = {"rights": ["read"], "index": "main", "expires_in": 3600}
    ids = [site.client.post(API, json=body, headers=ann).json()["token"]["id"] for _ in range(50)]
    refused = site.client.post(API, json=body, headers=ann)
    assert (refused.status_code, "50 tokens" in refused.text) == (400, True)
    assert site.client.post(f"{API}/revoke", json={"ids": ids[:1]}, headers=ann).status_code == 200
    assert site.client.post(API, json=body, headers=ann).status_code == 200


def test_a_user_leaves_room_for_revocations(site: Site) -> None:
    """Not even the largest requests of a user keep an administrator from revoking a token."""
    ann = {"authorization": basic("ann", USERS["ann"])}
    largest = [f"{number:03d}-{'x' * 190}" for number in range(1000)]
    body = {"rights": ["upload"], "index": "main", "projects": largest, "expires_in": 3600}
    refused = site.client.post(API, json=body, headers=ann)
    assert (refused.status_code, "4,000 characters" in refused.text) == (400, True)
    body["projects"] = [each[:39] for each in largest[:100]]
    made = [site.client.post(API, json=body, headers=ann) for _ in range(40)]
    assert {each.status_code for each in made} == {200, 400}
    assert "64 KiB" in made[-1].text
    command(site, "token", "revoke", made[0].json()["token"]["id"])
    assert site.client.post(API, json=body, headers=ann).status_code == 200


def test_the_name_of_an_index_leads_a_session_to_its_page(site: Site) -> None:
    """So do the links of the page of operators; without a login it leads to where a project of that name would be."""
    command(site, "index", "create", "team")
    with browser(site) as client, browser(site) as stranger:
        log_in(client, "root", USERS["root"])
        overview = client.get("/-/admin/").text
        assert 'href="/team/"' in overview
        for path in ("/team/", "/team"):
            found = client.get(path)
            assert (found.status_code, found.url.path) == (200, "/index/team/")
            assert stranger.get(path).history[0].headers["location"].endswith("project/team/")


def test_a_session_ends_with_its_password(site: Site, tmp_path: Path) -> None:
    """At the next request after the file has changed; other users go on."""
    with browser(site) as ann, browser(site) as bob:
        log_in(ann, "ann", USERS["ann"])
        log_in(bob, "bob", USERS["bob"])
        assert ann.get("/packages/").status_code == bob.get("/packages/").status_code == 200
        lines = (tmp_path / "users").read_text().splitlines(keepends=True)
        (tmp_path / "new").mkdir()
        changed = password_file(tmp_path / "new", ann="another secret").read_text()
        (tmp_path / "users.next").write_text("".join([changed, *lines[1:]]))
        (tmp_path / "users.next").replace(tmp_path / "users")
        assert {ann.get("/packages/", headers={"accept": "*/*"}).status_code for _ in range(6)} == {401}
        assert {bob.get("/packages/").url.path for _ in range(6)} == {"/packages/"}
        assert log_in(ann, "ann", USERS["ann"]).status_code == 401
        assert log_in(ann, "ann", "another secret").status_code == 200
        assert ann.get("/packages/").status_code == 200


def test_a_login_with_a_token_ends_with_it(site: Site) -> None:
    """With or without a user name; by a revocation, and by a rotation without grace. It sees itself alone."""
    made = [command(site, "token", "create", "--right", "read", "--expires", "1d") for _ in range(2)]
    first, second = (TOKEN.search(each)[0] for each in made)  # type: ignore[index]
    with browser(site) as client, browser(site) as other:
        assert log_in(client, "", first).status_code == 200
        assert log_in(other, "__token__", second).status_code == 200
        assert {client.get("/packages/").status_code for _ in range(6)} == {200}
        page = client.get(ACCOUNT)
        assert first.split("_")[1] in page.text
        assert second.split("_")[1] not in page.text
        assert '/-/account/tokens"' not in page.text
        assert make_of(client, page).status_code == 403
        command(site, "token", "revoke", first.split("_")[1])
        command(site, "token", "rotate", second.split("_")[1], "--grace", "0")
        for each in (client, other):
            assert {each.get("/packages/", headers={"accept": "*/*"}).status_code for _ in range(6)} == {401}
        page = log_in(client, "", first)
        assert (page.status_code, "revoked" in page.text) == (401, True)
        cut = log_in(client, "__token__", first[:-1])
        assert (cut.status_code, "cut" in cut.text) == (401, True)


def make_of(client: httpx.Client, page: httpx.Response) -> httpx.Response:
    """A form of a new token, which the page does not have."""
    form = {
        "token": field(page, "token"),
        "note": "n",
        "right": "read",
        "index": "main",
        "days": "7",
        "id": "0123456789",
    }
    return client.post(f"{ACCOUNT}tokens", data=form)


def test_a_logout_ends_the_sessions_everywhere(site: Site) -> None:
    """Of the user, or of the token; a copy of the cookie does not count any more."""
    token = TOKEN.search(command(site, "token", "create", "--right", "read", "--expires", "1d"))
    assert token is not None
    for user, password in (("bob", USERS["bob"]), ("", token[0])):
        with browser(site) as client, browser(site) as other:
            log_in(client, user, password)
            log_in(other, user, password)
            copied = {"cookie": f"quire_session={client.cookies['quire_session']}", "accept": "*/*"}
            left = client.post("/-/logout", data={"token": field(client.get(ACCOUNT), "token")})
            assert "You are not logged in" in left.text
            assert "quire_session" not in client.cookies
            assert {httpx.get(f"{site.base}packages/", headers=copied).status_code for _ in range(6)} == {401}
            assert other.get("/packages/", headers={"accept": "*/*"}).status_code == 401
            assert log_in(client, user, password).status_code == 200
            assert client.get("/packages/", headers={"accept": "*/*"}).status_code == 200


def test_cookies_of_https(tmp_path: Path) -> None:
    """Behind a proxy with TLS they have the prefix that no other host, and no page without TLS, can set."""
    flags = ("-a", "list,download,update", "-P", password_file(tmp_path, **USERS), "--trusted-proxies", "127.0.0.1")
    with serve(tmp_path, *flags) as site:
        secure = {"x-forwarded-proto": "https", "host": "index.example"}
        page = site.client.get(LOGIN, headers=secure)
        (first,) = page.headers.get_list("set-cookie")
        form = {"token": field(page, "token"), "next": "/packages/", "user": "bob", "password": USERS["bob"]}
        into = site.client.post(LOGIN, data=form, headers={**secure, "cookie": first.partition(";")[0]})
        assert into.status_code == 303, into.text
        (second,) = into.headers.get_list("set-cookie")
        for cookie in (first, second):
            assert cookie.startswith("__Host-quire_")
            assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))
        plain = {"cookie": second.partition(";")[0].removeprefix("__Host-")}
        assert site.client.get("/packages/", headers={**secure, **plain}).status_code == 401
        kept = {"cookie": second.partition(";")[0]}
        assert site.client.get("/packages/", headers={**secure, **kept}).status_code == 200


def test_where_the_settings_decide(tmp_path: Path) -> None:
    """A user of the password file makes tokens to upload with, and none to administer."""
    with serve(tmp_path, "-a", "update", "-P", password_file(tmp_path, **USERS)) as site, browser(site) as client:
        log_in(client, "ann", USERS["ann"])
        assert make(client, right=["admin"], index="*").status_code == 403
        page = make(client, right=["upload"], index="*")
        text = TOKEN.search(page.text)
        assert text is not None
        login = {"authorization": basic("__token__", text[0])}
        content = make_wheel("acme", "1.0")
        done = publish(site, wheel_name("acme", "1.0"), content, name="acme", version="1.0", **login)
        assert done.status_code == 200


@pytest.mark.parametrize("flags", [("-a", ".", "-P", "."), ("-a", "update", "--rights", "settings")])
def test_without_users_or_tokens_there_is_no_login(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Each of its addresses says so, and no page leads there."""
    users = () if "-P" in flags else ("-P", password_file(tmp_path, **USERS))
    with serve(tmp_path, *flags, *users) as site:
        for path in (LOGIN, ACCOUNT):
            answer = site.client.get(path)
            assert (answer.status_code, "no login page" in answer.text) == (404, True)
        for path in (LOGIN, "/-/logout", f"{ACCOUNT}tokens", f"{ACCOUNT}tokens/revoke"):
            assert site.client.post(path, data={"token": ""}).status_code == 404
        assert LOGIN not in site.client.get("/").text


def test_a_user_that_a_proxy_names_has_an_account(tmp_path: Path) -> None:
    """Without a session, and so without a logout here; its forms have tokens all the same."""
    flags = ("-a", "list,download,update", "--trusted-proxies", "127.0.0.1", "--user-header", "x-user")
    users = ("-P", password_file(tmp_path, **USERS))
    for more in (users, ()):
        with serve(tmp_path, *flags, *more) as site, browser(site, **{"x-user": "carol"}) as client:
            assert 'id="user">carol<' in client.get(ACCOUNT).text
            assert ">carol</a>" in client.get("/").text, "a page that needs no login"
            assert (client.get(LOGIN).status_code == 200) == bool(more)
    with serve(tmp_path, *flags, *users) as site, browser(site, **{"x-user": "carol"}) as client:
        page = client.get(ACCOUNT)
        assert 'id="user">carol<' in page.text
        assert "/-/logout" not in page.text
        made = make(client)
        assert TOKEN.search(made.text)
        with browser(site, **{"x-user": "eve"}) as eve:
            assert "You have no tokens" in eve.get(ACCOUNT).text
            identity = made.text.partition("quire_")[2].partition("_")[0]
            refused = eve.post(
                f"{ACCOUNT}tokens/revoke", data={"token": field(eve.get(ACCOUNT), "token"), "id": identity}
            )
            assert (refused.status_code, "You have no token" in refused.text) == (404, True)


def test_a_read_only_server_begins_no_first_session(tmp_path: Path) -> None:
    """The key of sessions is made with the first login; where there is one, a read-only server takes it."""
    users = ("-a", "list,download,update", "-P", password_file(tmp_path, **USERS))
    with serve(tmp_path, *users, "--read-only") as site, browser(site) as client:
        refused = log_in(client, "ann", USERS["ann"])
        assert refused.status_code == 403
        assert "read-only" in refused.text
    with serve(tmp_path, *users) as site, browser(site) as client:
        assert log_in(client, "ann", USERS["ann"]).status_code == 200
    with serve(tmp_path, *users, "--read-only") as site, browser(site) as client:
        assert log_in(client, "ann", USERS["ann"]).status_code == 200
        assert make(client).status_code == 403


def test_a_login_needs_no_library_of_providers() -> None:
    """Neither the form nor the account imports what the extra `oidc` brings."""
    modules = ("quire.http.login.form", "quire.http.login.web_sessions", "quire.http.ui.account")
    code = f"import sys; sys.modules.update(jwt=None, httpx=None); import {', '.join(modules)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr


def test_any_query_leads_to_the_login(site: Site) -> None:
    """Back to the whole page where its query is one that a login takes, else to the page without it."""
    for query, back in (("x=1", "/packages/%3Fx%3D1"), ("x=a|b[c]{d}", "/packages/"), ("x" * 2000, "/packages/")):
        with browser(site) as client:
            asked = client.get(f"/packages/?{query}", follow_redirects=False)
            assert (asked.status_code, asked.headers["location"]) == (303, f"/-/login?next={back}")
            assert client.get(f"/packages/?{query}").status_code == 200


def test_lines_of_a_token_for_one_index_have_its_address(site: Site) -> None:
    """Those for every index, and for the one at the root, have the root's."""
    command(site, "index", "create", "team")
    command(site, "grant", "user:ann", "read", "--index", "team")
    with browser(site) as client:
        log_in(client, "ann", USERS["ann"])
        assert f"team={site.base}team/simple/ PROJECT" in unescape(make(client, index="team").text)
        assert f"main={site.base}simple/ PROJECT" in unescape(make(client, index="main").text)


def test_a_session_of_a_token_counts_as_the_token(site: Site) -> None:
    """For the rate of the token, as for any request with it."""
    made = command(site, "token", "create", "--right", "read", "--expires", "1d", "--rate", "3/m")
    token = TOKEN.search(made)
    assert token is not None
    with browser(site) as client:
        log_in(client, "", token[0], next="/")
        answers = {client.get("/packages/", headers={"accept": "*/*"}).status_code for _ in range(20)}
        assert answers == {200, 429}
