"""The record of grants and tokens: no change is lost, whatever the store does and however many write at once.

Replaced here: the bound on the size of a document, which no setting changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from quire.access.ci_identities import CiIdentity
from quire.access.decisions import AccessState
from quire.access.document import AccessDocument, Token, decode_access, encode_access, with_fields
from quire.access.records import AccessRecords
from quire.access.tokens import new_identity
from quire.domain.errors import Conflict, DamagedRecord, InvalidRequest, NotFound, OutcomeUnknown, StoreError
from quire.domain.indexes import IndexDefinition
from quire.index.audit.entries import Origin
from quire.operations import granting
from quire.store.contracts import Record
from quire.store.memory import MemoryStore
from tests.serving import until
from tests.tokens import make_token

ORIGIN = Origin(user="root", command="quire token")
DAY = timedelta(days=1)


def create(access: AccessRecords, note: str = "") -> str:
    """A new token; its id."""
    return make_token(access, ["read"], note=note or None, lifetime=DAY, origin=ORIGIN).identity


def test_a_token_keeps_the_job_that_it_was_minted_for() -> None:
    """Also when the document is written again for another change."""
    job = CiIdentity(id="p1", kind="GitHub", issuer="https://ci.example", claims={"repository": "acme/tools"})
    token = Token(digest="0" * 64, permissions=("upload",), publisher=job)
    stored = decode_access(
        encode_access(AccessDocument(tokens={"abc": token, "old": Token(digest="1", permissions=())}))
    )
    again = decode_access(encode_access(stored))
    assert [each.publisher for each in again.tokens.values()] == [job, None]


def test_a_definition_of_an_index_is_kept_with_what_this_version_does_not_know() -> None:
    """Another change writes it again as it was."""
    data = b'{"format": 2, "indexes": {"main": {"new_projects": "owned", "quota": 5, "colour": "red"}}}'
    stored = decode_access(encode_access(decode_access(data)))
    definition = stored.indexes["main"]
    assert (definition.new_projects, definition.quota, definition.unknown) == ("owned", 5, {"colour": "red"})


def test_a_document_with_definitions_is_refused_by_a_version_that_would_not_obey_them() -> None:
    """Versions that know format 1 alone read a document without definitions, and none with one."""
    without = AccessDocument()
    written = with_fields(without, indexes={"main": IndexDefinition(project_quota=1)})
    assert [msgspec.json.decode(encode_access(each))["format"] for each in (without, written)] == [1, 2]


def test_a_definition_with_a_word_that_this_version_does_not_know_is_damage() -> None:
    """It could take rights away, so nothing is decided by it."""
    with pytest.raises(DamagedRecord):
        decode_access(b'{"format": 2, "indexes": {"main": {"new_projects": "by lot"}}}')


class FailingRecords:
    """Records of a store of which some writes end as a plan says."""

    def __init__(self, records: Any, plan: list[Callable[[Callable[[], Record]], Record]]) -> None:
        self._records = records
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def write(
        self, key: str, data: bytes | None, expected: Record, note: bytes | None = None, *, durable: bool = True
    ) -> Record:
        def written() -> Record:
            record: Record = self._records.write(key, data, expected, note, durable=durable)
            return record

        return self._plan.pop(0)(written) if self._plan else written()


class FailingStore:
    """A store with `FailingRecords`."""

    def __init__(self, store: MemoryStore, *plan: Callable[[Callable[[], Record]], Record]) -> None:
        self.records = FailingRecords(store.records, list(plan))


def lost_before(_: Callable[[], Record]) -> Record:
    raise OutcomeUnknown("The answer did not come.")


def lost_after(write: Callable[[], Record]) -> Record:
    write()
    raise OutcomeUnknown("The answer did not come.")


def conflict(_: Callable[[], Record]) -> Record:
    raise Conflict("Another writer was faster.")


@pytest.mark.parametrize(
    "plan", [[lost_before], [lost_after], [conflict], [lost_before, conflict, lost_after], [lost_after, lost_before]]
)
def test_a_change_is_made_once(plan: list[Callable[[Callable[[], Record]], Record]]) -> None:
    """Also when the store cannot say whether it was written: the entry of the log tells."""
    store = MemoryStore()
    identity = create(AccessRecords(FailingStore(store, *plan)))  # type: ignore[arg-type]
    access = AccessRecords(store)
    assert list(access.read().state.document.tokens) == [identity]
    assert [(entry["action"], entry["user"], entry["token"]) for entry in access.log()] == [
        ("token-create", "root", identity)
    ]


def test_writers_at_once_lose_nothing() -> None:
    """Sixty changes of six writers: each is there, and each has its entry, the older ones in the archive."""
    store = MemoryStore()
    with ThreadPoolExecutor(6) as executor:
        made = list(executor.map(lambda number: create(AccessRecords(store), str(number)), range(60)))
    access = AccessRecords(store)
    assert set(access.read().state.document.tokens) == set(made)
    assert sorted(str(entry["token"]) for entry in access.log()) == sorted(made)
    assert [entry["revision"] for entry in access.log()] == list(range(1, 61))


class Together:
    """Changes of several threads that wait while the write of another one is under way, so that they are one batch."""

    def __init__(self, *plan: Callable[[Callable[[], Record]], Record]) -> None:
        self.store = MemoryStore()
        self._enough = threading.Event()
        self.writes = 0
        self._failing = FailingStore(self.store, self._first, *plan)
        count = self._failing.records.write

        def counted(*arguments: Any) -> Record:
            self.writes += 1
            return count(*arguments)

        self._failing.records.write = counted  # type: ignore[method-assign, assignment]  # of this one object
        self.access = AccessRecords(self._failing)  # type: ignore[arg-type]

    def _first(self, write: Callable[[], Record]) -> Record:
        assert self._enough.wait(60)
        return write()

    def run(self, *changes: Callable[[], object]) -> list[object]:
        """The results of the changes, or what they raised, in their order."""
        with ThreadPoolExecutor(len(changes) + 1) as executor:
            first = executor.submit(create, self.access, "first")
            futures = []
            for number, change in enumerate(changes):
                self._wait_for(number + 1)
                futures.append(executor.submit(change))
            self._wait_for(len(changes) + 1)
            self._enough.set()
            first.result()
            return [future.exception() or future.result() for future in futures]

    def _wait_for(self, waiting: int) -> None:
        until(lambda: self.access.waiting() >= waiting)


@pytest.mark.parametrize(
    "plan",
    [[], [lost_before], [lost_after], [conflict], [lost_before, conflict, lost_after], [lost_after, lost_before]],
)
def test_changes_at_once_are_one_write(plan: list[Callable[[Callable[[], Record]], Record]]) -> None:
    """Each is answered for itself and has its entry: those that change something, the one that finds nothing to
    change, and the one that is refused; also when the write has a conflict or its outcome is lost."""
    together = Together(*plan)
    access = together.access
    made = together.run(
        *(partial(create, access, str(number)) for number in range(5)),
        partial(granting.set_group, access, "tools", ["bob"], ORIGIN),
        partial(granting.set_group, access, "tools", ["bob"], ORIGIN),
        partial(granting.revoke_tokens, access, ["absent0000"], ORIGIN),
    )
    assert made[5:7] == [True, False]
    assert isinstance(made[7], NotFound)
    found = AccessRecords(together.store)
    assert len(found.read().state.document.tokens) == 6
    assert set(made[:5]) < set(found.read().state.document.tokens)
    assert [entry["revision"] for entry in found.log()] == list(range(1, 8))
    assert sum(entry["action"] == "token-create" for entry in found.log()) == 6
    if not plan:
        assert together.writes == 2


def test_a_change_for_which_there_is_no_room_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beside it are made."""
    monkeypatch.setattr("quire.access.room.MAX_BYTES", 4000)
    together = Together()
    access = together.access

    large = partial(granting.set_group, access, "tools", ["x" * 90 + str(number) for number in range(60)], ORIGIN)
    small = partial(granting.set_group, access, "others", ["bob"], ORIGIN)
    made = together.run(small, large, small)
    assert [type(each) for each in made] == [bool, InvalidRequest, bool]
    assert AccessRecords(together.store).read().state.document.groups == {"others": ("bob",)}


def test_a_refused_change_changes_nothing() -> None:
    """Of several tokens none is revoked when one does not exist."""
    access = AccessRecords(MemoryStore())
    identity = create(access)
    before = access.read()
    with pytest.raises(NotFound):
        granting.revoke_tokens(access, [identity, "absent0000"], ORIGIN)
    assert access.read(before) is before


def test_a_document_that_is_not_understood_decides_nothing() -> None:
    """It is an error for each request and each change, and it is not overwritten."""
    store = MemoryStore()
    access = AccessRecords(store)
    key = "access/rules/store"
    store.records.write(key, b'{"format": 7}', store.records.read(key))
    with pytest.raises(DamagedRecord, match="newer quire"):
        access.read()
    with pytest.raises(StoreError):
        create(access)
    assert store.records.read(key).data == b'{"format": 7}'


def test_unchanged_state_is_the_same_object() -> None:
    """So that decisions that follow from it may be remembered beside it."""
    access = AccessRecords(MemoryStore())
    create(access)
    known = access.read()
    assert access.read(known) is known
    create(access)
    changed = access.read(known)
    assert changed is not known
    assert isinstance(changed.state, AccessState)
    assert len(changed.state.document.tokens) == 2


def test_a_large_document_is_made_ready_where_it_is_read() -> None:
    """Its first decision, on the event loop of a worker, does not have to look at every token."""
    store = MemoryStore()
    access = AccessRecords(store)
    identity = create(access)
    assert "_warnings" not in vars(access.read().state)
    token = access.read().state.document.tokens[identity]
    many = {new_identity(): token for _ in range(200)}
    access.change(lambda document: with_fields(document, tokens=many), "many", {}, ORIGIN)
    assert {"decides", "_scopes", "_groups", "_digests", "_warnings", "_endings"} <= vars(access.read().state).keys()


def test_a_doubted_change_says_what_it_did() -> None:
    """A grant that was taken back is returned, and a group counts as changed, when the answer of the write was lost."""
    store = MemoryStore()
    granting.begin(AccessRecords(store), "ann", ["update"], ORIGIN)
    (writing,) = [
        identity
        for identity, grant in AccessRecords(store).read().state.document.grants.items()
        if "upload" in grant.permissions
    ]
    (taken,) = granting.take_back(AccessRecords(FailingStore(store, lost_after)), [writing], ORIGIN)  # type: ignore[arg-type]
    assert taken.permissions == ("upload", "manage")
    assert granting.set_group(AccessRecords(FailingStore(store, lost_after)), "tools", ["bob"], ORIGIN)  # type: ignore[arg-type]
    assert AccessRecords(store).read().state.document.groups == {"tools": ("bob",)}
