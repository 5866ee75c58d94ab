"""The parts that all pages of the web interface share: the home page, static files, settings, errors for people."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest

from quire.http.ui.errors import near_names
from tests.asking import OPEN, password_file, publish_wheel, serve

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PIP = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
_STATIC = re.compile(r'(?:href|src)="(/[^"]*-/static/[^"]+)"')
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><script>alert(1)</script></svg>'


def test_the_vendored_file_is_the_one_that_its_table_names() -> None:
    """It was not changed by hand, and the table is not older than the file."""
    folder = files("quire.http.ui").joinpath("static")
    digest = hashlib.sha256(folder.joinpath("htmx.min.js").read_bytes()).hexdigest()
    assert f"`{digest}`" in folder.joinpath("README.md").read_text()


def test_static_files_are_kept_by_browsers_and_run_nothing(tmp_path: Path) -> None:
    """Each is at an address with its digest; any other address is a 404. A logo cannot run scripts."""
    (tmp_path / "logo.svg").write_text(LOGO)
    flags = (*OPEN, "--web-logo", tmp_path / "logo.svg", "--web-color", "#AA0044", "--web-title", "Acme <packages>")
    with serve(tmp_path, *flags, "--server-base-url", "/py") as site:
        page = site.get("/", accept=BROWSER).text
        assert "Acme &lt;packages&gt;" in page
        assert "Acme <packages>" not in page
        paths = sorted({path.removeprefix("/py") for path in _STATIC.findall(page)})
        assert [path.rpartition("/")[2] for path in sorted(paths, key=lambda path: path.rpartition("/")[2])] == [
            *("logo.svg", "quire.js", "site.css", "style.css")
        ]
        for path in paths:
            answer = site.get(path)
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "sandbox" in answer.headers["content-security-policy"]
            digest, name = path.split("/")[-2:]
            assert hashlib.sha256(answer.content).hexdigest().startswith(digest)
            assert site.get(path.replace(digest, "0" * 16)).status_code == 404
            assert site.get(path.replace(name, "..%2f..%2flayout.py")).status_code == 404
        assert "--accent: #aa0044" in site.get(next(path for path in paths if path.endswith("site.css"))).text


def test_static_files_are_sent_compressed(tmp_path: Path) -> None:
    """To browsers that take it, in the best coding of theirs; the others get them as they are."""
    with serve(tmp_path, *OPEN) as site:
        page = site.get("/", accept=BROWSER).text
        paths = _STATIC.findall(page)
        assert len(paths) > 1
        for path in paths:
            plain = site.get(path, accept_encoding="identity")
            assert "content-encoding" not in plain.headers
            for accepted, coding in (("gzip, deflate, br, zstd", "zstd"), ("gzip", "gzip")):
                answer = site.get(path, accept_encoding=accepted)
                assert answer.headers["content-encoding"] == coding
                assert answer.headers["vary"] == "Accept-Encoding"
                assert int(answer.headers["content-length"]) < len(plain.content) / 2
                assert answer.content == plain.content


def test_no_page_has_a_script_or_a_style_of_its_own(tmp_path: Path) -> None:
    """The policy forbids them, so a page that had one would be broken."""
    with serve(tmp_path, *OPEN) as site:
        for path in ("/", "/nowhere/at/all"):
            text = site.get(path, accept=BROWSER).text
            assert "style=" not in text
            assert "<style" not in text
            assert not re.search(r"<script(?! src=)", text)
            assert not re.search(r"\son[a-z]+=", text)
            assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
            assert len(text) < 60_000


def test_the_home_page_is_sent_once(tmp_path: Path) -> None:
    """A browser that has it gets a 304; a new package makes another page."""
    with serve(tmp_path, *OPEN) as site:
        first = site.get("/", accept=BROWSER)
        assert first.headers["cache-control"] == "private, no-cache"
        assert "three steps" in first.text
        etag = first.headers["etag"]
        assert site.get("/", accept=BROWSER, if_none_match=etag).status_code == 304
        publish_wheel(site, "acme-tools")
    with serve(tmp_path, *OPEN) as site:  # the number of files is some seconds old in the first one
        second = site.get("/", accept=BROWSER, if_none_match=etag)
        assert second.status_code == 200
        assert "three steps" not in second.text
        assert "This index serves 1 file." in second.text


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/nowhere/at/all", 404, "Not here"),
        ("/simple/acme-tool/", 404, "Not here"),
        ("/packages/x.whl", 404, "Not here"),
        ("/-/account/x", 404, "Not here"),
    ],
)
def test_errors_for_people(path: str, status: int, heading: str, tmp_path: Path) -> None:
    """A browser gets a page with the same status and sentence; programs get what they always got."""
    with serve(tmp_path, *OPEN, "--disable-fallback") as site:
        plain = site.get(path, accept=PIP)
        assert plain.headers["content-type"] == "text/plain; charset=utf-8"
        shown = site.get(path, accept=BROWSER)
        assert (plain.status_code, shown.status_code) == (status, status)
        assert shown.headers["content-type"] == "text/html; charset=utf-8"
        assert f"<h1>{heading}</h1>" in shown.text
        assert plain.text.strip() in shown.text
        assert shown.headers["cache-control"] == "no-store"
        assert len(shown.headers.get_list("x-content-type-options")) == 1
        hostile = site.get("/%3Cscript%3Ealert(1)%3C/script%3E/json", accept=BROWSER)
        assert hostile.status_code == 404
        assert "<script>alert" not in hostile.text


def test_a_page_without_rights(tmp_path: Path) -> None:
    """It leads to the login; where there is none, the browser's own window comes up, and behind it is a page that says
    what is needed."""
    password_file(tmp_path, alice="secret")
    with serve(tmp_path, "-a", "list,download,update", "-P", "users") as site:
        shown = site.get("/packages/", accept=BROWSER)
        assert (shown.status_code, shown.headers["location"]) == (303, "/-/login?next=/packages/")
    with serve(tmp_path, "-a", "list,download,update", "-P", "users", "--rights", "settings") as site:
        shown = site.get("/packages/", accept=BROWSER)
        assert shown.status_code == 401
        assert shown.headers["www-authenticate"].startswith("Basic ")
        assert "<h1>Please log in</h1>" in shown.text
        assert site.get("/", accept=BROWSER).status_code == 200


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acme-tool", ("acme-tools", "acme-too", "acme")),
        ("acem-tools", ("acme-tools",)),
        ("zzz", ()),
        ("", ()),
    ],
)
def test_near_names(name: str, expected: tuple[str, ...]) -> None:
    """Misspelt names lead to the right ones; a name that is like none leads nowhere."""
    names = ["acme", "acme-tools", "acme-too", "requests", "y"]
    assert near_names(name, names)[: len(expected)] == expected
    assert bool(near_names(name, names)) == bool(expected)
    assert near_names("a" * 200, ["b" * 200] * 30_000) == ()


def test_no_text_of_a_user_is_invisible(tmp_path: Path) -> None:
    """A letter that shows nothing passes as one that can be printed; pages show its number, wherever the text is."""
    with serve(tmp_path, *OPEN) as site:
        publish_wheel(site, "acme-tools")
        yanked = {"version": "1.0", "reason": "loses \u3164rows"}
        assert site.client.post("/-/api/v1/indexes/-/projects/acme-tools/yank", json=yanked).status_code == 200
        for path in ("/project/acme-tools/", "/project/acme-tools/history/", "/project/acme-tools/manage/"):
            text = site.get(path, accept=BROWSER).text
            assert "\u3164" not in text, path
            assert "loses [U+3164]rows" in text or path.endswith("manage/")
        assert "\u202e" not in site.get("/search?uploader=%E2%80%AE&q=%E2%80%AE", accept=BROWSER).text
        assert "\u202e" not in site.get("/search?since=%E2%80%AE", accept=BROWSER).text
