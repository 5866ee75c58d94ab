"""The templates are ready for gettext: every text in them can be found by tools, and is looked up in a catalog.

Replaced here: the functions of gettext in the environment of the templates, since quire itself has no catalog.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from jinja2 import nodes

from quire.config.settings import Settings
from quire.http.app.application import create_application
from quire.http.ui.layout import environment
from tests.asking import basic, content_type, multipart, password_file, twine_form
from tests.distributions import make_wheel, wheel_name
from tests.http.ui.test_manage import make_admin
from tests.web_pages import BROWSER, address, parameters, paths

TEMPLATES: Final = sorted(environment().list_templates(extensions=["html"]))
_TAG: Final = re.compile(r"<!--.*?-->|<(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", re.DOTALL)
_WORDS: Final = re.compile(r"\b(?:aria-label|title|alt|placeholder|data-done)=(?:\"([^\"]*)\"|'([^']*)')")
_ENTITY: Final = re.compile(r"&\w+;|&#\w+;")
NAMES: Final = {"quire", "Python", "· Python", "README", "yank"}
"""Texts that are names, the same in each language."""
VALUES: Final = {"index": "main", "name": "acme-tools", "version": "2.0", "filename": wheel_name("acme-tools", "2.0")}


def source(name: str) -> str:
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def messages(name: str) -> set[str]:
    """The messages that tools find in a template."""
    found: set[str] = set()
    extracted = environment().extract_translations(source(name))  # type: ignore[attr-defined] # of the extension
    for _, _, words in extracted:
        found.update(each for each in ((words,) if isinstance(words, str) else words) if each is not None)
    return found


def texts_outside(name: str) -> Iterator[str]:
    """The words of a template that no catalog can change: in its text, and in attributes that people read."""
    text, depth = "", 0
    for _, kind, value in environment().lex(source(name)):
        depth += kind in {"block_begin", "variable_begin", "comment_begin", "raw_begin"}
        if kind == "data" and depth == 0:
            text += value
        elif kind in {"block_end", "variable_end", "comment_end", "raw_end"}:
            depth -= 1
            text += "\0"
    text = re.sub(r"<script.*?</script>|<style.*?</style>|<svg.*?</svg>", "", text, flags=re.DOTALL)
    for found in _WORDS.finditer(text):
        yield from (found[1] or found[2] or "").split("\0")
    yield from (piece for part in _TAG.split(text) for piece in part.split("\0"))


def in_trans(name: str) -> set[str]:
    """The words between `trans` and `endtrans`, in the pieces that `texts_outside` finds."""
    return {
        piece.strip()
        for block in re.findall(r"{%-? *trans.*?%}(.*?){%-? *endtrans", source(name), re.DOTALL)
        for part in _TAG.split(re.sub(r"{%.*?%}|{{.*?}}", "\0", block, flags=re.DOTALL))
        for piece in part.split("\0")
    }


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_text_is_outside_the_catalog(name: str) -> None:
    """In each template."""
    marked = in_trans(name)
    words = {_ENTITY.sub("", each).strip() for each in texts_outside(name)}
    assert {each for each in words - marked - NAMES if re.search(r"[A-Za-z]{2}", each)} == set()


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_message_is_written_in_its_place(name: str) -> None:
    """A message that is looked up by the value of a variable is one that no tool finds."""
    tree = environment().parse(source(name))
    calls = [
        each
        for each in tree.find_all(nodes.Call)
        if isinstance(each.node, nodes.Name) and each.node.name in {"_", "gettext", "ngettext"}
    ]
    assert [each.lineno for each in calls if not isinstance(each.args[0], nodes.Const)] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_plural_is_chosen_by_a_count(name: str) -> None:
    """By the first variable of a message, whatever it is, unless `pluralize` names another."""
    chosen = re.findall(r"{%-? *trans *(\w*)(?:(?!endtrans).)*?{%-? *pluralize *(\w*)", source(name), flags=re.DOTALL)
    assert {named or first for first, named in chosen} <= {"count"}


@pytest.fixture
def catalog() -> Iterator[list[str]]:
    """One with all messages in brackets; the messages that were looked up."""
    seen: list[str] = []

    def one(message: str) -> str:
        seen.append(message)
        return f"⟦{message}⟧"

    def several(single: str, plural: str, count: int) -> str:
        return one(single if count == 1 else plural)

    environment().install_gettext_callables(one, several, newstyle=True)  # type: ignore[attr-defined] # of the extension
    yield seen
    environment().install_null_translations(newstyle=True)  # type: ignore[attr-defined]


def test_a_catalog_reaches_every_page(catalog: list[str], tmp_path: Path) -> None:
    """Each has its title or heading, and words from the catalog; tools find all that is looked up."""
    (tmp_path / "packages").mkdir()
    password_file(tmp_path, alice="secret")
    settings = Settings(
        directories=(str(tmp_path / "packages"),),
        authenticate=("download", "list", "update"),
        passwords=str(tmp_path / "users"),
        fallback_url=None,
    )
    application = create_application(settings)
    make_admin(tmp_path, "alice")

    async def scenario() -> dict[str, str]:
        login = {"authorization": basic("alice", "secret"), "accept": BROWSER}
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://index", headers=login) as client:
            for version in ("1.0", "2.0"):
                filename, wheel = wheel_name("acme-tools", version), make_wheel("acme-tools", version)
                form = multipart(twine_form(filename, wheel, name="acme-tools", version=version))
                sent = await client.post("/", content=form, headers={"content-type": content_type()})
                assert sent.status_code == 200, sent.text
            shown = {}
            for path in paths():
                values = {each: VALUES.get(each, "") for each in parameters(path)}
                answer = await client.get(address(path, values), follow_redirects=True)
                assert answer.status_code in {200, 403, 404}, (path, answer.text)
                assert answer.headers["content-type"] == "text/html; charset=utf-8", path
                shown[path] = answer.text
            return shown

    shown = asyncio.run(scenario())
    application.state.worker.close()
    known = set[str]().union(*map(messages, TEMPLATES))
    assert set(catalog) <= known
    for path, text in shown.items():
        if not path.endswith("/packages/"):
            assert "⟦Skip to content⟧" in text, path
            assert re.search(r"<main.*⟦.*</main>", text, re.DOTALL), path
    assert len(set(catalog)) > 100
