"""The record of the days on which tokens were used: one write for each token and day, and no conflict loses one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from quire.access.uses import USES_KEY, TokenUses, read_uses
from quire.domain.errors import Conflict
from quire.store.memory import MemoryStore
from tests.access.test_records import FailingStore, conflict

MORNING = datetime(2026, 11, 28, 8, tzinfo=UTC)
EVENING = datetime(2026, 11, 28, 20, tzinfo=UTC)
NEXT_DAY = datetime(2026, 11, 29, 1, tzinfo=UTC)


def use(uses: TokenUses, now: datetime, *identities: str, tokens: str = "a b c") -> None:
    for identity in identities:
        uses.note(identity)
    day, taken = uses.take(now)
    if taken:
        uses.write(day, taken, tokens.split())


def test_a_token_is_written_once_a_day() -> None:
    """By whichever worker sees it first; a later day replaces an earlier one, and never the other way round."""
    records = MemoryStore().records
    one, other = TokenUses(records), TokenUses(records)
    use(one, MORNING, "a", "b", "a")
    written = records.read(USES_KEY)
    use(one, EVENING, "a", "b")
    use(other, EVENING, "b")
    assert records.read(USES_KEY).tag == written.tag
    use(other, NEXT_DAY, "b", "c")
    use(one, EVENING, "b")
    assert read_uses(records) == {"a": "2026-11-28", "b": "2026-11-29", "c": "2026-11-29"}


def test_tokens_that_are_gone_are_forgotten() -> None:
    """With the next write; a use of one is not written."""
    records = MemoryStore().records
    use(TokenUses(records), MORNING, "a", "b")
    use(TokenUses(records), NEXT_DAY, "c", "d", tokens="b c")
    assert read_uses(records) == {"b": "2026-11-28", "c": "2026-11-29"}


def test_a_faster_writer_loses_nothing() -> None:
    """The write is repeated on what the other wrote; after too many of them the uses can be noted again."""
    store = MemoryStore()
    use(TokenUses(store.records), MORNING, "a")
    use(TokenUses(FailingStore(store, conflict, conflict).records), MORNING, "b")
    assert set(read_uses(store.records)) == {"a", "b"}
    uses = TokenUses(FailingStore(store, *[conflict] * 8).records)
    uses.note("c")
    day, taken = uses.take(MORNING)
    with pytest.raises(Conflict):
        uses.write(day, taken, ["a", "b", "c"])
    uses.give_back(taken)
    use(uses, MORNING)
    assert set(read_uses(store.records)) == {"a", "b", "c"}


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"days": 7}', b"\xff"])
def test_a_damaged_record_is_begun_again(data: bytes) -> None:
    """No decision depends on it."""
    records = MemoryStore().records
    records.write(USES_KEY, data, records.read(USES_KEY))
    assert read_uses(records) == {}
    use(TokenUses(records), MORNING, "a")
    assert read_uses(records) == {"a": "2026-11-28"}
