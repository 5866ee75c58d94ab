"""Headers that tell browsers what a page may do, on every page and by every way to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.asking import HTML_V1, JSON_V1, OPEN, publish_wheel, serve

STRICT = "default-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

WEB = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn", "wsgiref"])
def test_pages_and_errors(tmp_path: Path, server: str) -> None:
    """No page can be framed, load anything but its own styles, or be taken for something else; by the fast path too."""
    with serve(tmp_path, *OPEN, "--server", server, "--disable-fallback") as site:
        publish_wheel(site, "there")
        for _ in range(3):
            for path in ("/simple/", "/simple/there/", "/packages/"):
                answer = site.get(path, accept="text/html")
                assert answer.headers["content-type"].startswith("text/html")
                assert answer.headers["content-security-policy"] == STRICT, path
                assert answer.headers["referrer-policy"] == "same-origin"
                assert answer.headers["x-content-type-options"] == "nosniff"
            for accept in (JSON_V1, HTML_V1):
                answer = site.get("/simple/there/", accept=accept)
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert "content-security-policy" not in answer.headers  # no browser shows it
            (file,) = site.listing("there")["files"]
            for url in (file["url"], f"{file['url']}.metadata"):
                for conditions in ({}, {"range": "bytes=0-1"}, {"if-none-match": "*"}):
                    answer = site.client.get(answer.url.copy_with(path="/simple/there/").join(url), headers=conditions)
                    assert answer.headers["x-content-type-options"] == "nosniff", (url, conditions)
        home = site.get("/").headers
        assert home["content-security-policy"] == WEB
        assert (home["x-content-type-options"], home["referrer-policy"]) == ("nosniff", "same-origin")
        for path in ("/simple/nothing/", "/nowhere/at/all", "/packages/%3Cscript%3E.whl", "/%3Cscript%3E/json"):
            answer = site.get(path, accept="text/html")
            assert (answer.status_code, answer.headers["content-type"]) == (404, "text/plain; charset=utf-8")
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_home_page_of_ones_own(tmp_path: Path) -> None:
    """It may load anything, and still is shown in no frame."""
    (tmp_path / "welcome.html").write_text("<script src='https://cdn.example/x.js'></script>{{URL}}")
    with serve(tmp_path, *OPEN, "--welcome", tmp_path / "welcome.html") as site:
        assert site.get("/").headers["content-security-policy"] == "base-uri 'none'; frame-ancestors 'none'"
