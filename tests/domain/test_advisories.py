"""The order of severities, and what an advisory is without further facts."""

from quire.domain.advisories import Advisory, Severity


def test_severities_are_in_order() -> None:
    assert sorted(Severity, key=lambda each: each.rank) == [
        Severity.NONE,
        Severity.LOW,
        Severity.MEDIUM,
        Severity.HIGH,
        Severity.CRITICAL,
    ]


def test_an_advisory_with_an_id_alone_says_nothing_bad_by_itself() -> None:
    known = Advisory(id="GHSA-1")
    assert (known.severity, known.is_malicious, known.fixed, known.withdrawn) == (None, False, (), None)
