"""The page of an index: its kind and rules, its projects by name, and the rights that it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.access.tokens import new_identity, new_token
from quire.http.ui.index_page import PROJECTS
from tests.asking import OPEN, Site, basic, password_file, publish_wheel, serve
from tests.distributions import make_wheel, wheel_name
from tests.http.ui.test_manage import BROWSER, basic_of, make_admin
from tests.http.ui.test_project import HOSTILE, shown
from tests.http.ui.test_search import put
from tests.upstreams import serving_index

LOGIN = ("-a", "list,download,update", "-P", "users")
ALICE, BOB = basic_of("alice"), basic_of("bob")


def listed(text: str) -> list[str]:
    """The names of the projects in the table of a page."""
    return re.findall(r'<tr><td><a href="[^"]*/project/([^/]+)/">', text)


def test_the_page_of_the_index_at_the_root(tmp_path: Path) -> None:
    """Its lines, its projects with version and summary, the newest releases; all of it as hostile as its publishers."""
    with serve(tmp_path, *OPEN) as site:
        put(site, "acme-tools", "1.0", "Old words")
        put(site, "acme-tools", "2.0", f"Connections {HOSTILE}")
        put(site, "acme-core", "3.1")
        text = shown(site, "/index/main/")
        assert listed(text) == ["acme-core", "acme-tools"]
        assert "Connections &lt;script&gt;" in text
        assert "\u202e" not in text
        assert "Old words" not in text
        newest = text.partition('id="newest"')[2].partition("</section>")[0]
        assert re.findall(r"/project/([^/]+)/", newest) == ["acme-core", "acme-tools"]
        assert f"--index {site.base}simple/" in text
        assert f"--publish-url {site.base}" in text
        assert '<a class="button" href="/main/search">' in text
        assert "It takes uploads; a published file is never replaced." in text
        assert len(text) < 60_000
        assert '<a class="button" href="/index/main/">main</a>' in shown(site, "/")
        assert site.get("/index/main", accept=BROWSER).headers["location"] == "main/"
        publish_wheel(site, "acme-core", "4.0")
        assert re.search(r"acme-core</a>.*?<div class=\"break\">4\.0", shown(site, "/index/main/"), re.DOTALL)
        site.client.post("/", data={":action": "remove_pkg", "name": "acme-core", "version": "4.0"})
        assert re.search(r"acme-core</a>.*?<div class=\"break\">3\.1", shown(site, "/index/main/"), re.DOTALL)


def test_projects_are_paged_by_name(tmp_path: Path) -> None:
    """Each is on one page; a cursor of any length is none of the index's business."""
    names = [f"p-{number:03}" for number in range(PROJECTS * 2 + 3)]
    with serve(tmp_path, *OPEN) as site:
        for name in names:
            publish_wheel(site, name)
        found, path = list[str](), "/index/main/"
        for _ in range(3):
            text = shown(site, path)
            found += listed(text)
            following = re.search(r'href="(\?after=[^"]+)#projects" rel="next"', text)
            path = f"/index/main/{following[1]}" if following is not None else ""
        assert (found, path) == (names, "")
        assert "There are no more projects." in shown(site, f"/index/main/?after={'z' * 5000}")


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Served with logins: indexes with rules, of which bob may read some."""
    folder = tmp_path_factory.mktemp("rules")
    password_file(folder, alice="secret", bob="secret")
    with serve(folder, *LOGIN) as site:
        publish_wheel(site, "acme-tools", authorization=ALICE)
        make_admin(folder, "alice", alone=True)
        changes: tuple[tuple[str, dict[str, Any]], ...] = (
            ("indexes", {"name": "team", "behind": ["main"], "claim": ["secret-plan-*"], "quota": 5_000_000}),
            ("indexes", {"name": "hidden"}),
            ("indexes", {"name": "closed", "uploads": False, "behind": ["main"]}),
            (
                "indexes",
                {"name": "try-out", "in_front_of": "team", "expires": "2099-01-01T00:00:00Z"},
            ),
            ("indexes/team", {"upstream": {"url": "https://far.example/simple/"}, "keep": ["dev:3"]}),
            ("indexes/team/policy", {"deny": ["evil-*"], "reason": "typo <squatting>", "min_age": 604800}),
            ("indexes/team/policy", {"block_severity": "high", "exempt": ["six==1.17.0"]}),
        )
        for path, change in changes:
            answer = site.client.post(f"/-/api/v1/{path}", json=change, headers={"authorization": ALICE})
            assert answer.status_code == 200, (path, answer.text)
        for index in ("main", "team", "closed", "try-out"):
            body = {"subject": "user:bob", "rights": ["read"], "index": index}
            answer = site.client.post("/-/api/v1/grants", json=body, headers={"authorization": ALICE})
            assert answer.status_code == 200, answer.text
        yield site


def page(site: Site, name: str, user: str) -> str:
    answer = site.get(f"/index/{name}/", accept=BROWSER, authorization=user)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_rules_of_an_index_in_words(operated: Site) -> None:
    """An administrator reads all of them; others none that the API keeps from them."""
    text = page(operated, "team", ALICE)
    for words in (
        "https://far.example/simple/",
        "secret-plan-*",
        "held back until they are 7 days old",
        "No file of evil-* is served: typo &lt;squatting&gt;",
        "severity high or more are held back",
        "six 1.17.0 is exempt from these rules",
        "at most 5.0 MB together",
        "dev:3",
        '<a href="/index/main/">main</a>',
    ):
        assert words in text, words
    others = page(operated, "team", BOB)
    assert "A policy may hold files back" in others
    assert not [word for word in ("far.example", "secret-plan", "evil-", "7 days", "six") if word in others]
    assert "an upstream: another server" in others
    assert listed(others) == ["acme-tools"]


def test_stages_and_closed_indexes(operated: Site) -> None:
    """They say what is published where."""
    text = page(operated, "try-out", BOB)
    assert 'A stage of <a href="/index/team/">team</a>' in text
    assert "A promotion publishes its files in team. It ends at 2099-01-01T00:00:00Z." in text
    closed = page(operated, "closed", BOB)
    assert "It takes no uploads." in closed
    assert 'id="publish-1"' not in closed


def test_rights_are_those_of_the_list(operated: Site) -> None:
    """An index that a reader may not read gives what one that is not there gives; the home page names it to none."""
    for name in ("hidden", "nowhere"):
        for headers in ({}, {"authorization": BOB}):
            wanted = operated.get(f"/{name}/simple/", **headers)
            got = operated.get(f"/index/{name}/", **headers)
            assert (got.status_code, got.headers.get("www-authenticate")) == (
                wanted.status_code,
                wanted.headers.get("www-authenticate"),
            )
        assert operated.get(f"/index/{name}/", accept=BROWSER).status_code == 303
    assert operated.get("/index/hidden/", authorization=ALICE).status_code == 200
    assert operated.get("/index/nowhere/", authorization=ALICE).status_code == 404
    assert "/index/" not in operated.get("/", accept=BROWSER).text


def test_an_index_by_its_name_alone(operated: Site) -> None:
    """A person is led to its page, and an installer to its list, as before."""
    for path, to_page, to_list in (("/team/", "../index/team/", "simple/"), ("/team", "index/team/", "team/simple/")):
        assert operated.get(path, accept=BROWSER, authorization=BOB).headers["location"] == to_page
        assert operated.get(path, authorization=BOB).headers["location"] == to_list


def wrong_logins(site: Site) -> int:
    """The number of refused credentials, as the metrics have it."""
    text = site.get("/metrics", authorization=ALICE).text
    found = re.search(r'quire_logins_total\{result="wrong"\} (\d+)', text)
    assert found is not None, text
    return int(found[1])


@pytest.mark.parametrize(
    "sent",
    ["", BOB, "Bearer x", f"Bearer {new_token(new_identity()).text}", basic("bob", "no")],
    ids=["nothing", "a login", "no token", "an unknown token", "a wrong password"],
)
@pytest.mark.parametrize("accept", ["*/*", BROWSER], ids=["program", "browser"])
def test_a_name_that_is_an_index_is_no_news_for_a_stranger(operated: Site, sent: str, accept: str) -> None:
    """An index that a reader may not read is answered as a name of nothing, and credentials are checked for both."""
    headers = {"authorization": sent} if sent else {}
    for slash in ("", "/"):
        answers, checked = [], []
        for name in ("hidden", "nowhere"):
            before = wrong_logins(operated)
            found = operated.get(f"/{name}{slash}", accept=accept, **headers)
            checked.append(wrong_logins(operated) - before)
            answers.append((found.status_code, found.headers["location"].replace(name, "NAME"), found.headers["vary"]))
        assert answers[0] == answers[1]
        assert checked[0] == checked[1]
        assert answers[0][0] == 303


def test_a_mirror_asks_nothing_of_its_upstream(tmp_path: Path) -> None:
    """Projects that are kept of it are listed."""
    with serving_index() as upstream:
        upstream.has("far", {wheel_name("far", "1.0"): make_wheel("far", "1.0")})
        with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
            publish_wheel(site, "near")
            assert listed(shown(site, "/index/main/")) == ["near"]
            assert site.filenames("far") == [wheel_name("far", "1.0")]
            asked = len(upstream.requests)
            text = shown(site, "/index/main/")
            assert listed(text) == ["far", "near"]
            assert "from an upstream" in text
            assert len(upstream.requests) == asked
