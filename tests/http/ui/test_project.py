"""The pages of projects and releases, and of the difference between two, as a browser gets them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from quire.access.records import AccessRecords
from quire.index.audit.entries import Origin
from quire.operations import defining
from quire.store.posix.store import PosixStore
from tests.advisories.taking import document, take_in, until
from tests.asking import OPEN, Site, basic, password_file, publish, publish_wheel, serve
from tests.distributions import make_sdist, make_wheel, metadata_text, sdist_name, wheel_name
from tests.serving import run_quire
from tests.upstreams import Answer, serving_index

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
HOSTILE = "<script>alert(1)</script>\u202e\"'><img src=x onerror=alert(1)>"
README = """# Tools

Some *text*, [a link](https://e.org/), ![an image](https://e.org/x.png), <script>alert(1)</script>
and [a trap](javascript:alert(1)).

<p id="main" class="banner" style="position:fixed" onclick="alert(1)">over it</p>
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, place: str) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "packages").mkdir()
    dropped = folder / "packages" / wheel_name("dropped", "3.0")
    dropped.write_bytes(make_wheel("dropped", "3.0"))
    with serve(folder, *OPEN, place=place) as site:
        yield site


def upload(site: Site, name: str, version: str, *fields: str, body: str = "") -> str:
    """Publish a wheel with further fields of metadata; its filename."""
    text = metadata_text(name, version, extra="".join(f"{field}\n" for field in fields)).partition("\n\n")[0]
    content = make_wheel(name, version, metadata=f"{text}\n\n{body}")
    filename = wheel_name(name, version)
    answer = publish(site, filename, content, name=name, version=version)
    assert answer.status_code == 200, answer.text
    return filename


def shown(site: Site, path: str) -> str:
    """The text of a page, which has nothing that its policy forbids."""
    answer = site.get(path, accept=BROWSER)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    Checked(answer.text)
    return answer.text


class Checked(HTMLParser):
    """Asserts of every element that it runs nothing, loads nothing from elsewhere, and has an id of its own."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._ids: set[str] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert not {name for name in attributes if name.startswith("on") or name == "style"}
        assert tag not in {"style", "iframe", "object", "base"}
        for name in ("src", "href", "action"):
            address = attributes.get(name) or ""
            assert not re.match(r"(?i)\s*(javascript|vbscript)", address)
            if tag not in {"a"}:
                assert not re.match(r"(https?:)?//", address), address
            elif address.startswith("http"):
                assert attributes["rel"] == "nofollow noopener noreferrer"
        if "id" in attributes:
            assert attributes["id"] not in self._ids, f"two elements have the id {attributes['id']}"
            self._ids.add(attributes["id"] or "")


def test_the_page_of_a_project(site: Site) -> None:
    """The newest release, with the README, files, links, dependencies, and all releases."""
    upload(site, "acme-core", "1.0")
    upload(site, "Acme.Tools", "1.0", body="old\n")
    filename = upload(
        site,
        "Acme.Tools",
        "2.0",
        "Description-Content-Type: text/markdown",
        "Project-URL: Docs, https://docs.example.org/",
        "License-Expression: MIT",
        "Requires-Dist: Acme_Core>=1",
        "Requires-Dist: nowhere-to-be-found<2",
        "Requires-Dist: extra-project; extra == 'more'",
        "Classifier: Topic :: Utilities",
        "Author-email: Alice <alice@example.org>",
        body=README,
    )
    text = shown(site, "/project/acme-tools/")
    assert "<title>Acme.Tools 2.0 · " in text
    assert re.search(r"<h1>Acme\.Tools <span class=\"version\">2\.0</span></h1>", text)
    assert '<a href="https://e.org/" rel="nofollow noopener noreferrer">a link</a>' in text
    assert '<span class="r-image">an image</span>' in text
    assert f'href="{_path(site)}packages/' in text
    assert filename in text
    assert "any Python 3" in text
    assert 'rel="nofollow noopener noreferrer" title="https://docs.example.org/">Docs</a>' in text
    assert f'<a href="{_path(site)}project/acme-core/">Acme_Core</a>' in text
    assert "nowhere-to-be-found" in text
    assert "project/nowhere-to-be-found" not in text
    assert "acme-tools[more]" in text
    assert "Utilities" in text
    assert 'href="mailto:alice@example.org"' in text
    assert f'href="{_path(site)}project/acme-tools/1.0/"' in text
    assert len(text.replace(README, "")) < 60_000
    old = shown(site, "/project/acme-tools/1.0/")
    assert "This is not the newest release." in old
    assert "acme-tools==1.0" in old


def _path(site: Site) -> str:
    """The path of the index, ended by a slash."""
    return "/" + site.base.split("/", 3)[3]


def test_the_files_that_a_page_links_to_are_there(site: Site) -> None:
    """Hosted ones and those that were dropped in; a copied digest is that of the bytes."""
    publish_wheel(site, "linked")
    for name in ("linked", "dropped"):
        text = shown(site, f"/project/{name}/")
        (path,) = set(re.findall(r'href="([^"]*packages/[^"]+\.whl)"', text))
        answer = site.client.get(str(site.client.base_url.copy_with(path=path)))
        assert answer.status_code == 200
    assert "dropped in" in shown(site, "/project/dropped/")


def test_names_and_versions_in_other_spellings(site: Site) -> None:
    """A name is moved to its normalized form; a version is shown in any spelling."""
    publish_wheel(site, "Spelled.Name", "1.0")
    for path, location in (
        ("/project/Spelled.Name/", "../spelled-name/"),
        ("/project/Spelled.Name/1.0/", "../../spelled-name/1.0/"),
        ("/project/Spelled.Name/diff/?old=1.0", "../../spelled-name/diff/?old=1.0"),
        ("/project/spelled-name", "spelled-name/"),
        ("/project/spelled-name/1.0", "1.0/"),
    ):
        answer = site.get(path, accept=BROWSER)
        assert (answer.status_code, answer.headers["location"]) == (301, location)
    assert "<h1>Spelled.Name" in shown(site, "/project/spelled-name/v1.0.0/")


@pytest.mark.parametrize("path", ["/project/spelled/", "/project/linked/9.9/", "/project/linked/diff/?old=9"])
def test_what_is_not_there_is_a_404(site: Site, path: str) -> None:
    """With names that are like it."""
    publish_wheel(site, "linked", "0.1")
    publish_wheel(site, "spelled-out", "0.1")
    answer = site.get(path, accept=BROWSER)
    assert answer.status_code == 404
    if path == "/project/spelled/":
        assert ">spelled-out</a>" in answer.text


def test_a_page_is_sent_again_only_when_it_changed(site: Site) -> None:
    """A new release, and a dependency that comes to be there, make another page."""
    upload(site, "cached", "1.0", "Requires-Dist: comes-later")
    first = site.get("/project/cached/", accept=BROWSER)
    etag = first.headers["etag"]
    assert site.get("/project/cached/", accept=BROWSER, if_none_match=etag).status_code == 304
    publish_wheel(site, "comes-later")
    second = site.get("/project/cached/", accept=BROWSER, if_none_match=etag)
    assert second.status_code == 200
    assert "project/comes-later/" in second.text
    publish_wheel(site, "cached", "2.0")
    third = site.get("/project/cached/", accept=BROWSER, if_none_match=second.headers["etag"])
    assert third.status_code == 200
    assert ">2.0</span></h1>" in third.text


def test_hostile_metadata_does_nothing(site: Site) -> None:
    """Scripts, addresses and invisible characters in every field and in the README."""
    upload(
        site,
        "hostile",
        "1.0",
        f"Keywords: {HOSTILE}",
        f"License: {HOSTILE}",
        f"Classifier: {HOSTILE}",
        f"Author: {HOSTILE}",
        f"Maintainer-email: {HOSTILE} <x@e.org>",
        f"Project-URL: {HOSTILE}, javascript:alert(1)",
        f"Project-URL: Docs, https://e.org/{HOSTILE}",
        f"Home-page: {HOSTILE}",
        "Description-Content-Type: text/markdown",
        body=f"{README}\n\n{HOSTILE}\n",
    )
    upload(site, "hostile", "2.0", f"Keywords: {HOSTILE} again", f"Author: {HOSTILE} again", body=HOSTILE)
    for path in ("/project/hostile/1.0/", "/project/hostile/2.0/", "/project/hostile/diff/"):
        text = shown(site, path)
        assert "\u202e" not in text
        assert "[U+202E]" in text
        assert "<script>alert" not in text
        assert "<img" not in text


def test_a_plain_readme_and_a_long_one(site: Site) -> None:
    """Text is shown as it is; ten megabytes are cut."""
    upload(site, "plain", "1.0", "Description-Content-Type: text/plain", body="one <b>\ntwo\n")
    assert '<pre class="plain" tabindex="0">one &lt;b&gt;\ntwo\n</pre>' in shown(site, "/project/plain/")
    upload(site, "long", "1.0", "Description-Content-Type: text/markdown", body="*a* " * 1_000_000)
    text = shown(site, "/project/long/")
    assert "This is the beginning of a longer text." in text
    assert len(text) < 600_000


def test_an_sdist_alone(site: Site) -> None:
    """Its metadata is shown where it may stand for wheels; else the page has the files."""
    content = make_sdist("source-only", "1.0")
    publish(site, sdist_name("source-only", "1.0"), content, name="source-only", version="1.0")
    text = shown(site, "/project/source-only/")
    assert "any system, after a build" in text


def test_the_difference_between_two_releases(site: Site) -> None:
    """The two newest, or those that are asked for; a form chooses them without scripts."""
    upload(site, "changing", "1.0", "Requires-Dist: six", body="one\n")
    upload(site, "changing", "1.1", "Requires-Dist: attrs>=20", "License: MIT", body="two\n")
    upload(site, "changing", "2.0", "Requires-Dist: attrs>=21", "License: MIT", body="two\n")
    text = shown(site, "/project/changing/diff/")
    assert "<h1>From 1.1 to 2.0</h1>" in text
    assert "<del>&gt;=20</del>" in text
    assert "<ins>&gt;=21</ins>" in text
    assert "<h2>README</h2>" not in text
    text = shown(site, "/project/changing/diff/?old=1.0&new=1.1.0")
    assert "<h1>From 1.0 to 1.1</h1>" in text
    assert "not needed any more" in text
    assert "<del>- one</del>" in text
    assert "<ins>+ two</ins>" in text
    assert "<option selected>1.1</option>" in text
    upload(site, "single", "1.0")
    assert "There is no earlier release" in shown(site, "/project/single/diff/")


def manage(site: Site, *arguments: object) -> None:
    """Change a project by a command on the store."""
    done = run_quire(*arguments, "-d", site.root, cwd=site.root)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serve(tmp_path_factory.mktemp("on-disk"), *OPEN) as site:
        yield site


def test_yanked_releases_and_statuses(on_disk: Site) -> None:
    """A yanked release says why, and another one is shown for the project; a quarantined project has no files."""
    upload(on_disk, "withdrawn", "1.0")
    filename = upload(on_disk, "withdrawn", "2.0")
    manage(on_disk, "yank", "withdrawn", "2.0", "--reason", "loses <rows>")
    text = shown(on_disk, "/project/withdrawn/")
    assert ">1.0</span></h1>" in text
    assert "loses &lt;rows&gt;" in text
    assert "This release was yanked" in shown(on_disk, "/project/withdrawn/2.0/")
    manage(on_disk, "status", "withdrawn", "deprecated", "--reason", "use <other>")
    text = shown(on_disk, "/project/withdrawn/")
    assert "This project is deprecated" in text
    assert "use &lt;other&gt;" in text
    manage(on_disk, "status", "withdrawn", "quarantined")
    text = shown(on_disk, "/project/withdrawn/2.0/")
    assert "This project is quarantined" in text
    assert f"{filename}</a>" not in text
    assert "pip install" not in text


def test_a_named_index_and_a_prefix(tmp_path: Path) -> None:
    """Links stay within the index, and below the prefix."""
    (tmp_path / "packages").mkdir()
    access = AccessRecords(PosixStore.open(tmp_path / "packages"))
    defining.create_index(access, "team", {}, default="main", origin=Origin(command="test"))
    with serve(tmp_path, *OPEN, "--server-base-url", "/py") as site:
        filename = wheel_name("tool", "1.0")
        form: Any = {"content": (filename, make_wheel("tool", "1.0"))}
        answer = site.client.post("/team/", data={":action": "file_upload"}, files=form)
        assert answer.status_code == 200
        assert site.get("/project/tool/", accept=BROWSER).status_code == 404
        text = shown(site, "/team/project/tool/")
        assert 'href="/py/team/project/tool/1.0/"' in text
        assert 'href="/py/team/packages/tool/' in text
        assert "/py/team/simple/" in text
        assert shown(site, "/team/project/tool/1.0/")
        assert shown(site, "/team/project/tool/diff/")


def test_a_mirrored_project(tmp_path: Path) -> None:
    """Its metadata comes from the other index; reasons and statuses of it are as hostile as any."""
    with serving_index() as upstream:
        metadata = metadata_text("far", "1.0", extra="Requires-Dist: farther\n")
        filename, digest = wheel_name("far", "1.0"), hashlib.sha256(metadata.encode()).hexdigest()
        changes = {"yanked": HOSTILE, "core-metadata": {"sha256": digest}}
        key = filename.replace(".", "_").replace("-", "_")
        upstream.has("far", {filename: make_wheel("far", "1.0", metadata=metadata)}, **{key: changes})
        upstream.at(f"/files/{filename}.metadata", Answer(metadata.encode(), "text/plain"))
        with serve(tmp_path, *OPEN, "--upstream", upstream.url, NO_PROXY="*") as site:
            text = shown(site, "/project/far/")
            assert "mirrored" in text
            assert f'<a href="{_path(site)}project/farther/">farther</a>' in text
            assert "\u202e" not in text
            assert "far for tests" in text
            assert site.get("/project/not-there-either/", accept=BROWSER).status_code == 404


def test_rights(tmp_path: Path) -> None:
    """The page needs the right to list, as the simple page does."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, "-a", "list,download,update", "-P", "users") as site:
        assert site.get("/project/anything/", accept=BROWSER).status_code == 303
        assert site.get("/project/anything/diff/", accept=BROWSER).status_code == 303


def test_held_back_files_and_advisories(on_disk: Site) -> None:
    """The page names the rule, the sentence and the advisory; the file itself is not offered."""
    bad = upload(on_disk, "risky", "1.0")
    upload(on_disk, "risky", "2.0")
    digest = next(file["hashes"]["sha256"] for file in on_disk.listing("risky")["files"] if file["filename"] == bad)
    manage(on_disk, "policy", "block", digest, "--reason", "found <bad>")
    text = shown(on_disk, "/project/risky/")
    assert "found &lt;bad&gt;" in text
    assert f'<span class="mono break">{bad}</span> <span class="badge warn">blocked</span>' in text
    assert f"{bad}</a>" not in text
    assert on_disk.get("/project/risky/1.0/", accept=BROWSER).status_code == 404
    assert "advisories" not in text
    advisory = document("GHSA-1", "risky", summary=f"steals {HOSTILE}", ranges=until("3.0"))
    take_in(on_disk.root, advisory)
    text = shown(on_disk, "/project/risky/")
    assert "1 advisory is about this release." in text
    assert f'<a href="{_path(on_disk)}-/advisories/GHSA-1/">GHSA-1</a>' in text
    assert "steals &lt;script&gt;" in text
    assert "Fixed in 3.0" in text
    assert on_disk.get("/-/osv/v1/vulns/GHSA-1").status_code == 200


def test_a_release_with_many_files(on_disk: Site) -> None:
    """The page is bounded, and so is the list of releases; both lead to the list of all files."""
    for number in range(1, 121):
        publish_wheel(on_disk, "many", f"{number}.0")
    text = shown(on_disk, "/project/many/")
    assert text.count('<li><a href="/project/many/') == 100
    assert "20 older releases" in text
    assert len(text) < 60_000


def test_a_query_makes_no_other_page(tmp_path: Path) -> None:
    """Else each would take the place of one that is kept."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, "-a", "update", "-P", "users", "--disable-fallback") as site:
        publish_wheel(site, "asked", authorization=basic("alice", "secret"))
        for path in ("/project/asked/", "/project/asked/1.0/", "/project/asked/diff/", "/"):
            plain, further = site.get(path, accept=BROWSER), site.get(f"{path}?a=1&b=2", accept=BROWSER)
            assert "-/login?next=" in plain.text
            assert (plain.status_code, plain.text) == (further.status_code, further.text)


def test_versions_of_any_length(site: Site) -> None:
    """One that is far too long is not found, and is told in short."""
    publish_wheel(site, "lengthy")
    version = "1" + ".0" * 10_000
    for path in (f"/project/lengthy/{version}/", f"/project/lengthy/diff/?old={version}"):
        answer = site.get(path, accept=BROWSER)
        assert answer.status_code == 404
        assert len(answer.text) < 10_000
