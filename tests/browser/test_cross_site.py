"""Other sites in a real browser: none changes anything here, reads anything, or shows a page of ours as its own.

The browser takes `index.example` and the sites of the attacker for hosts of the network: all lead to this machine. Each
attack is shown to be one: what the browser has sent is sent again without the headers that tell where it comes from,
and with the token of a form where it has one, and then makes the change.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request, Response

from tests.asking import OPEN, Site, content_type, multipart, password_file, publish_wheel, serve, twine_form
from tests.browser.rig import CHROMIUM
from tests.distributions import make_wheel, wheel_name
from tests.http.ui.test_manage import basic_of, make_admin
from tests.serving import free_port, quire_command, running
from tests.upstreams import Answer, FakeIndex, serving_index
from tests.web_pages import address, parameters, paths

pytestmark = pytest.mark.browser

HOST: Final = "index.example"
ATTACKERS: Final = {"another site": "evil.example", "a sister site": "evil.index.example", "another port": HOST}
"""The hosts of the attacker's pages, by how a browser sees them from the index."""
FORMS: Final[dict[str, dict[str, str]]] = {
    "/-/login": {"user": "mallory", "password": "secret", "next": "/"},
    "/-/logout": {},
    "/-/account/tokens": {"note": "x", "right": "read", "index": "main", "days": "7", "id": "0123456789"},
    "/-/account/tokens/revoke": {"id": "0123456789"},
    "/project/{name}/manage/": {"do": "status", "status": "quarantined"},
    "/-/admin/access/": {"do": "set-group", "group": "evil", "users": "mallory"},
}
"""The fields that the forms of the web interface take; of a new one that is not here, its refusal is seen alone."""
VALUES: Final = {"index": "main", "name": "acme", "version": "1.0", "filename": wheel_name("acme", "1.0")}
CHECKED: Final = frozenset(
    {"origin", "referer", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user"}
)
API: Final = "/-/api/v1/indexes/-/projects/acme/yank"
LOGIN: Final = ("-a", "list,download,update", "-P", "users")


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A browser that has all hosts of these tests on this machine."""
    hosts = ("index.example", "*.example", "evil.example")
    rules = ",".join(f"MAP {host} 127.0.0.1" for host in hosts)
    launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--host-resolver-rules={rules}"])
    yield launched
    launched.close()


@dataclass
class Attack:
    """A browser that has logged in to the index, and the site of an attacker."""

    site: Site
    context: BrowserContext
    page: Page
    """Of the attacker."""
    sites: FakeIndex
    attacker: str
    """Its origin."""

    @property
    def origin(self) -> str:
        """Of the index."""
        return f"http://{HOST}:{self.site.served.port}"

    def visit(self, html: str, path: str = "/attack") -> None:
        """The victim comes to a page of the attacker."""
        self.sites.at(path, Answer(f"<!doctype html><title>attacker</title>{html}".encode(), "text/html"))
        self.page.goto(f"{self.attacker}{path}")
        assert self.page.title() == "attacker"

    def send_form(self, path: str, fields: Mapping[str, str], kind: str, target: str = "_self") -> Response:
        """The answer to a form that the attacker's page sends by itself."""
        inputs = "".join(
            f'<input type=hidden name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
        )
        self.visit(
            f'<iframe name="frame"></iframe><form method="post" target="{target}" enctype="{kind}" '
            f'action="{self.origin}{path}">{inputs}</form>'
        )
        with self.page.expect_response(lambda answer: answer.request.method == "POST") as found:
            if target == "_self":
                with self.page.expect_navigation():
                    self.page.evaluate("document.forms[0].submit()")
            else:
                self.page.evaluate("document.forms[0].submit()")
        return found.value

    def ask(self, script: str) -> Any:
        """The result of a script in the page of the attacker."""
        return self.page.evaluate(f"(index) => ({script})", self.origin)

    def replay(self, sent: Request, *, token: str | None = None, drops: bool = True) -> httpx.Response:
        """Send what the browser has sent again. `drops`: without what tells where it is from; `token`: of the form."""
        headers = {
            name: value
            for name, value in sent.all_headers().items()
            if not name.startswith(":") and not (drops and name in CHECKED) and name not in {"content-length", "host"}
        }
        headers["cookie"] = "; ".join(f"{each['name']}={each['value']}" for each in self.context.cookies(self.origin))
        body = sent.post_data_buffer or b""
        if token is not None:
            fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            body = urlencode({**fields, "token": token}).encode()
        return self.site.client.post(httpx.URL(sent.url).path, content=body, headers=headers)

    def token(self, path: str) -> str:
        """That of the forms of a page, in the browser of the victim."""
        own = self.context.new_page()
        own.goto(f"{self.origin}{path}")
        found = own.locator("input[name=token]").first.get_attribute("value")
        own.close()
        assert found
        return found


@contextmanager
def attacking(browser: Browser, site: Site, host: str, *, logs_in: bool = True) -> Iterator[Attack]:
    with ExitStack() as stack:
        sites = stack.enter_context(serving_index())
        context = browser.new_context()
        stack.callback(context.close)
        page = context.new_page()
        attack = Attack(site, context, page, sites, f"http://{host}:{sites.base.rpartition(':')[2]}")
        if logs_in:
            own = context.new_page()
            own.goto(f"{attack.origin}/-/login")
            own.fill("input[name=user]", "alice")
            own.fill("input[name=password]", "secret")
            own.click("main form button")
            assert "alice" in own.inner_text("header nav")
            own.close()
        yield attack


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An index with a login, and with a project."""
    folder = tmp_path_factory.mktemp("victim")
    password_file(folder, alice="secret", mallory="secret")
    with serve(folder, *LOGIN) as site:
        make_admin(folder, "alice")
        publish_wheel(site, "acme", authorization=basic_of("alice"))
        yield site


@pytest.fixture(params=ATTACKERS)
def attack(request: pytest.FixtureRequest, chromium: Browser, site: Site) -> Iterator[Attack]:
    with attacking(chromium, site, ATTACKERS[request.param]) as made:
        yield made


def state(site: Site) -> list[Any]:
    """All that forms can change."""
    asked = ("indexes/-/projects/acme", "groups", "grants", "tokens", "indexes", "indexes/-/policy", "webhooks")
    return [site.get(f"/-/api/v1/{path}", authorization=basic_of("alice")).json() for path in asked]


def test_no_form_of_another_site_changes_anything(attack: Attack) -> None:
    """Every form of the web interface, in the window and in a frame, as forms and as text: 403."""
    before = state(attack.site)
    for path in paths("POST"):
        fields = {"token": "x" * 43, **FORMS.get(path, {"do": "anything"})}
        where = address(path, {name: VALUES.get(name, "x") for name in parameters(path)})
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data"):
            for target in ("_self", "frame"):
                assert attack.send_form(where, fields, kind, target).status == 403, (where, kind, target)
    assert state(attack.site) == before
    own = attack.context.new_page()
    own.goto(f"{attack.origin}/-/account/")
    assert own.inner_text("#user") == "alice", "the session goes on"


@pytest.mark.parametrize(
    ("path", "page", "change"),
    [
        ("/project/acme/manage/", "/project/acme/manage/", {"do": "status", "status": "quarantined"}),
        ("/-/admin/access/", "/-/admin/access/", {"do": "set-group", "group": "evil", "users": "mallory"}),
        ("/-/account/tokens", "/-/account/", FORMS["/-/account/tokens"]),
    ],
)
def test_each_layer_refuses_by_itself(
    chromium: Browser, tmp_path: Path, path: str, page: str, change: dict[str, str]
) -> None:
    """By its origin with the right token, by its token without an origin; without both the attack succeeds."""
    password_file(tmp_path, alice="secret", mallory="secret")
    with serve(tmp_path, *LOGIN) as site:
        make_admin(tmp_path, "alice")
        publish_wheel(site, "acme", authorization=basic_of("alice"))
        with attacking(chromium, site, HOST) as attack:
            answer = attack.send_form(path, {"token": "x" * 43, **change}, "application/x-www-form-urlencoded")
            assert answer.status == 403
            sent, token, before = answer.request, attack.token(page), state(site)
            assert "quire_session=" in sent.all_headers()["cookie"], "for the browser, another port is the same site"
            assert attack.replay(sent, token=token, drops=False).status_code == 403
            assert attack.replay(sent).status_code == 403
            assert state(site) == before
            assert attack.replay(sent, token=token).status_code in {200, 303}  # with its result, or led on to it
            assert state(site) != before


def test_cookies_stay_at_home(chromium: Browser, site: Site) -> None:
    """A form of another site comes without the session; a link brings it, and shows the page."""
    with attacking(chromium, site, "evil.example") as attack:
        answer = attack.send_form("/project/acme/manage/", {"do": "status"}, "application/x-www-form-urlencoded")
        assert "cookie" not in answer.request.all_headers()
        attack.visit(f'<a href="{attack.origin}/-/account/">see</a>')
        attack.page.click("a")
        attack.page.wait_for_url("**/-/account/")
        assert attack.page.inner_text("#user") == "alice"


def test_scripts_of_another_site_change_and_read_nothing(attack: Attack) -> None:
    """fetch with and without CORS, beacons: refused by the browser or by the index."""
    before = state(attack.site)
    attack.visit("")
    body = json.dumps({"version": "1.0"})
    for path in ("/", "/project/acme/manage/", "/-/admin/access/", API, "/-/logout", "/legacy/", "/RPC2"):
        with attack.page.expect_response(lambda answer: answer.request.method == "POST") as found:
            attack.ask(
                f"fetch(index + {path!r}, {{method: 'POST', mode: 'no-cors', credentials: 'include', body: {body!r}}})"
                ".then((answer) => answer.type)"
            )
        assert found.value.status == 403, path
        with attack.page.expect_response(lambda answer: answer.request.method == "POST") as found:
            assert attack.ask(f"navigator.sendBeacon(index + {path!r}, {body!r})")
        assert found.value.status == 403, path
    reading = "{credentials: 'include'}"
    changing = "{method: 'POST', credentials: 'include', headers: {'content-type': 'application/json'}, body: '{}'}"
    for path in ("/", "/-/account/", "/simple/", "/-/api/v1/whoami", "/openapi.json", "/project/acme/", API):
        for options in (reading, changing):
            got = attack.ask(f"fetch(index + {path!r}, {options}).then(() => 'read', (error) => error.name)")
            assert got == "TypeError", path
    assert state(attack.site) == before


def test_no_page_is_part_of_another_site(attack: Attack) -> None:
    """Neither in a frame, nor as a script, a style, an image or an object; nor is one read through its window."""
    shown = "/-/account/"
    for tag in ("iframe src", "object data", "embed src"):
        attack.visit(f'<{tag}="{attack.origin}{shown}"></{tag.split()[0]}>')
        attack.page.wait_for_load_state("networkidle")
        inner = [frame for frame in attack.page.frames if frame is not attack.page.main_frame]
        assert all("alice" not in frame.content() for frame in inner), tag
    for tag in ("script src", "link rel=stylesheet href", "img src"):
        for path in (shown, "/-/api/v1/whoami", "/simple/acme/", "/-/account/?x.js", "/project/acme/"):
            made = (
                "new Promise((done) => { const parts = %s.split(/[ =]/); "
                "const made = document.createElement(parts[0]); if (parts.length > 2) { made.rel = parts[2]; } "
                "made.onload = () => done('loaded'); made.onerror = () => done('refused'); "
                "made[parts.at(-1)] = index + %s; document.body.append(made); })"
            )
            attack.visit("<body></body>")
            assert attack.ask(made % (json.dumps(tag), json.dumps(path))) == "refused", (tag, path)
    attack.visit("<body></body>")
    with attack.context.expect_page() as opened:
        attack.ask(f"(window.opened = open(index + {shown!r}), null)")
    opened.value.wait_for_load_state()
    for read in ("document.body", "location.href", "user", "localStorage", "name.length"):
        got = attack.ask(
            f"(() => {{ try {{ return String(opened.{read}); }} catch (error) {{ return error.name; }} }})()"
        )
        assert got == "SecurityError", read
    opened.value.close()


def test_what_a_link_brings_changes_nothing(attack: Attack) -> None:
    """Pages that are only asked for, ahead of time too: no address of a page or a form changes anything by GET."""
    before = state(attack.site)
    for path in {*paths(), *paths("POST")}:
        where = address(path, {name: VALUES.get(name, "x") for name in parameters(path)})
        query = urlencode(FORMS.get(path, {"do": "delete-project", "confirmation": "acme", "version": "1.0"}))
        attack.visit(f'<link rel="prefetch" href="{attack.origin}{where}?{query}">')
        attack.page.goto(f"{attack.origin}{where}?{query}")
    assert state(attack.site) == before


def test_an_open_index_takes_no_upload_of_a_page(chromium: Browser, tmp_path: Path) -> None:
    """As on a developer's machine, where no login is needed: a form of any site with a file is refused."""
    filename, wheel = wheel_name("evil", "1.0"), make_wheel("evil", "1.0")
    form = multipart(twine_form(filename, wheel, name="evil", version="1.0"))
    sending = """([index, body, type]) => fetch(index + "/", {method: "POST", mode: "no-cors", body: new Blob(
        [Uint8Array.from(body)], {type})}).then((answer) => answer.type)"""
    with serve(tmp_path, *OPEN) as site, attacking(chromium, site, "evil.example", logs_in=False) as attack:
        attack.visit("")
        with attack.page.expect_response(lambda answer: answer.request.method == "POST") as found:
            # multipart/form-data is one of the types that a page may send anywhere
            assert attack.page.evaluate(sending, [attack.origin, list(form), content_type()]) == "opaque"
        assert found.value.status == 403
        assert site.projects() == []
        headers = {"content-type": content_type()}
        assert site.client.post("/", content=form, headers=headers).status_code == 200, "without its origin it succeeds"
        assert site.projects() == ["evil"]


@pytest.mark.parametrize("is_protected", [True, False])
def test_dns_rebinding(chromium: Browser, tmp_path: Path, is_protected: bool) -> None:
    """A page whose name was led to the index reads and changes nothing of one on a developer's machine; it does where
    every name is allowed.

    The script of the attacker is put into the one page that answers under every name, as if that had come from before
    the name led here.
    """
    (tmp_path / "packages").mkdir()
    port = free_port()
    flags = () if is_protected else ("--allowed-hosts", "*")
    command = quire_command("serve", "-p", port, *OPEN, *flags, "--workers", 1, "packages")
    form = multipart(twine_form(wheel_name("evil", "1.0"), make_wheel("evil", "1.0"), name="evil", version="1.0"))
    script = """async ([body, type]) => {
        const sent = await fetch("/", {method: "POST", body: new Blob([Uint8Array.from(body)], {type})});
        const read = await fetch("/simple/"), page = await fetch("/"), api = await fetch("/-/api/v1/indexes");
        return [sent.status, read.status, page.status, api.status, await read.text()];
    }"""
    with running(command, port, cwd=tmp_path), chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"http://rebound.example:{port}/health")
        *statuses, text = page.evaluate(script, [list(form), content_type()])
        if is_protected:
            assert statuses == [421, 421, 421, 421]
            assert "evil" not in text.replace("evil.example", "")
        else:
            assert statuses == [200, 200, 200, 200]
            assert "evil" in text
        page.goto(f"http://localhost:{port}/simple/")
        assert ("evil" in page.content()) is not is_protected
