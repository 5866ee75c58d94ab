"""Trees and texts of archives' members, of hostile ones too."""

from __future__ import annotations

import pytest

from quire.archives.contents import Member
from quire.http.ui.archive_views import (
    MOST_ENTRIES,
    MOST_LINES,
    MOST_OPEN,
    Entry,
    Text,
    shown,
    text_of,
    tree_of,
)


def test_a_tree_has_folders_first_with_their_sizes() -> None:
    """Folders that have nothing but a folder are one row with it."""
    members = [
        Member("b.py", 1),
        Member("a/x.py", 2),
        Member("a/sub/deep/y.py", 3),
        Member("a/sub/deep/z", 4, "a link"),
    ]
    tree = tree_of(members, "")
    assert tree is not None
    assert (tree.files, tree.size, tree.more) == (4, 10, 0)
    inner = (Entry("y.py", "a/sub/deep/y.py", 3), Entry("z", "a/sub/deep/z", 4, "a link"))
    folder = Entry("sub/deep", "a/sub/deep/", 7, files=2, entries=inner)
    assert tree.entries == (
        Entry("a", "a/", 9, files=3, entries=(folder, Entry("x.py", "a/x.py", 2))),
        Entry("b.py", "b.py", 1),
    )
    part = tree_of(members, "a/sub/")
    assert part is not None
    assert part.entries == (Entry("deep", "a/sub/deep/", 7, files=2, entries=inner),)
    assert tree_of(members, "c/") is None
    assert tree_of([], "") is not None


def test_a_name_that_is_a_file_and_a_folder_has_both() -> None:
    """Their addresses differ by the slash."""
    tree = tree_of([Member("a", 1), Member("a/b", 2)], "")
    assert tree is not None
    assert [entry.address for entry in tree.entries] == ["a/", "a"]


def test_large_folders_are_shown_in_part() -> None:
    """100,000 files in one folder, and many folders, each of which has a page of its own."""
    tree = tree_of([Member(f"f{number}", 1) for number in range(100_000)], "")
    assert tree is not None
    assert (len(tree.entries), tree.more, tree.size) == (MOST_ENTRIES, 100_000 - MOST_ENTRIES, 100_000)
    tree = tree_of([Member(f"d{number % 3}/f{number}", 1) for number in range(MOST_OPEN + 1)], "")
    assert tree is not None
    assert [entry.entries for entry in tree.entries] == [None, None, None]


def test_deep_folders_end_in_a_link() -> None:
    """So that no page nests without bound."""
    path, members = "", []
    for _ in range(150):
        members.append(Member(f"{path}f", 1))
        path += "d/"
    tree = tree_of(members, "")
    depth = 0
    entries = tree.entries if tree else ()
    while entries and entries[0].entries is not None:
        entries, depth = entries[0].entries, depth + 1
    assert depth == 20
    assert entries[0].address == "d/" * 21


def test_folders_that_very_many_members_share_are_one_row() -> None:
    """They are found by the first and the last path, not member by member and folder by folder."""
    folders = "d/" * 198
    tree = tree_of([Member(f"{folders}{number}", 1) for number in range(50_000)], "")
    assert tree is not None
    assert [(entry.address, entry.files) for entry in tree.entries] == [(folders, 50_000)]
    tree = tree_of([Member("a/b/c/x", 1), Member("a/b/c", 1), Member("a/b/cd/y", 1)], "")
    assert tree is not None
    assert [entry.name for entry in tree.entries] == ["a/b"]
    assert [entry.name for entry in tree.entries[0].entries or ()] == ["c", "cd", "c"]


@pytest.mark.parametrize(
    ("path", "expected", "address"),
    [
        ("a/ü.py", "a/ü.py", "a/%C3%BC.py"),
        ("a\nb", "a\\nb", "a%5Cnb"),
        ("\u202egpj.exe", "\\u202egpj.exe", "%5Cu202egpj.exe"),
        ("x\u200b", "x\\u200b", "x%5Cu200b"),
        ("b\udc82", "b\\udc82", "b%5Cudc82"),
        ("\U000e0041", "\\U000e0041", "%5CU000e0041"),
        ("a?b#c%2e", "a?b#c%2e", "a%3Fb%23c%252e"),
        ('"><script>', '"><script>', "%22%3E%3Cscript%3E"),
    ],
)
def test_names_are_shown_in_characters_that_are_seen(path: str, expected: str, address: str) -> None:
    """And their addresses lead to them, whatever is in them."""
    assert shown(path) == expected
    tree = tree_of([Member(path, 1)], "")
    assert tree is not None
    [entry] = tree.entries
    while entry.entries:
        [entry] = entry.entries
    assert entry.address == address


@pytest.mark.parametrize(
    ("data", "lines", "hidden"),
    [
        (b"", (), 0),
        (b"a\r\nb\n", ("a", "b"), 0),
        (b"\xef\xbb\xbfa", ("a",), 0),
        ("if a: \u202e# no\u2066".encode(), ("if a: [U+202E]# no[U+2066]",), 2),
        (b"a\x1b[31m\tb", ("a[U+001B][31m\tb",), 1),
        ("👩\u200d💻".encode(), ("👩\u200d💻",), 0),
        (b"\n\n", ("", ""), 0),
    ],
)
def test_text_hides_nothing(data: bytes, lines: tuple[str, ...], hidden: int) -> None:
    """Characters that are invisible, or turn the order of others, are shown by their numbers."""
    assert text_of(data, len(data)) == Text(lines, hidden, is_whole=True)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0", b"\xff\xfea\0", b"caf\xe9", b"a\xc3"])
def test_other_bytes_are_no_text(data: bytes) -> None:
    """Nothing is guessed."""
    assert text_of(data, len(data)) is None


def test_long_texts_are_cut() -> None:
    """Also within a character of several bytes; too many lines are left out."""
    assert text_of("aé".encode()[:2], 3) == Text(("a",), 0, is_whole=False)
    long = text_of(b"x\n" * (MOST_LINES + 1), 2 * MOST_LINES + 2)
    assert long is not None
    assert (len(long.lines), long.is_whole) == (MOST_LINES, False)
