"""Core metadata as a page shows it."""

from __future__ import annotations

import pytest

from quire.archives.metadata import CoreMetadata, parse_metadata
from quire.http.ui.projects.described import (
    MOST_CHARS,
    MOST_ENTRIES,
    Dependencies,
    Dependency,
    Person,
    dependencies,
    described,
    link,
)


def metadata(*fields: str, body: str = "") -> CoreMetadata:
    """That of release 1.0 of demo, with further fields."""
    lines = ("Metadata-Version: 2.4", "Name: Demo", "Version: 1.0", *fields)
    return parse_metadata(("\n".join(lines) + "\n\n" + body).encode(), strict=False)


def nowhere(_: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("terms", "shown"),
    [("MIT", ()), ("mit licence", ()), ("Apache-2.0", (("License", ("OSI Approved :: MIT License",)),))],
)
def test_a_license_is_told_once(terms: str, shown: tuple[object, ...]) -> None:
    """The classifier is left out where it names the license of the field, and stays where it names another one."""
    found = described(metadata(f"License: {terms}", "Classifier: License :: OSI Approved :: MIT License"), nowhere)
    assert tuple((each.topic, each.entries) for each in found.classifiers) == shown


def test_a_release_with_everything() -> None:
    """Each field in the form that a page shows."""
    found = described(
        metadata(
            "Summary: Helpers",
            "Requires-Python: >=3.10",
            "License-Expression: MIT OR Apache-2.0",
            "Keywords: one,two,one",
            "Classifier: Topic :: Utilities",
            "Classifier: Programming Language :: Python :: 3",
            "Classifier: Topic :: Software Development :: Libraries",
            "Project-URL: Source, https://git.example.org/demo",
            "Home-page: https://demo.example.org",
            "Author-email: Alice A. <alice@example.org>, bob@example.org",
            "Maintainer: Carol",
            "Maintainer-email: carol@example.org",
        ),
        nowhere,
    )
    assert (found.summary, found.requires_python, found.license) == ("Helpers", ">=3.10", "MIT OR Apache-2.0")
    assert found.keywords == ("one", "two")
    assert [(each.topic, each.entries) for each in found.classifiers] == [
        ("Programming Language", ("Python :: 3",)),
        ("Topic", ("Utilities", "Software Development :: Libraries")),
    ]
    assert [(each.label, each.url) for each in found.links] == [
        ("Homepage", "https://demo.example.org"),
        ("Source", "https://git.example.org/demo"),
    ]
    assert found.authors == (Person("Alice A.", "alice@example.org"), Person("bob@example.org", "bob@example.org"))
    assert found.maintainers == (Person("Carol", "carol@example.org"),)


def test_dependencies_are_grouped_by_extra() -> None:
    """Each with its versions and condition, and whether it is here."""
    found = dependencies(
        [
            "Requests[socks,use-chardet]>=2.31,<3",
            'colorama; sys_platform == "win32"',
            'pytest>=8; extra == "test"',
            'uvloop; (sys_platform != "win32" and python_version < "3.15") and extra == "Fast_IO"',
            'odd; extra == "a" or extra == "b"',
            "tool @ https://e.org/tool.whl",
            "no requirement at all (",
        ],
        {"requests", "pytest"}.__contains__,
    )
    assert found == (
        Dependencies(
            None,
            (
                Dependency("requests", "Requests[socks,use-chardet]", ">=2.31, <3", "", is_here=True),
                Dependency("colorama", "colorama", "", 'sys_platform == "win32"', is_here=False),
                Dependency("odd", "odd", "", 'extra == "a" or extra == "b"', is_here=False),
                Dependency("tool", "tool", "@ https://e.org/tool.whl", "", is_here=False),
                Dependency("", "no requirement at all (", "", "", is_here=False),
            ),
        ),
        Dependencies("test", (Dependency("pytest", "pytest", ">=8", "", is_here=True),)),
        Dependencies(
            "fast-io",
            (Dependency("uvloop", "uvloop", "", 'sys_platform != "win32" and python_version < "3.15"', is_here=False),),
        ),
    )


@pytest.mark.parametrize(
    "text",
    [
        *("foo_", "a" * 300, "foo; os_name ==", 'foo; os_name == "\\x22\'"', 'foo; os_name == "\\ud800"'),
        f"foo; {'(' * 487}os_name=='a'{')' * 487}",
    ],
)
def test_what_is_no_requirement_is_shown_as_it_is(text: str) -> None:
    """Of a file that was published elsewhere, or before such texts were refused."""
    (group,) = dependencies([text], {"foo"}.__contains__)
    (found,) = group.entries
    assert (group.extra, found.name, found.is_here, found.constraint) == (None, "", False, "")
    assert found.shown[:100] == text[:100]


def test_an_extra_that_is_no_name_is_a_condition() -> None:
    found = dependencies(['foo; extra == "."'], nowhere)
    assert found == (Dependencies(None, (Dependency("foo", "foo", "", 'extra == "-"', is_here=False),)),)


def test_a_comma_in_a_comment_parts_no_people() -> None:
    """Also on Pythons with a parser that is strict."""
    found = described(metadata("Author-email: Ann (Acme, Ltd) <a@e.org>, Bob <b@e.org>"), nowhere)
    assert found.authors == (Person("Ann (Acme, Ltd)", "a@e.org"), Person("Bob", "b@e.org"))


@pytest.mark.parametrize("field", ["Author-email", "Maintainer-email"])
@pytest.mark.parametrize("text", ["(" * 1500, f"a@{':' * 1500}", f"Ann <a@e.org>, {'(' * 1500}"])
def test_addresses_that_cannot_be_read_are_shown_as_they_are(field: str, text: str) -> None:
    """Python's parser calls itself for each comment within a comment, and each group within a group."""
    found = described(metadata(f"{field}: {text}"), nowhere)
    (person,) = found.authors or found.maintainers
    assert (person.name[:100], person.email) == (text[:100], None)


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        " JavaScript:alert(1)",
        "java\tscript:alert(1)",
        "data:text/html,x",
        "//e.org/x",
        "/-/logout",
        "https:///x",
        "https://bank.example@evil.example/",
        "https://e.org/\u202egnp.exe",
        "https://e.org/ x",
        "ftp://e.org/x",
        "https://[::1",
        "https://e.org/" + "x" * 3000,
    ],
)
def test_an_unsafe_address_is_no_link(address: str) -> None:
    """It is shown as text, with all that is invisible in it."""
    found = link("Homepage", address)
    assert found.url is None
    assert found.text.isprintable()
    assert len(found.text) <= MOST_CHARS


def test_a_safe_address_is_a_link() -> None:
    assert link("", "http://wiki.internal:8080/demo?a=b#c").url == "http://wiki.internal:8080/demo?a=b#c"
    assert link("", "https://e.org/").label == "https://e.org/"


def test_invisible_characters_are_shown_everywhere() -> None:
    """In every text that a publisher wrote."""
    found = described(
        metadata(
            "Summary: a\u202eb",
            "License: a\u202eb",
            "Keywords: a\u202eb",
            "Classifier: a\u202eb :: c\u200bd",
            "Project-URL: a\u202eb, https://e.org/\u200b",
            "Author: a\u202eb",
            "Maintainer-email: a\u202eb <x@e.org>",
            "Requires-Dist: a\u202eb",
        ),
        nowhere,
    )
    assert "\u202e" not in repr(found)
    assert "\u200b" not in repr(found)
    assert repr(found).count("a[U+202E]b") == 8


def test_everything_is_bounded() -> None:
    """A publisher cannot make a page long."""
    found = described(
        metadata(
            "Summary: " + "x" * 100_000,
            "License: " + "x" * 100_000,
            *(f"Classifier: topic {number} :: {'x' * 1000}" for number in range(3000)),
            *(f"Project-URL: label {number}, https://e.org/{number}" for number in range(3000)),
            *(f"Requires-Dist: project-{number}" for number in range(3000)),
            "Author-email: " + ", ".join(f"a{number}@e.org" for number in range(10_000)),
        ),
        nowhere,
    )
    assert len(found.summary) == MOST_CHARS
    assert len(found.license) == 4000
    assert len(found.classifiers) == len(found.links) == MOST_ENTRIES
    assert (len(found.dependencies[0].entries), found.omitted) == (MOST_ENTRIES, 2700)
    assert len(found.authors) <= MOST_ENTRIES
