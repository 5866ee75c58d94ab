"""OSV documents: which versions they affect, how severe they are, and which are refused.

The ranges are made after the rules of the OSV schema (section "Evaluation"), each rule in its shortest form.
"""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.domain.advisories import Severity
from quire.domain.affected import Affected
from quire.domain.cvss import base_score, rating_of
from quire.domain.osv import Taken, take

CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


LONG = "9" * 5000
"""More digits than Python reads as a number."""


def document(identity: str = "PYSEC-1", name: str = "demo", **fields: Any) -> bytes:
    """A document about one project; `ranges`, `versions` and `package` are of the affected package."""
    affected: dict[str, Any] = {"package": {"ecosystem": "PyPI", "name": name}}
    affected |= {key: fields.pop(key) for key in ("ranges", "versions", "package") if key in fields}
    return json.dumps({"id": identity, "modified": "2024-05-01T00:00:00Z", "affected": [affected], **fields}).encode()


def ecosystem(*events: str, kind: str = "ECOSYSTEM") -> dict[str, Any]:
    """A range of events such as `introduced 1.0`."""
    return {"type": kind, "events": [dict([event.split()]) for event in events]}


def affected(taken: Taken, versions: str, name: str = "demo") -> str:
    """Those of the versions that are affected."""
    found = Affected([taken.entries[name]])
    return " ".join(each for each in versions.split() if found.of(each))


@pytest.mark.parametrize(
    ("events", "asked", "expected"),
    [
        (["introduced 0"], "0.dev0 0 1.0 99!1", "0.dev0 0 1.0 99!1"),
        (["introduced 0", "fixed 1.0"], "0.9 1.0a1 1.0 1.0.0 1.0.post1", "0.9 1.0a1"),
        (["introduced 1.0", "fixed 1.2"], "0.9 1.0rc1 1 1.1.9 1.2.dev1 1.2", "1 1.1.9 1.2.dev1"),
        (["introduced 1.0", "last_affected 1.2"], "0.9 1.0 1.2.0 1.2.post1 1.3", "1.0 1.2.0"),
        (["introduced 1.0", "last_affected 1.2"], "1.2+cu118 1.3+cu118", "1.2+cu118"),
        (["introduced 0", "fixed 1.1", "introduced 2.0", "fixed 2.1"], "1.0 1.1 1.9 2.0 2.1", "1.0 2.0"),
        (["fixed 2.1", "introduced 2.0", "fixed 1.1", "introduced 0"], "1.0 1.1 1.9 2.0 2.1", "1.0 2.0"),
        (["introduced 0", "fixed 1.0", "introduced 1.0", "fixed 2.0"], "0.9 1.0 1.9 2.0", "0.9 1.0 1.9"),
        (["introduced 0", "fixed 1.1", "fixed 2.1"], "1.0 1.1 2.0", "1.0"),
        (["introduced 0", "limit 1.0"], "0.9 1.0 2.0", "0.9"),
        (["introduced 0", "fixed 3.0", "limit 1.0", "limit 2.0"], "1.5 2.0 2.5", "1.5"),
        (["introduced 0", "fixed 3.0", "limit *"], "2.9 3.0", "2.9"),
        (["introduced 5.0", "limit 2.0"], "1.0 5.0", ""),
        (["introduced 1.0", "fixed 1.0"], "0.9 1.0 1.1", ""),
        (["introduced 1!0", "fixed 1!2"], "5.0 1!1.0", "1!1.0"),
        (["introduced 0", "fixed 2.0.1"], "2.0.0+cu118 2.0.1+cu118", "2.0.0+cu118"),
        (["introduced 0", "fixed 1.0+acme.2"], "1.0 1.0+acme.1 1.0+acme.2 1.0+acme.10", "1.0 1.0+acme.1"),
    ],
)
def test_ranges(events: list[str], asked: str, expected: str) -> None:
    """Events are evaluated in the order of PEP 440, whatever their order in the document."""
    assert affected(take(document(ranges=[ecosystem(*events)])), asked) == expected


@pytest.mark.parametrize(
    ("fields", "asked", "expected"),
    [
        ({"versions": ["1.0", "1.1"]}, "1.0 1.0.0 v1.1 1.2 1.0+cu118", "1.0 1.0.0 v1.1 1.0+cu118"),
        ({"versions": ["2004d", "1.0"]}, "2004d 2004e 1.0", "2004d 1.0"),
        ({"versions": ["1.0", "3.0"], "ranges": [ecosystem("introduced 0", "fixed 2.0")]}, "1.5 2.0 3.0", "1.5 3.0"),
        ({"ranges": [ecosystem("introduced 0", "fixed 1.0"), ecosystem("introduced 3.0")]}, "0.1 2.0 4", "0.1 4"),
        ({"ranges": [ecosystem("introduced 0", kind="GIT")], "versions": ["1.0"]}, "1.0 2.0", "1.0"),
        ({"ranges": [ecosystem("introduced 1.0.0", "fixed 1.2.0", kind="SEMVER")]}, "1.1 1.2", "1.1"),
        ({"ranges": [ecosystem("introduced 2004d")], "versions": ["1.0"]}, "1.0 2.0", "1.0"),
        ({"ranges": [ecosystem("introduced 0")]}, f"1.{LONG} 1.0", "1.0"),
        ({"ranges": [ecosystem("introduced 0", f"fixed {LONG}")], "versions": [LONG, "1"]}, f"1 2 {LONG}", f"1 {LONG}"),
        ({}, "1.0", ""),
    ],
)
def test_versions_and_ranges(fields: dict[str, Any], asked: str, expected: str) -> None:
    """A version is affected if the list has it, or one of the ranges. Commits and unknown orders are left out."""
    assert affected(take(document(**fields)), asked) == expected


def test_a_list_keeps_only_what_the_ranges_do_not_say() -> None:
    """So an entry stays small."""
    versions = [f"1.{number}" for number in range(100)]
    taken = take(document(ranges=[ecosystem("introduced 0", "fixed 1.99")], versions=versions))
    assert taken.entries["demo"].versions == ("1.99",)


def test_projects() -> None:
    """Names are normalized, other ecosystems left out, and a project that is there twice has all of its versions."""
    of_npm = {"package": {"ecosystem": "npm", "name": "demo"}, "versions": ["9"]}
    parts = [
        {"package": {"ecosystem": "PyPI", "name": name}, "versions": [version]}
        for name, version in (("Demo_Tools", "1.0"), ("demo.tools", "2.0"), ("other", "3.0"))
    ]
    taken = take(json.dumps({"id": "X-1", "modified": "", "affected": [of_npm, *parts]}).encode())
    assert sorted(taken.entries) == ["demo-tools", "other"]
    assert affected(taken, "1.0 2.0 3.0 9", "demo-tools") == "1.0 2.0"
    assert take(document(package={"ecosystem": "npm", "name": "@a/b"})).entries == {}
    assert take(document(package={"ecosystem": "PyPI:other", "name": "demo"}, versions=["1"])).entries.keys() == {
        "demo"
    }


def test_what_an_entry_says() -> None:
    """A line of text, the fixed versions, and whether it stands."""
    taken = take(
        document(
            "GHSA-1",
            details=f"First {'x' * 300}\nsecond",
            ranges=[ecosystem("introduced 0", "fixed 1.2")],
            published="2024-01-01T00:00:00Z",
            withdrawn="2024-02-01T00:00:00Z",
        )
    )
    entry = taken.entries["demo"]
    assert (entry.fixed, entry.published, taken.is_withdrawn) == (("1.2",), "2024-01-01T00:00:00Z", True)
    assert len(entry.summary) == 200
    assert [each.id for each in Affected([entry]).fixed_by("1.2.0")] == ["GHSA-1"]
    assert Affected([entry]).fixed_by("1.3") == []


def test_malicious_packages() -> None:
    """By the id; a report that names no versions is of all of them."""
    assert affected(take(document("MAL-2024-1")), "0.1 2.0") == "0.1 2.0"
    entry = take(document("MAL-2024-1", versions=["1.0"])).entries["demo"]
    assert entry.is_malicious
    assert not take(document("PYSEC-1", versions=["1.0"])).entries["demo"].is_malicious
    assert affected(take(document("MAL-2024-1", ranges=[ecosystem("introduced 0", kind="GIT")])), "1.0") == "1.0"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"severity": [{"type": "CVSS_V3", "score": CRITICAL}]}, Severity.CRITICAL),
        ({"severity": [{"type": "CVSS_V2", "score": "AV:L/AC:H/Au:M/C:N/I:N/A:P"}]}, Severity.LOW),
        ({"database_specific": {"severity": "MODERATE"}}, Severity.MEDIUM),
        ({"database_specific": {"severity": 7}}, None),
        (
            {"severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}], "database_specific": {"severity": "high"}},
            Severity.HIGH,
        ),
        (
            {"severity": [{"type": "CVSS_V3", "score": CRITICAL}], "database_specific": {"severity": "LOW"}},
            Severity.CRITICAL,
        ),
        ({"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}]}, None),
    ],
)
def test_severity(fields: dict[str, Any], expected: Severity | None) -> None:
    """The highest of the ratings by vectors and by the database; a vector that is not whole has none."""
    assert take(document(versions=["1"], **fields)).entries["demo"].severity is expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[]", "no OSV document"),
        (b"{", "no OSV document"),
        (b"\xff", "no OSV document"),
        (b'{"id": "X"}', "no OSV document"),
        (document(""), "no usable id"),
        (document("a/b"), "no usable id"),
        (document("X" * 300), "no usable id"),
        (document(name="-bad-"), "no name of a project"),
        (document(ranges=[ecosystem("introduced 2004d")]), "PEP 440"),
        (document(versions=["1"] * 30_000), "more than"),
    ],
)
def test_documents_that_are_refused(data: bytes, words: str) -> None:
    """With the reason."""
    with pytest.raises(ValueError, match=words):
        take(data)


@pytest.mark.parametrize(
    ("vector", "score"),
    [  # the scores that FIRST's calculators give
        ("AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0),
        ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8),
        ("(AV:L/AC:H/Au:N/C:C/I:C/A:C)", 6.2),
        ("AV:N/AC:L/Au:N/C:N/I:N/A:N", 0.0),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.0/AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 7.8),
        (CRITICAL, 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H", 5.9),
        ("CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.6),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:L", 7.4),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        (f"{CRITICAL}/E:U/RL:O", 9.8),
        ("CVSS:3.1/AV:N/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", None),
        ("CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", None),
        ("", None),
        ("x" * 1000, None),
    ],
)
def test_base_scores(vector: str, score: float | None) -> None:
    """By the equations of versions 2.0, 3.0 and 3.1."""
    assert base_score(vector) == score
    assert (rating_of(vector) is None) == (score is None)


EASY: Final = "AV:N/AC:L/AT:N/PR:N/UI:N"
WHOLE: Final = f"{EASY}/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"


@pytest.mark.parametrize(
    ("vector", "score"),
    [  # the scores that FIRST's calculator gives; the first eight are among the examples of its specification
        ("AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 7.3),
        ("AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 7.7),
        ("AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N/E:U", 5.2),
        ("AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:L/SC:N/SI:N/SA:N", 8.3),
        ("AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:L/SC:N/SI:N/SA:N/CR:H/IR:L/AR:L/MAV:N/MAC:H/MVC:H/MVI:L/MVA:L", 8.1),
        ("AV:N/AC:L/AT:N/PR:N/UI:A/VC:N/VI:N/VA:N/SC:L/SI:L/SA:N", 5.1),
        (f"{EASY}/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N", 8.7),
        (f"{EASY}/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", 10.0),
        (WHOLE, 9.3),
        (f"{WHOLE}/E:X", 9.3),
        (f"{WHOLE}/E:A/MSI:S/S:P/AU:Y/R:I/V:C/RE:H/U:Red", 10.0),
        ("AV:P/AC:H/AT:P/PR:H/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N/E:U", 0.1),
        (f"{EASY}/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", 0.0),
        (WHOLE[5:], None),
        (f"{WHOLE}/AV:N", None),
        (f"{WHOLE}/E:H", None),
        (f"{WHOLE}/XX:N", None),
        (f"{WHOLE}/", None),
        (WHOLE.replace("SI:N", "SI:S"), None),
    ],
)
def test_scores_of_version_4(vector: str, score: float | None) -> None:
    """By its table, and the distances in its sets."""
    assert base_score(f"CVSS:4.0/{vector}") == score
    assert (rating_of(f"CVSS:4.0/{vector}") is None) == (score is None)


METRICS_OF_4: Final = {
    **dict(zip(("AV", "AC", "AT", "PR", "UI", "E"), ("NALP", "LH", "NP", "NLH", "NPA", "APU"), strict=True)),
    **dict.fromkeys(("VC", "VI", "VA", "SC", "SI", "SA"), "HLN"),
    **dict.fromkeys(("CR", "IR", "AR"), "HML"),
}


@given(st.fixed_dictionaries({name: st.sampled_from(values) for name, values in METRICS_OF_4.items()}), st.data())
def test_a_less_severe_vector_of_version_4_has_no_higher_score(metrics: dict[str, str], data: st.DataObject) -> None:
    """In any one metric."""
    name = data.draw(st.sampled_from(sorted(METRICS_OF_4)))
    less = data.draw(st.sampled_from(METRICS_OF_4[name][METRICS_OF_4[name].index(metrics[name]) :]))

    def score(of: dict[str, str]) -> float:
        found = base_score(f"CVSS:4.0/{'/'.join(f'{each}:{value}' for each, value in of.items())}")
        assert found is not None
        return found

    assert score(metrics | {name: less}) <= score(metrics)
