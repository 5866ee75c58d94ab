"""The search: what it finds, in which order, and that it is never wrong about what there is.

Each test talks to a real server. A catalog is complete after the first search of these small stores.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.index.index import Index
from quire.operations import defining, granting
from quire.store.opening import open_store
from quire.store.posix.store import PosixStore
from tests.asking import OPEN, Site, basic, password_file, publish, serve
from tests.distributions import make_wheel, metadata_text, wheel_name
from tests.serving import until
from tests.upstreams import Answer, serving_index

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def put(
    site: Site,
    name: str,
    version: str = "1.0",
    summary: str = "",
    *,
    extra: str = "",
    requires_python: str = ">=3.8",
    path: str = "/",
    **headers: str,
) -> None:
    """Publish a wheel with this metadata."""
    text = metadata_text(name, version, requires_python=requires_python, extra=extra)
    text = text.replace(f"Summary: {name} for tests", f"Summary: {summary or name}")
    content = make_wheel(name, version, metadata=text)
    answer = publish(site, wheel_name(name, version), content, name=name, version=version, path=path, **headers)
    assert answer.status_code == 200, answer.text


def search(site: Site, path: str = "/-/api/v1/search", **values: str) -> dict[str, Any]:
    answer = site.client.get(path, params=values)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names(site: Site, text: str = "", **filters: str) -> list[str]:
    return [each["project"] for each in search(site, q=text, **filters)["projects"]]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("stocked"), *OPEN) as site:
        put(site, "retry", "2.0", "Code that is run until it succeeds", extra="Keywords: backoff,attempts\n")
        put(site, "retrying", "1.3", "An older one")
        put(site, "acme-retry", "1.0", "Deprecated")
        put(site, "acme-tools", "1.0", "Connections and retries", extra="Classifier: Framework :: Django\n")
        put(site, "numpy", "2.1", "Arrays <script>alert(1)</script>", requires_python=">=3.10")
        put(
            site,
            "tables",
            "1.0",
            "Tables of things",
            extra='Requires-Dist: numpy<3,>=2\nRequires-Dist: Acme.Tools; extra == "all"\nProvides-Extra: all\n',
        )
        yield site


def test_names_come_before_words(stocked: Site) -> None:
    """The exact name, names that begin with it, names with the word, then projects that speak of it."""
    assert names(stocked, "retry") == ["retry", "retrying", "acme-retry"]
    assert names(stocked, "Retr") == ["retry", "retrying", "acme-retry", "acme-tools"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("backoff", "retry"),
        ("django", "acme-tools"),
        ("until succeeds", "retry"),
        ("Acme.Tools", "acme-tools"),
        ("ACME tools", "acme-tools"),
        ("umpy", "numpy"),
        ("nunpy", "numpy"),
        ("nmupy", "numpy"),
        ("acme-toools", "acme-tools"),
        ("tabels", "tables"),
        ("retryign", "retrying"),
    ],
)
def test_words_and_mistyped_names_are_found(stocked: Site, text: str, expected: str) -> None:
    """By keywords, classifiers and summaries, in any spelling of a name, and with a letter too few or too many."""
    assert names(stocked, text)[0] == expected


def test_a_result_says_what_the_index_has(stocked: Site) -> None:
    """The fields of a project in the API."""
    (found,) = search(stocked, q="arrays")["projects"]
    assert found["released"] == stocked.listing("numpy")["files"][0]["upload-time"]
    assert {key: found[key] for key in found if key not in {"released", "updated", "summary"}} == {
        "index": "main",
        "project": "numpy",
        "name": "numpy",
        "version": "2.1",
        "requires_python": ">=3.10",
        "yanked": False,
        "status": "active",
        "origins": ["hosted"],
        "dependents": 1,
    }


def test_without_words_the_newest_come_first(stocked: Site) -> None:
    """So the page is something to browse, too."""
    assert names(stocked)[0] == "tables"
    assert len(names(stocked)) == 6


def test_filters_leave_out(stocked: Site) -> None:
    """By Python, time, origin, index and uploader."""
    assert "numpy" in names(stocked, python="3.12")
    assert "numpy" not in names(stocked, python="3.9")
    assert "tables" in names(stocked, python="3.9")
    assert names(stocked, since="2099-01-01") == []
    assert len(names(stocked, since="month")) == 6
    assert names(stocked, "retry", origin="upstream") == []
    assert names(stocked, "numpy", index="other") == []
    assert names(stocked, uploader="ann") == []
    assert names(stocked, "numpy", yanked="some") == []


def test_dependents_are_named_with_the_versions_that_they_take(stocked: Site) -> None:
    """For the API, and counted for results."""
    found = stocked.get("/-/api/v1/indexes/-/projects/NumPy/dependents").json()
    assert found["project"] == "numpy"
    assert found["is_complete"]
    assert found["next"] is None
    (one,) = found["dependents"]
    assert (one["project"], one["version"]) == ("tables", "1.0")
    assert one["requirements"] == [{"versions": "<3,>=2", "condition": ""}]
    (other,) = stocked.get("/-/api/v1/indexes/main/projects/acme-tools/dependents").json()["dependents"]
    assert other["requirements"] == [{"versions": "", "condition": 'extra == "all"'}]
    assert stocked.get("/-/api/v1/indexes/-/projects/nothing/dependents").status_code == 404


def test_the_page_of_dependents_links_to_them(stocked: Site) -> None:
    """From the page of the project; with the requirement as it stands in their metadata."""
    assert '<a href="/project/numpy/used-by/">Used by</a>' in stocked.get("/project/numpy/", accept=BROWSER).text
    page = stocked.get("/project/numpy/used-by/", accept=BROWSER).text
    assert '<a href="/project/numpy/used-by/" aria-current="page">Used by</a>' in page
    assert ">Overview</a>" in page
    assert '<a href="/project/tables/">tables</a>' in page
    assert "numpy&lt;3,&gt;=2" in page
    assert "extra == &#34;all&#34;" in stocked.get("/project/acme-tools/used-by/", accept=BROWSER).text
    assert "No project here" in stocked.get("/project/tables/used-by/", accept=BROWSER).text
    assert stocked.get("/project/NumPy/used-by/").headers["location"].endswith("../../numpy/used-by/")
    assert stocked.get("/project/nothing/used-by/", accept=BROWSER).status_code == 404


def test_the_home_page_shows_the_newest_to_readers(tmp_path: Path) -> None:
    """By a script, from the search; a private index says nothing of it to a stranger."""
    with serve(tmp_path, *OPEN) as site:
        put(site, "acme-tools")
        assert 'hx-get="/search"' in site.client.get("/", headers={"accept": BROWSER}).text
        part = site.get("/search", accept=BROWSER, hx_request="true").text
        assert '<a href="/project/acme-tools/">' in part
    users = password_file(tmp_path, ann="a secret")
    with serve(tmp_path, "-P", users, "-a", "update,list,download") as site:
        assert "Newest releases" not in site.get("/", accept=BROWSER).text


def test_the_page_works_without_scripts_and_runs_nothing(stocked: Site) -> None:
    """A plain form; what projects say of themselves is text."""
    page = stocked.client.get("/search", params={"q": "arrays"}, headers={"accept": BROWSER})
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert 'action="/search"' in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script>alert" not in page.text
    assert '<a href="/project/numpy/">' in page.text
    assert "<mark>Arrays</mark>" in page.text
    assert "used by 1" in page.text
    assert len(page.text) < 60_000


def test_a_script_gets_the_results_alone(stocked: Site) -> None:
    """As they are in the page; caches keep the two apart."""
    headers = {"accept": BROWSER, "hx-request": "true"}
    part = stocked.client.get("/search", params={"q": "arrays"}, headers=headers)
    assert "<html" not in part.text
    assert part.text.strip() in stocked.client.get("/search", params={"q": "arrays"}, headers={"accept": BROWSER}).text
    assert "HX-Request" in part.headers["vary"]
    restored = stocked.client.get("/search?q=arrays", headers=headers | {"hx-history-restore-request": "true"})
    assert "<html" in restored.text
    again = stocked.client.get("/search?q=arrays", headers=headers | {"if-none-match": part.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "text",
    [
        *('"', "'", "a OR b", "NEAR(a b)", "name:numpy", "-numpy", "^numpy", "numpy*", "*", "(", "a AND", "{name}: x"),
        *("'; DROP TABLE projects; --", "\0", "num\0py", "%", "_", "..", "/", "\u202enumpy", "\ud7ff\uffff", "é" * 199),
        *("e\u0301a", "👩‍👩‍👧", "ß", "İ", "ﬁ", "①②", "\u0300", "a" * 200, "a-" * 100, " ".join("abcdefghijklmnop")),
    ],
)
def test_hostile_words_get_a_clean_answer(stocked: Site, text: str) -> None:
    """The words are never a query language."""
    for path in ("/-/api/v1/search", "/search"):
        answer = stocked.client.get(path, params={"q": text, "uploader": text})
        assert answer.status_code == 200, answer.text
    assert names(stocked, "numpy")[0] == "numpy"


@pytest.mark.parametrize(
    "address",
    [
        *(
            f"q={'a' * 201}",
            f"q={quote('é' * 201)}",
            "since=yesterday",
            "since=2026-13-01",
            "python=four",
            "python=3.999",
        ),
        *("page=0", "page=51", "page=x", "origin=elsewhere", "yanked=maybe", "q=a&q=b", "page=²"),
    ],
)
def test_values_that_are_none_are_refused(stocked: Site, address: str) -> None:
    """With a sentence."""
    answer = stocked.get(f"/-/api/v1/search?{address}")
    assert answer.status_code == 400
    assert stocked.client.get(f"/search?{address}", headers={"accept": BROWSER}).status_code == 400


def test_long_addresses_are_refused(stocked: Site) -> None:
    """Up to the longest that servers take with a sentence, beyond that by the server; it goes on answering."""
    assert "at most 200 characters" in stocked.get(f"/-/api/v1/search?q={'a' * 60_000}").text
    with suppress(ConnectionError):  # it closes while bytes are on the way
        answer = stocked.raw(b"GET /search?q=" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.status in {400, 414, 431}
    assert names(stocked, "numpy")[0] == "numpy"


def test_what_was_published_a_moment_ago_is_found(tmp_path: Path) -> None:
    """By its name and its words, by every worker; what was deleted or changed is seen at once."""
    with serve(tmp_path, *OPEN, "--workers", 2) as site:
        assert names(site, "anything") == []
        for number in range(5):
            put(site, f"fresh-{number}", summary=f"Of lot{number}")
            for _ in range(4):
                assert names(site, f"fresh-{number}")[0] == f"fresh-{number}"
                assert names(site, f"lot{number}") == [f"fresh-{number}"]
        put(site, "fresh-0", "2.0", "Of another kind")
        (found,) = search(site, q="fresh-0")["projects"][:1]
        assert (found["version"], found["summary"]) == ("2.0", "Of another kind")
        assert names(site, "another kind") == ["fresh-0"]
        form = {":action": "remove_pkg", "name": "fresh-2", "version": "1.0"}
        assert site.client.post("/", data=form).is_success
        for _ in range(4):
            assert "fresh-2" not in names(site, "fresh-2")
            assert names(site, "lot2") == []


def test_every_store_is_searched(tmp_path: Path, place: str) -> None:
    """More projects than a search reads at once; then some that are new, changed and gone."""
    with serve(tmp_path, *OPEN, place=place) as site:
        for number in range(25):
            put(site, f"lot-{number}", summary="Of the first lot")
        assert search(site, q="lot", page="2")["total"] == 25
        found = search(site, q="first")
        assert (found["total"], found["next"], found["catalog"]) == (25, "2", {"projects": 25, "read": 25})
        put(site, "late", summary="Of the second lot")
        put(site, "lot-3", "2.0", "Of the third lot")
        form = {":action": "remove_pkg", "name": "lot-4", "version": "1.0"}
        assert site.client.post("/", data=form).is_success
        assert names(site, "second") == ["late"]
        assert search(site, q="lot-3")["projects"][0]["summary"] == "Of the third lot"
        assert names(site, "third") == ["lot-3"]
        assert "lot-4" not in names(site, "lot-4")


def test_files_in_served_folders_are_found(tmp_path: Path) -> None:
    """With the summary in their metadata; a project that is published and lies there, too, is one result."""
    with serve(tmp_path, *OPEN) as site:
        text = metadata_text("copied", "1.0").replace("copied for tests", "Lies in a folder")
        (site.root / wheel_name("copied", "1.0")).write_bytes(make_wheel("copied", "1.0", metadata=text))
        (found,) = search(site, q="folder")["projects"]
        assert (found["project"], found["origins"]) == ("copied", ["drop-in"])
        put(site, "copied", "2.0", "Is published")
        (found,) = search(site, q="copied")["projects"]
        assert (found["version"], found["origins"], found["summary"]) == ("2.0", ["hosted", "drop-in"], "Is published")
        assert names(site, "published") == ["copied"]


def test_a_catalog_that_is_gone_or_damaged_is_made_again(tmp_path: Path) -> None:
    """It holds no truth."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serve(tmp_path, *OPEN, TMPDIR=str(temporary)) as site:
        put(site, "numpy", summary="Arrays")
        assert names(site, "arrays") == ["numpy"]
        (catalog,) = temporary.rglob("search-*.sqlite")
        for damage in (b"", b"no database at all" * 500):
            for path in catalog.parent.glob("search-*"):
                path.unlink()
            if damage:
                catalog.write_bytes(damage)
            found = {site.client.get("/-/api/v1/search?q=arrays").status_code for _ in range(2)}
            assert found <= {200, 503}
            assert names(site, "numpy") == ["numpy"]
            assert names(site, "arrays") == ["numpy"]
        with closing(sqlite3.connect(catalog)) as connection, connection:
            connection.execute("UPDATE projects SET name = 'invented', tag = 'x'")
        assert names(site, "invented") == []


def test_a_look_at_the_metrics_leaves_the_catalog(tmp_path: Path) -> None:
    """Both have files in the folder that the workers share."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serve(tmp_path, *OPEN, TMPDIR=str(temporary)) as site:
        put(site, "numpy", summary="Arrays")
        assert names(site, "arrays") == ["numpy"]
        (catalog,) = temporary.rglob("search-*.sqlite")
        before = {path.name: path.stat().st_ino for path in catalog.parent.glob("search-*")}
        for _ in range(2):
            assert site.get("/metrics").status_code == 200
            assert {path.name: path.stat().st_ino for path in catalog.parent.glob("search-*")} == before
            assert search(site, q="arrays")["catalog"] == {"projects": 1, "read": 1}
        assert names(site, "arrays") == ["numpy"]


def test_no_upstream_is_asked(tmp_path: Path) -> None:
    """Projects that are kept of one are found; not one request is sent for a search."""
    with serving_index() as upstream:
        upstream.has("flask", {wheel_name("flask", "3.0"): make_wheel("flask", "3.0")})
        flags = (*OPEN, "--upstream", upstream.url, "--upstream-max-age", 0)
        with serve(tmp_path, *flags, NO_PROXY="*") as site:
            assert names(site, "flask") == []
            assert names(site, "framework") == []
            assert upstream.requests == []
            assert site.filenames("flask") == [wheel_name("flask", "3.0")]
            asked = len(upstream.requests)
            for text in ("flask", "flsk", "fla", "", "framework", "nowhere", "django"):
                names(site, text)
                site.client.get("/search", params={"q": text}, headers={"accept": BROWSER})
            (found,) = search(site, q="flask")["projects"]
            assert (found["origins"], found["version"]) == (["upstream"], "3.0")
            assert site.get("/-/api/v1/indexes/-/projects/flask/dependents").json()["dependents"] == []
            assert site.get("/-/api/v1/indexes/-/projects/django/dependents").status_code == 404
            assert len(upstream.requests) == asked


def test_an_owned_name_hides_that_of_an_upstream(tmp_path: Path) -> None:
    """A project that is published here afterwards is the only one of its name."""
    with serving_index() as upstream:
        upstream.has("acme", {wheel_name("acme", "9.0"): make_wheel("acme", "9.0")})
        with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
            assert site.filenames("acme") == [wheel_name("acme", "9.0")]
            assert [each["origins"] for each in search(site, q="acme")["projects"]] == [["upstream"]]
            defining.set_index(
                AccessRecords(open_store(str(site.root))), "main", {"claims": ["acme"]}, default="main", origin=Origin()
            )
            assert names(site, "acme") == []


def test_a_kept_project_has_the_summary_that_is_here(tmp_path: Path) -> None:
    """That of the metadata that a client fetched, from the next pass on; the search sends no request for it."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with serving_index() as upstream:
        text = metadata_text("flask", "3.0").replace("flask for tests", "A small framework")
        filename, document = wheel_name("flask", "3.0"), text.encode()
        digest = hashlib.sha256(document).hexdigest()
        upstream.has(
            "flask",
            {filename: make_wheel("flask", "3.0")},
            flask_3_0_py3_none_any_whl={"core-metadata": {"sha256": digest}},
        )
        upstream.at(f"/files/{filename}.metadata", Answer(document))
        flags = (*OPEN, "--upstream", upstream.url)
        with serve(tmp_path, *flags, NO_PROXY="*", TMPDIR=str(temporary)) as site:
            url = site.file_url("flask", filename)
            assert names(site, "framework") == []
            until(lambda: search(site)["catalog"] == {"projects": 1, "read": 1})
            assert site.get(f"{url}.metadata").text == text
            asked = len(upstream.requests)
            (catalog,) = temporary.rglob("search-*.sqlite")
            with closing(sqlite3.connect(catalog)) as connection, connection:
                connection.execute("UPDATE places SET checked = 1 WHERE checked > 0")
            until(lambda: [each["summary"] for each in search(site, q="flask")["projects"]] == ["A small framework"])
            assert names(site, "framework") == ["flask"]
            assert len(upstream.requests) == asked


def test_only_readable_indexes_are_searched(tmp_path: Path) -> None:
    """Neither the names nor the number of projects of others are told."""
    users = password_file(tmp_path, ann="a secret", boss="a secret")
    root = tmp_path / "packages"
    root.mkdir()
    access, origin = AccessRecords(PosixStore.open(root)), Origin(command="test")
    for name in ("hidden", "team"):
        defining.create_index(
            access, name, {"behind": ["main"]} if name == "team" else {}, default="main", origin=origin
        )
    granting.begin(access, "boss", ["download", "list", "update"], origin)
    grants = access.read().state.document.grants
    granting.take_back(access, [each for each in grants if grants[each].subject == "authenticated"], origin)
    granting.give(access, "anonymous", ["read"], "main", [], origin=origin)
    granting.give(access, "user:ann", ["read"], "hidden", [], origin=origin)
    boss, ann = basic("boss", "a secret"), basic("ann", "a secret")
    with serve(tmp_path, "-P", users, "-a", "update", "--disable-fallback") as site:
        put(site, "acme-open", authorization=boss)
        put(site, "acme-hidden", path="/hidden/", extra="Requires-Dist: acme-open\n", authorization=boss)
        put(site, "acme-team", path="/team/", authorization=boss)

        def found(path: str = "/-/api/v1/search", **headers: str) -> list[tuple[str, str]]:
            answer = site.get(f"{path}?q=acme", **headers)
            assert answer.status_code == 200, answer.text
            return [(each["index"], each["project"]) for each in answer.json()["projects"]]

        assert found() == [("main", "acme-open")]
        assert found(authorization=ann) == [("main", "acme-open"), ("hidden", "acme-hidden")]
        assert found(authorization=boss) == [("main", "acme-open"), ("team", "acme-team"), ("hidden", "acme-hidden")]
        assert found("/-/api/v1/indexes/team/search", authorization=boss) == [
            ("team", "acme-open"),
            ("team", "acme-team"),
        ]
        assert site.get("/-/api/v1/indexes/hidden/search?q=acme").status_code == 401
        assert site.get("/hidden/search?q=acme").status_code == 401
        assert "acme-hidden" not in site.get("/search?q=acme").text
        assert "acme-hidden" in site.get("/hidden/search?q=acme", authorization=ann).text
        assert search(site, q="acme-open")["projects"][0]["dependents"] == 0
        assert site.get("/-/api/v1/indexes/-/projects/acme-open/dependents").json()["dependents"] == []


def test_indexes_that_are_no_more_leave_the_catalog(tmp_path: Path) -> None:
    """Theirs would else be in the way of all that is found by words, and fill the disk."""
    temporary, root = tmp_path / "temporary", tmp_path / "packages"
    temporary.mkdir()
    root.mkdir()
    store, origin = PosixStore.open(root), Origin(command="test")
    access = AccessRecords(store)
    with serve(tmp_path, *OPEN, "--workers", 2, TMPDIR=str(temporary)) as site:
        for number in range(3):
            defining.create_index(access, f"pr-{number}", {}, default="main", origin=origin)
            put(site, f"acme-{number}", path=f"/pr-{number}/")
        put(site, "acme-main")
        assert sorted(names(site, "acme")) == ["acme-0", "acme-1", "acme-2", "acme-main"]
        (catalog,) = temporary.rglob("search-*.sqlite")

        def known() -> set[str]:
            names(site, "acme")
            with closing(sqlite3.connect(catalog)) as connection:
                rows = connection.execute("SELECT place FROM places UNION SELECT place FROM projects")
                return {place for (place,) in rows}

        assert known() == {"drop-ins", "hosted/main", "hosted/pr-0", "hosted/pr-1", "hosted/pr-2"}
        for number in range(2):
            index = Index(store, f"pr-{number}")
            defining.delete_index(access, index, with_files=True, default="main", origin=origin)
        until(lambda: known() == {"drop-ins", "hosted/main", "hosted/pr-2"})
        assert sorted(names(site, "acme")) == ["acme-2", "acme-main"]


def test_a_project_with_odd_metadata_takes_no_page_away(tmp_path: Path) -> None:
    """Neither that of others nor its own. An upload of it is refused; a file in the folder is not."""
    folder = tmp_path / "packages"
    folder.mkdir()
    odd = {
        "nested": f"Requires-Dist: numpy; {'(' * 1500}os_name=='a'{')' * 1500}",
        "less-nested": f"Requires-Dist: numpy; {'(' * 487}os_name=='a'{')' * 487}",
        "quotes": 'Requires-Dist: numpy; os_name == "\\x22\'"',
        "half": 'Requires-Dist: numpy; os_name == "\\ud800"',
        "no-name": "Requires-Dist: numpy_",
        "no-extra": 'Requires-Dist: numpy; extra == "."',
        "comments": f"Author-email: {'(' * 1500}",
        "groups": f"Maintainer-email: a@{':' * 1500}",
    }
    for name, field in odd.items():
        for version in ("1.0", "2.0"):
            content = make_wheel(name, version, metadata=metadata_text(name, version, extra=f"{field}\n"))
            (folder / wheel_name(name, version)).write_bytes(content)
    with serve(tmp_path, *OPEN) as site:
        put(site, "plain", extra="Requires-Dist: numpy>=2\n")
        put(site, "numpy")
        put(site, "late")
        assert {*names(site)} == {*odd, "plain", "numpy", "late"}
        needing = site.get("/-/api/v1/indexes/-/projects/numpy/dependents").json()
        assert {each["project"] for each in needing["dependents"]} == {"plain", "no-extra"}
        pages = ["/search", "/index/main/", "/project/numpy/used-by/"]
        pages += [f"/project/{name}/{page}" for name in odd for page in ("", "1.0/", "diff/", "used-by/")]
        for page in pages:
            assert site.get(page, accept=BROWSER).status_code == 200, page
        for name in ("nested", "less-nested", "quotes", "half"):
            text = metadata_text("plain", "2.0", extra=f"{odd[name]}\n")
            content = make_wheel("plain", "2.0", metadata=text)
            answer = publish(site, wheel_name("plain", "2.0"), content, name="plain", version="2.0")
            assert (answer.status_code, "is not a requirement" in answer.text) == (400, True)
