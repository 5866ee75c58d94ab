"""The pages of a project for its owners, in a client that sends forms as a browser does.

Replaced here: the rendering of templates, to note its thread, which no answer tells.
"""

from __future__ import annotations

import asyncio
import html
import re
import threading
from pathlib import Path

import httpx
import pytest

from quire.access.records import AccessRecords
from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.ui import layout
from quire.http.ui.changes import Done
from quire.http.ui.manage import MOST_RELEASES
from quire.http.ui.results import packed, unpacked
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.index.upload import examine, upload_key
from quire.operations import granting
from quire.render.simple import Page
from quire.store.opening import open_store
from quire.store.posix.store import PosixStore
from tests.asking import OPEN, Site, basic, password_file, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
MANAGE = "/project/acme-tools/manage/"
LOGIN = ("-a", "update", "-P", "users")


def send(site: Site, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
    """Open the page, and send a form of it with the token that it has; the page that a change leads to."""
    page = site.get(path, accept=BROWSER, **headers)
    assert page.status_code == 200, page.text
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert token is not None
    given = {key.replace("_", "-"): value for key, value in headers.items()}
    sent = {"token": token[1], **fields}
    return site.client.post(path, data=sent, headers={"accept": BROWSER, **given}, follow_redirects=True)


def publish_in_store(root: Path, name: str, versions: list[str]) -> None:
    """Publish a wheel of each release, all in one step, beside a server."""
    store, wheels = PosixStore.open(root), []
    for version in versions:
        staging = store.blobs.stage(upload_key(wheel_name(name, version)))
        staging.write(make_wheel(name, version))
        wheels.append(examine(staging.finish(), wheel_name(name, version)))
    Index(store).publish(wheels)


def basic_of(user: str) -> str:
    return basic(user, "secret")


def make_admin(directory: Path, user: str, *, alone: bool = False) -> None:
    """Let grants decide, as `quire access init --admin USER -a update` does. `alone`: with no right for other users."""
    access = AccessRecords(open_store(str(directory / "packages")))
    granting.begin(access, user, ("update",), Origin())
    grants = access.read().state.document.grants
    if alone:
        granting.take_back(access, [key for key, each in grants.items() if each.subject != f"user:{user}"], Origin())


def said(answer: httpx.Response) -> str:
    """The sentence of the result."""
    found = re.search(r'role="status"><p>(.*?)</p>', answer.text)
    assert found is not None, answer.text
    return html.unescape(found[1])


def test_an_owner_yanks_offers_and_deletes_a_release(tmp_path: Path) -> None:
    """Each form says what happened, the index has it at once, and the log has its user."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice = basic_of("alice")
        for version in ("1.0", "2.0"):
            publish_wheel(site, "acme-tools", version, authorization=alice)
        answer = send(site, MANAGE, {"do": "yank", "version": "1.0", "reason": "loses <rows>"}, authorization=alice)
        assert said(answer).startswith("Yanked ")
        assert [file["yanked"] for file in site.listing("acme-tools")["files"]] == ["loses <rows>", False]
        assert "loses <rows>" not in answer.text
        assert said(send(site, MANAGE, {"do": "unyank", "version": "1.0"}, authorization=alice)).startswith(
            "Took the yanked mark"
        )
        assert [file["yanked"] for file in site.listing("acme-tools")["files"]] == [False, False]
        unconfirmed = send(site, MANAGE, {"do": "delete", "version": "1.0", "confirmation": "1.1"}, authorization=alice)
        assert unconfirmed.status_code == 400
        assert said(unconfirmed) == "Nothing was deleted: type the version, 1.0, to confirm."
        deleted = send(site, MANAGE, {"do": "delete", "version": "1.0", "confirmation": "1.0"}, authorization=alice)
        assert said(deleted).startswith("Deleted ")
        assert site.listing("acme-tools")["versions"] == ["2.0"]
        (filename,) = set(re.findall(r'name="filename" value="([^"]+)"', deleted.text))
        assert (
            said(send(site, MANAGE, {"do": "restore", "filename": filename}, authorization=alice))
            == f"Published {filename} again."
        )
        assert site.listing("acme-tools")["versions"] == ["1.0", "2.0"]
        shown = site.get("/project/acme-tools/history/", accept=BROWSER, authorization=alice).text
        for action in ("publish", "yank", "unyank", "delete", "restore"):
            assert f">{action}</td>" in shown
        assert "alice" in shown
        assert "loses &lt;rows&gt;" in shown
        assert "{&#39;" not in shown, "files are listed by their names"
        assert len(re.findall(r'data-label="When"><time datetime="20[0-9T:.-]+Z">', shown)) == shown.count(
            'data-label="When"'
        )


def test_the_page_after_a_change_sends_nothing_when_it_is_loaded_again(tmp_path: Path) -> None:
    """A change leads on to the page with its result, which shows that once. No address has a text of it, and neither
    another page nor another reader is shown it, also not by a cookie that was made up."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice = basic_of("alice")
        make_admin(tmp_path, "alice")
        for name in ("acme-tools", "acme-core"):
            publish_wheel(site, name, authorization=alice)
        asked = f"{MANAGE}?platform=<b>&platform=gitlab"
        shown = send(site, asked, {"do": "yank", "version": "1.0"}, authorization=alice)
        (answer,) = shown.history
        assert (answer.status_code, answer.content) == (303, b"")
        assert answer.headers["location"] == "./?platform=%3Cb%3E&platform=gitlab"
        assert answer.headers["cache-control"] == "no-store"
        cookie = answer.headers["set-cookie"].lower()
        assert all(word in cookie for word in ("httponly", "samesite=strict", "max-age=60"))
        assert said(shown).startswith("Yanked ")
        assert "#change-" in shown.text
        assert 'role="status"' not in site.get(MANAGE, accept=BROWSER, authorization=alice).text
        result = answer.cookies["quire_result"]
        forged = result[:-1] + ("0" if result[-1] != "0" else "1")
        form, other = site.client.cookies["quire_form"], "x" * 43
        headers = [(b"accept", BROWSER.encode()), (b"authorization", alice.encode())]
        for path, key, value, is_shown in (
            (MANAGE, form, result, True),
            (MANAGE, other, result, False),
            (MANAGE, form, forged, False),
            (MANAGE, form, f"{result}é", False),
            (MANAGE, form, "W10=.", False),
            (MANAGE, form, "", False),
            ("/project/acme-core/manage/", form, result, False),
            ("/-/admin/access/", form, result, False),
        ):
            cookies = f"quire_form={key}; quire_result={value}".encode()
            page = site.client.get(path, headers=[*headers, (b"cookie", cookies)])
            assert page.status_code == 200, page.text
            assert ('role="status"' in page.text) is is_shown, (path, value)
            assert ("quire_result" in page.headers.get("set-cookie", "")) is bool(value), "it is removed"
        for path, fields in (
            ("/-/admin/access/", {"do": "set-group", "group": "ops", "users": "alice"}),
            ("/-/admin/policy/", {"do": "set", "deny": "evil-*"}),
        ):
            assert [each.status_code for each in send(site, path, fields, authorization=alice).history] == [303]
        for path, fields in (
            (MANAGE, {"do": "delete", "version": "1.0"}),
            ("/-/admin/access/", {"do": "revoke-grant", "id": "0000000000"}),
            ("/-/admin/policy/", {"do": "try", "deny": "evil-*", "releases": "acme-core"}),
        ):
            assert send(site, path, fields, authorization=alice).history == [], "nothing was changed"


@pytest.mark.parametrize(
    ("sentence", "shown", "entry", "address"),
    [
        ("Done.", "Done.", "/project/acme/history/#change-1", "/project/acme/history/#change-1"),
        ("ä" * 5000, "ä" * 1000 + "…", "/" * 800, "/" * 800),
        ("\U0001f600" * 5000, "\U0001f600" * 500 + "…", "/" * 801, None),
        ('"\n' * 1001, '"\n' * 1000 + "…", None, None),
    ],
)
def test_a_long_result_is_shown_in_part(sentence: str, shown: str, entry: str | None, address: str | None) -> None:
    """A browser keeps 4 KiB of a cookie, with its name and its seal."""
    value = packed(Done(sentence, entry=entry))
    assert len(value) < 3900
    assert unpacked(value) == Done(shown, entry=address)


def test_a_form_that_fails_gives_back_exactly_what_was_typed(tmp_path: Path) -> None:
    """Also what shows nothing: sent again, it is the same. Text of others has the numbers of such characters."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme-tools")
        typed = "a\u202e<b>\u3164"
        failed = send(site, MANAGE, {"do": "delete", "version": "1.0", "confirmation": typed})
        assert failed.status_code == 400
        assert f'value="{html.escape(typed)}"' in failed.text
        failed = send(site, MANAGE, {"do": "status", "status": "gone", "reason": typed})
        assert failed.status_code == 400
        assert failed.text.count(f'value="{html.escape(typed)}"') == 1
        send(site, MANAGE, {"do": "status", "status": "archived", "reason": "<b>\u3164"})
        page = site.get(MANAGE, accept=BROWSER).text
        assert 'value="&lt;b&gt;[U+3164]"' in page
        assert "\u3164" not in page


def test_status_and_the_whole_project(tmp_path: Path) -> None:
    """The status reaches installers; a whole project goes when its name is typed."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme-tools")
        answer = send(site, MANAGE, {"do": "status", "status": "deprecated", "reason": "use acme-core"})
        assert said(answer) == "The project is deprecated now."
        for condition in ({"if_match": '"old"'}, {"if_none_match": "*"}):  # of pages, and not of changes
            again = send(site, MANAGE, {"do": "status", "status": "deprecated", "reason": "use acme-core"}, **condition)
            assert again.status_code == 200
        assert site.listing("acme-tools")["project-status"] == {"status": "deprecated", "reason": "use acme-core"}
        assert send(site, MANAGE, {"do": "status", "status": "gone"}).status_code == 400
        gone = send(site, MANAGE, {"do": "delete-project", "confirmation": "acme-tools"})
        assert said(gone).startswith("Deleted ")
        assert site.filenames("acme-tools") == []


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"token": "x" * 43}, {}, 403),
        ({}, {}, 403),
        ({"token": ""}, {}, 403),
        ({"token": "SAME"}, {"origin": "http://elsewhere.example"}, 403),
        ({"token": "SAME"}, {"sec-fetch-site": "cross-site"}, 403),
        ({"token": "SAME"}, {"content-type": "text/plain"}, 415),
        ({"token": "SAME", "more": "x" * 70_000}, {}, 413),
        ({"token": "SAME", "do": "nothing"}, {}, 400),
    ],
)
def test_a_form_of_another_page_changes_nothing(
    fields: dict[str, str], headers: dict[str, str], status: int, tmp_path: Path
) -> None:
    """Without the token of the page, from another site, or of another kind."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme-tools")
        token = re.search(r'name="token" value="([^"]+)"', site.get(MANAGE, accept=BROWSER).text)
        assert token is not None
        sent = {"do": "delete-project", "confirmation": "acme-tools"} | fields
        sent = {name: token[1] if value == "SAME" else value for name, value in sent.items()}
        answer = site.client.post(MANAGE, data=sent, headers={"accept": BROWSER, **headers})
        assert answer.status_code == status, answer.text
        alone = {"token": token[1], "do": "delete-project", "confirmation": "acme-tools"}
        assert (
            httpx.post(f"{site.base.rstrip('/')}{MANAGE}", data=alone, trust_env=False).status_code == 403
        )  # no cookie
        assert site.filenames("acme-tools")


def test_rights(tmp_path: Path) -> None:
    """A user without the right sees and changes nothing; a project that is not there is not found."""
    password_file(tmp_path, alice="secret", bob="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice, bob = basic_of("alice"), basic_of("bob")
        publish_wheel(site, "acme-tools", authorization=alice)
        to_login = site.get(MANAGE, accept=BROWSER)
        assert (to_login.status_code, to_login.headers["location"]) == (303, f"/-/login?next={MANAGE}")
        assert site.get("/project/nothing/manage/", accept=BROWSER, authorization=alice).status_code == 404
        assert site.get("/project/a%20b/manage/", accept=BROWSER, authorization=alice).status_code in {400, 404}
        make_admin(tmp_path, "alice", alone=True)
        assert site.get(MANAGE, accept=BROWSER, authorization=alice).status_code == 200
        for path in (MANAGE, "/project/acme-tools/history/"):
            assert site.get(path, accept=BROWSER, authorization=bob).status_code == 403


def test_tabs_are_for_readers_that_may_open_them(tmp_path: Path) -> None:
    """A reader without the rights is offered neither page, and none gets the page that was made for another reader."""
    password_file(tmp_path, alice="secret", bob="secret", carol="secret")
    with serve(tmp_path, "-a", "list,download,update", "-P", "users") as site:
        alice, bob, carol = basic_of("alice"), basic_of("bob"), basic_of("carol")
        make_admin(tmp_path, "alice", alone=True)
        api = site.client
        for subject, rights in (("user:bob", ["read"]), ("user:carol", ["read", "upload"])):
            body = {"subject": subject, "rights": rights, "index": "*", "projects": ["*"]}
            granted = api.post("/-/api/v1/grants", json=body, headers={"authorization": alice})
            assert granted.status_code == 200, granted.text
        publish_wheel(site, "acme-tools", authorization=alice)
        for _ in range(2):
            for user, tabs in ((alice, ["history", "manage"]), (bob, []), (carol, [])):
                assert tabs_of(site, "acme-tools", authorization=user) == tabs
        owned = api.post("/-/api/v1/indexes/-", json={"new_projects": "owned"}, headers={"authorization": alice})
        assert owned.status_code == 200, owned.text
        publish_wheel(site, "acme-core", authorization=carol)
        for user, tabs in ((alice, ["history", "manage"]), (bob, []), (carol, ["history", "manage"])):
            assert tabs_of(site, "acme-core", authorization=user) == tabs
        assert tabs_of(site, "acme-tools", authorization=carol) == [], "that is the project of another user"
        removed = send(
            site, "/project/acme-core/manage/", {"do": "add-owner", "subject": "user:alice"}, authorization=carol
        )
        assert removed.status_code == 200, removed.text
        removed = send(
            site, "/project/acme-core/manage/", {"do": "remove-owner", "subject": "user:carol"}, authorization=alice
        )
        assert removed.status_code == 200, removed.text
        assert tabs_of(site, "acme-core", authorization=carol) == [], "the next page has the rights of this moment"


def test_tabs_of_readers_without_a_login(tmp_path: Path) -> None:
    """Where a login is needed there is a link to it, or, where there is no page for that, the pages themselves."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        publish_wheel(site, "acme-tools", authorization=basic_of("alice"))
        assert tabs_of(site, "acme-tools") == []
        assert ">Log in</a>" in site.get("/project/acme-tools/", accept=BROWSER).text
    with serve(tmp_path, *LOGIN, "--rights", "settings") as site:
        assert tabs_of(site, "acme-tools") == ["history", "manage"]
    with serve(tmp_path, *LOGIN, "--read-only") as site:
        assert tabs_of(site, "acme-tools") == []
    with serve(tmp_path, *OPEN) as site:
        assert tabs_of(site, "acme-tools") == ["history", "manage"]
    with serve(tmp_path, *OPEN, "--read-only") as site:
        assert tabs_of(site, "acme-tools") == ["history"]


def tabs_of(site: Site, name: str, **headers: str) -> list[str]:
    """The pages for owners that the page of a project leads to."""
    page = site.get(f"/project/{name}/", accept=BROWSER, **headers)
    assert page.status_code == 200, page.text
    return re.findall(rf'href="/project/{name}/(history|manage)/"', page.text)


def test_pages_for_owners_are_rendered_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be long, and other requests do not wait for them."""
    threads: list[threading.Thread] = []

    def noting_render(template: str, site: layout.Site, **values: object) -> Page:
        threads.append(threading.current_thread())
        return render(template, site, **values)

    render = layout.render
    for module in ("forms", "layout"):
        monkeypatch.setattr(f"quire.http.ui.{module}.render", noting_render)
    application = create_application(Settings(directories=(str(tmp_path),), authenticate=()))
    publish_in_store(tmp_path, "acme-tools", ["1.0"])

    async def ask() -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://index") as client:
            for path in (MANAGE, "/project/acme-tools/history/"):
                assert (await client.get(path, headers={"accept": BROWSER})).status_code == 200
        assert len(threads) == 2
        assert threading.current_thread() not in threads

    asyncio.run(ask())
    application.state.worker.close()


def test_many_releases_are_shown_in_parts(tmp_path: Path) -> None:
    """The newest ones, with a way to each other one, which is changed there; the page that follows has it again."""
    with serve(tmp_path, *OPEN) as site:
        newest = [f"{number}.0" for number in reversed(range(MOST_RELEASES + 5))]
        publish_in_store(site.root, "acme-tools", newest)

        def page(query: str = "") -> tuple[list[str], list[str]]:
            text = site.get(f"{MANAGE}{query}", accept=BROWSER).text
            shown = re.findall(r'<td><a href="/project/acme-tools/([^"]+)/"', text)
            return shown, re.findall(r'href="(\?version=[^"]+)"', text)

        assert page() == (newest[:MOST_RELEASES], ["?version=4.0"])
        assert page("?version=4.0") == (newest[-5:], [])
        assert page("?version=2.5") == (newest[-3:], [])
        assert page("?version=%3Cb%3E") == page("?version=0.0a1") == page()
        yanked = send(site, f"{MANAGE}?version=2.0", {"do": "yank", "version": "2.0", "reason": "old"})
        assert said(yanked).startswith("Yanked ")
        assert [each["filename"] for each in site.listing("acme-tools")["files"] if each["yanked"]] == [
            wheel_name("acme-tools", "2.0")
        ]
        assert re.search(r"2\.0</a></td>(?s:.{,200})yanked: old", yanked.text)


def test_owners(tmp_path: Path) -> None:
    """Where projects are owned, owners and administrators add and remove them; the last one stays."""
    password_file(tmp_path, alice="secret", bob="secret")
    with serve(tmp_path, *LOGIN) as site:
        alice, bob = basic_of("alice"), basic_of("bob")
        make_admin(tmp_path, "alice")
        owned = site.client.post(
            "/-/api/v1/indexes/-", json={"new_projects": "owned"}, headers={"authorization": alice}
        )
        assert owned.status_code == 200, owned.text
        publish_wheel(site, "acme-tools", authorization=bob)
        assert "user:bob" in site.get(MANAGE, accept=BROWSER, authorization=bob).text
        added = send(site, MANAGE, {"do": "add-owner", "subject": "user:carol"}, authorization=bob)
        assert said(added) == "user:carol is an owner now."
        send(site, MANAGE, {"do": "add-owner", "subject": "user:dan\u3164"}, authorization=bob)
        page = site.get(MANAGE, accept=BROWSER, authorization=bob).text
        assert "user:dan[U+3164]</span>" in page
        (field,) = re.findall(r'name="subject" value="(user:dan[^"]*)"', page)
        gone = send(site, MANAGE, {"do": "remove-owner", "subject": html.unescape(field)}, authorization=bob)
        assert gone.status_code == 200
        assert "user:dan" not in site.get(MANAGE, accept=BROWSER, authorization=bob).text
        for subject in ("user:carol", "user:bob"):
            answer = send(site, MANAGE, {"do": "remove-owner", "subject": subject}, authorization=bob)
        assert "bob" in said(answer)
        assert answer.status_code == 400
        refused = send(site, MANAGE, {"do": "add-owner", "subject": "crowd:of people"}, authorization=bob)
        assert refused.status_code == 400
