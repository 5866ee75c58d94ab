"""The store's public conformance suite, on this volume: everything two workers on ONE machine can get wrong."""

from __future__ import annotations

from collections.abc import Callable

from quire.doctor.findings import Finding, Weight
from quire.store.contracts import Store
from quire.testing import RULES, Rule, check_rule
from quire.testing.race_rules import RULES as RACE_RULES


def rules(*, quick: bool) -> tuple[Rule, ...]:
    """Those to check; the races take most of the time, and are left out when there is none."""
    return tuple(rule for rule in RULES if not (quick and rule in RACE_RULES))


def check(
    factory: Callable[[], Store], chosen: tuple[Rule, ...], advance: Callable[[int], object]
) -> tuple[list[str], list[Finding]]:
    """(names of the rules that held, what did not hold). `advance`: called with the number of rules done so far."""
    held: list[str] = []
    findings = []
    for number, rule in enumerate(chosen, 1):
        try:
            check_rule(factory, rule)
        except AssertionError as error:
            findings.append(
                Finding(
                    "conformance",
                    Weight.BREAKS,
                    f"The store does not work here as it must. {error}",
                    "Use another file system, or report this with the output of --json.",
                )
            )
        else:
            held.append(rule.__name__)
        advance(number)
    return held, findings
