"""The judge itself: it convicts what is wrong, acquits what is right, and agrees with a judge that tries everything.

Replaced here: the number of steps after which the judge gives up, which a short history does not reach.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.linearizability.checker import check
from tests.linearizability.history import NEVER, History, Operation
from tests.linearizability.model import (
    NOTHING,
    Delete,
    Entry,
    Holds,
    Lacks,
    Listed,
    Mark,
    Missing,
    Page,
    ProjectWrite,
    Publish,
    State,
)
from tests.linearizability.objects import Action, Write

A = "a-1-py3-none-any.whl"
B = "a-2-py3-none-any.whl"


def operation(action: Action, invoked: int, ended: int, *, certain: bool = True) -> Operation:
    return Operation(action, invoked, ended, certain, 0)


def unknown(action: Action, invoked: int, ended: int = NEVER) -> Operation:
    return operation(action, invoked, ended, certain=False)


def history_of(operations: Sequence[Operation], initial: State = NOTHING) -> History:
    history = History(initial)
    for each in operations:
        history.add(each.action, each.invoked, each.ended, client=each.client, certain=each.certain)
    return history


def violations(*operations: Operation, initial: State = NOTHING) -> list[Action]:
    verdict = check(history_of(operations, initial))
    assert not verdict.undecided
    return [violation.operation.action for violation in verdict.violations]


def put(filename: str, sha256: str) -> Publish:
    return Publish(((filename, sha256),))


def page(*entries: tuple[str, str] | tuple[str, str, str]) -> Page:
    return Page(frozenset(Entry(each[0], each[1], each[2] if len(each) == 3 else None) for each in entries))


def delete(*filenames: str) -> Delete:
    return Delete(frozenset(filenames))


def mark(filename: str, reason: str | None) -> Mark:
    return Mark(frozenset({filename}), reason)


# -- what it convicts -------------------------------------------------------------------------------------------------


def test_a_stale_read_is_convicted() -> None:
    """A page that was asked for after an acknowledged upload does not show it."""
    stale = page((A, "x"))
    assert violations(
        operation(put(A, "x"), 0, 1),
        operation(put(A, "y"), 2, 3),
        operation(stale, 4, 5),
        operation(page((A, "y")), 6, 7),
    ) == [stale]


def test_a_lost_update_is_convicted() -> None:
    """Two uploads of different files were acknowledged at the same time, and only one is ever there."""
    alone = page((B, "y"))
    assert violations(operation(put(A, "x"), 0, 5), operation(put(B, "y"), 0, 5), operation(alone, 6, 7)) == [alone]


def test_a_resurrected_file_is_convicted() -> None:
    """A deleted file is back without a publication."""
    back = page((A, "x"))
    assert violations(
        operation(put(A, "x"), 0, 1),
        operation(delete(A), 2, 3),
        operation(page(), 4, 5),
        operation(back, 6, 7),
    ) == [back]


def test_a_read_that_goes_back_is_convicted() -> None:
    """While an upload is under way one page shows it; a later page does not."""
    back = page()
    assert violations(operation(put(A, "x"), 0, 100), operation(page((A, "x")), 10, 20), operation(back, 30, 40)) == [
        back
    ]


def test_pages_that_contradict_each_other_are_convicted() -> None:
    """Each file for itself could be explained: one page has the first upload alone, a simultaneous one the second."""
    assert violations(
        operation(put(A, "x"), 0, 100),
        operation(put(B, "y"), 0, 100),
        operation(page((A, "x")), 10, 20),
        operation(page((B, "y")), 10, 20),
    )


def test_half_a_release_is_convicted() -> None:
    """Two files that are published in one step are never seen one without the other."""
    half = page((A, "x"))
    release = Publish(((A, "x"), (B, "y")))
    assert violations(
        operation(release, 0, 100), operation(half, 10, 20), operation(page((A, "x"), (B, "y")), 30, 40)
    ) == [half]


def test_a_list_that_forgets_a_project_is_convicted() -> None:
    """The project has a file, a page has shown it, and the list of projects does not name it."""
    assert violations(operation(put(A, "x"), 0, 1), operation(Listed(present=False), 2, 3)) == [Listed(present=False)]
    assert violations(
        operation(put(A, "x"), 0, 100), operation(page((A, "x")), 10, 20), operation(Listed(present=False), 30, 40)
    ) == [Listed(present=False)]


def test_downloads_are_judged() -> None:
    """A download of what was replaced, a 404 of what is there, and content that was never published."""
    first = operation(put(A, "x"), 0, 1)
    assert violations(first, operation(put(A, "y"), 2, 3), operation(Holds(A, "x"), 4, 5)) == [Holds(A, "x")]
    assert violations(first, operation(Lacks(A, "x"), 4, 5)) == [Lacks(A, "x")]
    assert violations(first, operation(Holds(A, "garbage"), 4, 5)) == [Holds(A, "garbage")]


def test_a_refusal_is_judged() -> None:
    """`There is no such file` is an answer as well."""
    assert violations(operation(put(A, "x"), 0, 1), operation(Missing(frozenset({A})), 2, 3)) == [
        Missing(frozenset({A}))
    ]


def test_a_change_that_cannot_have_succeeded_is_convicted() -> None:
    """A file is deleted twice, or yanked when it was never there."""
    assert violations(operation(put(A, "x"), 0, 1), operation(delete(A), 2, 3), operation(delete(A), 4, 5)) == [
        delete(A)
    ]
    assert violations(operation(mark(A, "why"), 0, 1)) == [mark(A, "why")]


def test_a_lost_yank_is_convicted() -> None:
    """The mark is there and gone again, without an unyank; an overwritten file may lose it."""
    history = [operation(put(A, "x"), 0, 1), operation(mark(A, "why"), 2, 3), operation(page((A, "x", "why")), 4, 5)]
    assert violations(*history, operation(page((A, "x")), 6, 7)) == [page((A, "x"))]
    assert not violations(*history, operation(put(A, "y"), 6, 7), operation(page((A, "y")), 8, 9))


def test_an_unknown_outcome_does_not_excuse_everything() -> None:
    """It may take effect once, at one time: not twice, not before it was invoked, not after it ended."""
    seen, gone = operation(page((A, "x")), 10, 11), operation(page(), 20, 21)
    again = operation(page((A, "x")), 30, 31)
    assert violations(unknown(put(A, "x"), 0), seen, gone) == [page()]
    assert violations(unknown(put(A, "x"), 0), seen, operation(delete(A), 12, 13), again) == [page((A, "x"))]
    assert violations(unknown(put(A, "x"), 15), seen) == [page((A, "x"))]
    assert violations(unknown(put(A, "x"), 0, 5), gone, again) == [page((A, "x"))]


# -- what it acquits --------------------------------------------------------------------------------------------------


def test_concurrent_answers_may_differ() -> None:
    """While an upload is under way both answers are right, as long as each goes forward."""
    assert not violations(
        operation(put(A, "x"), 0, 100),
        operation(page(), 10, 20),
        operation(page((A, "x")), 15, 40),
        operation(page(), 5, 30),
        operation(page((A, "x")), 50, 60),
    )


def test_concurrent_writes_may_come_in_any_order() -> None:
    """Also in one that only later answers tell."""
    assert not violations(
        operation(put(A, "x"), 0, 10),
        operation(put(A, "y"), 0, 10),
        operation(delete(A), 0, 10),
        operation(put(B, "z"), 0, 10),
        operation(page((A, "x"), (B, "z")), 11, 12),
    )


def test_a_touching_moment_is_concurrent() -> None:
    """An answer at the very nanosecond at which a write is invoked precedes nothing."""
    assert not violations(operation(put(A, "x"), 5, 6), operation(page((A, "x")), 4, 5))


def test_an_unknown_outcome_may_be_anything() -> None:
    """It took effect at once, or late, or never."""
    seen, gone = operation(page((A, "x")), 20, 21), operation(page(), 10, 11)
    assert not violations(unknown(put(A, "x"), 0), gone, seen)
    assert not violations(unknown(put(A, "x"), 0), seen)
    assert not violations(unknown(put(A, "x"), 0), gone)
    assert not violations(unknown(put(A, "never seen"), 0), operation(delete(A), 12, 13))


def test_it_goes_on_from_the_files_that_were_there() -> None:
    """A directory that had files before the first operation."""
    initial = frozenset({Entry(A, "x", None)})
    assert not violations(operation(page((A, "x")), 0, 1), operation(delete(A), 2, 3), initial=initial)
    assert violations(operation(page(), 0, 1), initial=initial) == [page()]


def test_many_unknown_outcomes_stay_affordable() -> None:
    """Two hundred changes with unknown outcome, never ended: as many as a long run with kills leaves behind."""
    operations = []
    for number in range(200):
        time = number * 10
        filename = A if number % 2 else B
        operations += [
            unknown(put(filename, f"lost{number}"), time),
            unknown(delete(filename), time + 1),
            operation(put(filename, f"kept{number}"), time + 2, time + 5),
            operation(Holds(filename, f"kept{number}"), time + 6, time + 7),
        ]
    verdict = check(history_of(operations))
    assert verdict.linearizable
    assert verdict.most_presents < 50


def test_a_long_history_is_judged_in_a_moment() -> None:
    """Two hundred thousand reads between two thousand writes of four clients."""
    operations = simulated(random.Random(7), clients=4, changes=2_000, reads=200_000, files=(A, B), lost=0.01)
    verdict = check(history_of(operations))
    assert verdict.linearizable
    assert verdict.operations >= 200_000


# -- against histories that are right by construction, and against a judge that tries everything ----------------------


def simulated(
    choose: random.Random, *, clients: int, changes: int, reads: int, files: Sequence[str], lost: float = 0.1
) -> list[Operation]:
    """The answers that a real object would give to clients: every operation acts at one random moment between its two
    ends."""
    plans: list[tuple[float, float, float, int, bool]] = []
    for client in range(clients):
        for total, is_change in ((changes // clients, True), (reads // clients, False)):
            now = choose.random()
            for _ in range(total):
                now += choose.expovariate(1.0) * (changes + reads) / max(total, 1)
                acts = now + choose.random()
                ends = acts + choose.random()
                plans.append((acts, now, ends, client, is_change))
                now = ends
    state: State = NOTHING
    operations = []
    for number, (_, invoked, ends, client, is_change) in enumerate(sorted(plans)):
        begin, end = int(invoked * 1000), int(ends * 1000)
        action: Action
        if not is_change:
            action = observed(choose, state)
        else:
            action = write = some_write(choose, number, files)
            is_lost = choose.random() < lost
            after = action.apply(state) if not is_lost or choose.random() < 0.5 else state
            if is_lost:
                operations.append(Operation(action, begin, choose.choice((end, NEVER)), False, client))
                state = after if after is not None else state
                continue
            if after is None:
                action = Missing(write.filenames) if not isinstance(write, Publish) else write
            else:
                state = after
        operations.append(Operation(action, begin, end, True, client))
    return operations


def some_write(choose: random.Random, number: int, files: Sequence[str]) -> ProjectWrite:
    filename = choose.choice(files)
    kind = choose.randrange(8)
    if kind < 4:
        return put(filename, f"digest{number}")
    if kind == 4:
        return Publish(tuple((each, f"digest{number}-{each}") for each in files))
    if kind == 5:
        return mark(filename, choose.choice((None, f"reason{number}")))
    return delete(filename) if kind == 6 else Delete(None)


def observed(choose: random.Random, state: State) -> Action:
    kind = choose.randrange(10)
    if kind == 0:
        return Listed(present=bool(state))
    if kind == 1 and state:
        entry = choose.choice(sorted(state))
        return Holds(entry.filename, entry.sha256)
    if kind == 2:
        lacks = Lacks(choose.choice((A, B)), f"digest{choose.randrange(20)}")
        if lacks.holds(state):
            return lacks
    return Page(state)


def explained(operations: Sequence[Operation], state: State = NOTHING) -> bool:
    """Try every order, with nothing remembered and nothing skipped."""
    if not any(each.certain for each in operations):
        return True
    first_end = min(each.ended for each in operations)
    for number, each in enumerate(operations):
        if each.invoked > first_end:
            continue
        rest = [*operations[:number], *operations[number + 1 :]]
        if not each.certain and explained(rest, state):
            return True
        if isinstance(each.action, Write):
            after = each.action.apply(state)
            if after is not None and explained(rest, after):
                return True
        elif each.action.holds(state) and explained(rest, state):
            return True
    return False


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 60))
@settings(max_examples=150)
def test_what_really_happened_is_acquitted(seed: int, clients: int, changes: int) -> None:
    """Whatever a real object tells any number of clients, with any delays and losses, some order explains it."""
    operations = simulated(random.Random(seed), clients=clients, changes=changes, reads=changes * 2, files=(A, B))
    assert check(history_of(operations)).linearizable


@given(st.integers(0, 2**32))
@settings(max_examples=1500)
@example(0)
def test_it_agrees_with_a_judge_that_tries_everything(seed: int) -> None:
    """Small histories, right ones and ones with a lie in them: both judges say the same."""
    choose = random.Random(seed)
    operations = simulated(choose, clients=3, changes=choose.choice((3, 4)), reads=3, files=(A, B), lost=0.25)
    operations = mutated(choose, squeezed(operations))
    assert check(history_of(operations)).linearizable == explained(operations)


def squeezed(operations: Sequence[Operation]) -> list[Operation]:
    """Times as small numbers, so that moments touch and nearly touch."""
    return [
        each._replace(
            invoked=each.invoked // 1500,
            ended=each.ended if each.ended == NEVER else max(each.ended, each.invoked + 1) // 1500,
        )
        for each in operations
    ]


def mutated(choose: random.Random, operations: Sequence[Operation]) -> list[Operation]:
    """Often with a lie: an answer that belongs elsewhere, a write that did not happen, other times."""
    changed = list(operations)
    for _ in range(choose.randrange(3)):
        if not changed:
            break
        number = choose.randrange(len(changed))
        each = changed[number]
        kind = choose.randrange(4)
        if kind == 0:
            action = choose.choice(changed).action
            changed[number] = each._replace(action=action, certain=each.certain or not isinstance(action, Write))
        elif kind == 1:
            del changed[number]
        elif kind == 2:
            moved = choose.randrange(-3, 4)
            changed[number] = each._replace(
                invoked=each.invoked + moved, ended=each.ended + moved if each.ended != NEVER else NEVER
            )
        elif isinstance(each.action, Write) and each.certain:
            changed[number] = each._replace(certain=False)
    return changed


def test_both_verdicts_occur() -> None:
    """The comparison above would prove nothing if all its histories were right, or all wrong."""
    verdicts = []
    for seed in range(200):
        choose = random.Random(seed)
        operations = simulated(choose, clients=3, changes=3, reads=3, files=(A, B), lost=0.25)
        verdicts.append(explained(mutated(choose, squeezed(operations))))
    assert 20 < sum(verdicts) < 180


def test_a_search_that_takes_too_long_is_no_acquittal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted as undecided."""
    monkeypatch.setattr("tests.linearizability.checker.MOST_STEPS", 20)
    writes = [operation(put(f"{number}.whl", str(number)), 0, 100) for number in range(12)]
    verdict = check(
        history_of([*writes, operation(page(("none", "x")), 0, 100), operation(page(("0.whl", "0")), 0, 99)])
    )
    assert verdict.undecided
    assert not verdict.linearizable
