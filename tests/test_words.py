"""Plain words: terms that readers have to guess come back in no name, docstring, message or page.

A sentence has a named subject: the client, the worker, the writer. The lists are short on purpose: no word that English
needs is in them.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROSE = re.compile(
    r"\b(whoever|nobody|somebody|everybody|anybody|what (comes|came) (in|of|after|before|from)|anew|bury|keep house"
    r"|in (its|their) kinds|may be called (again|at any time)|quick answers?|plain requests?"
    r"|shared? (a|its|their|the) looks?)\b",
    re.IGNORECASE,
)
"""Say instead: the client, a user, another writer; the result, the bytes that arrive; again; or a subclass; idempotent;
fast path; raw request; validation; merge; periodic sweep."""
NAMES = {
    *("whoever", "nobody", "somebody", "everybody", "anybody", "anew", "crowd", "company", "bury", "flight", "oddity"),
    *("oddities", "relieve", "housekeeping", "turn", "turns", "looks"),
}
"""Words in names of functions, classes and arguments. Say instead: batch, merge, anomaly, rotate, tick, validate."""
NO_SUBJECT = re.compile(
    r"(?:^|[.:;] )What (?!about)|\b(?<!users )(?<!user )(?<!person )(?<!people )who\b|\bwhoever\b|\bwhat came\b"
)
"""In docstrings: a clause in the place of a noun. Say which thing: the files that clients send."""
PAGES = ["README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "docs", "deploy"]
GENERATED = {"docs/benchmarks.md", "docs/benchmarks-targets.md"}


def tracked(*paths: str) -> list[Path]:
    """The files below these paths that Git knows."""
    listed = subprocess.run(["git", "ls-files", *paths], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if name not in GENERATED and (ROOT / name).is_file()]


def defined(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg


def words_of(name: str) -> set[str]:
    """`_users_of_turn` and `UsersOfTurn` both have the words users, of and turn."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("path", ["src", *PAGES])
def test_prose_has_named_subjects_and_standard_terms(path: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {match[0]}"
        for file in tracked(path)
        if file.suffix in {".py", ".md", ".html", ".tf", ".yaml", ".yml", ".conf", ".tpl"}
        for number, line in enumerate(file.read_text().splitlines(), 1)
        for match in PROSE.finditer(line)
    ]
    assert not found


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text, on one line, of all strings that stand alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, " ".join(node.value.value.split())


@pytest.mark.parametrize("path", ["benchmarks", "scripts", "src", "tests"])
def test_docstrings_have_named_subjects(path: str) -> None:
    """And none of the condemned words, but in the tables above."""
    found = [
        f"{file.relative_to(ROOT)}:{line}: {match[0].strip()}: {text[:80]}"
        for file in tracked(f"{path}/*.py")
        if file != Path(__file__)
        for line, text in docstrings(ast.parse(file.read_text()))
        for pattern in (PROSE, NO_SUBJECT)
        for match in pattern.finditer(text)
    ]
    assert not found


@pytest.mark.parametrize("path", ["benchmarks", "src", "tests"])
def test_names_are_standard_terms(path: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in tracked(f"{path}/*.py")
        for name in defined(ast.parse(file.read_text()))
        if words_of(name) & NAMES
    ]
    assert not found


@pytest.mark.parametrize("text", ["Whoever asks", "Raises StoreError in its kinds", "it is begun anew"])
def test_condemned_prose_is_found(text: str) -> None:
    assert PROSE.search(text)


@pytest.mark.parametrize("text", ["What a client sends.", "It is sent. What fails is tried again", "Those who ask"])
def test_a_clause_is_no_subject(text: str) -> None:
    assert NO_SUBJECT.search(text)


@pytest.mark.parametrize("text", ["Says what to do", "The users who may upload"])
def test_a_noun_is_one(text: str) -> None:
    assert not NO_SUBJECT.search(text)


@pytest.mark.parametrize("text", ["The user who published it", "What the client sent", "The request is quick"])
def test_other_prose_is_not(text: str) -> None:
    assert not PROSE.search(text)


@pytest.mark.parametrize(
    ("name", "is_condemned"),
    [("_users_of_turn", True), ("QuickCrowd", True), ("return_value", False), ("LookupError", False)],
)
def test_names_are_split_into_words(name: str, is_condemned: bool) -> None:
    assert bool(words_of(name) & NAMES) is is_condemned
