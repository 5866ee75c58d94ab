"""Rules of retention: their grammar, and which releases they let go. Tables and properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.errors import InvalidRequest
from quire.domain.names import is_prerelease, version_sort_key
from quire.domain.project import File, Project, Status
from quire.domain.retention import MOST_RULES, expired, parse_rule, parse_rules, rules_for

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def file(version: str, days: float | None, *, yanked: bool | str = False, number: int = 0) -> File:
    """A file that was uploaded so many days ago; None: not known when."""
    uploaded = None if days is None else (NOW - timedelta(days=days)).isoformat()
    return File(
        filename=f"acme-{version}-{number}-py3-none-any.whl",
        version=version,
        size=1,
        hashes={"sha256": "0" * 64},
        uploaded=uploaded,
        yanked=yanked,
    )


def project(*files: File, status: Status = Status.ACTIVE) -> Project:
    return Project(name="acme", files={each.filename: each for each in files}, status=status)


def gone(found: Project, *rules: str) -> list[str]:
    counting = rules_for(map(parse_rule, rules), "acme")
    return [each.version for each in expired(found, counting, NOW)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("dev:10", "dev:10"),
        (" pre : 30d ", "pre:30d"),
        ("Acme_Nightly/any:20", "acme-nightly/any:20"),
        ("acme-*/final:5", "acme-*/final:5"),
        ("*/any:1", "*/any:1"),
    ],
)
def test_a_rule_is_normalized(text: str, rule: str) -> None:
    """It is stored as it is shown."""
    assert str(parse_rule(text)) == rule
    assert str(parse_rule(rule)) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "dev", "dev:", "dev:0", "dev:-1", "dev:10w", "beta:1", "final:1", "any:1", "/any:1", "a/b/dev:1"),
        *("ä/dev:1", "dev:36501d", "dev:9999999", "a b/dev:1", "dev:1,pre:1", "dev:\uff11"),
    ],
)
def test_no_rule(text: str) -> None:
    """Refused with a sentence; a rule for all projects never names final releases."""
    with pytest.raises(InvalidRequest):
        parse_rules([text])


def test_rules_are_few_and_each_once() -> None:
    """At most a hundred."""
    assert parse_rules(["dev:1", "dev:1", "pre:2"]) == ("dev:1", "pre:2")
    with pytest.raises(InvalidRequest, match="patterns"):
        parse_rules([f"a{at}/dev:1" for at in range(MOST_RULES + 1)])


SOME = project(
    *(file("1.0", 90), file("1.1", 50), file("1.2.dev1", 60), file("1.2.dev2", 40), file("1.2.dev3", 2)),
    *(file("1.2a1", 45), file("1.2rc1", 1), file("nightly", 99)),
)


@pytest.mark.parametrize(
    ("rules", "versions"),
    [
        ((), []),
        (("dev:2",), ["1.2.dev1"]),
        (("dev:1",), ["1.2.dev1", "1.2.dev2"]),
        (("dev:30d",), ["1.2.dev1", "1.2.dev2"]),
        (("dev:2", "dev:30d"), ["1.2.dev1"]),
        (("pre:30d",), ["1.2a1"]),
        (("pre:1", "dev:1"), ["1.2.dev1", "1.2a1", "1.2.dev2"]),
        (("acme/final:30d",), ["1.0"]),
        (("acme/any:2",), ["1.0", "1.2.dev1", "1.2a1", "1.2.dev2"]),
        (("acme/any:30d",), ["1.0", "1.2.dev1", "1.2a1", "1.2.dev2"]),
        (("acme/any:30d", "acme/final:2"), ["1.2.dev1", "1.2a1", "1.2.dev2"]),
        (("dev:1", "acme/dev:2"), ["1.2.dev1"]),
        (("dev:1", "other-*/dev:2"), ["1.2.dev1", "1.2.dev2"]),
        (("dev:1", "acm?/pre:99d"), []),
    ],
)
def test_what_goes(rules: tuple[str, ...], versions: list[str]) -> None:
    """The oldest upload first. One rule that keeps a release is enough; rules that name the project replace others."""
    assert gone(SOME, *rules) == versions


@pytest.mark.parametrize(
    ("files", "rule", "versions"),
    [
        ([file("1.0", 9), file("2.0", 8)], "acme/any:1d", ["1.0"]),
        ([file("1.0", 9), file("2.0", 8, yanked="bad")], "acme/any:1d", ["2.0"]),
        ([file("1.0", 9, yanked=True), file("2.0", 8, yanked=True)], "acme/any:1d", ["1.0"]),
        ([file("1.0.dev1", 9), file("1.0.dev2", 8)], "dev:1d", ["1.0.dev1"]),
        ([file("2.0", 9), file("1.9.1", 2)], "acme/final:1", []),
        ([file("1.0.dev1", 9), file("1.0.dev1", 0.5, number=1), file("1.0", 1)], "dev:1d", []),
        ([file("1.0.dev1", 9), file("1.0.dev1", None, number=1), file("1.0", 1)], "dev:1d", []),
        ([file("1.0.dev1", 9), file("1.0.dev01", 8, number=1), file("1.0", 1)], "dev:1d", ["1.0.dev1"]),
        ([file("1.0.post1", 9), file("1.0", 8), file("1.0+local", 7)], "acme/final:1d", ["1.0", "1.0+local"]),
        ([file("1!1.0.dev1", 9), file("2.0.dev1", 8)], "dev:1", []),
    ],
)
def test_edges(files: list[File], rule: str, versions: list[str]) -> None:
    """The newest final release stays, one that is not yanked if there is any; a release has the age of its last
    upload, and its spellings are one."""
    assert gone(project(*files), rule) == versions


def test_all_of_a_quarantined_project_stays() -> None:
    """It is evidence."""
    assert gone(project(file("1.0.dev1", 9), file("1.0", 9), status=Status.QUARANTINED), "dev:1d") == []


FILES = st.builds(
    file,
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["1.0", "1.1", "2.0", "1!1.0"]),
        st.sampled_from(["", "a1", "rc2", ".post1"]),
        st.sampled_from(["", ".dev1", ".dev2"]),
    )
    | st.just("odd"),
    st.integers(0, 60) | st.none(),
    yanked=st.booleans(),
    number=st.integers(0, 2),
)
RULES = st.lists(st.sampled_from(["dev:1", "dev:9d", "pre:2", "acme/any:1", "acme/final:30d", "x/dev:1"]), max_size=4)


@given(st.lists(FILES, max_size=20), RULES)
def test_what_stays_in_any_case(files: list[File], rules: list[str]) -> None:
    """Never all releases, nor the newest final one, nor a final one by rules without names; then nothing more."""
    found = project(*files)
    counting = rules_for(map(parse_rule, rules), "acme")
    let_go = {file.filename for release in expired(found, counting, NOW) for file in release.files}
    left = {name: each for name, each in found.files.items() if name not in let_go}
    assert bool(left) == bool(found.files)
    known = [each for each in found.files.values() if each.uploaded is not None and each.version != "odd"]
    whole = {each.version for each in known} - {each.version for each in found.files.values() if each.uploaded is None}
    final = [each for each in known if each.version in whole and not is_prerelease(each.version)]
    offered = [each for each in final if not each.yanked] or final
    if offered:
        newest = max(version_sort_key(each.version) for each in offered)
        assert any(version_sort_key(each.version) == newest for each in left.values())
    assert all(found.files[name].uploaded is not None for name in let_go)
    if not any("/" in rule for rule in rules):
        assert all(is_prerelease(found.files[name].version) for name in let_go)
    again = Project(name="acme", files=left)
    assert expired(again, counting, NOW) == []
