"""Owners of projects: the principal that creates a project owns it, in the one step that creates it.

Every order in which the store can do the operations of two creators is tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from quire.access.authorization import ALLOWED, AccessRules, Right
from quire.access.decisions import AccessState
from quire.access.document import AccessDocument, Grant
from quire.access.principals import Principal
from quire.domain.changes import Selection
from quire.domain.errors import InvalidRequest, NotFound, ProjectClosed, QuireError
from quire.domain.indexes import IndexDefinition, NewProjects
from quire.domain.project import Project, Status, decode_project, encode_project
from quire.domain.trash import TrashedFile
from quire.index.audit.entries import Origin, entries_of
from quire.index.index import Guard, Index
from quire.store.faults import Faults, Operation
from quire.store.memory import MemoryState, MemoryStore
from tests.index.test_index import staged_wheel

OWNED = AccessState(
    AccessDocument(
        grants={"g": Grant(subject="authenticated", permissions=("upload",))},
        indexes={"main": IndexDefinition(new_projects=NewProjects.OWNED)},
    )
)


class Refused(QuireError):
    """The decision of the rules."""


def guard(user: str, project: str = "acme") -> Guard:
    """As a server's: the rules, by the record that is about to be replaced."""

    def decide(record: Project | None) -> None:
        owners = record.owners if record is not None else ()
        if AccessRules().authorize(Principal(user), Right.UPLOAD, "main", project, OWNED, owners=owners) is not ALLOWED:
            raise Refused("no owner")

    return decide


def create(store: MemoryStore, user: str, version: str, *, trash_seconds: float = 0) -> Callable[[], object]:
    """The upload of a user, as a process of its own makes it."""
    upload, index = staged_wheel(store, "acme", version), Index(store, trash_seconds=trash_seconds)
    owner = OWNED.owner_of_new(Principal(user), "main", "acme")
    return lambda: index.publish([upload], origin=Origin(user=user), guard=guard(user), owner=owner)


def owners(store: MemoryStore) -> tuple[str, ...]:
    project = Index(store).stored("acme")
    return project.owners if project is not None else ()


@dataclass
class Schedule(Faults):
    """Lets the operations of threads happen one at a time, in an order that the test chooses."""

    choices: list[int]
    """Which of the threads that wait goes on, step by step; the first one where it says nothing."""
    taken: list[tuple[int, int]] = field(default_factory=list)
    """The choice of each step, and of how many."""

    def __post_init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._waiting: dict[str, bool] = {}
        self._running: set[str] = set()

    @contextmanager
    def around(self, operation: Operation, subject: str) -> Iterator[None]:
        name = threading.current_thread().name
        if name in self._running:
            with self._changed:
                self._waiting[name] = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting[name])
                del self._waiting[name]
        yield

    def run(self, actions: dict[str, Callable[[], object]]) -> dict[str, object]:
        """The results, or the errors, of the actions, each in a thread of its name."""
        results: dict[str, object] = {}

        def act(name: str) -> None:
            try:
                results[name] = actions[name]()
            except QuireError as error:
                results[name] = error
            with self._changed:
                self._running.discard(name)
                self._changed.notify_all()

        self._running = set(actions)
        threads = [threading.Thread(target=act, args=(name,), name=name) for name in actions]
        for thread in threads:
            thread.start()
        with self._changed:
            while True:
                self._changed.wait_for(
                    lambda: self._running == self._waiting.keys() and not any(self._waiting.values())
                )
                if not self._running:
                    break
                ready, step = sorted(self._running), len(self.taken)
                choice = self.choices[step] if step < len(self.choices) else 0
                self.taken.append((choice, len(ready)))
                self._waiting[ready[choice]] = True
                self._changed.notify_all()
        for thread in threads:
            thread.join()
        return results


def next_choices(taken: list[tuple[int, int]]) -> list[int] | None:
    """The choices of the next order that was not tried; None after the last one."""
    while taken and taken[-1][0] == taken[-1][1] - 1:
        taken = taken[:-1]
    return None if not taken else [*(choice for choice, _ in taken[:-1]), taken[-1][0] + 1]


def test_of_two_creators_one_becomes_the_owner() -> None:
    """In every order of their operations: the other one is refused, and nothing of its upload is listed or stored."""
    choices: list[int] | None = []
    winners, orders = set(), 0
    while choices is not None:
        state = MemoryState()
        plain, schedule = MemoryStore(state), Schedule(choices)
        actions = {
            "ann": create(plain.shared(schedule), "ann", "1.0"),
            "bob": create(plain.shared(schedule), "bob", "2.0"),
        }
        results = schedule.run(actions)
        refused = [name for name, result in results.items() if isinstance(result, Refused)]
        assert len(refused) == 1, results
        (winner,) = results.keys() - set(refused)
        assert not isinstance(results[winner], QuireError)
        assert owners(plain) == (f"user:{winner}",)
        project = Index(plain).project("acme")
        assert project is not None
        assert [file.version for file in project.files.values()] == [{"ann": "1.0", "bob": "2.0"}[winner]]
        assert {blob.key.split("/")[1] for blob in plain.blobs.list()} == {
            str(file.blob).split("/")[1] for file in project.files.values()
        }
        winners.add(winner)
        orders += 1
        choices = next_choices(schedule.taken)
    assert winners == {"ann", "bob"}
    assert orders > 10


def test_two_creators_of_one_process_are_one_owner() -> None:
    """Their changes are one write then, and the second is decided by the result of the first."""
    store = MemoryStore(MemoryState())
    index, uploads = Index(store), [staged_wheel(store, "acme", each) for each in ("1.0", "2.0")]
    results: dict[str, object] = {}

    def publish(user: str, number: int) -> None:
        try:
            index.publish([uploads[number]], guard=guard(user), owner=f"user:{user}")
            results[user] = "published"
        except Refused:
            results[user] = "refused"

    threads = [threading.Thread(target=publish, args=each) for each in (("ann", 0), ("bob", 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results.values())) == ["published", "refused"]
    (winner,) = [user for user, result in results.items() if result == "published"]
    assert owners(store) == (f"user:{winner}",)


@pytest.mark.parametrize("trash_seconds", [0, 3600])
def test_the_owners_of_a_deleted_project_stay(trash_seconds: float) -> None:
    """Also when it is published or restored again, and a stranger cannot take its name."""
    store = MemoryStore(MemoryState())
    index = Index(store, trash_seconds=trash_seconds)
    create(store, "ann", "1.0")()
    index.delete("acme", Selection())
    assert index.project("acme") is None
    assert owners(store) == ("user:ann",)
    with pytest.raises(Refused):
        create(store, "bob", "2.0")()
    if trash_seconds:
        index.restore("acme", lambda _: True)
    else:
        create(store, "ann", "3.0")()
    assert owners(store) == ("user:ann",)
    with pytest.raises(Refused):
        create(store, "bob", "2.0")()


def test_a_restoration_is_decided_by_the_record() -> None:
    """A principal that owns nothing restores nothing."""
    store = MemoryStore(MemoryState())
    index = Index(store, trash_seconds=3600)
    create(store, "ann", "1.0")()
    index.delete("acme", Selection())

    def is_meant(_: TrashedFile) -> bool:
        return True

    with pytest.raises(Refused):
        index.restore("acme", is_meant, guard=guard("bob"))
    assert index.project("acme") is None
    assert index.restore("acme", is_meant, guard=guard("ann")).after is not None


def test_owners_are_added_and_removed() -> None:
    """The log says by which user, and has the owners; repeated, nothing changes. Also while the project is deleted."""
    store = MemoryStore(MemoryState())
    index = Index(store)
    create(store, "ann", "1.0")()
    assert index.add_owner("Acme", "user:bob", origin=Origin(user="ann")) == ("user:ann", "user:bob")
    assert index.add_owner("acme", "user:bob") == ("user:ann", "user:bob")
    assert index.remove_owner("acme", "user:ann", may_be_last=False) == ("user:bob",)
    with pytest.raises(InvalidRequest, match="last owner"):
        index.remove_owner("acme", "user:bob", may_be_last=False)
    index.delete("acme", Selection())
    assert index.remove_owner("acme", "user:bob", may_be_last=True) == ()
    assert owners(store) == ()
    assert index.add_owner("acme", "group:tools") == ("group:tools",)
    assert owners(store) == ("group:tools",)
    log = [(each["action"], each.get("owners")) for each in entries_of(store.records.read(index.key("acme")))]
    assert log == [
        ("publish", ["user:ann"]),
        ("owner-add", ["user:ann", "user:bob"]),
        ("owner-remove", ["user:bob"]),
        ("delete", None),
        ("owner-remove", []),
        ("owner-add", ["group:tools"]),
    ]
    with pytest.raises(NotFound):
        index.add_owner("nothing", "user:ann")


def test_an_upload_beside_drop_in_files_creates_no_project() -> None:
    """The name is in use, and not by its uploader."""
    store, other = (MemoryStore(MemoryState()) for _ in range(2))
    found = Index(other).publish([staged_wheel(other, "acme", "1.0")]).after
    assert found is not None
    Index(store).publish([staged_wheel(store, "acme", "2.0")], owner="user:ann", existing=found.files)
    assert owners(store) == ()


def test_a_record_with_owners_is_read_as_it_was_written() -> None:
    """In one piece, and as the empty project of a later version."""
    store = MemoryStore(MemoryState())
    create(store, "ann", "1.0")()
    project = Index(store).project("acme")
    assert project is not None
    assert decode_project(encode_project(project)) == project
    assert b'"owners"' in encode_project(project)


def test_a_closed_project_is_closed_to_its_owners() -> None:
    """A status that takes no uploads is decided after the right."""
    store = MemoryStore(MemoryState())
    create(store, "ann", "1.0")()
    Index(store).set_status("acme", Status.ARCHIVED)
    with pytest.raises(ProjectClosed):
        create(store, "ann", "2.0")()
    with pytest.raises(Refused):
        create(store, "bob", "2.0")()
