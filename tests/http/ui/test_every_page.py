"""Every page and form of the route table with values of all kinds: each answer is a bounded page with its policy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.asking import Site, basic, password_file, publish_wheel, serve
from tests.distributions import wheel_name
from tests.fuzz.budget import seconds
from tests.hostile_content import TEXTS
from tests.http.ui.test_manage import make_admin
from tests.web_pages import BROWSER, QUERY, address, parameters, paths

MOST: Final = 60_000
"""Bytes of a page without a README."""
FIELDS: Final = (
    *("do", "version", "reason", "confirmation", "status", "subject", "filename", "rights", "index", "projects", "id"),
    *("group", "users", "user", "password", "next", "note", "right", "days", "policy", "rule", "kind", "platform"),
)
"""The names of fields in forms."""
KNOWN: Final = {
    "name": ("acme", "ACME", "nothing", "manage", ".", "__proto__"),
    "version": ("1.0", "1", "1.0.0+local", "diff", "0!1", "9" * 300),
    "filename": (wheel_name("acme", "1.0"), "acme-1.0.tar.gz", "..", "x"),
    "path": ("", "acme.py", "acme-1.0.dist-info/METADATA", "../x", "/", "a/" * 300),
    "index": ("main", "-", "nowhere", "team"),
}
"""Values that lead to something, and some that nearly do."""
WORDS: Final = (
    st.sampled_from([text[:2000] for text in TEXTS.values()])
    | st.text(max_size=40)
    | st.sampled_from(["acme", "main", "1.0", "user:alice", "delete-project", "yank", "0", "-1", "1e9", "x" * 20_000])
)
ALICE: Final = basic("alice", "secret")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("pages")
    password_file(folder, alice="secret")
    with serve(folder, "-a", "list,download,update", "-P", "users", "--disable-fallback") as site:
        make_admin(folder, "alice")
        for version in ("1.0", "2.0"):
            publish_wheel(site, "acme", version, authorization=ALICE)
        made = site.client.post(
            "/-/api/v1/indexes", json={"name": "team", "behind": ["main"]}, headers={"authorization": ALICE}
        )
        assert made.status_code == 200, made.text
        yield site


def filled(path: str, data: st.DataObject) -> str:
    """A path with a value for each of its parameters."""
    values = {name: data.draw(st.sampled_from(KNOWN.get(name, ("x",))) | WORDS, name) for name in parameters(path)}
    return address(path, {name: value[:2000] for name, value in values.items()})


def check(answer: httpx.Response) -> None:
    """No error of the server; a page has its policy, is kept by no shared cache, and is of a bounded size."""
    assert answer.status_code < 500, answer.text
    headers = answer.headers
    assert "x-injected" not in headers
    if answer.status_code == 304:
        return
    if answer.status_code == 301:  # one slash in the place of several, for all readers
        return
    if 300 <= answer.status_code < 400:
        assert re.fullmatch(r"[\x21-\x7e]+", headers["location"])
        assert answer.url.join(headers["location"]).host == answer.url.host
        assert "no-store" in headers["cache-control"] or "no-cache" in headers["cache-control"]
        return
    kind = headers["content-type"]
    assert kind == "text/html; charset=utf-8" or (answer.status_code >= 400 and kind.startswith("text/plain"))
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert len(answer.content) < MOST
    if (
        kind.startswith("text/html")
        and "/simple/" not in answer.url.path
        and not answer.url.path.endswith("/packages/")
    ):
        (policy,) = headers.get_list("content-security-policy")
        for rule in ("default-src 'none'", "script-src 'self'", "form-action 'self'", "base-uri 'none'"):
            assert rule in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["referrer-policy"] == "same-origin"
        assert {"private", "no-store"} & set(re.split(", ?", headers["cache-control"]))
        assert {"Cookie", "Authorization"} <= set(re.split(", ?", headers["vary"]))


LIMITS: Final = settings(
    max_examples=150 * seconds(10) // 10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(data=st.data())
@LIMITS
def test_every_page(site: Site, data: st.DataObject) -> None:
    """With values in the path and in the query, for browsers and other clients, with and without a login."""
    path = filled(data.draw(st.sampled_from(paths()), "page"), data)
    query = data.draw(st.dictionaries(st.sampled_from(QUERY), WORDS, max_size=4), "query")
    headers = {"accept": data.draw(st.sampled_from([BROWSER, BROWSER, "*/*"]))}
    if data.draw(st.booleans()):
        headers["authorization"] = ALICE
    if data.draw(st.booleans()):
        headers["hx-request"] = "true"
    check(site.client.request(data.draw(st.sampled_from(["GET", "GET", "HEAD"])), path, params=query, headers=headers))


@given(data=st.data())
@LIMITS
def test_every_form(site: Site, data: st.DataObject) -> None:
    """With fields of all kinds, and with the right token most times."""
    path = filled(data.draw(st.sampled_from(paths("POST")), "form"), data)
    login = {"authorization": ALICE, "accept": BROWSER}
    token = re.search(r'name="token" value="([^"]+)"', site.client.get("/project/acme/manage/", headers=login).text)
    form: dict[str, object] = {
        **data.draw(st.dictionaries(st.sampled_from(FIELDS), WORDS | st.lists(WORDS, max_size=2)))
    }
    if token is not None and data.draw(st.sampled_from([True, True, False])):
        form["token"] = token[1]
    check(site.client.post(path, data=form, headers=login))
    publish_wheel_again(site)


def publish_wheel_again(site: Site) -> None:
    """A form can have deleted it, which is all right."""
    if not site.get("/simple/acme/", authorization=ALICE).is_success:
        publish_wheel(site, "acme", "1.0", authorization=ALICE)
