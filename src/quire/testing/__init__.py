"""For authors of stores: the contracts of `quire.store.contracts` as something that runs.

    from quire.testing import check_store
    check_store(lambda: BucketStore("s3://bucket/index"))

`factory` opens a new, independent handle on the same storage at each call: what another worker process would hold.
Every rule is a function of RULES; its name says what a store promises, and what it raises says how that was broken.
A rule works in a sandbox of its own, under keys of its own, so a store in use can be checked as well; it
removes its blobs and deletes its records afterwards (a store that keeps tombstones keeps theirs).

Theory of operation. Most rules are short scenes of two workers, one of which remembers an older answer, since
memory is where stores go wrong. Others search for unknown faults: one runs a long seeded sequence of operations
against a dictionary, several let threads race. Their verdicts do not depend on the winner or on time: each
checks only what must hold in every interleaving. For example, a document that a write acknowledged, or that any reader
got, before a read began is a lower bound for what that read may answer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from quire.store.contracts import Store
from quire.store.faults import Fault, Faults
from quire.store.memory import MemoryStore
from quire.testing import blob_rules, name_rules, open_blob_rules, race_rules, record_rules
from quire.testing.sandbox import Rule, Sandbox

__all__ = [
    "EXCLUSIVE_RULES",
    "RULES",
    "Fault",
    "Faults",
    "MemoryStore",
    "Report",
    "Rule",
    "Sandbox",
    "check_rule",
    "check_store",
]

RULES: tuple[Rule, ...] = (
    *record_rules.RULES,
    *name_rules.RULES,
    *race_rules.RULES,
    *blob_rules.RULES,
    *open_blob_rules.RULES,
)
"""Safe on a store in use."""

EXCLUSIVE_RULES: tuple[Rule, ...] = blob_rules.EXCLUSIVE_RULES
"""These disturb other users of the store: uploads under way would fail."""


@dataclass(frozen=True, slots=True)
class Report:
    """The names of the rules that were checked."""

    checked: tuple[str, ...]


def check_store(factory: Callable[[], Store], *, exclusive: bool = False) -> Report:
    """Check every rule; return which ones, or raise AssertionError with a sentence that says what is broken.

    `exclusive`: the storage has no other users, so rules that disturb others (EXCLUSIVE_RULES) are checked as well.
    """
    rules = RULES + EXCLUSIVE_RULES if exclusive else RULES
    for rule in rules:
        check_rule(factory, rule)
    return Report(tuple(rule.__name__ for rule in rules))


def check_rule(factory: Callable[[], Store], rule: Rule) -> None:
    """Check one rule in a new sandbox. Raises AssertionError as `check_store` does."""
    sandbox = Sandbox(factory)
    try:
        rule(sandbox)
    except Exception as error:
        with suppress(Exception):  # the rule's own failure is the one to report
            sandbox.clean_up()
        said = str(error) if isinstance(error, AssertionError) else f"the store raised {error!r}."
        raise AssertionError(f"{rule.__name__}: {said}") from error
    sandbox.clean_up()
