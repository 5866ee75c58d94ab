"""The operator's pages: each shows the state that the API has, and the forms change it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from quire.http.ui.admin_policy import changes_in
from quire.http.ui.admin_server import with_unit
from tests.asking import Site, password_file, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.http.ui.test_manage import BROWSER, basic_of, make_admin, said, send

ACCESS = "/-/admin/access/"
PAGES = ("/-/admin/", ACCESS, "/-/admin/log/", "/-/admin/policy/", "/-/admin/storage/")
OF_THE_SERVER = ("/-/admin/upstreams/", "/-/admin/server/", "/-/admin/settings/", "/-/admin/jobs/")
LOGIN = ("-a", "list,download,update", "-P", "users")
ALICE, BOB = basic_of("alice"), basic_of("bob")


def begun(directory: Path, site: Site) -> None:
    """Two projects of bob, grants, an index, a policy, retention, a file in the trash."""
    for version in ("1.0.dev1", "1.0.dev2"):
        publish_wheel(site, "acme-tools", version, authorization=BOB)
    publish_wheel(site, "acme-core", authorization=BOB)
    make_admin(directory, "alice")
    for path, body in (
        ("indexes", {"name": "staging", "behind": ["main"], "claim": ["acme-*"]}),
        ("indexes/-", {"keep": ["dev:1"]}),
        ("indexes/-/policy", {"deny": ["evil-*"], "reason": "typo <squatting>"}),
        ("indexes/-/projects/acme-core/delete", {"version": "1.0"}),
        ("groups/ops", {"users": ["bob"]}),
        ("tokens", {"rights": ["read"], "note": "of <ci>"}),
    ):
        answer = site.client.post(f"/-/api/v1/{path}", json=body, headers={"authorization": ALICE})
        assert answer.status_code == 200, (path, answer.text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with all that the pages show."""
    folder = tmp_path_factory.mktemp("operated")
    password_file(folder, alice="secret", bob="secret")
    with serve(folder, *LOGIN) as site:
        begun(folder, site)
        yield site


def test_each_page_shows_the_state_of_the_store(site: Site) -> None:
    """All that is in the store is on its page, escaped; a user without the right gets none of them."""
    texts = {}
    for path in PAGES:
        assert site.get(path).status_code == 401
        assert site.get(path, accept=BROWSER, authorization=BOB).status_code == 403
        answer = site.get(path, accept=BROWSER, authorization=ALICE)
        assert answer.status_code == 200, answer.text
        texts[path] = answer.text
        assert '<a href="/-/admin/">Administration</a>' in answer.text
        assert len(answer.text) < 60_000
        assert "<squatting>" not in answer.text
        assert "<ci>" not in answer.text
    overview, access, log, policy, storage = texts.values()
    assert "index main" in overview
    assert "acme-*" in overview
    assert "ops: bob" in access
    assert "of &lt;ci&gt;" in access
    assert {"publish", "delete"} <= set(re.findall(r'<td data-label="Change">(\S+)</td>', log))
    assert "evil-*" in policy
    assert "typo &lt;squatting&gt;" in policy
    assert '<a href="/project/acme-tools/">acme-tools</a>' in storage
    assert "The rules dev:1 let" in storage
    assert "acme_core-1.0" in storage


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("/-/admin/log/?action=delete&user=alice", 200, "acme-core"),
        ("/-/admin/log/?since=yesterday", 400, "since is a time such as"),
        ("/-/admin/log/?of=staging", 200, "Changes"),
        ("/-/admin/log/?of=nowhere", 400, "There is no index"),
        ("/-/admin/policy/?project=acme-tools", 200, "acme_tools-1.0.dev1"),
        ("/-/admin/policy/?project=%3Cb%3E", 200, "&lt;b&gt;"),
        ("/-/admin/access/?subject=user:bob", 200, "upload"),
        ("/-/admin/access/?subject=crowd:of+people", 200, 'class="banner bad"'),
        ("/-/admin/upstreams/", 200, "it has one worker."),
        ("/-/admin/storage/?cursor=zzz", 200, "Nothing was published yet."),
    ],
)
def test_questions(path: str, status: int, expected: str, site: Site) -> None:
    """Filters and explanations; a question that has no answer gets a sentence."""
    answer = site.get(path, accept=BROWSER, authorization=ALICE)
    assert answer.status_code == status, answer.text
    assert expected in answer.text


def test_the_log_is_in_the_order_of_time(site: Site) -> None:
    """The newest change of all projects is first; those of a policy are of the index, and no rights. The filter
    for changes is a choice, and that for days a date."""
    page = site.get("/-/admin/log/", accept=BROWSER, authorization=ALICE).text
    times = re.findall(r'data-label="When"><time datetime="([^"]+)"', page)
    assert times == sorted(times, reverse=True)
    assert len(times) > 5
    assert re.search(r'<td><span class="muted">index</span></td>\s*<td data-label="Change">policy-set<', page)
    assert re.search(r'<td><span class="muted">rights</span></td>\s*<td data-label="Change">access-init<', page)
    chosen = site.get("/-/admin/log/?action=policy-set&since=2026-01-02", accept=BROWSER, authorization=ALICE).text
    assert "<option selected>policy-set</option>" in chosen
    assert '<input type="date" name="since" value="2026-01-02">' in chosen
    assert chosen.count('data-label="When"') == 1
    beyond = site.get("/-/admin/log/?skip=100000", accept=BROWSER, authorization=ALICE)
    assert (beyond.status_code, beyond.text.count('data-label="When"')) == (200, 0)
    assert site.get("/-/admin/log/?skip=-1", accept=BROWSER, authorization=ALICE).status_code == 200


def test_a_long_log_has_further_pages(tmp_path: Path) -> None:
    """Together they have each change once, in the order of time."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        publish_wheel(site, "acme-tools", "1.0", authorization=ALICE)
        make_admin(tmp_path, "alice")
        for number in range(101):
            answer = site.client.post(
                "/-/api/v1/groups/ops", json={"users": [f"u{number}"]}, headers={"authorization": ALICE}
            )
            assert answer.status_code == 200, answer.text
        first = site.get("/-/admin/log/", accept=BROWSER, authorization=ALICE).text
        link = re.search(r'href="(\?[^"]+)">More</a>', first)
        assert link is not None
        second = site.get(f"/-/admin/log/{html.unescape(link[1])}", accept=BROWSER, authorization=ALICE).text
        assert ">More</a>" not in second
        times = re.findall(r'data-label="When"><time datetime="([^"]+)"', first + second)
        assert times == sorted(times, reverse=True)
        assert len(times) == 103
        assert "u100" in first
        assert "publish" in second


def test_grants_in_words(site: Site) -> None:
    """A grant of everything says so."""
    page = site.get(ACCESS, accept=BROWSER, authorization=ALICE).text
    assert "all projects, every index" in page
    assert "* in *" not in page


def test_links_lead_to_the_index_that_is_looked_at(site: Site) -> None:
    """A project of another index is managed there, and not in the one at the root that has its name."""
    filename, content = wheel_name("acme-maps", "1.0"), make_wheel("acme-maps", "1.0")
    answer = site.client.post(
        "/staging/",
        data={":action": "file_upload", "name": "acme-maps", "version": "1.0"},
        files={"content": (filename, content)},
        headers={"authorization": ALICE},
    )
    assert answer.status_code == 200, answer.text
    for path in ("log", "storage"):
        page = site.get(f"/-/admin/{path}/?of=staging", accept=BROWSER, authorization=ALICE).text
        assert "/staging/project/acme-maps/" in page
        assert '"/project/acme-maps/' not in page


def test_rights_are_given_and_taken_back(tmp_path: Path) -> None:
    """Each form counts for the next request, and a refused one says why."""
    password_file(tmp_path, alice="secret", bob="secret")

    def do(site: Site, **fields: str) -> httpx.Response:
        return send(site, ACCESS, fields, authorization=ALICE)

    with serve(tmp_path, *LOGIN) as site:
        make_admin(tmp_path, "alice", alone=True)
        assert site.get("/simple/", authorization=BOB).status_code == 403
        given = do(site, do="grant", subject="user:bob", rights="read", index="*", projects="*")
        assert said(given) == "user:bob has read now."
        assert site.get("/simple/", authorization=BOB).status_code == 200
        button = r'name="id" value="([0-9a-z]{10})"><p>[^<]*</p><button[^>]*"Yes, take back read from user:bob'
        (grant,) = re.findall(button, given.text)
        assert said(do(site, do="revoke-grant", id=grant)).startswith("The grant is taken back")
        assert site.get("/simple/", authorization=BOB).status_code == 403
        assert said(do(site, do="set-group", group="ops", users="bob")) == "The group ops has 1 user now."
        assert (
            said(do(site, do="grant", subject="group:ops", rights="admin", index="*", projects="*"))
            == "group:ops has admin now."
        )
        assert site.get("/-/admin/", accept=BROWSER, authorization=BOB).status_code == 200
        made = site.client.post("/-/api/v1/tokens", json={"rights": ["read"]}, headers={"authorization": ALICE}).json()
        assert said(do(site, do="revoke-token", id=made["token"]["id"])).endswith("is refused.")
        for emptied in ({"projects": ""}, {"index": ""}):  # an emptied field means nothing, and never everything
            fields = {
                "do": "grant",
                "subject": "user:bob",
                "rights": "read",
                "index": "main",
                "projects": "x",
            } | emptied
            assert do(site, **fields).status_code == 400
        refused = do(site, do="grant", subject="user:bob", index="*", projects="*")
        assert refused.status_code == 400
        assert 'class="banner bad"' in refused.text
        assert do(site, do="revoke-grant", id="0000000000").status_code == 404
        assert do(site, do="nothing").status_code == 400


POLICY = "/-/admin/policy/"


def test_a_change_of_a_policy_is_tried_before_it_counts(tmp_path: Path) -> None:
    """The page says what would be held back, and nothing is; the second form makes exactly that change, and its
    result leads to the entry of the log."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, *LOGIN) as site:
        publish_wheel(site, "acme-tools", "1.0", authorization=ALICE)
        make_admin(tmp_path, "alice")
        fields = {"deny": "acme-*", "reason": "so <it> is", "releases": "acme-tools unknown==1.0"}
        tried = send(site, POLICY, {"do": "try", **fields}, authorization=ALICE)
        assert tried.status_code == 200, tried.text
        assert said(tried) == "Of 1 files that were looked at, 1 would be held back and 0 set free."
        assert wheel_name("acme-tools", "1.0") in tried.text
        assert "unknown==1.0" in tried.text
        assert "<it>" not in tried.text
        assert site.get("/simple/acme-tools/", authorization=ALICE).status_code == 200
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', tried.text))
        assert {"deny", "reason", "token"} <= hidden.keys()
        assert wheel_name("acme-tools", "1.0") in site.get("/simple/acme-tools/", authorization=ALICE).text
        changed = send(site, POLICY, {"do": "set", "deny": "acme-*", "reason": "typo"}, authorization=ALICE)
        assert said(changed) == "The policy of main is changed: it counts for the next request on every server."
        link = re.search(r'role="status"><p>[^<]*</p>\s*<p><a href="([^"]+)"', changed.text)
        assert link is not None
        entries = site.get(html.unescape(link[1]), accept=BROWSER, authorization=ALICE).text
        assert "policy-set" in entries
        assert wheel_name("acme-tools", "1.0") not in site.get("/simple/acme-tools/", authorization=ALICE).text
        freed = send(site, POLICY, {"do": "try", "not_deny": "acme-*", "releases": "acme-tools"}, authorization=ALICE)
        assert said(freed) == "Of 1 files that were looked at, 0 would be held back and 1 set free."
        again = send(site, POLICY, {"do": "set", "deny": "acme-*", "reason": "typo"}, authorization=ALICE)
        assert said(again) == "The policy of main says so already."


@pytest.mark.parametrize(
    ("fields", "status", "expected"),
    [
        ({"do": "try", "releases": "acme-tools"}, 400, "Fill in a rule to change."),
        ({"do": "set", "reason": "alone"}, 400, "Fill in a rule to change."),
        ({"do": "try", "deny": "evil-*"}, 400, "Fill in the field releases."),
        ({"do": "try", "deny": "evil-*", "releases": "==1"}, 400, "==1"),
        ({"do": "set", "min_age_days": "nan"}, 400, "The minimum age is a number of days"),
        ({"do": "set", "min_age_days": "-1"}, 400, "The minimum age is a number of days"),
        ({"do": "set", "block": "abc"}, 400, "block"),
        ({"do": "set", "exempt": "six==1.0", "until": "soon"}, 400, "soon"),
        ({"do": "set", "malicious": "<b>"}, 400, "Fill in a rule to change."),
        ({"do": "everything"}, 400, "names no change of a policy"),
    ],
)
def test_a_change_of_a_policy_that_is_refused(fields: dict[str, str], status: int, expected: str, site: Site) -> None:
    """It gets a sentence, and the form keeps what was filled in."""
    answer = send(site, POLICY, fields, authorization=ALICE)
    assert answer.status_code == status, answer.text
    assert expected in html.unescape(answer.text)
    if fields["do"] in {"try", "set"} and "deny" in fields:
        assert 'name="deny" value="evil-*"' in answer.text


def test_the_fields_of_a_change() -> None:
    """Each is a field of the API's body."""
    form = {
        "deny": ["evil-* worse"],
        "min_age_days": ["1.5"],
        "min_age_except_fixes": ["no"],
        "block_severity": ["off"],
        "malicious": ["block"],
        "exempt": ["six==1.17.0"],
        "until": ["2026-12-24"],
    }
    assert changes_in(form) == {
        "deny": ["evil-*", "worse"],
        "min_age": 129_600,
        "min_age_except_fixes": False,
        "block_severity": None,
        "malicious": "block",
        "exempt": ["six==1.17.0"],
        "until": "2026-12-24T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("upstream_max_stale", "2592000", "30 d"),
        ("redirect_seconds", "600", "10 min"),
        ("session_seconds", "3601", "3601 s"),
        ("cache_size", "67108864", "64 MiB"),
        ("max_upload_size", "2147483648", "2 GiB"),
        ("mirror_size", "", None),
        ("drain_seconds", "0.5", None),
        ("cache_control", "0", None),
        ("port", "8080", None),
    ],
)
def test_settings_with_units(name: str, value: str, words: str | None) -> None:
    """Seconds and bytes in the largest unit that is exact."""
    assert with_unit(name, value) == words


def test_settings_are_in_the_order_of_the_reference(site: Site) -> None:
    """Each has its flag."""
    page = site.get("/-/admin/settings/", accept=BROWSER, authorization=ALICE).text
    _, defaults = page.split("<h2>Defaults</h2>")
    assert defaults.index("--upstream-max-age") < defaults.index("--cache-size") < defaults.index("--log-sample")
    assert '64 MiB <span class="muted">67108864</span>' in defaults


@pytest.mark.parametrize(("path", "status"), [("/-/admin/", 401), ("/-/login", 404), ("/-/account/", 404)])
def test_a_server_without_users_says_so(path: str, status: int, tmp_path: Path) -> None:
    """A browser asks for no password, as there can be none; its page has the commands. Programs get what they got."""
    with serve(tmp_path, "-a", ".", "-P", ".") as site:
        page = site.get(path, accept=BROWSER)
        assert page.status_code == status
        assert "Basic" not in page.headers.get("www-authenticate", "")
        for text in ("This server has no users", "quire passwd", "quire access init --admin", "docs/how-to/access.md"):
            assert text in page.text
        program = site.get(path)
        assert program.status_code == status
        assert "Basic" in program.headers.get("www-authenticate", "Basic")
        assert "quire passwd" not in program.text
        assert ("You need a login to administer this server." in page.text) == (status == 401)


def test_a_server_without_an_administrator_says_how_to_make_one(tmp_path: Path) -> None:
    """The one that could be asked is not there yet; the command has the name of the user that reads it."""
    password_file(tmp_path, alice="secret", bob="secret")
    with serve(tmp_path, *LOGIN) as site:
        anonymous = site.get("/simple/", accept=BROWSER)
        assert (anonymous.status_code, "You need a login to see the projects." in anonymous.text) == (401, True)
        assert site.get("/simple/").text == "To list needs a login; give a user name and a password.\n"
        page = site.get("/-/admin/", accept=BROWSER, authorization=ALICE)
        assert page.status_code == 403
        assert "quire access init --admin alice -a download,list,update" in page.text
        assert "ask an administrator" not in page.text
        make_admin(tmp_path, "alice")
        refused = site.get("/-/admin/", accept=BROWSER, authorization=BOB).text
        assert "ask an administrator" in refused
        assert "access init" not in refused
