"""Valid names, versions and filenames by quire.domain.names, and the reading of the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from quire.domain.errors import InvalidName
from quire.domain.names import (
    MAX_FILENAME_BYTES,
    MAX_NAME_CHARS,
    Kind,
    guess_filename,
    is_normalized,
    is_prerelease,
    is_version,
    normalize_name,
    parse_filename,
    quoted,
    same_version,
    version_sort_key,
)

_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NAMES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True)
VERSIONS = st.from_regex(
    r"(0|[1-9][0-9]?)(\.(0|[1-9][0-9]?)){0,3}((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?(\+[a-z0-9]{1,5})?",
    fullmatch=True,
)


# -- projects ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "normalized"),
    [("Foo", "foo"), ("foo.Bar_baz--qux", "foo-bar-baz-qux"), ("7", "7"), ("a-._-b", "a-b"), ("x" * 200, "x" * 200)],
)
def test_normalize_name(name: str, normalized: str) -> None:
    """PEP 503: lower case, and every run of separators becomes one dash."""
    assert normalize_name(name) == normalized


@pytest.mark.parametrize(
    "name", ["", "-foo", "foo-", "_", "foo bar", "foo/bar", "../foo", "foo\0", "foo\n", "fööbar", "ﬁle", "x" * 201]
)
def test_normalize_name_refuses(name: str) -> None:
    """Whatever PEP 508 does not allow, and what is too long, is an InvalidName with one sentence."""
    with pytest.raises(InvalidName) as caught:
        normalize_name(name)
    assert str(caught.value).endswith(".")
    assert str(caught.value).isprintable()


@given(NAMES)
def test_normalizing_is_idempotent(name: str) -> None:
    """A normalized name is its own normal form, is recognised as one, and is what packaging makes of it."""
    normalized = normalize_name(name)
    assert normalize_name(normalized) == normalized == canonicalize_name(name)
    assert is_normalized(normalized)
    assert is_normalized(name) == (name == normalized)


@given(st.text(max_size=MAX_NAME_CHARS + 50))
def test_any_text_is_a_name_or_an_invalid_one(text: str) -> None:
    """No text makes normalize_name raise anything else, and is_normalized never says yes to a refused one."""
    try:
        normalized = normalize_name(text)
    except InvalidName:
        assert not is_normalized(text)
    else:
        assert is_normalized(normalized)


# -- versions ---------------------------------------------------------------------------------------------------------


def test_versions_sort_as_pep_440_orders_them_after_all_others() -> None:
    """Versions outside of PEP 440 sort first; 1.0rc1 before 1.0, 1.9 before 1.10."""
    versions = ["1.10", "latest", "1.9", "1.0", "", "1.0rc1", "1.0.dev1", "2004-spring"]
    assert sorted(versions, key=version_sort_key) == [
        "", "2004-spring", "latest", "1.0.dev1", "1.0rc1", "1.0", "1.9", "1.10",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("1.0", "1.0.0", True),
        ("1.0", "v1", True),
        ("1.0-1", "1.0.post1", True),
        ("1.0+local_1", "1.0+local.1", True),
        ("1.0", "1.0+local", False),
        ("1.0", "1.1", False),
        ("latest", "latest", True),
        ("latest", "Latest", False),
        ("1.0", "latest", False),
        ("", "0", False),
    ],
)
def test_same_version(a: str, b: str, same: bool) -> None:
    """Versions are compared by meaning where PEP 440 gives them one, else letter by letter."""
    assert same_version(a, b) is same
    assert same_version(b, a) is same


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.0", False), ("1.0a1", True), ("1.0.dev3", True), ("1.0.post1", False), ("latest", False), ("", False)],
)
def test_is_prerelease(version: str, expected: bool) -> None:
    """Alphas, betas, candidates and development releases are; what PEP 440 does not know is not."""
    assert is_prerelease(version) is expected


def test_a_text_beyond_the_longest_version_is_none() -> None:
    """Such a text comes from an address: to parse one takes as long as it is, for each release that it is compared
    with. None of that length was ever published."""
    longest, longer = "1" + ".0" * 99 + "1", "1" + ".0" * 100
    assert len(longest) == MAX_NAME_CHARS
    assert is_version(longest)
    assert not is_version(longer)
    assert not same_version(longer, "1")
    assert version_sort_key(longer) == (0, longer)


def test_version_with_more_digits_than_python_converts_is_just_no_version() -> None:
    """int() refuses thousands of digits with a ValueError; that is not an error here."""
    huge = "1" * 5000
    assert version_sort_key(huge) == (0, huge)
    assert same_version(huge, huge)
    assert not is_prerelease(huge)


@given(st.lists(st.one_of(VERSIONS, st.text(max_size=8)), max_size=8))
def test_version_keys_are_always_comparable(versions: list[str]) -> None:
    """Any mixture of valid and odd versions can be sorted, and the valid ones end up as packaging sorts them."""
    ordered = sorted(versions, key=version_sort_key)
    valid = [key[1] for key in map(version_sort_key, ordered) if key[0] == 1]
    assert all(isinstance(version, Version) for version in valid)
    assert valid == sorted(map(Version, map(str, valid)))


# -- filenames of uploads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "project", "version", "kind"),
    [
        ("Foo_Bar-1.0-py3-none-any.whl", "foo-bar", "1.0", Kind.WHEEL),
        ("foo-1.0+cu118-2local-cp311-cp311-manylinux_2_17_x86_64.whl", "foo", "1.0+cu118", Kind.WHEEL),
        ("foo-1!2.0rc1-py2.py3-none-any.whl", "foo", "1!2.0rc1", Kind.WHEEL),
        ("foo_bar-1.0.tar.gz", "foo-bar", "1.0", Kind.SDIST),
        ("foo-bar-1.0.tar.gz", "foo-bar", "1.0", Kind.SDIST),
        ("foo.bar-1.0.zip", "foo-bar", "1.0", Kind.SDIST),
        ("foo-1.0-py3.11.egg", "foo", "1.0", Kind.EGG),
        ("foo_bar-1.0-py3.9-macosx-11.0-arm64.egg", "foo-bar", "1.0", Kind.EGG),
        ("foo-1.0.egg", "foo", "1.0", Kind.EGG),
    ],
)
def test_parse_filename(filename: str, project: str, version: str, kind: Kind) -> None:
    """Wheels, sdists and eggs give their normalized project and the version as spelled; guessing agrees."""
    parsed = parse_filename(filename)
    assert (parsed.filename, parsed.project, parsed.version, parsed.kind) == (filename, project, version, kind)
    assert guess_filename(filename) == parsed


@pytest.mark.parametrize(
    "filename",
    [
        "",
        ".",
        "..",
        "../foo-1.0.tar.gz",
        "/etc/foo-1.0.tar.gz",
        "a/foo-1.0.tar.gz",
        "a\\foo-1.0.tar.gz",
        "foo-1.0.tar.gz\0",
        "foo-1.0\0.tar.gz",
        "foo-1.0\n.tar.gz",
        "foo-1.0\x7f.tar.gz",
        "foo-1.0\u202e.tar.gz",
        "foo-\udcff1.0.tar.gz",
        ".foo-1.0.tar.gz",
        "foo- 1.0.tar.gz",
        "foo-1.0 .tar.gz",
        "foo-1.0?.tar.gz",
        "foo-1.0%2f.tar.gz",
        'foo-1.0"><script>-py3-none-any.whl',
        "föö-1.0-py3-none-any.whl",
        "foo-1.0.tar.bz2",
        "foo-1.0.exe",
        "foo-1.0.TAR.GZ",
        "foo-1.0.tar.gz.asc",
        "foo.tar.gz",
        "-1.0.tar.gz",
        "foo-latest.tar.gz",
        "foo-1.0",
        "foo-1.0.whl",
        "foo-1.0-py3-none.whl",
        "foo-bar-1.0-py3-none-any.whl",
        "foo__bar-1.0-py3-none-any.whl",
        "_foo-1.0-py3-none-any.whl",
        "foo-latest-py3-none-any.whl",
        "foo-1.0-build-py3-none-any.whl",
        "foo-1.0-linux.egg",
        "foo-latest-py3.egg",
        "x" * 300 + "-1.0.tar.gz",
        "x" * 210 + "-1.0.tar.gz",
        "foo-1.0-" + ".".join("abcdefghijklmnopqrst") + "-" + ".".join("abcdefghijklmnopqrst") + "-a.b.c.whl",
    ],
)
def test_parse_filename_refuses(filename: str) -> None:
    """Every filename that no specification allows, or that is not one plain name, is one printable sentence."""
    with pytest.raises(InvalidName) as caught:
        parse_filename(filename)
    assert str(caught.value).endswith(".")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_the_longest_filename_is_accepted() -> None:
    """The limit is in bytes and inclusive."""
    filename = "foo-1.0+" + "x" * (MAX_FILENAME_BYTES - len("foo-1.0+.tar.gz")) + ".tar.gz"
    assert parse_filename(filename).project == "foo"


@given(NAMES, VERSIONS)
def test_filenames_made_by_the_rules_are_understood(name: str, version: str) -> None:
    """Whatever name and version: the wheel, sdist and egg named after them give them back, strictly and leniently."""
    escaped = normalize_name(name).replace("-", "_")
    for filename in (
        f"{escaped}-{version}-py3-none-any.whl",
        f"{escaped}-{version}.tar.gz",
        f"{escaped}-{version}.egg",
    ):
        parsed = parse_filename(filename)
        assert parsed.project == normalize_name(name)
        assert parsed.version == version
        assert guess_filename(filename) == parsed


_PIECES = st.sampled_from(
    [
        "foo",
        "1.0",
        "-",
        "_",
        ".",
        "py3",
        "none",
        "any",
        ".whl",
        ".tar.gz",
        ".zip",
        ".egg",
        "/",
        "..",
        "\0",
        "é",
        "+",
        "!",
    ]
)


@given(st.one_of(st.text(max_size=300), st.lists(_PIECES, max_size=12).map("".join)))
def test_any_text_is_a_filename_or_an_invalid_one(text: str) -> None:
    """No text raises anything but InvalidName; what passes is one plain name and leniently passes as well."""
    guessed = guess_filename(text)
    try:
        parsed = parse_filename(text)
    except InvalidName:
        pass
    else:
        assert guessed is not None
        assert not set(parsed.filename) & set("/\\\0 %?#&'\"<>")
        assert guessed.kind is parsed.kind
    if guessed is not None:
        assert is_normalized(guessed.project)
        assert guessed.filename == text


# -- filenames in a directory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "project", "version", "kind"),
    [
        ("foo-1.0-1.tar.gz", "foo", "1.0-1", Kind.SDIST),
        ("my-lib-2-1.0.tgz", "my-lib-2", "1.0", Kind.SDIST),
        ("python-3.8-tools-1.0.zip", "python-3-8-tools", "1.0", Kind.SDIST),
        ("foo-bar-1.2.3-beta.tar.gz", "foo-bar", "1.2.3-beta", Kind.SDIST),
        ("foo-1.0.tar", "foo", "1.0", Kind.SDIST),
        ("foo-1.0.tar.Z", "foo", "1.0", Kind.SDIST),
        ("foo-1.0.tar.bz2", "foo", "1.0", Kind.SDIST),
        ("Foo-1.0.tar.xz", "foo", "1.0", Kind.SDIST),
        ("foo-1.0.ZIP", "foo", "1.0", Kind.SDIST),
        ("foo-latest.tar.gz", "foo", "latest", Kind.SDIST),
        ("a-b-latest.zip", "a-b", "latest", Kind.SDIST),
        ("tool.zip", "tool", "", Kind.SDIST),
        ("foo-bar-r123.1.zip", "foo-bar", "r123.1", Kind.SDIST),
        ("foo-1.0 (1).zip", "foo", "1.0 (1)", Kind.SDIST),
        ("foo-1.0.linux-x86_64.tar.gz", "foo", "1.0", Kind.OTHER),
        ("foo-1.0.macosx-10.9-x86_64.tar.gz", "foo", "1.0", Kind.OTHER),
        ("foo-bar-1.0-py2.7-linux-x86_64.egg", "foo-bar", "1.0", Kind.EGG),
        ("foo-bar-1.0-py3-none-any.whl", "foo-bar", "1.0", Kind.WHEEL),
        ("foo-2004b_x-py3-none-any.whl", "foo", "2004b_x", Kind.WHEEL),
        ("foo-v1.0-py3-none-any.whl", "foo", "v1.0", Kind.WHEEL),
        ("foo-1.0.win32.exe", "foo", "1.0", Kind.OTHER),
        ("foo-bar-1.0.win-amd64-py2.7.exe", "foo-bar", "1.0", Kind.OTHER),
        ("foo-1.0.win-amd64-py3.6.msi", "foo", "1.0", Kind.OTHER),
        ("foo-bar-1.0-1.noarch.rpm", "foo-bar", "1.0", Kind.OTHER),
        ("python3-foo_1.0-1_all.deb", "python3-foo", "1.0", Kind.OTHER),
        ("foo_1:2.0_amd64.deb", "foo", "2.0", Kind.OTHER),
    ],
)
def test_guess_filename(filename: str, project: str, version: str, kind: Kind) -> None:
    """Files named by old tools, or by people, belong to the project that a person would say."""
    parsed = guess_filename(filename)
    assert parsed is not None
    assert (parsed.project, parsed.version, parsed.kind) == (project, version, kind)


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "README.txt",
        "foo-1.0",
        "foo-1.0.tar.gz.asc",
        "foo-1.0.tar.gz.part",
        "foo-1.0-py3-none-any.whl.metadata",
        "setup.exe",
        "python-3.12.1-amd64.exe",
        "foo-1.0.whl",
        "foo.rpm",
        "foo.deb",
        ".foo-1.0.tar.gz",
        ".zip",
        "-1.0.zip",
        "foo bar-1.0.zip",
        "föö-1.0.zip",
        "a/foo-1.0.zip",
        "foo-1.0\n.zip",
        "foo-\udcff1.0.zip",
        "foo-" + "1" * 260 + ".zip",
    ],
)
def test_guess_filename_finds_no_distribution(filename: str) -> None:
    """Files that are no distributions, or could never be requested under a valid project name, are ignored."""
    assert guess_filename(filename) is None


def test_quoted_is_short_printable_ascii() -> None:
    """Whatever a stranger sends can stand in a header line and on a terminal."""
    assert quoted("foo") == "'foo'"
    shown = quoted("\x1b[31m\r\nX: y\udcff" + _ALPHANUMERIC * 10)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) < 120
