"""READMEs as HTML: rendered as PyPI does, harmless whatever is in them, and bounded.

Replaced here: the path of Python, since no setting makes the start of a process fail.
"""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from quire.readme.markup import Markup, markup_of
from quire.readme.process import MAX_RENDERED, MAX_SHOWN, ReadmeProcess
from tests.hostile_content import DIRECTIVES, README_ATTACKS

MARKDOWN = "text/markdown; charset=UTF-8; variant=GFM"
RST = "text/x-rst"


@pytest.fixture(scope="module")
def readmes() -> Iterator[ReadmeProcess]:
    process = ReadmeProcess()
    yield process
    process.close()


def children() -> set[str]:
    """The processes that this thread has started, and that have not ended."""
    return set(Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split())


class Elements(HTMLParser):
    """All elements of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def html_of(readmes: ReadmeProcess, text: str, content_type: str | None) -> str:
    readme = readmes.render(text, content_type)
    assert readme.html is not None
    assert not readme.text
    return readme.html


@pytest.mark.parametrize(
    ("content_type", "markup"),
    [
        ("text/markdown", Markup.MARKDOWN),
        ("Text/Markdown; charset=UTF-8; variant=GFM", Markup.MARKDOWN),
        ("text/markdown; variant=CommonMark", Markup.COMMON_MARK),
        ("text/markdown; variant=Fancy", Markup.MARKDOWN),
        ("text/x-rst; charset=UTF-8", Markup.RST),
        (None, Markup.RST),
        ("", Markup.RST),
        ("text/plain", None),
        ("text/html", None),
        ("nonsense", None),
        ("text/x-rst\r\nX: y", None),
        ("text/x-rst;" + "x" * 100_000, Markup.RST),
    ],
)
def test_the_content_type_names_the_language(content_type: str | None, markup: Markup | None) -> None:
    """reStructuredText where there is none, as on PyPI."""
    assert markup_of(content_type) is markup


def test_markdown_is_github_s(readmes: ReadmeProcess) -> None:
    """Tables, task lists, strikethrough, footnotes, alerts and highlighted code."""
    text = (
        "# Title\n\n~~old~~ https://example.org [^1]\n\n- [x] done\n- [ ] open\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n"
        "> [!NOTE]\n> careful\n\n```python\nimport os\n```\n\n[^1]: the note\n"
    )
    html = html_of(readmes, text, MARKDOWN)
    assert '<h2 id="user-content-title">Title</h2>' in html
    assert "<del>old</del>" in html
    assert '<a href="https://example.org" rel="nofollow noopener noreferrer">https://example.org</a>' in html
    assert "☑ done" in html
    assert "☐ open" in html
    assert '<td align="right">2</td>' in html
    assert '<div class="r-admonition r-note">' in html
    assert '<pre tabindex="0"><span class="r-kn">import</span>' in html
    assert 'href="#user-content-fn-1"' in html
    assert 'id="user-content-fn-1"' in html


def test_restructuredtext(readmes: ReadmeProcess) -> None:
    """Headings, admonitions, references, code."""
    text = (
        "Title\n=====\n\n.. warning:: careful\n\nSee `there <https://e.org>`__ and ``code``.\n\n"
        ".. code:: python\n\n   import os\n"
    )
    html = html_of(readmes, text, RST)
    assert re.search("<h2>Title</h2>", html)
    assert "r-admonition r-warning" in html
    assert '<a href="https://e.org" rel="nofollow noopener noreferrer">there</a>' in html
    assert '<span class="r-kn">import</span>' in html
    assert html_of(readmes, text, None) == html


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("# A *heading* <b>", "text/plain"),
        ("# A *heading* <b>", "text/html"),
        ("broken\n==\n\n.. nothing::\n", RST),
        ("just *words\n\n", RST),
    ],
)
def test_what_is_not_rendered_is_shown_as_text(readmes: ReadmeProcess, text: str, content_type: str) -> None:
    """Plain text, and reStructuredText with errors: PyPI shows it so."""
    readme = readmes.render(text, content_type)
    assert (readme.html, readme.text, readme.is_cut) == (None, text, False)


def test_an_empty_description_is_no_readme(readmes: ReadmeProcess) -> None:
    """Neither as text nor as HTML."""
    assert readmes.render("  \n", MARKDOWN) == readmes.render("  \n", RST)
    assert readmes.render("", None).html is None


ALLOWED = {"href", "rel", "title", "id", "class", "align", "colspan", "rowspan", "start", "tabindex"}


@pytest.mark.parametrize("attack", README_ATTACKS)
@pytest.mark.parametrize("language", ["markdown", "rst"])
def test_nothing_in_a_readme_runs_or_loads_anything(readmes: ReadmeProcess, attack: str, language: str) -> None:
    """No element or attribute but those of text; links lead to addresses of other sites, or into the README."""
    if language == "markdown":
        html = html_of(readmes, f"before\n\n{attack}\n\nafter", MARKDOWN)
    else:
        indented = attack.replace("\n", "\n   ")
        readme = readmes.render(f"before\n\n::\n\n   {indented}\n\nafter", RST)
        assert readme.html is not None
        html = readme.html
    assert html.count("before") == 1
    assert html.count("after") <= 1  # some swallow what follows
    for tag, attributes in Elements(html).found:
        assert tag not in {"script", "style", "img", "svg", "iframe", "form", "input", "object", "main", "h1", "nav"}
        assert set(attributes) <= ALLOWED
        assert (attributes.get("id") or "user-content-").startswith("user-content-")
        assert all(each.startswith("r-") for each in (attributes.get("class") or "").split())
        href = attributes.get("href")
        if href is not None:
            assert re.match(r"https?://|mailto:|#user-content-", href)
            assert attributes["rel"] == "nofollow noopener noreferrer"
        assert int(attributes.get("colspan") or 1) <= 50


@pytest.mark.parametrize("directive", DIRECTIVES)
def test_restructuredtext_reads_no_file(readmes: ReadmeProcess, directive: str) -> None:
    """Neither a file nor an address is inserted; PyPI refuses such documents whole, too."""
    readme = readmes.render(f"before\n\n{directive}\n\nafter\n", RST)
    shown = readme.html or readme.text
    assert "root:" not in shown
    assert "<script" not in (readme.html or "")


def test_images_become_links(readmes: ReadmeProcess) -> None:
    """A browser asks no other server when a page is shown; a badge that is a link leads where the link does."""
    text = "![logo](https://e.org/logo.png)\n\n[![build](https://e.org/b.svg)](https://ci.example/)\n\n![](https://e.org/x)"
    html = html_of(readmes, text, MARKDOWN)
    rel = 'rel="nofollow noopener noreferrer"'
    assert f'<a href="https://e.org/logo.png" {rel}><span class="r-image">logo</span></a>' in html
    assert f'<a href="https://ci.example/" {rel}><span class="r-image">build</span></a>' in html
    assert f'<a href="https://e.org/x" {rel}><span class="r-image">x</span></a>' in html
    untitled = html_of(readmes, "![](https://e.org/my%20logo.svg?x=/y) ![](https://e.org/)", MARKDOWN)
    assert re.findall('r-image">([^<]*)<', untitled) == ["my logo.svg", "image"]


def test_headings_and_links_for_readers(readmes: ReadmeProcess) -> None:
    """The page has the one heading of the first level; a link without words is none."""
    html = html_of(readmes, "# One\n\n###### Six\n\n<a href='https://e.org'></a><a id='there'></a>\n", MARKDOWN)
    assert [tag for tag, _ in Elements(html).found if tag.startswith("h")] == ["h2", "h6"]
    assert [attributes for tag, attributes in Elements(html).found if tag == "a"] == []
    assert '<span id="user-content-there"></span>' in html


def test_invisible_characters_are_shown(readmes: ReadmeProcess) -> None:
    """Also in code, where they would hide that it runs otherwise than it reads."""
    html = html_of(readmes, "```\nif access\u202e\u2066 # check\n```\n", MARKDOWN)
    assert "access[U+202E][U+2066]" in html


def test_a_long_readme_is_shown_as_text_and_cut(readmes: ReadmeProcess) -> None:
    """Ten megabytes are neither rendered nor sent."""
    some = readmes.render("*a* " * (MAX_RENDERED // 4 + 1), MARKDOWN)
    assert (some.html, len(some.text), some.is_cut) == (None, MAX_RENDERED + 4, False)
    much = readmes.render("*a* " * 2_500_000, MARKDOWN)
    assert (much.html, len(much.text), much.is_cut) == (None, MAX_SHOWN, True)


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        (">" * 200_000, MARKDOWN),
        ("<div>" * 50_000, MARKDOWN),
        ("".join(" " * depth + "a\n\n" for depth in range(600)), RST),
    ],
    ids=["quotes", "divs", "indented"],
)
def test_a_readme_that_takes_too_long_is_shown_as_text(text: str, content_type: str) -> None:
    """Nesting that parsers take a minute for, or cannot finish; the next README is rendered as ever."""
    process = ReadmeProcess(cpu_seconds=0.5)
    try:
        readme = process.render(text, content_type)
        assert readme.html is None
        assert readme.text == text
        assert process.render("*fine*", MARKDOWN).html == "<p><em>fine</em></p>\n"
    finally:
        process.close()


def test_a_readme_that_takes_too_long_is_tried_once() -> None:
    """The process that rendered another one since is still the same when it is asked for again, and goes on."""
    process, slow = ReadmeProcess(cpu_seconds=0.5), ">" * 200_000
    try:
        assert process.known(slow, MARKDOWN) is None
        assert process.render(slow, MARKDOWN).html is None
        assert process.render("*fine*", MARKDOWN).html == "<p><em>fine</em></p>\n"
        before = children()
        for again in (process.render(slow, MARKDOWN), process.known(slow, MARKDOWN)):
            assert again is not None
            assert (again.html, again.text) == (None, slow)
        assert children() == before
        assert process.known("*fine*", MARKDOWN) is None
        assert process.known(slow, RST) is None, "it may be short work in another language"
    finally:
        process.close()


def test_a_readme_of_much_html_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends no process when it is asked for again."""
    monkeypatch.setattr("quire.readme.process.MAX_HTML", 100)
    process, much = ReadmeProcess(), "*a* " * 100
    try:
        assert process.render(much, MARKDOWN).text == much
        assert process.render("*fine*", MARKDOWN).html == "<p><em>fine</em></p>\n"
        before = children()
        assert process.render(much, MARKDOWN).text == much
        assert children() == before
    finally:
        process.close()


def test_few_readmes_that_took_too_much_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ones are forgotten."""
    monkeypatch.setattr("quire.readme.process.MAX_HTML", 10)
    monkeypatch.setattr("quire.readme.process.MAX_REFUSED", 2)
    process, texts = ReadmeProcess(), ["*one*", "*two*", "*three*"]
    try:
        for text in texts:
            assert process.render(text, MARKDOWN).text == text
        assert [process.known(text, MARKDOWN) is None for text in texts] == [True, False, False]
    finally:
        process.close()


def test_a_process_that_ended_is_started_again() -> None:
    """It ends when it is idle, too."""
    process = ReadmeProcess()
    for _ in range(2):
        assert process.render("*fine*", MARKDOWN).html == "<p><em>fine</em></p>\n"
        process.close()


def test_without_a_process_readmes_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a container forbids more processes."""
    monkeypatch.setattr("sys.executable", "/nonexistent")
    process = ReadmeProcess()
    assert process.render("*fine*", MARKDOWN).text == "*fine*"
    assert process.known("*fine*", MARKDOWN) is None, "it took nothing: another time it is rendered"
    process.close()


def test_settings_files_of_docutils_do_not_count(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would count for more than the settings that forbid files."""
    folder = tmp_path_factory.mktemp("conf")
    (folder / "docutils.conf").write_text("[general]\nfile_insertion_enabled: 1\nraw_enabled: 1\n")
    (folder / "secret.txt").write_text("a secret")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DOCUTILSCONFIG", str(folder / "docutils.conf"))
    process = ReadmeProcess()
    readme = process.render(f"a\n\n.. include:: {folder}/secret.txt\n", RST)
    process.close()
    assert "a secret" not in (readme.html or readme.text)


def test_the_process_ends_with_its_owner() -> None:
    """Also where it is never closed, as in a worker that is only thrown away."""
    before, owner = children(), ReadmeProcess()
    assert owner.render("# hi", "text/markdown").html
    assert len(children() - before) == 1
    del owner
    gc.collect()
    assert children() <= before
